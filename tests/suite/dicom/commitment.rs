//! Storage commitment both ways: with Orthanc, with pynetdicom on one association, and over a kill.

use std::fs;
use std::process::Command;
use std::sync::Arc;

use dicom_dictionary_std::uids;
use flow::dicom::{
    CommitmentOutcome, DicomObject, DimseNode, ObjectReference, OutcomeChannel, PeerError, PeerErrorCause,
    RequestedCommitments, commit, send,
};
use serde_json::json;

use crate::run::Place;
use crate::run::nodes::Listening;
use crate::support::orthanc::Orthanc;
use crate::support::peers::{DEADLINE, Receiving, listener, run, until};
use crate::support::ports::free_port;
use crate::support::scripts::Script;
use crate::support::slices::Slice;

const NO_SUCH_INSTANCE: u16 = 0x0112;
const CLASS_INSTANCE_CONFLICT: u16 = 0x0119;

fn slices() -> Vec<Slice> {
    (1..4).map(|number| Slice::new("1.2.3", number)).collect()
}

fn reference(slice: &Slice) -> ObjectReference {
    let sop_class_uid = uids::CT_IMAGE_STORAGE.to_owned();
    ObjectReference { sop_class_uid, sop_instance_uid: slice.uid() }
}

/// Two that are there, one that is not, and one of another class.
fn references() -> [ObjectReference; 4] {
    let [first, second, third] = [1, 2, 3].map(|number| reference(&Slice::new("1.2.3", number)));
    let conflict = ObjectReference { sop_class_uid: uids::MR_IMAGE_STORAGE.to_owned(), ..third };
    [first, second, reference(&Slice::new("1.2.3", 9)), conflict]
}

/// The outcome that is due for all of them.
fn outcome() -> CommitmentOutcome {
    let [first, second, missing, conflict] = references();
    CommitmentOutcome {
        safe: vec![first, second],
        failed: vec![(missing, NO_SUCH_INSTANCE), (conflict, CLASS_INSTANCE_CONFLICT)],
    }
}

#[test]
fn orthanc_commits_to_what_it_has_and_reports_to_our_listener() {
    let listener = listener();
    let Some(orthanc) = Orthanc::start(listener.local_addr().unwrap().port()) else { return };
    let orthanc = orthanc.holding(&slices());
    let commitments = Arc::new(RequestedCommitments::default());
    let _receiving = Receiving::at(listener, |settings| settings.commitments = Arc::clone(&commitments));
    let committed = |references: &[ObjectReference], attempt| {
        commit(&orthanc.node, references, attempt, OutcomeChannel::Listener(&commitments), DEADLINE).unwrap()
    };
    let safe = references()[..2].to_vec();
    assert_eq!(committed(&safe, 1), CommitmentOutcome { safe: safe.clone(), failed: Vec::new() });
    let mut all = committed(&references(), 1);
    all.safe.sort();
    all.failed.sort();
    assert_eq!(all, outcome());
    assert_eq!(committed(&safe, 2).safe, safe, "asked once more");
}

#[test]
fn orthanc_asks_us_and_is_told_what_we_have() {
    let listener = listener();
    let Some(orthanc) = Orthanc::start(listener.local_addr().unwrap().port()) else { return };
    let receiving = Receiving::at(listener, |settings| {
        settings.nodes.insert("ORTHANC".to_owned(), orthanc.node.clone());
    });
    let objects =
        slices().into_iter().map(|slice| DicomObject::read(slice.uid(), slice.file().into()).unwrap());
    send(&receiving.destination("FLOW"), &objects.collect::<Vec<_>>()).unwrap();
    receiving.study();
    let told = |references: &[ObjectReference]| {
        let named = references.iter().map(|one| json!([one.sop_class_uid, one.sop_instance_uid]));
        let asked = json!({ "DicomInstances": named.collect::<Vec<_>>() });
        let path = orthanc.post("/modalities/flow/storage-commitment", &asked)["Path"].clone();
        until("Orthanc has been told", || {
            let report = orthanc.get(path.as_str().unwrap());
            (report["Status"] != "Pending").then_some(report)
        })
    };
    assert_eq!(told(&references()[..2])["Status"], "Success");
    let report = told(&references());
    assert_eq!(report["Status"], "Failure", "{report}");
    let failures = report["Failures"].as_array().unwrap();
    let mut reasons: Vec<u64> = failures.iter().map(|one| one["FailureReason"].as_u64().unwrap()).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, [NO_SUCH_INSTANCE, CLASS_INSTANCE_CONFLICT].map(u64::from), "{report}");
}

/// Reports, on the association on which it is asked, that the first object is safe and no other; as
/// `MUTE` it reports nothing, as `DEAF` it does not even agree.
const REPORTING: &str = r#"
import threading, time
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import StorageCommitmentPushModel as Class, StorageCommitmentPushModelInstance as Instance

def report(assoc, asked):
    told = Dataset()
    told.TransactionUID = asked.TransactionUID
    first, *others = asked.ReferencedSOPSequence
    told.ReferencedSOPSequence = [first]
    told.FailedSOPSequence = others
    for other in others:
        other.FailureReason = 0x0112
    status, _ = assoc.send_n_event_report(told, 2 if others else 1, Class, Instance)
    print("answered", hex(status.Status), flush=True)

def action(event):
    title = event.assoc.requestor.primitive.called_ae_title.strip()
    if title == "DEAF":
        return 0x0110, None
    if title != "MUTE":
        threading.Timer(0.1, report, [event.assoc, event.action_information]).start()
    return 0x0000, None

ae = AE("ARCHIVE")
ae.add_supported_context(Class)
server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_N_ACTION, action)])
print(server.server_address[1], flush=True)
threading.Event().wait()
"#;

#[test]
fn an_outcome_comes_on_the_association_on_which_it_was_asked_for() {
    let Some(mut script) = Script::start("pynetdicom", REPORTING, &[""; 0]) else { return };
    let port = script.line();
    let asked = |title: &str, time| {
        let node: DimseNode = format!("{title}@127.0.0.1:{port}").parse().unwrap();
        commit(&node, &references()[..2], 1, OutcomeChannel::Here, time)
    };
    let [first, second, ..] = references();
    let expected = CommitmentOutcome { safe: vec![first], failed: vec![(second, NO_SUCH_INSTANCE)] };
    assert_eq!(asked("ARCHIVE", DEADLINE).unwrap(), expected);
    assert_eq!(script.line(), "answered 0x0");
    let error = |outcome: Result<CommitmentOutcome, PeerError>| outcome.unwrap_err().cause;
    assert!(matches!(error(asked("DEAF", DEADLINE)), PeerErrorCause::Answered(..)));
    assert!(matches!(error(asked("MUTE", std::time::Duration::from_millis(200))), PeerErrorCause::Silent));
}

/// Asks for a commitment to the objects it is given as UIDs, as the title it is given, and prints what it
/// is told: on the same association, or with a port on one of its own there.
const ASKING: &str = r#"
import os, sys, threading
from pydicom.dataset import Dataset
from pynetdicom import AE, evt, build_role
from pynetdicom.sop_class import (CTImageStorage,
    StorageCommitmentPushModel as Class, StorageCommitmentPushModelInstance as Instance)
title, flow_port, own_port, *uids = sys.argv[1:]
printed, done = threading.Event(), threading.Event()

def told(event):
    printed.wait(30)  # the report may come before the answer to the request has been printed
    report = event.event_information
    safe = [one.ReferencedSOPInstanceUID for one in report.get("ReferencedSOPSequence", [])]
    failed = [f"{one.ReferencedSOPInstanceUID}={one.FailureReason:04X}" for one in report.get("FailedSOPSequence", [])]
    print("safe", *safe, "failed", *failed, flush=True)
    done.set()
    return 0x0000, None

def reference(uid):
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CTImageStorage, uid
    return item

handlers = [(evt.EVT_N_EVENT_REPORT, told)]
ae = AE(title)
ae.add_requested_context(Class)
ae.add_supported_context(Class, scu_role=False, scp_role=True)
assoc = ae.associate("127.0.0.1", int(flow_port), ae_title="FLOW", evt_handlers=handlers)
asked = Dataset()
asked.TransactionUID = "1.2.3.4.5"
asked.ReferencedSOPSequence = [reference(uid) for uid in uids]
status, _ = assoc.send_n_action(asked, 1, Class, Instance)
print("asked", hex(status.Status), flush=True)
printed.set()
if own_port == "here":
    done.wait(30)
    os._exit(0)  # a release waits for ever if the report is still being answered (pynetdicom 3.0)
assoc.release()
if own_port != "here":
    sys.stdin.readline()
    server = ae.start_server(("127.0.0.1", int(own_port)), block=False, evt_handlers=handlers)
    done.wait(30)
    server.shutdown()
"#;

#[test]
fn who_has_no_address_is_told_on_the_association_on_which_it_asks() {
    let receiving = Receiving::start(|_| {});
    let slice = Slice::new("1.2.3", 1);
    let object = DicomObject::read("slice", slice.file().into()).unwrap();
    send(&receiving.destination("FLOW"), &[object]).unwrap();
    receiving.study();
    let port = receiving.address.port().to_string();
    let arguments = ["SCANNER", &port, "here", &slice.uid(), "1.2.3.1.9"];
    let Some(script) = Script::start("pynetdicom", ASKING, &arguments) else { return };
    assert_eq!(script.rest(), "asked 0x0\nsafe 1.2.3.1.1 failed 1.2.3.1.9=0112");
}

#[test]
fn a_commitment_that_was_agreed_to_is_reported_after_a_kill() {
    let place = Place::new();
    let files = place.study("in", 1);
    let own_port = free_port();
    fs::write(place.path("site.yaml"), format!("nodes: {{asker: 'ASKER@127.0.0.1:{own_port}'}}\n")).unwrap();
    let uid = dicom_object::open_file(&files[0]).unwrap().meta().media_storage_sop_instance_uid().to_owned();
    let uid = uid.trim_end_matches('\0');

    let mut flow = Listening::start(&place, &["--site", "site.yaml"]);
    let sent = place.run(&["send", &format!("FLOW@127.0.0.1:{}", flow.port()), "in"]);
    assert_eq!(sent.code, 0, "{}", sent.err);
    flow.line("answered");
    let arguments = ["ASKER", flow.port(), &own_port.to_string(), uid, "1.2.3.1.9"];
    let Some(mut script) = Script::start("pynetdicom", ASKING, &arguments) else { return };
    assert_eq!(script.line(), "asked 0x0");
    assert!(run(Command::new("kill").args(["-KILL", &flow.id().to_string()])).status.success());
    drop(flow);

    let _flow = Listening::start(&place, &["--site", "site.yaml"]);
    script.say("listen");
    assert_eq!(script.line(), format!("safe {uid} failed 1.2.3.1.9=0112"));
    until("it is forgotten", || {
        let waiting = fs::read_dir(place.path("flow-state/inbox/commitments")).unwrap().count();
        (waiting == 0).then_some(())
    });
}
