//! Destinations that answer oddly, or not at all.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flow::admission::FileState;
use flow::dicom::DicomObject;
use flow::dicom::deliver::{ObjectFinding, ObjectVerifier};
use flow::journal::RequestState;
use flow::outbox::DeliveryClock;

use super::policies::nobody;
use super::provider::{Answer, Provider};
use super::{Post, Told, at_once, forward, forwarded, patient, slice, states, uid, verified};
use crate::support::peers::{Background, DEADLINE, answering, tool, until};
use crate::support::ports::free_port;

#[test]
fn a_warning_is_a_warning_and_what_is_refused_for_good_is_not_hidden_by_the_rest() {
    let post = Post::new(4);
    let pacs = Provider::start(|object, times| match (object, times) {
        ("1.2.1.1.1", _) => Answer::Status(0xB000),
        ("1.2.1.1.2", 1) => Answer::Status(0xA700),
        ("1.2.1.1.3", _) => Answer::Status(0xC000),
        _ => Answer::Status(0),
    });
    let told =
        post.run(&["1"], vec![forward(pacs.destination(), at_once(5))], DeliveryClock::usual(), |_, _| {});
    let delivery = forwarded(&told)[0];
    assert!(!delivery.complete && delivery.tries == 2, "{delivery:?}");
    let expected = [FileState::Warned, FileState::Stored, FileState::Refused, FileState::Stored];
    assert_eq!(states(delivery), expected);
    assert!(delivery.files[0].answer.contains("coerced") && delivery.files[2].answer.contains("C000"));
    assert_eq!(post.deliveries("1"), std::slice::from_ref(delivery));
    let arrived: Vec<usize> = pacs.arrived().into_values().collect();
    assert_eq!(arrived, [1, 2, 1, 1], "only what may be better later is sent again");

    // Also the next process does not send it again.
    let told =
        post.run(&[], vec![forward(pacs.destination(), at_once(5))], DeliveryClock::usual(), |_, _| {});
    assert!(!forwarded(&told)[0].complete);
    assert_eq!(pacs.arrived().into_values().collect::<Vec<_>>(), arrived);
    assert_eq!(post.states(), [RequestState::Undelivered]);
}

/// The longest silence of a provider: more than a busy machine needs for an answer.
const SILENCE_MAX: Duration = Duration::from_secs(2);

#[test]
fn whatever_breaks_off_in_the_middle_it_goes_on_with_what_was_not_answered() {
    for trouble in [Answer::Silence, Answer::Abort, Answer::Close, Answer::HalfClose] {
        let post = Post::new(4);
        let pacs = Provider::start(move |object, times| match (object, times) {
            ("1.2.1.1.3", 1) => trouble,
            _ => Answer::Status(0),
        });
        let mut destination = pacs.destination();
        destination.wait_max = SILENCE_MAX;
        let told =
            post.run(&["1"], vec![forward(destination, at_once(2))], DeliveryClock::usual(), |_, _| {});
        let delivery = forwarded(&told)[0];
        assert!(delivery.complete && delivery.tries == 2, "{trouble:?}: {delivery:?}");
        assert_eq!(pacs.arrived().into_values().collect::<Vec<_>>(), [1, 1, 2, 1], "{trouble:?}");
        assert_eq!(post.states(), [RequestState::Answered]);
    }
}

#[test]
fn an_object_that_always_breaks_it_off_blocks_none_behind_it() {
    for trouble in [Answer::Silence, Answer::Abort, Answer::Close] {
        let post = Post::new(5);
        let pacs = Provider::start(move |object, _| match object {
            "1.2.1.1.1" | "1.2.1.1.3" => trouble,
            _ => Answer::Status(0),
        });
        let mut destination = pacs.destination();
        destination.wait_max = SILENCE_MAX;
        // The next process remembers at which one it broke off.
        for tries in [1, 1, 3] {
            let forwards = vec![forward(destination.clone(), at_once(tries))];
            let requests: &[&str] = if post.path("output").exists() { &[] } else { &["1"] };
            let told = post.run(requests, forwards, DeliveryClock::usual(), |_, _| {});
            assert!(!forwarded(&told)[0].complete, "{trouble:?}");
        }
        let arrived = pacs.arrived();
        let others = ["1.2.1.1.2", "1.2.1.1.4", "1.2.1.1.5"];
        assert_eq!(others.map(|uid| arrived[uid]), [1, 1, 1], "{trouble:?}");
        let delivery = &post.deliveries("1")[0];
        let stored = delivery.files.iter().filter(|file| file.state == FileState::Stored);
        assert_eq!(stored.count(), 3, "{trouble:?}: {delivery:?}");
        assert!(arrived["1.2.1.1.1"] > 1 && arrived["1.2.1.1.3"] > 1, "they have their turns: {arrived:?}");
    }
}

#[test]
fn a_process_that_takes_a_response_up_sends_what_was_not_answered() {
    let post = Post::new(4);
    let pacs = Provider::start(move |object, times| match (object, times) {
        ("1.2.1.1.3", 1) => Answer::Close,
        _ => Answer::Status(0),
    });
    let told =
        post.run(&["1"], vec![forward(pacs.destination(), at_once(1))], DeliveryClock::usual(), |_, _| {});
    assert_eq!(states(forwarded(&told)[0]), [FileState::Stored, FileState::Stored, FileState::Waiting]);
    assert_eq!(post.states(), [RequestState::Undelivered]);
    let told =
        post.run(&[], vec![forward(pacs.destination(), at_once(1))], DeliveryClock::usual(), |_, _| {});
    assert!(forwarded(&told)[0].complete);
    assert_eq!(pacs.arrived().into_values().collect::<Vec<_>>(), [1, 1, 2, 1]);
    assert_eq!(post.states(), [RequestState::Answered]);
}

#[test]
fn delivered_means_verified_where_that_can_be_done() {
    let post = Post::new(2);
    let pacs = Provider::start(|_, _| Answer::Status(0));
    let asked = Arc::new(Mutex::new(Vec::new()));
    // At first nobody can tell, then the second object is lost, also when it is looked for again, then all
    // is well.
    let log = Arc::clone(&asked);
    let verify = move |objects: &[DicomObject]| {
        let mut log = log.lock().unwrap();
        log.push(objects.len());
        let times = log.len();
        if times == 1 {
            return Err("nobody answers".to_owned());
        }
        let safe = |object: &DicomObject| {
            let is_lost = times <= 3 && object.sop_instance_uid() == "1.2.1.1.2";
            let safe = if is_lost { Err("processing failure".to_owned()) } else { Ok(()) };
            ObjectFinding { sop_instance_uid: object.sop_instance_uid().to_owned(), safe }
        };
        Ok(objects.iter().map(safe).collect())
    };
    let verify: ObjectVerifier = Arc::new(verify);
    let with = |tries| verified(pacs.destination(), at_once(tries), Arc::clone(&verify));
    let told = post.run(&["1"], vec![with(1)], DeliveryClock::usual(), |_, _| {});
    let delivery = forwarded(&told)[0];
    assert_eq!((states(delivery), delivery.complete), (vec![FileState::Sent; 2], false));
    assert!(delivery.trouble.as_ref().unwrap().contains("nobody answers"));
    assert_eq!(post.states(), [RequestState::Undelivered]);

    // The next process asks again, sends again what is lost, and asks for that alone.
    let told = post.run(&[], vec![with(2)], DeliveryClock::usual(), |_, _| {});
    let delivery = forwarded(&told)[0];
    assert_eq!((states(delivery), delivery.complete), (vec![FileState::Stored; 2], true));
    assert_eq!(*asked.lock().unwrap(), [2, 2, 1, 1]);
    assert_eq!(pacs.arrived().into_values().collect::<Vec<_>>(), [1, 2]);
    assert_eq!(post.states(), [RequestState::Answered]);
}

#[test]
fn what_is_found_a_moment_later_is_not_sent_again() {
    let post = Post::new(1);
    let pacs = Provider::start(|_, _| Answer::Status(0xB000));
    let asked = AtomicUsize::new(0);
    let verify: ObjectVerifier = Arc::new(move |objects: &[DicomObject]| {
        let is_there = asked.fetch_add(1, Ordering::Relaxed) > 0;
        let safe = if is_there { Ok(()) } else { Err("not yet".to_owned()) };
        let sop_instance_uid = objects[0].sop_instance_uid().to_owned();
        Ok(vec![ObjectFinding { sop_instance_uid, safe }])
    });
    let with = |tries| verified(pacs.destination(), at_once(tries), Arc::clone(&verify));
    let told = post.run(&["1"], vec![with(1)], DeliveryClock::usual(), |_, _| {});
    let missing = &forwarded(&told)[0].files[0];
    assert_eq!(missing.state, FileState::Missing);
    assert!(missing.answer.contains("not yet"), "{missing:?}");
    // What was said when it was taken is still known to the next process.
    let told = post.run(&[], vec![with(1)], DeliveryClock::usual(), |_, _| {});
    let found = &forwarded(&told)[0].files[0];
    assert_eq!((found.state, &found.taken), (FileState::Warned, &None));
    assert!(found.answer.contains("coerced"), "{found:?}");
    assert_eq!(pacs.arrived()[&uid("1", 1)], 1);
}

#[test]
fn what_is_there_already_is_not_refused() {
    let post = Post::new(1);
    let pacs = Provider::start(|_, _| Answer::Status(0x0111));
    let told =
        post.run(&["1"], vec![forward(pacs.destination(), at_once(1))], DeliveryClock::usual(), |_, _| {});
    let delivery = forwarded(&told)[0];
    assert_eq!((states(delivery), delivery.complete), (vec![FileState::Warned], true));
    assert!(delivery.files[0].answer.contains("there already"), "{delivery:?}");

    let verify: ObjectVerifier = Arc::new(|_: &[DicomObject]| Err("nobody answers".to_owned()));
    let forward = verified(pacs.destination(), at_once(1), verify);
    let told = post.run(&["2"], vec![forward], DeliveryClock::usual(), |_, _| {});
    assert_eq!(states(forwarded(&told)[0]), [FileState::Sent], "it is looked for");
}

#[test]
fn a_verifier_that_never_finds_anything_does_not_go_on_for_ever() {
    let post = Post::new(1);
    let pacs = Provider::start(|_, _| Answer::Status(0));
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let verify: ObjectVerifier = Arc::new(move |_: &[DicomObject]| {
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(Vec::new())
    });
    let forward = verified(pacs.destination(), at_once(3), verify);
    let told = post.run(&["1"], vec![forward], DeliveryClock::usual(), |_, _| {});
    assert_eq!(states(forwarded(&told)[0]), [FileState::Missing]);
    assert_eq!((calls.load(Ordering::Relaxed), pacs.arrived()[&uid("1", 1)]), (5, 3));
}

#[test]
fn what_cannot_be_read_for_now_is_not_refused() {
    let post = Post::new(3);
    let (destination, hidden) = (nobody(), post.path("hidden"));
    let waits = vec![forward(destination.clone(), patient())];
    post.run(&["1"], waits, DeliveryClock::usual(), |outbox, says| {
        assert!(matches!(says.recv_timeout(DEADLINE), Ok(Told::Delayed(_))));
        let second = slice("1.2.1", 2).file();
        let is_second = |path: &PathBuf| fs::read(path).is_ok_and(|bytes| bytes == second);
        let place = files(&post.path("store")).into_iter().find(is_second).unwrap();
        fs::rename(&place, &hidden).unwrap();

        let pacs = Provider::at(destination.address.parse().unwrap(), |_, _| Answer::Status(0));
        outbox.expedite(super::request("1").id);
        assert!(matches!(says.recv_timeout(DEADLINE), Ok(Told::Delayed(_))), "it waits");
        assert_eq!(pacs.arrived().into_keys().collect::<Vec<_>>(), [uid("1", 1), uid("1", 3)]);

        fs::rename(&hidden, &place).unwrap();
        outbox.expedite(super::request("1").id);
        assert!(matches!(says.recv_timeout(DEADLINE), Ok(Told::Forwarded(delivery)) if delivery.complete));
        assert_eq!(pacs.arrived().into_values().collect::<Vec<_>>(), [1, 1, 1]);
    });
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let inside = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    inside.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn a_storescp_that_breaks_off_and_one_in_its_place_lose_nothing() {
    let Some(storescp) = tool("/usr/bin/storescp") else { return };
    let post = Post::new(3);
    fs::create_dir(post.path("pacs")).unwrap();
    let port = free_port();
    let start = |option: &str| {
        let mut command = Command::new(storescp);
        command.args(["-aet", "PACS", option, "-od"]).arg(post.path("pacs")).arg(port.to_string());
        Background::start(&mut command)
    };
    for (option, trouble) in
        [("--abort-during", "aborted"), ("--abort-after", "aborted"), ("--refuse", "rejected")]
    {
        let name = option.len().to_string();
        let broken = start(option);
        until("storescp listens", || TcpStream::connect(("127.0.0.1", port)).ok());
        let destination = format!("PACS@127.0.0.1:{port}").parse().unwrap();
        let told =
            post.run(&[&name], vec![forward(destination, at_once(1))], DeliveryClock::usual(), |_, _| {});
        let told = forwarded(&told)[0].trouble.clone().unwrap();
        assert!(told.contains(trouble), "{option}: {told}");
        drop(broken);
        let _sound = start("+B");
        let destination = answering("PACS", port);
        let told = post.run(&[], vec![forward(destination, at_once(1))], DeliveryClock::usual(), |_, _| {});
        assert!(forwarded(&told)[0].complete, "{option}: {told:?}");
        let stored =
            (1..=3).filter(|number| post.path("pacs").join(format!("CT.{}", uid(&name, *number))).exists());
        assert_eq!(stored.count(), 3, "{option}");
    }
}
