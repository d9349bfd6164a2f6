//! What a site's file says instead of the command line, and which dataflow its rules choose.

use std::fs;

use super::Place;

#[test]
fn a_site_says_what_the_command_line_says_and_the_command_line_goes_before_it() {
    let place = Place::new();
    place.study("in", 1);
    fs::write(place.path("site.yaml"), "input: [in]\nstate: there\noutput: out\nlanes: 2\nretry: []\n")
        .unwrap();
    let ended = place.run(&["run", "--site", "site.yaml"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert_eq!(place.responses("out").len(), 1);
    assert!(place.path("there/store").is_dir() && !place.path("flow-state").exists());

    let ended = place.run(&["run", "--site", "site.yaml", "--state", "here", "--output", "other"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(place.path("here/store").is_dir());
    assert_eq!(place.responses("other"), place.responses("out"));

    for arguments in [&["run", "--no-output"][..], &["run", "--site", "none.yaml"]] {
        fs::write(place.path("none.yaml"), "output: none\n").unwrap();
        let ended = place.run(arguments);
        assert!(ended.code == 2 && ended.err.contains("responses would go nowhere"), "{}", ended.err);
    }
}

const RULES: &str = "rules:
  - {when: {modality: CT, calling_ae: {matches: 'CT*'}}, dataflow: ct-lung}
  - {when: {modality: [CT, MR]}, dataflow: other.yaml}
  - {default: ct-lung}
";

#[test]
fn a_check_tells_which_dataflow_a_request_would_go_to_and_why() {
    let place = Place::new();
    place.study("in", 1);
    fs::write(place.path("site.yaml"), RULES).unwrap();
    let check = |code: i32, told: &str, arguments: &[&str]| {
        let ended = place.run(&[&["check", "ct-lung", "--site", "site.yaml"], arguments].concat());
        assert_eq!(ended.code, code, "{arguments:?}: {}", ended.err);
        let text = ended.out + &ended.err;
        assert!(text.contains(told), "{told:?} in {text}");
    };
    check(0, "a site with 2 rules", &[]);
    check(
        0,
        ": ct-lung, by rule 1 (line 2): modality is CT",
        &["--request", "modality=CT", "calling_ae=CT1"],
    );
    check(0, ": other.yaml, by rule 2 (line 3)", &["--request", "modality=PT", "modality=MR"]);
    check(0, ": ct-lung, by the default (line 4)", &["--request", "modality=PT"]);
    check(0, ": other.yaml, by rule 2 (line 3)", &["--study", "in"]);
    check(2, "did you mean \"modality\"?", &["--request", "modalty=CT"]);
    check(66, "could not open nowhere", &["--study", "nowhere"]);
    fs::create_dir(place.path("empty")).unwrap();
    check(66, "no DICOM study in empty", &["--study", "empty"]);
    // The dataflows that the file names are checked, too.
    let ended = place.run(&["check", "--site", "site.yaml"]);
    let told = "site.yaml:3:";
    assert!(ended.code == 3 && ended.err.contains(told) && ended.err.contains("other.yaml"), "{}", ended.err);
    assert!(ended.err.contains("hint: "), "{}", ended.err);
    let ended = place.run(&["run", "--input", "in", "--site", "site.yaml"]);
    assert!(ended.code == 3 && ended.err.contains(told), "{}", ended.err);
    fs::write(place.path("site.yaml"), RULES.replace("default", "defualt")).unwrap();
    check(3, "did you mean \"default\"?", &[]);
}

#[test]
fn what_cannot_be_read_ends_with_the_exit_code_of_its_kind() {
    let place = Place::new();
    place.study("in", 1);
    fs::create_dir(place.path("empty")).unwrap();
    fs::write(place.path("latin.yaml"), b"name: \xe4").unwrap();
    fs::write(place.path("site.yaml"), "lanes: 2\ndataflow: ct-lugn\n").unwrap();
    let ends = |code: i32, told: &str, arguments: &[&str]| {
        let ended = place.run(arguments);
        assert_eq!(ended.code, code, "{arguments:?}: {}", ended.err);
        assert!(ended.err.contains(told), "{arguments:?}: {}", ended.err);
    };
    for arguments in [&["run", "--input", "in", "--site", "site.yaml"][..], &["simulate", "site.yaml"]] {
        ends(3, "site.yaml:2:11: ", arguments);
        ends(3, "did you mean \"ct-lung\"?", arguments);
    }
    ends(2, "neither a file nor", &["run", "ct-lugn"]);
    ends(2, "neither a file nor", &["check", "ct-lugn"]);
    for arguments in [&["check", "in"][..], &["run", "in"], &["check", "latin.yaml"]] {
        ends(74, "could not read ", arguments);
    }
    ends(74, "nowhere.yaml", &["check", "--site", "nowhere.yaml"]);
    ends(74, "could not read the hosts file nowhere", &["run", "-n", "2", "--hosts", "nowhere"]);
    ends(66, "exit code 66", &["torture", "--input", "empty"]);
}

#[test]
fn a_dataflow_whose_failures_reach_no_destination_is_warned_of() {
    let place = Place::new();
    let site = |text: &str| fs::write(place.path("site.yaml"), text).unwrap();
    let dataflow = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/dataflows/study-report.yaml"));
    let dataflow = dataflow.unwrap();
    let without = dataflow.split("\nfailure:").next().unwrap();
    fs::write(place.path("quiet.yaml"), format!("{without}\n")).unwrap();
    let node = "nodes: {pacs: \"PACS@127.0.0.1:104\"}\n";
    for (text, warns) in [
        (format!("{node}dataflow: quiet.yaml\nto: [pacs]\n"), true),
        (format!("{node}dataflow: quiet.yaml\n"), false),
        (format!("{node}dataflow: study-report\nto: [pacs]\n"), false),
    ] {
        site(&text);
        let ended = place.run(&["check", "--site", "site.yaml"]);
        assert_eq!(ended.code, 0, "{text}{}", ended.err);
        let warned = ended.err.contains("warning: without a `failure:` part");
        assert_eq!(warned, warns, "{text}{}", ended.err);
    }
}
