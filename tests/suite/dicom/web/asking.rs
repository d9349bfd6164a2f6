//! STOW-RS, QIDO-RS and WADO-RS as the one who asks: Orthanc, our own receiver, and services that
//! misbehave.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use flow::dicom::web::multipart::MultipartPiece;
use flow::dicom::web::{self, WebLevel, WebNode, WebQuery};
use flow::dicom::{
    DimseStatus, PeerAddress, PeerErrorCause, ReceiverEvent, RetrievalMethod, SendOutcome, SentObject,
    StudyPull,
};

use crate::support::peers::{DEADLINE, tool};
use crate::support::ports::free_port;
use crate::support::slices::{Slice, data_set};

use super::{DICOMWEB, MULTIPART, ORTHANC, Orthanc, Serving, files, objects, parts, slices, store, stored};

const MODALITIES_IN_STUDY: &str = "00080061";
const SOP_INSTANCE_UID: &str = "00080018";

fn assert_all_stored(sent: &[SentObject], slices: &[Slice]) {
    let uids: Vec<&str> = sent.iter().map(|one| one.sop_instance_uid.as_str()).collect();
    assert_eq!(uids, slices.iter().map(Slice::uid).collect::<Vec<_>>());
    assert!(sent.iter().all(|one| one.outcome == SendOutcome::Stored), "{sent:?}");
}

/// The files of a study, as they are retrieved.
fn retrieved(node: &WebNode, study: &str) -> Vec<Vec<u8>> {
    let mut files: Vec<Vec<u8>> = Vec::new();
    let count = web::retrieve(node, study, &mut |piece| {
        match piece {
            MultipartPiece::Head(_) => files.push(Vec::new()),
            MultipartPiece::Bytes(bytes) => files.last_mut().unwrap().extend_from_slice(bytes),
            MultipartPiece::End => {}
        }
        Ok(())
    });
    assert_eq!(count.unwrap(), files.len());
    files
}

#[test]
fn orthanc_stores_finds_and_gives_back() {
    let (Some(orthanc), Some(plugin)) = (tool(ORTHANC), tool(DICOMWEB)) else { return };
    let serving = Serving::start(|_, _| {});
    let orthanc = Orthanc::start(orthanc, plugin, &serving);
    let mut node = orthanc.node();
    node.batch_instances_max = 3;
    let slices = slices("1.2.3", 1..9);
    assert_all_stored(&stored(&node, &objects(&slices)), &slices);
    assert_all_stored(&stored(&node, &objects(&slices)), &slices);

    let by_patient =
        |id: &str| WebQuery { matching: vec![("PatientID".into(), id.into())], ..WebQuery::default() };
    let studies = web::find(&node, &by_patient("TEST-7"), 10).unwrap();
    assert_eq!((studies.len(), studies[0].text("0020000D").as_str()), (1, "1.2.3"));
    assert_eq!(
        (studies[0].text("00100010"), studies[0].texts(MODALITIES_IN_STUDY)),
        ("Test^Seven".into(), vec!["CT".into()])
    );
    assert!(web::find(&node, &by_patient("NOBODY"), 10).unwrap().is_empty());
    let instances = WebQuery {
        level: WebLevel::Instances,
        study_instance_uid: Some("1.2.3".into()),
        ..WebQuery::default()
    };
    let found = web::find(&node, &instances, 8).unwrap();
    let mut uids: Vec<String> = found.iter().map(|one| one.text(SOP_INSTANCE_UID)).collect();
    uids.sort();
    assert_eq!(uids, slices.iter().map(Slice::uid).collect::<Vec<_>>());
    assert!(matches!(web::find(&node, &instances, 7).unwrap_err().cause, PeerErrorCause::TooMany(7)));

    let mut given: Vec<Vec<u8>> =
        retrieved(&node, "1.2.3").iter().map(|file| data_set(file).to_vec()).collect();
    let mut sent: Vec<Vec<u8>> = slices.iter().map(|slice| data_set(&slice.file()).to_vec()).collect();
    given.sort();
    sent.sort();
    assert!(given == sent, "data sets have been changed");
    let full = web::retrieve(&node, "1.2.3", &mut |_| Err("the disk is full".to_owned())).unwrap_err();
    assert!(matches!(full.cause, PeerErrorCause::NotTaken(_)), "{full}");
    let error = web::retrieve(&node, "9.9.9", &mut |_| Ok(())).unwrap_err();
    assert!(matches!(error.cause, PeerErrorCause::Refused { status: 404, .. }), "{error}");
}

/// Fetches a study with a receiver of its own: what was told of it, and the receiver.
fn pulled(node: &WebNode, study: &str) -> (ReceiverEvent, Serving) {
    let wanted = vec![study.parse().unwrap()];
    let from: PeerAddress = node.clone().into();
    let serving = Serving::start(|settings, _| {
        settings.pull = Some(StudyPull { from, method: RetrievalMethod::Get, wanted, waits: Vec::new() });
        settings.instance_bytes_max = 1_000_000;
        // A study is complete by what the archive says, not because a busy machine is slow.
        settings.completion.quiet_time = Duration::from_secs(3600);
        settings.completion.broken_time = Duration::from_secs(3600);
    });
    let told = |event: &ReceiverEvent| {
        matches!(event, ReceiverEvent::Fetched { .. } | ReceiverEvent::NotFetched { .. })
    };
    (serving.receiving.event("what came of the study", told), serving)
}

fn kept(serving: &Serving) -> usize {
    match serving.receiving.event("what stays", |event| matches!(event, ReceiverEvent::Kept { .. })) {
        ReceiverEvent::Kept { instances, .. } => instances,
        _ => unreachable!("no other fits"),
    }
}

#[test]
fn a_study_that_is_fetched_comes_in_like_any_other() {
    let (Some(orthanc), Some(plugin)) = (tool(ORTHANC), tool(DICOMWEB)) else { return };
    let serving = Serving::start(|_, _| {});
    let orthanc = Orthanc::start(orthanc, plugin, &serving);
    let mut slices = slices("1.2.3", 1..6);
    slices[2].edge = 800;
    stored(&orthanc.node(), &objects(&slices));
    let (told, fetching) = pulled(&orthanc.node(), "1.2.3");
    let reason = "the archive could not send 1 of 5 instances".to_owned();
    assert_eq!(told, ReceiverEvent::NotFetched { number: 1, reason });
    assert_eq!(kept(&fetching), 4, "one is wanting");
    stored(&orthanc.node(), &objects(&self::slices("1.2.4", 1..4)));
    let (told, fetching) = pulled(&orthanc.node(), "1.2.4");
    assert_eq!(told, ReceiverEvent::Fetched { number: 1, instances: 3 });
    let request = fetching.receiving.study();
    assert_eq!((request.items.len(), request.attribute("complete_by")), (3, "count"));
    let (unknown, _) = pulled(&orthanc.node(), "9.9.9");
    assert!(
        matches!(&unknown, ReceiverEvent::NotFetched { reason, .. } if reason.contains("404")),
        "{unknown}"
    );
}

/// A service that answers whoever asks for study 1.2.3 with the beginning of this body.
fn giving(body: &[u8], length: usize) -> (WebNode, JoinHandle<String>) {
    let whole = body.len();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {MULTIPART}\r\nContent-Length: {whole}\r\n\r\n");
    service([head.as_bytes(), &body[..length]].concat())
}

#[test]
fn what_came_before_a_fetched_study_broke_off_is_kept() {
    let body = parts(&files(&[slices("1.2.3", 1..4), slices("1.2.4", 1..2)].concat()));

    let (node, service) = giving(&body, body.len());
    let (told, fetching) = pulled(&node, "1.2.3");
    let reason = "the archive could not send 1 of 4 instances".to_owned();
    assert_eq!(told, ReceiverEvent::NotFetched { number: 1, reason }, "the fourth is of another study");
    assert!(service.join().unwrap().starts_with("GET /base/studies/1.2.3 HTTP/1.1\r\n"));
    let request = fetching.receiving.study();
    assert_eq!((request.items.len(), request.attribute("association")), (3, "released"));

    let (node, service) = giving(&body, body.len() - 1000);
    let (told, fetching) = pulled(&node, "1.2.3");
    assert!(matches!(told, ReceiverEvent::NotFetched { .. }), "{told}");
    assert_eq!(kept(&fetching), 3);
    service.join().unwrap();
}

#[test]
fn our_receiver_takes_what_we_store() {
    let serving = Serving::start(|settings, web| {
        settings.completion.quiet_time = Duration::from_millis(500);
        settings.instance_bytes_max = 1_000_000;
        web.parts_max = 5;
    });
    let node: WebNode = serving.url("http").parse().unwrap();
    let mut slices = slices("1.2.3", 1..20);
    slices[7].edge = 800;
    let sent = stored(&node, &objects(&slices));
    assert_eq!(sent.len(), 19, "what is too much at once is divided");
    let refused: Vec<&SentObject> = sent.iter().filter(|one| !one.outcome.is_stored()).collect();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].sop_instance_uid, slices[7].uid());
    assert!(matches!(refused[0].outcome, SendOutcome::Refused { status: DimseStatus::OUT_OF_RESOURCES, .. }));
}

/// A service that reads one request, answers with this, and closes. Gives what it has read.
fn service(answer: impl Into<Vec<u8>>) -> (WebNode, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let node = format!("http://{}/base", listener.local_addr().unwrap()).parse().unwrap();
    let answer = answer.into();
    let serve = move || {
        let (mut stream, _) = listener.accept().unwrap();
        let read = request(&mut stream);
        stream.write_all(&answer).unwrap();
        read
    };
    (node, thread::spawn(serve))
}

/// A request with its body, if its length is told.
fn request(stream: &mut TcpStream) -> String {
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length = length.map_or(0, |length| length.parse::<usize>().unwrap());
            if bytes.len() >= head.len() + 4 + length {
                return text;
            }
        }
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "the request breaks off: {text}");
        bytes.extend_from_slice(&buffer[..read]);
    }
}

fn outcomes_of(answer: &str) -> Result<Vec<SendOutcome>, PeerErrorCause> {
    let (node, service) = service(answer);
    let (sent, ended) = store(&node, &objects(&slices("1.2.3", 1..3)));
    assert!(service.join().unwrap().starts_with("POST /base/studies HTTP/1.1\r\n"));
    ended.map(|()| sent.into_iter().map(|one| one.outcome).collect()).map_err(|error| error.cause)
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nRetry-After: 7\r\n\r\n{body}", body.len())
}

#[test]
fn every_answer_is_read_to_its_last_word() {
    let referenced = |uid: &str| format!(r#"{{"00081155":{{"vr":"UI","Value":["{uid}"]}}}}"#);
    let one = format!(r#"{{"00081199":{{"vr":"SQ","Value":[{}]}}}}"#, referenced("1.2.3.1.1"));
    let outcomes = outcomes_of(&answer("200 OK", &one)).unwrap();
    assert_eq!(outcomes[0], SendOutcome::Stored);
    assert!(!outcomes[1].is_stored(), "a 200 says nothing of what it does not name");
    let both = one.replacen(
        '{',
        &format!(r#"{{"00081198":{{"vr":"SQ","Value":[{}]}},"#, referenced("1.2.3.1.1")),
        1,
    );
    assert!(outcomes_of(&answer("200 OK", &both)).unwrap().iter().all(|outcome| !outcome.is_stored()));

    for (status, after) in [("503 Busy", 7), ("429 Too Many", 7)] {
        let cause = outcomes_of(&answer(status, "")).unwrap_err();
        assert!(
            matches!(cause, PeerErrorCause::Later { after: Some(time), .. } if time.as_secs() == after),
            "{cause}"
        );
    }
    let cause = outcomes_of(&answer("500 Oh", "no\r\n\u{7}disk")).unwrap_err();
    assert!(
        matches!(&cause, PeerErrorCause::Refused { status: 500, reason } if reason == "no disk"),
        "{cause}"
    );
    for body in ["", "<NativeDicomModel/>", "[]", "{\"00081199\""] {
        let cause = outcomes_of(&answer("200 OK", body)).unwrap_err();
        assert!(matches!(cause, PeerErrorCause::NotUnderstood(_)), "{body}: {cause}");
    }
    let cause = outcomes_of("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}").unwrap_err();
    assert!(matches!(cause, PeerErrorCause::Broken(_)), "cut off: {cause}");
    let cause = outcomes_of("220 smtp\r\n").unwrap_err();
    assert!(matches!(cause, PeerErrorCause::Broken(_)), "not HTTP: {cause}");
}

/// A service that answers as it likes whatever has this UID in it, and stores all else.
fn picky(uid: &str, answer_to_it: String) -> WebNode {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let node = format!("http://{}/base", listener.local_addr().unwrap()).parse().unwrap();
    let uid = uid.to_owned();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let asked = request(&mut stream);
            let uids = slices("1.2.3", 1..6).into_iter().map(|slice| slice.uid());
            let stored = uids.filter(|uid| asked.contains(uid.as_str()));
            let stored = stored.map(|uid| format!(r#"{{"00081155":{{"vr":"UI","Value":["{uid}"]}}}}"#));
            let stored = stored.collect::<Vec<_>>().join(",");
            let all = format!(r#"{{"00081199":{{"vr":"SQ","Value":[{stored}]}}}}"#);
            let all = answer("200 OK", &all);
            let answer = if asked.contains(&uid) { &answer_to_it } else { &all };
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    node
}

#[test]
fn an_instance_for_which_a_batch_is_refused_is_found_and_the_others_are_stored() {
    for status in ["400 Bad", "415 No", "422 Odd"] {
        let node = picky("1.2.3.1.3", answer(status, "odd pixels"));
        let sent = stored(&node, &objects(&slices("1.2.3", 1..6)));
        let stored: Vec<bool> = sent.iter().map(|one| one.outcome.is_stored()).collect();
        assert_eq!(stored, [true, true, false, true, true], "{status}");
        let SendOutcome::Refused { status: reason, comment } = &sent[2].outcome else { panic!("{sent:?}") };
        assert!(!reason.may_pass() && comment.contains("odd pixels"), "{comment}");
    }
    for status in ["401 Who", "403 No", "404 What", "408 Slow", "429 Many"] {
        let node = picky("1.2.3.1.3", answer(status, ""));
        let (sent, ended) = store(&node, &objects(&slices("1.2.3", 1..6)));
        let error = ended.unwrap_err();
        assert!(sent.iter().all(|one| one.outcome == SendOutcome::Unanswered), "{status}: {error}");
    }
}

#[test]
fn at_what_a_service_broke_off_is_told() {
    let mut node = picky("1.2.3.1.3", String::new());
    node.batch_instances_max = 2;
    let (sent, ended) = store(&node, &objects(&slices("1.2.3", 1..6)));
    assert!(ended.is_err());
    let stored: Vec<bool> = sent.iter().map(|one| one.outcome == SendOutcome::Stored).collect();
    assert_eq!(stored, [true, true, false, false], "the fifth was not sent");
    assert!(sent[2..].iter().all(|one| one.outcome == SendOutcome::Unanswered), "{:?}", sent);
}

#[test]
fn a_service_that_says_nothing_is_not_waited_for_for_ever() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut node: WebNode = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    node.wait_max = Duration::from_millis(200);
    let mut large = Slice::new("1.2.3", 1);
    large.edge = 4000;
    for slices in [slices("1.2.3", 1..2), vec![large]] {
        let error = store(&node, &objects(&slices)).1.unwrap_err();
        assert!(matches!(error.cause, PeerErrorCause::Silent), "{error}");
    }
    // A port that the kernel gives to no other test meanwhile.
    let nobody: WebNode = format!("http://127.0.0.1:{}", free_port()).parse().unwrap();
    let error = store(&nobody, &objects(&slices("1.2.3", 1..2))).1.unwrap_err();
    assert!(matches!(error.cause, PeerErrorCause::Unconnected(_)), "{error}");
}

#[test]
fn a_list_that_repeats_itself_has_an_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let node: WebNode = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let body = r#"[{"0020000D":{"vr":"UI","Value":["1.2"]}}]"#;
    let serve = thread::spawn(move || {
        for offset in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            let asked = request(&mut stream);
            assert!(
                asked.starts_with(&format!("GET /studies?limit=500&offset={offset} HTTP/1.1\r\n")),
                "{asked}"
            );
            stream.write_all(answer("200 OK", body).as_bytes()).unwrap();
        }
    });
    let found = web::find(&node, &WebQuery::default(), 10).unwrap();
    assert_eq!((found.len(), found[0].text("0020000D").as_str()), (1, "1.2"));
    serve.join().unwrap();
}

#[test]
fn a_list_without_end_is_not_read_for_ever() {
    let body = " ".repeat(40 << 20);
    let (node, service) = service(answer("200 OK", &body));
    let cause = web::find(&node, &WebQuery::default(), 10).unwrap_err().cause;
    assert!(
        matches!(&cause, PeerErrorCause::NotUnderstood(reason) if reason.contains("more than")),
        "{cause}"
    );
    // It cannot get rid of the rest.
    let _ = service.join();
}

#[test]
fn an_answer_that_is_cut_off_is_told_with_what_was_whole() {
    let part = "\r\n--b\r\nContent-Type: application/dicom\r\n\r\n";
    let head =
        "HTTP/1.1 200 OK\r\nContent-Type: multipart/related; type=\"application/dicom\"; boundary=b\r\n\r\n";
    let (node, service) = service(format!("{head}{part}one{part}tw"));
    let mut whole = 0;
    let error = web::retrieve(&node, "1.2", &mut |piece| {
        whole += usize::from(piece == MultipartPiece::End);
        Ok(())
    });
    let error = error.unwrap_err();
    assert!(matches!(error.cause, PeerErrorCause::Broken(_)), "{error}");
    assert_eq!(whole, 1);
    assert!(service.join().unwrap().contains("transfer-syntax=*"));
}
