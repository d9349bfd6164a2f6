//! STOW-RS into our receiver: from curl, from Orthanc, and by hand.

use std::fs;
use std::io::{Read, Write};
use std::process::Command;
use std::sync::mpsc;

use flow::dicom::{AssociationEnd, KnownCaller, ReceiverEvent};

use crate::support::peers::{http, run, tool, until};
use crate::support::slices::{Slice, data_set};

use super::{Answer, DICOMWEB, MULTIPART, ORTHANC, Orthanc, Serving, files, parts, slices};

const CURL: &str = "/usr/bin/curl";

#[test]
fn a_study_from_curl_becomes_a_request() {
    let Some(curl) = tool(CURL) else { return };
    let serving = Serving::start(|_, _| {});
    let folder = tempfile::tempdir().unwrap();
    let mut slices = slices("1.2.3", 1..4);
    slices.iter_mut().for_each(|slice| slice.edge = 700);
    let body = folder.path().join("body");
    fs::write(&body, parts(&files(&slices))).unwrap();
    let output = run(Command::new(curl)
        .args(["-sSi", "-H", "Expect: 100-continue", "-H", &format!("Content-Type: {MULTIPART}")])
        .args([
            "--data-binary",
            &format!("@{}", body.display()),
            &format!("{}/studies/1.2.3", serving.url("http")),
        ]));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("HTTP/1.1 100 Continue\r\n"), "{text}");
    assert!(text.contains("HTTP/1.1 200 OK"), "{text}");
    assert!(text.contains("content-type: application/dicom+json"), "{text}");

    let request = serving.receiving.study();
    assert_eq!(request.items.len(), 3);
    for slice in &slices {
        let item = request.items.iter().find(|item| item.name == format!("{}.dcm", slice.uid()));
        assert!(
            fs::read(item.unwrap().file().unwrap()).unwrap() == slice.file(),
            "the file is kept as it came"
        );
    }
    for (name, value) in [
        ("study_instance_uid", "1.2.3"),
        ("source", "dicom"),
        ("calling_ae", ""),
        ("association", "released"),
    ] {
        assert_eq!(request.attribute(name), value, "{name}");
    }
}

#[test]
fn what_orthanc_sends_is_stored() {
    let (Some(orthanc), Some(plugin)) = (tool(ORTHANC), tool(DICOMWEB)) else { return };
    let serving = Serving::start(|_, _| {});
    let orthanc = Orthanc::start(orthanc, plugin, &serving);
    let slices = slices("1.2.3", 1..6);
    let ids: Vec<String> = slices.iter().map(|slice| orthanc.upload(&slice.file())).collect();
    let order = serde_json::json!({ "Resources": ids, "Synchronous": true }).to_string();
    http(orthanc.web, "POST", "/dicom-web/servers/flow/stow", &order)
        .expect("Orthanc is content with our answer");
    let request = serving.receiving.study();
    assert_eq!(request.items.len(), slices.len());
    let mut received: Vec<Vec<u8>> =
        request.items.iter().map(|item| data_set(&item.open().unwrap()).to_vec()).collect();
    let mut sent: Vec<Vec<u8>> = slices.iter().map(|slice| data_set(&slice.file()).to_vec()).collect();
    received.sort();
    sent.sort();
    assert!(received == sent, "data sets have been changed");
}

#[test]
fn each_instance_has_its_own_outcome() {
    let serving = Serving::start(|settings, _| settings.instance_bytes_max = 100_000);
    let (good, mut large) = (Slice::new("1.2.3", 1), Slice::new("1.2.3", 2));
    large.edge = 256;
    let other = Slice::new("1.2.4", 1);
    let cut = good.file()[..500].to_vec();
    let all = [good.file(), b"not DICOM".to_vec(), large.file(), other.file(), cut];
    let answer = serving.post("/dicom-web/studies/1.2.3", MULTIPART, &parts(&all));
    assert_eq!(answer.status, 202, "{}", answer.body);
    assert_eq!(answer.stored(), [good.uid()]);
    assert_eq!(answer.failed(), [(large.uid(), 0xA700), (other.uid(), 0xA900), (good.uid(), 0xC000)]);
    assert_eq!(answer.others(), [0xC000]);
    let event = serving.receiving.event("closed", |event| matches!(event, ReceiverEvent::Closed { .. }));
    assert!(
        matches!(event, ReceiverEvent::Closed { end: AssociationEnd::Released, instances: 1, .. }),
        "{event}"
    );
    let request = serving.receiving.study();
    assert_eq!((request.items.len(), request.attribute("association")), (1, "aborted"), "one is wanting");
}

#[test]
fn the_status_tells_how_it_went() {
    let serving = Serving::start(|settings, web| {
        settings.instance_bytes_max = 100_000;
        web.parts_max = 3;
    });
    let good = Slice::new("1.2.3", 1).file();
    let mut large = Slice::new("1.2.3", 2);
    large.edge = 256;
    let class = b"1.2.840.10008.5.1.4.1.1.2\0";
    let at = good.windows(class.len()).position(|window| window == class).expect("the head has a class");
    let mut worklist = good.clone();
    worklist[at..at + class.len()].copy_from_slice(b"1.2.840.10008.5.1.4.31\0\0\0\0");

    assert_eq!(serving.store(&[good.clone(), good.clone()]).status, 200);
    assert_eq!(serving.post("/dicom-web/studies", "application/dicom", &good).status, 200);
    let none = serving.store(&[b"no".to_vec(), b"neither".to_vec()]);
    assert_eq!((none.status, none.others()), (409, vec![0xC000; 2]));
    let answer = serving.store(&[worklist]);
    assert!(
        answer.status == 409 && answer.failed().first().is_some_and(|one| one.1 == 0x0122),
        "{}",
        answer.body
    );
    assert_eq!(serving.store(&[large.file()]).status, 413);
    let many = serving.store(&vec![b"no".to_vec(); 4]);
    assert_eq!((many.status, many.body.as_str()), (413, "it has more than 3 parts\n"));
    assert_eq!(serving.store(&[]).status, 400);
    assert_eq!(serving.post("/dicom-web/studies", "multipart/related", &good).status, 400);
    let cut = parts(&[good]);
    assert_eq!(serving.post("/dicom-web/studies", MULTIPART, &cut[..cut.len() - 20]).status, 400);
    let answer = serving.post("/dicom-web/studies", "application/dicom+json", b"[]");
    assert!(answer.status == 415 && answer.body.contains("only application/dicom"), "{}", answer.body);
    assert_eq!(serving.post("/elsewhere", MULTIPART, b"").status, 404);
    let mut stream = serving.connect();
    stream.write_all(b"GET /dicom-web/studies HTTP/1.1\r\nHost: flow\r\nConnection: close\r\n\r\n").unwrap();
    let answer = Answer::of(&mut stream);
    assert!(answer.status == 405 && answer.head.contains("allow: POST"), "{}", answer.head);
    assert_eq!(serving.receiving.incoming(), 0, "what was refused has left nothing behind");
}

#[test]
fn an_unknown_address_is_refused_before_its_body() {
    let known: Vec<KnownCaller> = ["CT1", "*@192.0.2.0/24"].map(|caller| caller.parse().unwrap()).into();
    let serving = Serving::start(|_, web| web.callers = known);
    let answer = serving.store(&files(&slices("1.2.3", 1..2)));
    assert_eq!(answer.status, 403, "{}", answer.body);
    let event = serving.receiving.event("rejected", |event| matches!(event, ReceiverEvent::Rejected { .. }));
    assert!(event.to_string().contains("not that of a known caller"), "{event}");
}

#[test]
fn one_connection_serves_many_requests_of_one_study() {
    let serving =
        Serving::start(|settings, _| settings.completion.quiet_time = std::time::Duration::from_millis(300));
    let mut stream = serving.connect();
    for slice in slices("1.2.3", 1..4) {
        let file = slice.file();
        let head = "POST /dicom-web/studies HTTP/1.1\r\nHost: flow\r\nContent-Type: application/dicom\r\nTransfer-Encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        for chunk in file.chunks(1000) {
            write!(stream, "{:x}\r\n", chunk.len()).unwrap();
            stream.write_all(&[chunk, b"\r\n"].concat()).unwrap();
        }
        stream.write_all(b"0\r\n\r\n").unwrap();
        assert!(answered(&mut stream).starts_with("HTTP/1.1 200 OK"));
    }
    assert_eq!(serving.receiving.study().items.len(), 3);
}

/// An answer on a connection that stays open.
fn answered(stream: &mut std::net::TcpStream) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    // The store response is an object, which ends with this.
    while !text.ends_with("}}") {
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "closed after {text}");
        text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
    text
}

#[test]
fn too_much_waiting_is_answered_with_later() {
    let (give, studies) = mpsc::channel();
    let (take, taken) = mpsc::channel::<()>();
    let serving = Serving::handing_to(
        |settings, _| settings.waiting_bytes_max = 1,
        studies,
        move |request| {
            give.send(request).expect("the test is waiting");
            // Ends when the test has failed, too.
            let _ = taken.recv_timeout(crate::support::peers::DEADLINE);
        },
    );
    assert_eq!(serving.store(&files(&slices("1.2.3", 1..2))).status, 200);
    serving.receiving.study();
    let answer = serving.store(&files(&slices("1.2.4", 1..2)));
    assert!(answer.status == 503 && answer.head.contains("retry-after: 30"), "{}", answer.head);
    take.send(()).unwrap();
    until("there is room again", || {
        (serving.store(&files(&slices("1.2.4", 1..2))).status == 200).then_some(())
    });
    assert_eq!(serving.receiving.study().attribute("study_instance_uid"), "1.2.4");
    take.send(()).unwrap();
}

#[test]
fn lines_of_a_body_may_end_with_a_line_feed_alone() {
    let serving = Serving::start(|_, _| {});
    let slices = slices("1.2.3", 1..3);
    let mut body = Vec::new();
    for file in files(&slices) {
        body.extend_from_slice(b"\n--frontier\nContent-Type: application/dicom\n\n");
        body.extend_from_slice(&file);
    }
    body.extend_from_slice(b"\n--frontier--\n");
    assert_eq!(serving.post("/dicom-web/studies", MULTIPART, &body).status, 200);
    let request = serving.receiving.study();
    let kept = request.items.iter().map(|item| fs::read(item.file().unwrap()).unwrap());
    assert_eq!(kept.collect::<Vec<_>>(), files(&slices), "each as it came");
}

#[test]
fn what_is_not_served_is_answered_with_what_is() {
    let serving = Serving::start(|_, _| {});
    let mut stream = serving.connect();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    let answer = Answer::of(&mut stream);
    assert_eq!((answer.status, answer.body.as_str()), (505, "HTTP/1.1 is served here, not HTTP/2.0\n"));
    let mut stream = serving.connect();
    let head =
        format!("Host: flow\r\nConnection: close\r\nContent-Encoding: deflate\r\nContent-Type: {MULTIPART}");
    write!(stream, "POST /dicom-web/studies HTTP/1.1\r\n{head}\r\nContent-Length: 4\r\n\r\nbody").unwrap();
    let answer = Answer::of(&mut stream);
    assert_eq!(answer.status, 415);
    assert!(answer.head.contains("accept-encoding: identity"), "{}", answer.head);
}
