//! Peers that stall, lie or overdo it over HTTP: each is told so or cut off, and nobody else notices.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use flow::dicom::{AssociationEnd, ReceiverEvent};

use super::{Answer, MULTIPART, Serving, files, parts, slices};

fn head(more: &str) -> String {
    format!(
        "POST /dicom-web/studies HTTP/1.1\r\nHost: flow\r\nConnection: close\r\nContent-Type: {MULTIPART}\r\n{more}\r\n"
    )
}

fn closed(serving: &Serving) -> ReceiverEvent {
    serving.receiving.event("closed", |event| matches!(event, ReceiverEvent::Closed { .. }))
}

fn rejected(serving: &Serving) -> String {
    serving.receiving.event("rejected", |event| matches!(event, ReceiverEvent::Rejected { .. })).to_string()
}

#[test]
fn a_body_that_breaks_off_leaves_the_whole_instances() {
    let serving = Serving::start(|_, _| {});
    let body = parts(&files(&slices("1.2.3", 1..4)));
    let mut stream = serving.connect();
    stream.write_all(head(&format!("Content-Length: {}\r\n", body.len())).as_bytes()).unwrap();
    stream.write_all(&body[..body.len() - 1000]).unwrap();
    drop(stream);
    assert!(matches!(
        closed(&serving),
        ReceiverEvent::Closed { end: AssociationEnd::Aborted, instances: 2, .. }
    ));
    let request = serving.receiving.study();
    assert_eq!((request.items.len(), request.attribute("association")), (2, "aborted"));
}

#[test]
fn who_sends_a_byte_now_and_then_is_cut_off() {
    let serving = Serving::start(|settings, _| settings.idle_time_max = Duration::from_millis(300));
    let mut stream = serving.connect();
    stream.write_all(head("Content-Length: 1000000\r\n").as_bytes()).unwrap();
    let mut writer = stream.try_clone().unwrap();
    let (ended, end) = std::sync::mpsc::channel::<()>();
    let drip = std::thread::spawn(move || {
        let each = Duration::from_millis(20);
        while end.recv_timeout(each).is_err_and(|error| error == std::sync::mpsc::RecvTimeoutError::Timeout) {
            // The connection is closed some time.
            let _ = writer.write_all(b"x");
        }
    });
    let event = closed(&serving).to_string();
    assert!(event.ends_with("too slow, for too long"), "{event}");
    let answer = Answer::of(&mut stream);
    assert!(answer.status == 408 || answer.status == 0, "{}", answer.head);
    drop(ended);
    drip.join().unwrap();
}

#[test]
fn who_asks_for_nothing_or_too_slowly_is_rejected() {
    let serving = Serving::start(|settings, _| settings.idle_time_max = Duration::from_millis(300));
    let mut silent = serving.connect();
    assert!(rejected(&serving).ends_with("it asked for nothing in time"));
    assert_eq!(silent.read(&mut [0; 8]).unwrap(), 0, "the connection is closed");
    let mut begun = serving.connect();
    begun.write_all(b"POST /dicom-web/stu").unwrap();
    assert!(rejected(&serving).ends_with("it asked for nothing in time"));
}

#[test]
fn a_head_that_is_too_large_or_none_is_refused() {
    let serving = Serving::start(|_, _| {});
    let large = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(300_000));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(1000));
    for (text, status) in [(large.as_str(), 431), (&many, 431), ("\u{16}\u{3}\u{1} hello\r\n\r\n", 400)] {
        let mut stream = serving.connect();
        // It may be refused before it is read to its end.
        let _ = stream.write_all(text.as_bytes());
        let answer = Answer::of(&mut stream);
        assert!(answer.status == status || answer.status == 0, "{}", answer.head);
        rejected(&serving);
    }
}

#[test]
fn a_preamble_without_end_costs_nothing_but_its_bytes() {
    let serving = Serving::start(|_, _| {});
    let mut stream = serving.connect();
    stream.write_all(head("Transfer-Encoding: chunked\r\n").as_bytes()).unwrap();
    let megabyte = [b"100000\r\n".as_slice(), &b"\r\n--frontie".repeat(1 << 20)[..1 << 20], b"\r\n"].concat();
    for _ in 0..64 {
        stream.write_all(&megabyte).unwrap();
    }
    stream.write_all(b"0\r\n\r\n").unwrap();
    let answer = Answer::of(&mut stream);
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (400, "the body is malformed: it ends before its last boundary\n")
    );
}

#[test]
fn ten_thousand_tiny_parts_are_each_answered() {
    let serving = Serving::start(|_, _| {});
    let answer = serving.store(&vec![b"x".to_vec(); 10_000]);
    assert_eq!((answer.status, answer.others().len()), (409, 10_000));
}

#[test]
fn lies_about_lengths_are_noticed() {
    let serving = Serving::start(|_, _| {});
    let body = parts(&files(&slices("1.2.3", 1..2)));
    for more in ["Transfer-Encoding: chunked\r\n", "Content-Length: 10\r\nContent-Length: 20\r\n"] {
        let mut stream = serving.connect();
        stream.write_all(head(more).as_bytes()).unwrap();
        let _ = stream.write_all(&body);
        assert!([400, 0].contains(&Answer::of(&mut stream).status), "{more}");
    }
    assert_eq!(serving.store(&files(&slices("1.2.3", 1..2))).status, 200, "others are served");
}

#[test]
fn one_request_too_many_is_told_to_come_again() {
    let serving = Serving::start(|_, web| {
        web.requests_max = 1;
        web.connections_max = 2;
    });
    let body = parts(&files(&slices("1.2.3", 1..2)));
    let mut first = serving.connect();
    first.write_all(head(&format!("Content-Length: {}\r\n", body.len())).as_bytes()).unwrap();
    first.write_all(&body[..500]).unwrap();
    serving.receiving.event("opened", |event| matches!(event, ReceiverEvent::Opened { .. }));
    let answer = serving.store(&files(&slices("1.2.4", 1..2)));
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert!(rejected(&serving).contains("too many requests at once"));

    let mut second = serving.connect();
    second.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    let third = serving.connect();
    assert!(rejected(&serving).ends_with("as many connections as allowed"));
    drop((second, third));
    first.write_all(&body[500..]).unwrap();
    assert_eq!(Answer::of(&mut first).status, 200);
}

#[test]
fn slow_bodies_hold_nobody_out() {
    let serving = Serving::start(|settings, web| {
        settings.hold_time_max = Duration::from_millis(200);
        web.requests_max = 2;
    });
    let body = parts(&files(&slices("1.2.3", 1..2)));
    let begin = || {
        let mut slow = serving.connect();
        slow.write_all(head(&format!("Content-Length: {}\r\n", body.len())).as_bytes()).unwrap();
        slow.write_all(&body[..500]).unwrap();
        serving.receiving.event("opened", |event| matches!(event, ReceiverEvent::Opened { .. }));
        slow
    };
    let mut slow = [begin(), begin()];
    let store = || Some(()).filter(|()| serving.store(&files(&slices("1.2.4", 1..2))).status == 200);
    crate::support::peers::until("another one is stored", store);
    let is_evicted = |event: &ReceiverEvent| event.to_string().contains("its slot was given to another");
    serving.receiving.event("the place is lost", is_evicted);
    slow[1].write_all(&body[500..]).unwrap();
    assert_eq!(Answer::of(&mut slow[0]).status, 503, "the idlest one may come again");
    assert_eq!(Answer::of(&mut slow[1]).status, 200, "one place was enough");
}

#[test]
fn idle_connections_hold_nobody_out() {
    let serving = Serving::start(|settings, web| {
        settings.hold_time_max = Duration::from_millis(200);
        web.connections_max = 2;
    });
    let mut silent = [serving.connect(), serving.connect()];
    let store = || Some(()).filter(|()| serving.store(&files(&slices("1.2.4", 1..2))).status == 200);
    crate::support::peers::until("another one is stored", store);
    assert_eq!(silent[0].read(&mut [0; 8]).unwrap(), 0, "the connection is closed");
    silent[1].write_all(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n").unwrap();
}

#[test]
fn a_stop_ends_what_is_under_way() {
    let mut serving =
        Serving::start(|settings, _| settings.completion.quiet_time = Duration::from_secs(3600));
    let body = parts(&files(&slices("1.2.3", 1..4)));
    let mut stream = serving.connect();
    stream.write_all(head(&format!("Content-Length: {}\r\n", body.len())).as_bytes()).unwrap();
    stream.write_all(&body[..body.len() - 1000]).unwrap();
    serving.receiving.event("stored", |event| matches!(event, ReceiverEvent::Stored { .. }));
    let mut idle = serving.connect();
    let begun = Instant::now();
    serving.receiving.stop();
    assert!(begun.elapsed() < crate::support::peers::DEADLINE);
    let answer = Answer::of(&mut stream);
    assert!(answer.status == 503 || answer.status == 0, "{}", answer.head);
    assert!(matches!(idle.read(&mut [0; 8]), Ok(0) | Err(_)), "the connection is closed");
    serving.receiving.event("kept", |event| matches!(event, ReceiverEvent::Kept { .. }));
}
