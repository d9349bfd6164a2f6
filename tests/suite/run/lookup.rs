//! The request that a person means: found by what they type, and nothing is done on a guess.

use std::fs;

use super::Place;

const DATAFLOW: &str = "
dataflow: copy
limits: {memory: {fixed: 1 B, per_decoded_byte: 1.0}}
steps:
  copy:
    step: run-program
    needs: {request: request}
    with: {program: sh, arguments: [-c, 'cat items/* > out/copy.txt']}
response: [copy]
";

#[test]
fn what_means_none_or_several_changes_nothing_and_lists_what_it_could_be() {
    let place = Place::new();
    fs::write(place.path("copy.yaml"), DATAFLOW).unwrap();
    let names = ["letter-12", "letter-3", "parcel"];
    names.iter().for_each(|name| fs::write(place.path(name), name).unwrap());
    let mut arguments = vec!["run", "copy.yaml", "--files"];
    arguments.extend(names);
    assert_eq!(place.run(&arguments).code, 0);
    // In another folder, where no file has such a name.
    let state = place.path("flow-state").display().to_string();
    fs::create_dir(place.path("elsewhere")).unwrap();
    let run = |command: &str, text: &str| {
        let mut flow = place.flow(&[command, text, "--state", &state]);
        let ended = flow.current_dir(place.path("elsewhere")).output().unwrap();
        (ended.status.code().unwrap(), String::from_utf8(ended.stderr).unwrap())
    };
    let before = fs::read(place.path("flow-state/journal.sqlite")).unwrap();
    for command in ["cancel", "retry", "keep", "explain"] {
        for text in ["", " ", "letter", "12", "9"] {
            let (code, said) = run(command, text);
            assert_eq!(code, 2, "{command} {text:?}: {said}");
            assert!(said.contains("  letter-12  answered\n"), "{command} {text:?}: {said}");
            assert_eq!(said.contains("parcel"), text != "letter", "{command} {text:?}: {said}");
        }
    }
    assert_eq!(fs::read(place.path("flow-state/journal.sqlite")).unwrap(), before);
    assert_eq!(run("explain", "letter-1").0, 0, "a part that only one has");
    assert_eq!(run("explain", "3").0, 0, "a number");
    let (code, said) = run("complete", "");
    assert_eq!(code, 2, "{said}");
}
