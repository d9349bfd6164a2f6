//! `flow run --files`: requests that are no studies.

use std::fs;

use flow::journal::{JournalReader, RequestState};

use super::Place;
use crate::support::peers::{Background, until};

const DATAFLOW: &str = "
dataflow: copy
steps:
  copy:
    step: run-program
    needs: {request: request}
    with: {program: sh, arguments: [-c, 'cat items/* > out/copy.txt']}
  large:
    step: run-program
    needs: {}
    with: {program: sh, arguments: [-c, 'echo large > out/large.txt']}
    when: {bytes: {at_least: 10}}
response: [copy, large]
";

#[test]
fn each_path_is_a_request_that_is_answered_revised_and_found_by_the_names_of_its_files() {
    let place = Place::new();
    fs::write(place.path("copy.yaml"), DATAFLOW).unwrap();
    fs::create_dir(place.path("letters")).unwrap();
    fs::write(place.path("letters/a.txt"), "first ").unwrap();
    fs::write(place.path("letters/b.txt"), "second").unwrap();
    fs::write(place.path("alone.txt"), "short").unwrap();
    std::os::unix::fs::symlink("none", place.path("letters/broken")).unwrap();
    let run = ["run", "copy.yaml", "--files", "letters", "alone.txt"];
    let ended = place.run(&run);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(ended.err.contains("letters/broken: it could not be read: No such file"), "{}", ended.err);

    let responses = place.responses("flow-output");
    let names = |part: &str| {
        let (name, response) = responses.iter().find(|(name, _)| name.starts_with(part)).unwrap();
        (name.clone(), response.files.iter().map(|file| file.name.clone()).collect::<Vec<String>>())
    };
    let (letters, files) = names("letters_");
    assert_eq!(files, ["copy.txt", "large.txt"]);
    let copy = fs::read_to_string(place.path("flow-output").join(&letters).join("copy.txt")).unwrap();
    assert_eq!(copy, "first second");
    assert_eq!(names("alone_").1, ["copy.txt"], "a condition on the number of bytes does not hold");

    let found = place.run(&["explain", "b.txt"]);
    assert_eq!(found.code, 0, "{}", found.err);
    assert!(found.out.contains(&letters), "{}", found.out);

    let again = place.run(&run);
    assert_eq!(
        again.err.matches("was answered; the same response goes out again").count(),
        2,
        "{}",
        again.err
    );
    fs::write(place.path("alone.txt"), "longer than it was").unwrap();
    assert_eq!(place.run(&run).code, 0);
    let rows = JournalReader::open(&place.path("flow-state")).unwrap().requests().unwrap();
    assert!(rows.iter().all(|row| row.state == RequestState::Answered), "{rows:?}");
    let revision = &place.responses("flow-output")[&rows[2].name];
    assert_eq!(revision.revises, Some(rows[1].id), "the same path with other content is a revision");
}

#[test]
fn a_path_without_files_ends_the_command() {
    let place = Place::new();
    fs::create_dir(place.path("empty")).unwrap();
    let ended = place.run(&["run", "--files", "empty"]);
    assert_eq!(ended.code, 66, "{}", ended.err);
    assert!(ended.err.contains("empty has no files"), "{}", ended.err);
}

#[test]
fn all_that_a_program_said_is_explained_and_the_end_of_it_is_in_the_response() {
    let place = Place::new();
    std::fs::write(place.path("text"), "a").unwrap();
    let said = "echo the first cause >&2; for n in $(seq 300); do echo line $n >&2; done; exit 1";
    let step =
        format!("{{step: run-program, needs: {{}}, with: {{program: sh, arguments: [-c, '{said}']}}}}");
    let limits = "{memory: {fixed: 1 B, per_decoded_byte: 1.0}}";
    let text = format!("dataflow: says\nlimits: {limits}\nsteps:\n  one: {step}\nresponse: [one]\n");
    std::fs::write(place.path("says.yaml"), text).unwrap();
    let ended = place.run(&["run", "says.yaml", "--files", "text"]);
    assert!(ended.code == 1 && ended.err.contains("line 300"), "{}", ended.err);
    assert!(!ended.err.contains("the first cause"), "{}", ended.err);
    let explained = place.run(&["explain", "1"]).out;
    for line in ["      the first cause", "      line 1", "      line 300"] {
        assert!(explained.lines().any(|said| said == line), "{line:?} in {explained}");
    }
}

/// A step that waits for a file beside it.
const WAITING: &str = "
dataflow: waiting
limits: {memory: {fixed: 1 B}}
steps:
  wait:
    step: run-program
    needs: {request: request}
    with:
      program: sh
      arguments: [-c, 'until [ -e PLACE/go ]; do sleep 0.02; done; cat items/* > out/copy.txt']
      writes: [PLACE]
response: [wait]
";

#[test]
fn a_request_that_is_taken_up_and_given_again_counts_once() {
    const COUNT: usize = 40;
    let place = Place::new();
    fs::create_dir(place.path("signal")).unwrap();
    let text = WAITING.replace("PLACE", place.path("signal").to_str().unwrap());
    fs::write(place.path("waiting.yaml"), text).unwrap();
    let names: Vec<String> = (0..COUNT).map(|number| format!("{number:02}.txt")).collect();
    names.iter().for_each(|name| fs::write(place.path(name), name).unwrap());
    let run = [&["run", "waiting.yaml", "--files"], &*names.iter().map(String::as_str).collect::<Vec<_>>()]
        .concat();
    let mut command = place.flow(&run);
    let flow = Background::saying_to(&mut command, &place.path("said"));
    let accepted = || fs::read_to_string(place.path("said")).unwrap_or_default().matches("accepted").count();
    until("some are accepted", || (accepted() >= 2).then_some(()));
    drop(flow);
    fs::write(place.path("signal/go"), "").unwrap();
    let ended = place.run(&run);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(ended.err.contains("taken up"), "{}", ended.err);
    assert!(ended.err.contains(&format!("{COUNT} answered: {COUNT} complete")), "{}", ended.err);
}
