//! What commands say of paths that cannot be used, of values out of bounds, and where there is nothing to say.

use std::fs;
use std::process::Stdio;

use super::Place;

#[test]
fn a_path_that_cannot_be_used_is_named_with_a_remedy() {
    let place = Place::new();
    fs::write(place.path("file"), "x").unwrap();
    place.study("in", 1);
    let refused = |named: &str, arguments: &[&str]| {
        let ended = place.run(arguments);
        assert_eq!(ended.code, 74, "{arguments:?}: {}", ended.err);
        let is_told = ended.err.contains(named) && ended.err.contains("\n  hint: ");
        assert!(is_told, "{arguments:?}: {}", ended.err);
    };
    refused("missing", &["retry", "x", "--row", "missing"]);
    refused("/proc/x/", &["init", "/proc/x"]);
    refused("file/", &["init", "file"]);
    refused("/proc/x/x.yaml", &["init", "chat-type", "x", "/proc/x"]);
    refused("/proc/x", &["man", "/proc/x"]);
    refused("file", &["man", "file"]);
    refused("the state folder /proc/x", &["run", "--input", "in", "--state", "/proc/x"]);
    refused("the state folder file", &["run", "--input", "in", "--state", "file"]);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let place = Place::new();
    for arguments in [
        &["steps"][..],
        &["steps", "--json"],
        &["graph", "ct-lung"],
        &["check"],
        &["schema", "site"],
        &["completions", "bash"],
        &["conformance"],
        &["sample", "studies", "--matrix", "32", "--slices", "16"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ended = place.flow(arguments).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success() && !said.contains("pipe"), "{arguments:?}: {}: {said}", ended.status);
    }
    // Another error stays one.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ended = place.flow(&["steps", "none-such"]).stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(ended.status.code(), Some(2));
}

#[test]
fn numbers_of_threads_and_lanes_have_bounds() {
    let place = Place::new();
    for (arguments, range) in [
        (["run", "--workers", "99999999"], "from 1 to 4096"),
        (["join", "--workers", "0"], "from 1 to 4096"),
        (["bench", "--workers", "4097"], "from 1 to 4096"),
        (["run", "--lanes", "1000001"], "from 1 to 1000000"),
    ] {
        let ended = place.run(&arguments);
        assert!(ended.code == 2 && ended.err.contains(range), "{arguments:?}: {}", ended.err);
    }
    fs::write(place.path("site.yaml"), "workers: 0\n").unwrap();
    let ended = place.run(&["check", "--site", "site.yaml"]);
    assert!(
        ended.err.contains("a whole number from 1 to 4096") && !ended.err.contains("hint"),
        "{}",
        ended.err
    );
}

#[test]
fn a_value_that_is_none_is_told_in_words_and_nothing_that_waits_is_told_too() {
    let place = Place::new();
    let ended = place.run(&["step", "measure-densities", "--input", "volume=/dev/null"]);
    assert!(ended.err.contains("it ends too early") && !ended.err.contains("Error {"), "{}", ended.err);
    place.study("in", 1);
    assert_eq!(place.run(&["run", "--input", "in"]).code, 0);
    let ended = place.run(&["complete"]);
    assert_eq!((ended.code, ended.out.as_str()), (0, ""));
    assert_eq!(ended.err, "no study is being received\n");
}

#[test]
fn shells_complete_values_that_are_known() {
    let place = Place::new();
    let bash = place.run(&["completions", "bash"]).out;
    for values in ["urgent normal off-peak", "chosen-not-stored", "results error response api dataflow site"]
    {
        assert!(bash.contains(values), "{values}");
    }
    let fish = place.run(&["completions", "fish"]).out;
    assert!(fish.contains(r#"__fish_flow_using_subcommand schema" -f -a "results error"#), "{fish}");
    let refused = place.run(&["run", "--priority", "high"]);
    assert!(refused.code == 2 && refused.err.contains("urgent, normal, off-peak"), "{}", refused.err);
}
