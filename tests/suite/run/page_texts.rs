//! Texts of peers and programs on the status page: shown as they are, and nothing of them is markup or runs.

use std::fs;
use std::io;

use flow::dicom::{
    DicomObject, DimseNode, DimseStatus, ExchangeStage, PeerError, PeerErrorCause, SendOutcome, send,
};
use flow::journal::general;
use flow::ledger::reason_code;

use super::Place;
use super::again::script;
use super::nodes::Listening;
use super::page::PageAddress;
use crate::support::peers::tool;
use crate::support::ports::free_port;
use crate::support::scripts::Script;
use crate::support::slices::Slice;

/// What a page would run or draw, and what a terminal would obey.
const HOSTILE: &str = "<script>alert(1)</script><img src=x onerror=alert(2)>\n\u{1b}]0;b\u{7}<b>";

#[test]
fn what_a_sender_or_a_program_says_is_text_on_the_page() {
    if tool("/usr/bin/chromium").is_none() {
        return;
    }
    let place = Place::new();
    fs::write(place.path("outside"), HOSTILE).unwrap();
    script(&place, &format!("cat {} >&2; exit 3", place.path("outside").display()));
    let port = free_port().to_string();
    let mut flow = Listening::start(&place, &["--page", &port, "script.yaml"]);
    let node: DimseNode = format!("FLOW@127.0.0.1:{}", flow.port()).parse().unwrap();
    let slice = Slice { patient_name: HOSTILE, series_description: HOSTILE, ..Slice::new("1.2.3", 1) };
    let sent = send(&node, &[DicomObject::read(slice.uid(), slice.file().into()).unwrap()]).unwrap();
    assert_eq!(sent[0].outcome, SendOutcome::Stored);
    flow.line("answered");
    let url = PageAddress::of(&place, &port).entry();
    let Some(person) = Script::start("playwright", include_str!("page_texts.py"), &[url]) else { return };
    assert_eq!(person.rest(), "done");
    assert_eq!(flow.end(), 1);
}

/// The folder of responses, and a peer and a process that are not there, on a page in German.
#[test]
fn a_page_in_german_words_what_flow_says_and_marks_what_it_does_not() {
    let (Some(storescu), Some(_)) = (tool("/usr/bin/storescu"), tool("/usr/bin/chromium")) else { return };
    let place = Place::new();
    fs::remove_file(&place.study("gap", 1)[10]).unwrap();
    let (port, nobody) = (free_port().to_string(), format!("NOBODY@127.0.0.1:{}", free_port()));
    let hosts = format!("127.0.0.1:{}\n127.0.0.1:{}\n", free_port(), free_port());
    fs::write(place.path("hosts"), hosts).unwrap();
    let alone = ["--page", &port, "--to", &nobody, "--retry", "0", "-n", "2", "--hosts", "hosts"];
    let mut flow = Listening::start(&place, &alone);
    flow.send(storescu, &place.path("gap"));
    flow.line("NOT DELIVERED");
    let arguments = [PageAddress::of(&place, &port).entry(), nobody];
    let Some(person) = Script::start("playwright", include_str!("page_german.py"), &arguments) else {
        return;
    };
    assert_eq!(person.rest(), "done");
    let paused = place.run(&["status"]).out;
    assert!(paused.contains(" PAUSED  destination output"), "{paused}");
    drop(flow);
}

#[test]
fn the_reasons_of_peers_have_codes_in_general_words() {
    let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
    for (cause, code) in [
        (PeerErrorCause::Unresolved(refused()), "unresolved"),
        (PeerErrorCause::Unconnected(refused()), "unconnected"),
        (PeerErrorCause::Silent, "silent"),
        (PeerErrorCause::Unreadable("No such file".to_owned()), "unreadable"),
        (PeerErrorCause::Broken("it closed the connection".to_owned()), "closed"),
        (PeerErrorCause::Broken("the association failed: reset".to_owned()), "broken"),
        (PeerErrorCause::NothingTaken, "nothing_taken"),
        (PeerErrorCause::Answered(DimseStatus::CANNOT_UNDERSTAND, String::new()), "answered"),
        (PeerErrorCause::Aborted, "aborted"),
        (PeerErrorCause::Uncommitted, "uncommitted"),
        (PeerErrorCause::Later { status: 503, after: None }, "later"),
        (PeerErrorCause::Refused { status: 403, reason: "Doe^Jane".to_owned() }, "refused"),
        (PeerErrorCause::NotUnderstood("<html>".to_owned()), "not_understood"),
    ] {
        let peer = "PACS@127.0.0.1:104".parse().unwrap();
        let told = PeerError { peer, cause, stage: ExchangeStage::Open }.advice();
        assert_eq!(reason_code(&general(&told)), Some(code), "{told}");
    }
    for (told, code) in [
        ("it is paused", "paused"),
        ("it may not be sent to at this time of the day", "closed_now"),
        ("it does not take everything", "partial"),
    ] {
        assert_eq!(reason_code(&general(told)), Some(code), "{told}");
    }
    assert_eq!(reason_code(&general(&DimseStatus::OUT_OF_RESOURCES.to_string())), Some("out_of_resources"));
}
