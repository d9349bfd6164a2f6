//! Query and retrieve: Orthanc, DCMTK's dcmqrscp and pynetdicom's qrscp as archives, and some that fail.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::slice;
use std::time::Duration;

use dicom_dictionary_std::tags;
use flow::dicom::{
    DicomObject, DimseNode, DimseQuery, QueryLevel, ReceiverEvent, RetrievalMethod, SendOutcome, StudyPull,
    counter, find, send,
};

use crate::run::Place;
use crate::support::orthanc::Orthanc;
use crate::support::peers::{Background, Receiving, answering, listener, run, tool};
use crate::support::ports::free_port;
use crate::support::scripts::{Script, has};
use crate::support::slices::{Slice, data_set};

const STUDY: &str = "1.2.3";

fn slices() -> Vec<Slice> {
    (1..5).map(|number| Slice::new(STUDY, number)).collect()
}

/// A program that is an archive.
struct Archive {
    node: DimseNode,
    _peer: Background,
    _folder: tempfile::TempDir,
}

impl Archive {
    /// DCMTK's, which knows `FLOW` at a port.
    fn dcmqrscp(flow_port: u16, options: &[&str]) -> Option<Archive> {
        let program = tool("/usr/bin/dcmqrscp")?;
        let folder = tempfile::tempdir().unwrap();
        let storage = folder.path().join("storage");
        fs::create_dir(&storage).unwrap();
        let (port, storage) = (free_port(), storage.display());
        let configuration = format!(
            "NetworkTCPPort = {port}\nMaxPDUSize = 16384\nMaxAssociations = 16\n\
             HostTable BEGIN\nflow = (FLOW, 127.0.0.1, {flow_port})\nHostTable END\n\
             VendorTable BEGIN\nVendorTable END\n\
             AETable BEGIN\nDCMTK {storage} RW (9, 1024mb) ANY\nAETable END\n"
        );
        let path = folder.path().join("dcmqrscp.cfg");
        fs::write(&path, configuration).unwrap();
        let peer = Background::start(Command::new(program).args(options).arg("-c").arg(path));
        Some(Archive { node: answering("DCMTK", port), _peer: peer, _folder: folder })
    }

    /// pynetdicom's, which knows `FLOW` at a port.
    fn qrscp(flow_port: u16) -> Option<Archive> {
        has("pynetdicom, sqlalchemy")?;
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let configuration = format!(
            "[DEFAULT]\nae_title: PYND\nport: {port}\nmax_pdu: 16382\nacse_timeout: 600\ndimse_timeout: 600\n\
             network_timeout: 600\nbind_address: 127.0.0.1\ninstance_location: instances\n\
             database_location: instances.sqlite\nlog_identifier: False\n\
             [FLOW]\naddress: 127.0.0.1\nport: {flow_port}\n"
        );
        let path = folder.path().join("qrscp.ini");
        fs::write(&path, configuration).unwrap();
        let mut command = Command::new("python3");
        command.args(["-m", "pynetdicom", "qrscp", "-q", "-c"]).arg(path).current_dir(folder.path());
        let peer = Background::start(&mut command);
        Some(Archive { node: answering("PYND", port), _peer: peer, _folder: folder })
    }

    fn holding(self, slices: &[Slice]) -> Archive {
        let objects = slices.iter().map(|slice| DicomObject::read(slice.uid(), slice.file().into()).unwrap());
        let sent = send(&self.node, &objects.collect::<Vec<_>>()).unwrap();
        assert!(sent.iter().all(|one| one.outcome == SendOutcome::Stored), "{sent:?}");
        self
    }
}

/// What it has is found at each level, and counted.
fn assert_finds(node: &DimseNode, slices: &[Slice]) {
    let studies = find(node, &"PatientID=TEST-7;PatientName=Test*".parse().unwrap()).unwrap().matches;
    // pynetdicom's qrscp tells of a study as often as it has instances.
    assert!(!studies.is_empty(), "the study is not found");
    assert!(studies.iter().all(|one| one.text(tags::STUDY_INSTANCE_UID) == STUDY), "{studies:?}");
    let series = find(node, &DimseQuery::study(STUDY, QueryLevel::Series)).unwrap().matches;
    assert!(series.iter().all(|one| one.text(tags::MODALITY) == "CT"), "{series:?}");
    let mut query = DimseQuery::study(STUDY, QueryLevel::Instance);
    query.keys.push((tags::SERIES_INSTANCE_UID, format!("{STUDY}.1")));
    let instances = find(node, &query).unwrap().matches;
    let mut uids: Vec<&str> = instances.iter().map(|one| one.text(tags::SOP_INSTANCE_UID)).collect();
    uids.sort_unstable();
    assert_eq!(uids, slices.iter().map(Slice::uid).collect::<Vec<_>>());
    assert_eq!(find(node, &"PatientID=NOBODY".parse().unwrap()).unwrap().matches.len(), 0);
}

fn pull(node: &DimseNode, wanted: &str, way: RetrievalMethod) -> StudyPull {
    let wanted = vec![wanted.parse().unwrap()];
    StudyPull { from: node.clone().into(), method: way, wanted, waits: Vec::new() }
}

/// The study comes whole, and is complete when the archive says so.
fn fetched(listener: &TcpListener, node: &DimseNode, way: RetrievalMethod) -> Vec<Vec<u8>> {
    let receiving = Receiving::at(listener.try_clone().unwrap(), |settings| {
        settings.completion.quiet_time = Duration::from_secs(3600);
        settings.pull = Some(pull(node, "PatientID=TEST-7", way));
    });
    let request = receiving.study();
    let title = node.ae_title.as_str();
    assert_eq!((request.attribute("complete_by"), request.attribute("calling_ae")), ("count", title));
    let is_fetched = |event: &ReceiverEvent| {
        matches!(event, ReceiverEvent::Fetched { .. } | ReceiverEvent::NotFetched { .. })
    };
    let fetched: Vec<ReceiverEvent> = receiving.all_events().into_iter().filter(is_fetched).collect();
    assert_eq!(fetched, [ReceiverEvent::Fetched { number: 1, instances: request.items.len() as u64 }]);
    request.items.iter().map(|item| item.open().unwrap().to_vec()).collect()
}

/// What an archive has comes as it has it, in both ways.
fn assert_fetches(listener: &TcpListener, node: &DimseNode, slices: &[Slice]) {
    for way in [RetrievalMethod::Get, by_move()] {
        let files = fetched(listener, node, way);
        assert_eq!(files.len(), slices.len());
        for (file, slice) in files.iter().zip(slices) {
            assert!(data_set(file) == data_set(&slice.file()), "{} has been changed", slice.uid());
        }
    }
}

fn by_move() -> RetrievalMethod {
    RetrievalMethod::Move { to: "FLOW".parse().unwrap() }
}

fn port(listener: &TcpListener) -> u16 {
    listener.local_addr().unwrap().port()
}

#[test]
fn orthanc_is_asked_and_sends_by_get_and_by_move() {
    let (listener, slices) = (listener(), slices());
    let Some(orthanc) = Orthanc::start(port(&listener)) else { return };
    let orthanc = orthanc.holding(&slices);
    assert_finds(&orthanc.node, &slices);
    assert_eq!(counter(orthanc.node.clone())(STUDY, &[].into()), Some(4));
    assert_fetches(&listener, &orthanc.node, &slices);
}

#[test]
fn dcmqrscp_is_asked_and_sends_by_get_and_by_move() {
    let (listener, slices) = (listener(), slices());
    let Some(archive) = Archive::dcmqrscp(port(&listener), &[]) else { return };
    let archive = archive.holding(&slices);
    assert_finds(&archive.node, &slices);
    assert_fetches(&listener, &archive.node, &slices);
}

#[test]
fn qrscp_is_asked_and_sends_by_get_and_by_move() {
    let (listener, slices) = (listener(), slices());
    let Some(archive) = Archive::qrscp(port(&listener)) else { return };
    let archive = archive.holding(&slices);
    assert_finds(&archive.node, &slices);
    // It writes anew what it has read.
    assert_eq!(fetched(&listener, &archive.node, RetrievalMethod::Get).len(), slices.len());
    assert_eq!(fetched(&listener, &archive.node, by_move()).len(), slices.len());
}

/// A slice that DCMTK has compressed.
fn compressed() -> Option<DicomObject> {
    let folder = tempfile::tempdir().unwrap();
    let paths = [folder.path().join("plain"), folder.path().join("compressed")];
    fs::write(&paths[0], Slice::new(STUDY, 1).file()).unwrap();
    assert!(run(Command::new(tool("/usr/bin/dcmcrle")?).args(&paths)).status.success());
    Some(DicomObject::read("compressed", fs::read(&paths[1]).unwrap().into()).unwrap())
}

#[test]
fn compressed_objects_come_as_the_archive_can_send_them() {
    let Some(object) = compressed() else { return };
    let object = slice::from_ref(&object);
    let listener = listener();
    if let Some(orthanc) = Orthanc::start(port(&listener)) {
        assert_eq!(send(&orthanc.node, object).unwrap()[0].outcome, SendOutcome::Stored);
        // It decodes what it may send in either way.
        assert_eq!(fetched(&listener, &orthanc.node, RetrievalMethod::Get).len(), 1);
    }
    if let Some(archive) = Archive::dcmqrscp(port(&listener), &["+xr", "-xr"]) {
        assert_eq!(send(&archive.node, object).unwrap()[0].outcome, SendOutcome::Stored);
        // By get it takes the first context of a class, whatever its syntax, and then cannot decode.
        let files = fetched(&listener, &archive.node, by_move());
        let syntax =
            dicom_object::from_reader(files[0].as_slice()).unwrap().meta().transfer_syntax().to_owned();
        assert_eq!(syntax, dicom_dictionary_std::uids::RLE_LOSSLESS);
    }
}

/// Finds two slices that are given as files, and sends them by C-GET as the title says by which it is
/// called: it `REFUSES` even the query, `FAILS` or `DIES` after the first one, or `LACKS` the study of the
/// second one.
const FAILING: &str = r#"
import copy, os, sys, threading
from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import (CTImageStorage,
    StudyRootQueryRetrieveInformationModelFind as Find, StudyRootQueryRetrieveInformationModelGet as Get)
slices = [dcmread(file) for file in sys.argv[1:]]

def way(event):
    return event.assoc.requestor.primitive.called_ae_title.strip()

def answer(slice):
    answer = Dataset()
    for name in ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"]:
        setattr(answer, name, getattr(slice, name))
    return answer

def find(event):
    if way(event) == "REFUSES":
        yield 0xA700, None
        return
    found = slices if event.identifier.QueryRetrieveLevel == "IMAGE" else slices[:1]
    for slice in found:
        yield 0xFF00, answer(slice)

def get(event):
    yield len(slices)
    yield 0xFF00, slices[0]
    if way(event) == "DIES":
        os._exit(0)
    if way(event) == "FAILS":
        yield 0xC001, None
        return
    lacks = copy.deepcopy(slices[1])
    del lacks.StudyInstanceUID
    yield 0xFF00, lacks

ae = AE("FAILING")
ae.add_supported_context(Find)
ae.add_supported_context(Get)
ae.add_supported_context(CTImageStorage, scu_role=False, scp_role=True)
server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_FIND, find), (evt.EVT_C_GET, get)])
print(server.server_address[1])
threading.Event().wait()
"#;

/// What is told of a study that an archive fails to send, and how much of it is kept.
fn failing(node: &DimseNode) -> (String, usize) {
    let receiving = Receiving::start(|settings| {
        settings.pull = Some(pull(node, STUDY, RetrievalMethod::Get));
        // Receiving ends before a study that was broken off counts as complete, however slow the machine is.
        settings.completion.broken_time = Duration::from_secs(3600);
    });
    let (mut told, mut kept) = (String::new(), 0);
    // It ends by itself when all has been tried.
    for event in receiving.all_events() {
        match event {
            ReceiverEvent::NotFetched { reason, .. } => told = reason,
            ReceiverEvent::Kept { instances, .. } => kept += instances,
            _ => {}
        }
    }
    assert!(receiving.studies.try_recv().is_err(), "{node}: part of a study is not answered");
    (told, kept)
}

#[test]
fn an_archive_that_fails_is_told_and_what_it_sent_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let files = slices().into_iter().take(2).map(|slice| {
        let path = folder.path().join(slice.uid());
        fs::write(&path, slice.file()).unwrap();
        path
    });
    let files: Vec<PathBuf> = files.collect();
    let Some(mut script) = Script::start("pynetdicom", FAILING, &files) else { return };
    let port = script.line();
    for (title, tells, keeps) in [
        ("REFUSES", "out of resources (status A700)", 0),
        ("FAILS", "cannot understand (status C001)", 1),
        ("LACKS", "the archive could not send 1 of 2 instances", 1),
        ("DIES", "closed the connection", 1),
    ] {
        let (told, kept) = failing(&format!("{title}@127.0.0.1:{port}").parse().unwrap());
        assert!(told.contains(tells), "{title}: {told}");
        assert_eq!(kept, keeps, "{title}");
    }
}

#[test]
fn an_archive_that_is_not_there_or_has_no_such_study_is_told() {
    let told = |node: &DimseNode, wanted: &str| {
        let receiving =
            Receiving::start(|settings| settings.pull = Some(pull(node, wanted, RetrievalMethod::Get)));
        receiving.event("not fetched", |event| matches!(event, ReceiverEvent::NotFetched { .. })).to_string()
    };
    let nobody = format!("NOBODY@127.0.0.1:{}", free_port()).parse().unwrap();
    for wanted in ["A-17", STUDY] {
        let told = told(&nobody, wanted);
        assert!(told.contains("could not connect") || told.contains("refused"), "{told}");
    }
    let Some(archive) = Archive::dcmqrscp(free_port(), &[]) else { return };
    for wanted in ["A-17", STUDY] {
        let told = told(&archive.node, wanted);
        assert!(told.contains("the archive has no such study"), "{told}");
    }
    let other = format!("OTHER@{}", archive.node.address).parse().unwrap();
    let told = told(&other, "A-17");
    assert!(told.contains("rejected"), "{told}");
}

#[test]
fn a_person_asks_sends_and_fetches_by_a_list() {
    let listener = listener();
    let Some(orthanc) = Orthanc::start(port(&listener)) else { return };
    let place = Place::new();
    place.study("in", 1);
    let node = orthanc.address();
    let ended = place.run(&["echo", &node]);
    assert_eq!((ended.code, ended.out), (0, format!("{node} answers\n")));
    let ended = place.run(&["send", &node, "in"]);
    assert_eq!((ended.code, ended.out.lines().count()), (0, 40), "{}", ended.err);

    let ended = place.run(&["find", &node, "PatientID=SAMPLE*"]);
    assert!(ended.code == 0 && ended.out.contains("NumberOfStudyRelatedInstances=40"), "{}", ended.out);
    let ended = place.run(&["find", &node, "PatientID=SAMPLE*", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    let study = told["StudyInstanceUID"].as_str().unwrap();
    let ended = place.run(&["find", &node, &format!("StudyInstanceUID={study}"), "--level", "series"]);
    assert!(ended.code == 0 && ended.out.contains("Modality=CT"), "{}", ended.out);
    let ended = place.run(&["find", &node, "PatientID=NOBODY"]);
    assert_eq!((ended.code, ended.out.as_str()), (0, ""));

    fs::write(place.path("list"), format!("# for reprocessing\n\n  {study}  \nA-17\n")).unwrap();
    let ended = place.run(&["run", "--from", &node, "--pull", "@list"]);
    assert_eq!(ended.code, 1, "one of the list is not there: {}", ended.err);
    assert!(ended.err.contains("the archive has no such study"), "{}", ended.err);
    let (_, response) = place.response("flow-output");
    assert_eq!(response.verdict, flow::dataflow::ResponseVerdict::CompleteWithReservations);

    let listens = listener.local_addr().unwrap().to_string();
    drop(listener);
    let by_move = ["--pull-by", "move", "--listen", &listens, "--state", "again", "--output", "moved"];
    let ended = place.run(&[&["run", "--from", &node, "--pull", study], &by_move[..]].concat());
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert_eq!(place.responses("moved").len(), 1);
    let ended = place.run(&["run", "--from", &node, "--pull", study, "--pull-by", "move"]);
    assert!(ended.code == 2 && ended.err.contains("--listen"), "{} {}", ended.code, ended.err);
}

/// An archive that accepts no query from us, and says so by aborting the association.
#[test]
fn what_an_archive_does_with_our_query_is_told_with_a_remedy() {
    let listener = listener();
    let node = format!("PACS@127.0.0.1:{}", port(&listener));
    let archive = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 74]).unwrap();
        // A-ABORT by the service user (PS3.8 9.3.8).
        stream.write_all(&[7, 0, 0, 0, 0, 4, 0, 0, 0, 0]).unwrap();
        // Until the other side has read it.
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let ended = Place::new().run(&["find", &node, "PatientID=P1"]);
    archive.join().unwrap();
    assert_eq!(ended.code, 74, "{}", ended.err);
    assert!(ended.err.contains("does not answer our query: it aborted the association"), "{}", ended.err);
    assert!(ended.err.contains("AE title") && ended.err.contains("DicomModalities"), "{}", ended.err);
}
