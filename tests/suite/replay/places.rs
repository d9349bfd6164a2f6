//! Requests whose items lie in files, in the journal and in the store: exported, and run again elsewhere.

use std::io;
use std::path::Path;
use std::sync::Arc;

use flow::admission::{Admission, DataflowSelector, Intake, Service, ServiceSettings, Source};
use flow::dataflow::Dataflow;
use flow::engine::{PendingDelivery, ResponseSink};
use flow::journal::JournalReader;
use flow::replay::{PastRequest, ReplayObserver, ReplayScope, RunVerdict, again, pack, unpack};
use flow::step::{
    Digest, Fault, Item, ItemPlace, Request, ResponseFile, ResponseFiles, Step, StepOutputs, StepTable,
};
use flow::store::Store;

const FILE: &[u8] = b"in a file";
const INLINE: &[u8] = b"in the journal";
const STORED: &[u8] = b"in the store";
const TEXT: &str =
    "dataflow: join\nsteps:\n  join: {step: join, needs: {request: request}}\nresponse: [join]\n";

fn request(file: &Path) -> Request {
    let item = |name, bytes: &[u8], place| Item { place, ..Item::inline(name, bytes) };
    let items = vec![
        item("file", FILE, ItemPlace::File(file.to_owned())),
        Item::inline("inline", INLINE),
        item("stored", STORED, ItemPlace::Stored(Digest::of(STORED))),
    ];
    Request::new("r", Default::default(), items)
}

/// A step that joins the items. It opens stored ones with the store of the state folder, if there is one.
fn table(state: Option<&Path>) -> StepTable {
    let store = state.map(|state| Arc::new(Store::at(state.join("store")).unwrap()));
    let join =
        Step::new("join", 1, "Joins items.").takes::<Request>("request").gives::<ResponseFiles>("files");
    StepTable::default().with(join.runs(move |call| {
        let request = call.input::<Request>("request");
        let mut joined = Vec::new();
        for item in &request.items {
            let artifact = ResponseFile::new(&item.name, "text/plain", STORED.to_vec()).artifact();
            let find = |_| store.as_ref().map(|store| store.path(request.id, &artifact));
            let content = item.open_with(find).map_err(|error| Fault::new(error.to_string(), "Look."))?;
            joined.extend_from_slice(&content);
        }
        let file = ResponseFile::new("joined.txt", "text/plain", joined);
        Ok(StepOutputs::one("files", ResponseFiles(vec![file])))
    }))
}

/// Brings one request, the stored item of which is in the store before.
struct One(Request);

impl Source for One {
    fn name(&self) -> &'static str {
        "one"
    }

    fn feed(&self, admission: &Admission) -> Intake {
        admission.journal.store().put(self.0.id, Digest::of(STORED), STORED).unwrap();
        admission.accept_all([self.0.clone()])
    }
}

struct Taken;

impl ResponseSink for Taken {
    fn deliver(&self, pending_delivery: PendingDelivery) {
        pending_delivery.settle(Ok(()));
    }
}

#[test]
fn items_at_every_place_are_exported_and_run_again_elsewhere() {
    let here = tempfile::tempdir().unwrap();
    let (state, file) = (here.path().join("state"), here.path().join("file"));
    std::fs::write(&file, FILE).unwrap();
    let dataflow = Dataflow::parse("join.yaml", TEXT, &table(Some(&state))).unwrap();
    let service = Service::open(ServiceSettings::at(&state), DataflowSelector::only(dataflow)).unwrap();
    assert_eq!(service.run(One(request(&file)), &Taken).unwrap(), Intake::Whole);

    let reader = JournalReader::open(&state).unwrap();
    let row = reader.requests().unwrap().remove(0);
    let past = PastRequest::of_journal(&reader, &row, Store::at(state.join("store")).unwrap()).unwrap();
    past.check_items().unwrap();
    let mut archive = Vec::new();
    pack(&past.recording, |digest| past.open(digest), &mut archive).unwrap();
    drop(here);

    let elsewhere = tempfile::tempdir().unwrap();
    let past = PastRequest::of_archive(unpack(archive.as_slice(), elsewhere.path(), 1 << 20).unwrap());
    past.check_items().unwrap();
    let opened: io::Result<Vec<_>> = past.recording.request.items.iter().map(Item::open).collect();
    let opened: Vec<Vec<u8>> = opened.unwrap().iter().map(|content| content.to_vec()).collect();
    assert_eq!(opened, [FILE, INLINE, STORED]);
    let dataflow = past.dataflow(&table(None)).unwrap();
    let ran = again(&past, &dataflow, ReplayScope::Whole, ReplayObserver::default()).unwrap();
    assert!(ran.runs.iter().all(|run| run.verdict == RunVerdict::Identical));
    let response = ran.into_past(&past).recording.response.unwrap();
    assert_eq!(response.files[0].digest, Digest::of(&[FILE, INLINE, STORED].concat()));
}
