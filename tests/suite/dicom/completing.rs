//! When a study is complete: each signal, seen from outside, and what the request says of it.

use std::collections::BTreeSet;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use dicom_dictionary_std::uids;
use dicom_ul::pdu::PDataValueType;
use flow::dicom::{
    CompletionRules, CompletionSignal, DicomObject, ReceiverEvent, SendOutcome, WaitLimit, WaitLimitAction,
    counter, send, waiting, web,
};
use flow::step::Request;

use super::raw::{associated, command, fragment, say, status, store_command, store_slice};
use crate::support::orthanc::Orthanc;
use crate::support::peers::{DEADLINE, Receiving, listener};
use crate::support::ports::free_port;
use crate::support::slices::{Slice, data_set};

const C_ECHO: u16 = 0x0030;

const NEVER: Duration = Duration::from_secs(3600);

/// No study becomes complete by itself but by these signals.
fn receiving(at_once: &[CompletionSignal], set: impl FnOnce(&mut CompletionRules)) -> Receiving {
    Receiving::start(|settings| {
        let completion = &mut settings.completion;
        (completion.quiet_time, completion.broken_time) = (NEVER, NEVER);
        completion.at_once = at_once.iter().copied().collect();
        set(completion);
    })
}

fn object(slice: &Slice) -> DicomObject {
    DicomObject::read(slice.uid(), slice.file().into()).unwrap()
}

/// Sends slices on one association, which is released.
fn sent(receiving: &Receiving, slices: &[Slice]) {
    let objects: Vec<DicomObject> = slices.iter().map(object).collect();
    let sent = send(&receiving.destination("FLOW"), &objects).unwrap();
    assert!(sent.iter().all(|one| one.outcome == SendOutcome::Stored), "{sent:?}");
}

fn slices(study: &str, numbers: std::ops::Range<u32>) -> Vec<Slice> {
    numbers.map(|number| Slice::new(study, number)).collect()
}

fn assert_complete(request: &Request, study: &str, items: usize, by: &str) {
    let told = ["study_instance_uid", "complete_by"].map(|name| request.attribute(name));
    assert_eq!((told, request.items.len()), ([study, by], items));
}

#[test]
fn a_release_completes_a_study() {
    let receiving = receiving(&[CompletionSignal::Released], |_| {});
    sent(&receiving, &slices("1.2.3", 1..3));
    assert_complete(&receiving.study(), "1.2.3", 2, "released");
}

#[test]
fn the_next_study_on_the_association_completes_the_one_before() {
    let receiving = receiving(&[CompletionSignal::NextStudy], |_| {});
    let mut association = associated(receiving.address);
    store_slice(&mut association, &Slice::new("1.2.3", 1));
    store_slice(&mut association, &Slice::new("1.2.3", 2));
    store_slice(&mut association, &Slice::new("1.2.4", 1));
    assert_complete(&receiving.study(), "1.2.3", 2, "next_study");
    // The last study has no next one: it waits until an operator completes it.
    association.release().unwrap();
    receiving.event("closed", |event| matches!(event, ReceiverEvent::Closed { .. }));
    let waiting = waiting(&receiving.inbox, &BTreeSet::new()).unwrap();
    let last = waiting.iter().find(|study| study.study_instance_uid == "1.2.4").expect("it waits");
    last.complete("an operator").unwrap();
    let study = receiving.study();
    assert_complete(&study, "1.2.4", 1, "operator");
    assert_eq!(study.attribute("completed_by"), "an operator", "the record says who");
}

#[test]
fn the_end_of_a_request_over_http_completes_a_study() {
    let http = listener();
    let url = format!("http://{}/dicom-web", http.local_addr().unwrap());
    let receiving = Receiving::start(|settings| {
        settings.completion.quiet_time = NEVER;
        settings.completion.at_once = [CompletionSignal::RequestEnd].into();
        settings.web = Some(web::WebSettings::new(http));
    });
    sent(&receiving, &slices("1.2.4", 1..2));
    let objects: Vec<DicomObject> = slices("1.2.3", 1..3).iter().map(object).collect();
    let mut stored = Vec::new();
    web::store(&url.parse().unwrap(), &objects, &mut |one| stored.push(one)).unwrap();
    assert!(stored.iter().all(|one| one.outcome.is_stored()), "{stored:?}");
    // What came on an association that was released waits on.
    assert_complete(&receiving.study(), "1.2.3", 2, "request_end");
}

#[test]
fn expected_series_complete_a_study_and_an_operator_one_that_lacks_them() {
    let complete = |expected: &str, by: &str, study: &str| {
        let receiving = receiving(&[CompletionSignal::Released], |completion| {
            completion.expected = Some(expected.parse().unwrap());
        });
        sent(&receiving, &slices(study, 1..3));
        if by == "operator" {
            receiving.event("closed", |event| matches!(event, ReceiverEvent::Closed { .. }));
            let waiting = waiting(&receiving.inbox, &BTreeSet::new()).unwrap();
            assert!(waiting.len() == 1 && waiting[0].is_called("TEST-7"), "{waiting:?}");
            assert_eq!(waiting[0].instances, 2);
            waiting[0].complete("an operator").unwrap();
        }
        assert_complete(&receiving.study(), study, 2, by);
    };
    complete("'thor*' and Modality = 'CT'", "expected_series", "1.2.3");
    complete("'Thorax' and ('Lung*' or Modality = 'SR')", "operator", "1.2.4");
}

#[test]
fn the_count_of_the_source_completes_a_study_and_holds_it_back() {
    let Some(orthanc) = Orthanc::start(free_port()) else { return };
    let all = slices("1.2.3", 1..4);
    let orthanc = orthanc.holding(&all);
    let (give, counts) = mpsc::channel();
    let ask = counter(orthanc.node.clone());
    let receiving = Receiving::start(|settings| {
        settings.completion.broken_time = NEVER;
        settings.count = Some(Arc::new(move |study, titles| {
            let count = ask(study, titles);
            give.send((study.to_owned(), count)).expect("the test listens");
            count
        }));
    });
    sent(&receiving, &all[..2]);
    assert_eq!(counts.recv_timeout(DEADLINE).unwrap(), ("1.2.3".to_owned(), Some(3)));
    // One that Orthanc does not know overtakes it, by its quiet time.
    sent(&receiving, &slices("1.2.4", 1..2));
    assert_complete(&receiving.study(), "1.2.4", 1, "quiet_time");
    sent(&receiving, &all[2..]);
    assert_complete(&receiving.study(), "1.2.3", 3, "count");
}

#[test]
fn an_association_that_stays_open_and_echoes_holds_no_study() {
    let receiving = receiving(&[CompletionSignal::Released], |completion| {
        completion.open_quiet_time = Some(Duration::from_millis(50));
    });
    let mut association = associated(receiving.address);
    store_slice(&mut association, &Slice::new("1.2.3", 1));
    say(&mut association, command(C_ECHO, uids::VERIFICATION, "", false), None);
    assert_eq!(status(&mut association), 0);
    let request = receiving.study();
    assert_complete(&request, "1.2.3", 1, "quiet_time");
    assert_eq!(request.attribute("association"), "open");
    // What comes later is another request, a revision.
    store_slice(&mut association, &Slice::new("1.2.3", 2));
    assert_complete(&receiving.study(), "1.2.3", 1, "quiet_time");
}

#[test]
fn an_instance_on_its_way_on_an_open_association_holds_its_study() {
    // Longer than a busy machine takes from the first instance to the beginning of the second.
    let receiving = receiving(&[], |completion| {
        completion.open_quiet_time = Some(Duration::from_secs(3));
    });
    let (mut slow, slices) = (associated(receiving.address), slices("1.2.3", 1..3));
    store_slice(&mut slow, &slices[0]);
    let file = slices[1].file();
    let (first, rest) = data_set(&file).split_at(1000);
    let context = slow.presentation_contexts()[0].id;
    let piece = |is_last, bytes: &[u8]| fragment(context, PDataValueType::Data, is_last, bytes.to_vec());
    say(&mut slow, store_command(&slices[1].uid()), None);
    slow.send(&piece(false, first)).unwrap();
    let mut other = associated(receiving.address);
    store_slice(&mut other, &Slice::new("1.2.4", 1));
    assert_complete(&receiving.study(), "1.2.4", 1, "quiet_time");
    slow.send(&piece(true, rest)).unwrap();
    assert_eq!(status(&mut slow), 0);
    assert_complete(&receiving.study(), "1.2.3", 2, "quiet_time");
}

fn capped(then: WaitLimitAction) -> Receiving {
    receiving(&[], |completion| completion.cap = Some(WaitLimit { after: Duration::from_secs(3), then }))
}

#[test]
fn at_the_cap_a_study_proceeds_although_it_is_still_being_sent() {
    let receiving = capped(WaitLimitAction::Proceed);
    let mut association = associated(receiving.address);
    store_slice(&mut association, &Slice::new("1.2.3", 1));
    assert_complete(&receiving.study(), "1.2.3", 1, "cap");
    // What comes later is another request.
    store_slice(&mut association, &Slice::new("1.2.3", 2));
    assert_complete(&receiving.study(), "1.2.3", 1, "cap");
}

#[test]
fn at_the_cap_a_study_is_discarded() {
    let receiving = capped(WaitLimitAction::Discard);
    sent(&receiving, &slices("1.2.3", 1..3));
    receiving.event("discarded", |event| *event == ReceiverEvent::Discarded { instances: 2 });
    assert_eq!(waiting(&receiving.inbox, &BTreeSet::new()).unwrap(), []);
    assert!(receiving.studies.try_recv().is_err());
}

#[test]
fn at_the_cap_a_study_waits_for_an_operator() {
    let receiving = capped(WaitLimitAction::Wait);
    sent(&receiving, &slices("1.2.3", 1..3));
    receiving.event("it waits", |event| matches!(event, ReceiverEvent::Waits { instances: 2, .. }));
    waiting(&receiving.inbox, &BTreeSet::new()).unwrap()[0].complete("an operator").unwrap();
    assert_complete(&receiving.study(), "1.2.3", 2, "operator");
}
