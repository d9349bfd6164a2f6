//! `flow torture`: what it says of a dataflow that is sound, of one that is not, and of one that cannot be run.

use std::fs;

use serde_json::Value;

use crate::run::Place;

/// A dataflow with a step in a shell, whose result is what `result` prints.
fn write_lines(place: &Place, result: &str) {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/steps/count.sh");
    let example = fs::read_to_string(example).unwrap();
    let counts = "wc -l < \"$path\" | tr -d ' '";
    assert!(example.contains(counts));
    fs::write(place.path("steps.sh"), example.replace(counts, result)).unwrap();
    let dataflow = "\
dataflow: lines
programs: [steps.sh]
steps: {count: {step: count-lines, needs: {item: request.items}}}
response: [count]
";
    fs::write(place.path("lines.yaml"), dataflow).unwrap();
    for (name, text) in [("one.txt", "a\n"), ("two.txt", "a\nb\n")] {
        fs::write(place.path(name), text).unwrap();
    }
}

#[test]
fn a_sound_dataflow_is_killed_and_answers_all_the_same() {
    let place = Place::new();
    (1..=3).for_each(|seed| _ = place.study(&format!("in/{seed}"), seed));
    let arguments = ["torture", "--input", "in", "--kills", "5", "--seed", "3", "--json", "--folder", "work"];
    let ended = place.run(&arguments);
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    let lines: Vec<Value> = ended.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let all = lines.last().unwrap();
    assert_eq!(all["of"], "all");
    assert_eq!(all["kills"], 5);
    assert_eq!(all["accepted"], 3 * (lines.len() - 1), "three studies in each round");
    assert_eq!(all["accepted"], all["answered"]);
    assert!(all["lives"].as_u64() > all["kills"].as_u64(), "each round ends in peace");
    assert!(place.path("work/round-1/state/journal.sqlite").exists(), "what was done is kept");
    let again = place.run(&["torture", "--folder", "work"]);
    assert!(again.code == 74 && again.err.contains("work is there already"), "{}", again.err);
}

#[test]
fn a_program_of_a_users_own_is_tried_with_its_files() {
    let place = Place::new();
    write_lines(&place, "sleep 0.2; wc -l < \"$path\"");
    let ended = place.run(&["torture", "lines.yaml", "--files", "one.txt", "two.txt", "--kills", "4"]);
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    assert!(
        ended.out.starts_with("4 kills in ") && ended.out.contains(", 0 lost, 0 double, 0 different"),
        "{}",
        ended.out
    );
    assert!(ended.err.contains("undisturbed: 2 answers"), "{}", ended.err);
}

#[test]
fn a_step_that_is_no_function_of_its_inputs_is_told_before_anything_is_killed() {
    let place = Place::new();
    write_lines(&place, "cat /proc/sys/kernel/random/uuid");
    let ended = place.run(&["torture", "lines.yaml", "--files", "one.txt", "--folder", "work"]);
    assert_eq!(ended.code, 1, "{}{}", ended.out, ended.err);
    assert!(ended.err.contains("two undisturbed runs differ"), "{}", ended.err);
    assert!(ended.err.contains("lines.txt") && !place.path("work/round-1").exists(), "{}", ended.err);
}

#[test]
fn what_cannot_be_run_undisturbed_is_refused_with_its_reason() {
    let place = Place::new();
    let missing = place.run(&["torture", "nowhere.yaml"]);
    assert!(
        missing.code == 2 && missing.err.contains("undisturbed run ended with exit code 2"),
        "{}",
        missing.err
    );
    assert!(missing.err.contains("nowhere.yaml"), "flow's own words are shown: {}", missing.err);
    assert_eq!(place.run(&["torture", "chat"]).code, 2);
    assert_eq!(place.run(&["torture", "--kills", "0"]).code, 2);
}

#[test]
fn answers_that_are_error_responses_are_told() {
    let place = Place::new();
    fs::remove_file(&place.study("in/1", 1)[20]).unwrap();
    place.study("in/2", 2);
    let ended = place.run(&["torture", "--input", "in", "--kills", "1"]);
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    assert!(
        ended.err.contains("undisturbed: 2 answers, of these 1 with an error response, "),
        "{}",
        ended.err
    );
}
