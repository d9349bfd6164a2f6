//! Texts from peers that would be taken for ours: none of them reaches a terminal or a log as it came.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use flow::dicom::{DicomObject, DimseNode, SendOutcome, send};

use super::Place;
use super::nodes::Listening;
use crate::support::slices::Slice;
use crate::support::without_time;

/// A line that looks like one of ours, with what a terminal obeys: a title, a bell, colours, another
/// direction of text.
const FORGED: &str = "a\nanswered  1.2.3  complete, 0.10 s\n\u{1b}]0;b\u{7}\u{9b}2J\u{202e}";

fn assert_clean(what: &str, text: &str) {
    let bad = |letter: char| (letter.is_control() && letter != '\n') || letter == '\u{202e}';
    assert!(!text.contains(bad), "{what} has control characters: {text:?}");
    let forged = text.lines().find(|line| without_time(line).starts_with("answered  1.2.3"));
    assert_eq!(forged, None, "{what} has a line that is not ours");
}

#[test]
fn the_name_of_a_file_is_escaped_wherever_it_is_shown() {
    let place = Place::new();
    let files = place.path("files");
    fs::create_dir(&files).unwrap();
    fs::write(files.join(FORGED), "text").unwrap();
    let step = "{step: run-program, needs: {item: request.items}, with: {program: 'false'}}";
    let limits = "{memory: {fixed: 1 B, per_decoded_byte: 1.0}}";
    let text = format!("dataflow: names\nlimits: {limits}\nsteps:\n  one: {step}\nresponse: [one]\n");
    fs::write(place.path("names.yaml"), text).unwrap();
    let ended = place.run(&["run", "names.yaml", "--files", "files"]);
    assert_eq!(ended.code, 1, "{}", ended.err);
    assert!(ended.err.contains("one (a\\nanswered"), "{}", ended.err);
    assert_clean("stderr", &ended.err);
    for command in
        [["explain", "files"], ["explain", "--json"], ["status", "--answered=9"], ["status", "--json"]]
    {
        let mut arguments = command.to_vec();
        if command == ["explain", "--json"] {
            arguments.push("files");
        }
        let ended = place.run(&arguments);
        assert_eq!(ended.code, 0, "{command:?}: {}", ended.err);
        assert_clean(&command.join(" "), &(ended.out + &ended.err));
    }
    let missing = place.run(&["explain", FORGED]);
    assert_clean("an error", &missing.err);
}

#[test]
fn what_a_sender_says_is_escaped_wherever_it_is_shown() {
    let place = Place::new();
    let flow = Listening::start(&place, &["--quiet-time", "3600", "--broken-time", "3600"]);
    let node: DimseNode = format!("FLOW@127.0.0.1:{}", flow.port()).parse().unwrap();
    let slice = Slice::new("1.2.3.4567", 1);
    let mut file = slice.file();
    let head = b"\x20\0\x0d\0UI\x0a\x00";
    let place_of = file.windows(head.len()).position(|bytes| bytes == head).expect("it has a study");
    file[place_of + head.len()..][..10].copy_from_slice(b"1.2\n\x1b]0;b\x07");
    let sent = send(&node, &[DicomObject::read(slice.uid(), file.into()).unwrap()]).unwrap();
    assert_eq!(sent[0].outcome, SendOutcome::Stored);
    let ended = place.run(&["complete"]);
    assert!(ended.out.contains("1.2\\n\\u001b"), "{}", ended.out);
    assert_clean("complete", &(ended.out + &ended.err));
}

#[test]
fn connections_that_are_turned_away_are_summed_up() {
    let place = Place::new();
    let mut flow = Listening::start(&place, &[]);
    for _ in 0..300 {
        let mut peer = TcpStream::connect(format!("127.0.0.1:{}", flow.port())).unwrap();
        peer.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        // Until it is rejected.
        let _ = peer.read_to_end(&mut Vec::new());
    }
    assert_eq!(flow.end(), 0);
    let mut lines = 0;
    let sum = loop {
        match flow.line("") {
            line if line.contains("rejected:") => lines += 1,
            line if line.contains("rejected within") => break line,
            _ => {}
        }
    };
    assert!(lines <= 30 && sum.contains("more connections from 1 address "), "{lines}, {sum}");
}

#[test]
fn a_reason_that_many_items_share_is_one_line_and_is_said_again_with_what_mends_it() {
    let place = Place::new();
    fs::create_dir(place.path("many")).unwrap();
    (0..40).for_each(|number| fs::write(place.path(&format!("many/{number}")), format!("{number}")).unwrap());
    let step = "{step: run-program, needs: {item: request.items}, with: {program: no-such-program}}";
    let text = format!(
        "dataflow: absent\nlimits: {{memory: {{fixed: 1 B, per_decoded_byte: 1.0}}}}\nsteps:\n  one: {step}\nresponse: [one]\n"
    );
    fs::write(place.path("absent.yaml"), text).unwrap();
    let run = || place.run(&["run", "absent.yaml", "--files", "many"]);
    let first = run();
    assert!(first.err.lines().count() < 10, "{}", first.err);
    assert!(first.err.contains(" and 37 more) failed: the program \"no-such-program\""), "{}", first.err);
    let again = run();
    assert!(again.err.contains("was answered with an ERROR RESPONSE"), "{}", again.err);
    assert!(again.err.contains("could not be started") && again.err.contains("flow retry"), "{}", again.err);
}

#[test]
fn the_log_has_times_and_is_json_if_that_is_wanted() {
    let place = Place::new();
    fs::write(place.path("text"), "text").unwrap();
    let step = "{step: run-program, needs: {}, with: {program: 'false'}}";
    let text = format!("dataflow: fails\nsteps:\n  one: {step}\nresponse: [one]\n");
    fs::write(place.path("fails.yaml"), text).unwrap();
    let plain = place.run(&["run", "fails.yaml", "--files", "text"]).err;
    let line = plain.lines().find(|line| line.contains("answered  ")).expect("it is answered");
    assert_ne!(without_time(line), line, "{plain}");
    let json = place.run(&["run", "fails.yaml", "--files", "text", "--log", "json", "--state", "other"]).err;
    let lines = json.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect(line));
    let answered: Vec<_> = lines
        .filter(|line| line["fields"]["message"].as_str().is_some_and(|text| text.starts_with("answered")))
        .collect();
    assert_eq!(answered.len(), 1, "{json}");
    assert!(answered[0]["fields"]["details"][0].as_str().unwrap().starts_with("one failed"), "{json}");
    assert!(answered[0]["timestamp"].as_str().unwrap().ends_with('Z'), "{json}");
}
