//! Admission as a program that embeds flow uses it.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use flow::admission::{
    Accepted, Admission, AdmissionEvent, AdmissionObserver, DataflowSelector, Intake, Service, ServiceError,
    ServiceSettings, Source, SourceTable, StateError, find_requests,
};
use flow::dataflow::Dataflow;
use flow::engine::{PendingDelivery, ResponseSink, UndeliveredResponse};
use flow::journal::{Journal, JournalReader, RequestState};
use flow::step::{
    AttributeValues, Digest, Item, ItemPlace, Request, ResponseFile, ResponseFiles, Step, StepOutputs,
    StepTable,
};

/// A source of letters: what comes later of a letter is added to what came before, or replaces it.
struct Letters {
    replaces: bool,
    /// Items of one subject, in the order in which they come.
    brought: Vec<Vec<&'static str>>,
    accepted: Arc<Mutex<Vec<Accepted>>>,
    released: Arc<Mutex<Vec<String>>>,
}

impl Letters {
    fn new(brought: &[&[&'static str]]) -> Letters {
        let brought = brought.iter().map(|items| items.to_vec()).collect();
        Letters { replaces: false, brought, accepted: Arc::default(), released: Arc::default() }
    }
}

impl Source for Letters {
    fn name(&self) -> &'static str {
        "letters"
    }

    fn feed(&self, admission: &Admission) -> Intake {
        for (number, items) in self.brought.iter().enumerate() {
            let accepted = admission.accept(request(items, &format!("/letters/{number}"))).unwrap();
            // The next one is to find it answered.
            admission.queue.settle();
            self.accepted.lock().unwrap().push(accepted);
        }
        Intake::Whole
    }

    fn lookup_texts(&self, request: &Request) -> Vec<String> {
        vec![request.attribute("writer").to_owned()]
    }

    fn merge(&self, earlier: &Request, later: Request) -> Request {
        if self.replaces {
            let corrected = later.correcting(earlier);
            return Request { name: format!("letter-{}", corrected.id.short()), ..corrected };
        }
        let mut items = earlier.items.clone();
        let is_new = |item: &Item| earlier.items.iter().all(|it| it.digest != item.digest);
        let mut claims = earlier.claims.clone();
        if later.items.iter().any(is_new) {
            claims.extend(later.claims.clone());
        }
        items.extend(later.items.into_iter().filter(is_new));
        let merged = Request::new(earlier.name.clone(), later.attributes, items);
        Request { name: format!("letter-{}", merged.id.short()), subject: later.subject, claims, ..merged }
    }

    fn release(&self, claims: &[String]) -> io::Result<()> {
        self.released.lock().unwrap().extend(claims.iter().cloned());
        Ok(())
    }
}

fn request(items: &[&str], folder: &str) -> Request {
    let item = |text: &&str| {
        let (digest, size) = (Digest::of(text.as_bytes()), text.len() as u64);
        let place = ItemPlace::File(Path::new(folder).join(text));
        Item { name: (*text).to_owned(), place, digest, size, decoded: size }
    };
    let attributes = [("source", "letters"), ("writer", "Ada")];
    let attributes = attributes.map(|(name, value)| (name.to_owned(), AttributeValues::from(value)));
    let request = Request::new("", attributes.into(), items.iter().map(item).collect());
    let (name, subject) = (format!("letter-{}", request.id.short()), "Ada's letter".to_owned());
    Request { name, subject, claims: vec![folder.to_owned()], ..request }
}

/// Takes every response, and remembers its name.
#[derive(Default)]
struct Taken(Mutex<Vec<String>>);

impl ResponseSink for Taken {
    fn deliver(&self, pending_delivery: PendingDelivery) {
        self.0.lock().unwrap().push(pending_delivery.request().name.clone());
        pending_delivery.settle(Ok(()));
    }
}

fn table() -> StepTable {
    let count =
        Step::new("count", 1, "Counts items.").takes::<Request>("request").gives::<ResponseFiles>("files");
    let count = count.runs(|call| {
        let text = call.input::<Request>("request").items.len().to_string();
        Ok(StepOutputs::one(
            "files",
            ResponseFiles(vec![ResponseFile::new("count.txt", "text/plain", text.into_bytes())]),
        ))
    });
    StepTable::default().with(count)
}

fn dataflow(more: &str) -> Dataflow {
    let text = format!(
        "dataflow: count\nsteps:\n  count: {{step: count, needs: {{request: request}}}}\nresponse: [count]\n{more}"
    );
    Dataflow::parse("count.yaml", &text, &table()).unwrap()
}

fn open(state: &Path, more: &str) -> Service {
    Service::open(ServiceSettings::at(state), DataflowSelector::only(dataflow(more))).unwrap()
}

#[test]
fn a_source_merges_what_comes_later_and_releases_what_nobody_needs() {
    let state = tempfile::tempdir().unwrap();
    let (source, sink) = (Letters::new(&[&["a"], &["b"], &["a"]]), Taken::default());
    let (accepted, released) = (Arc::clone(&source.accepted), Arc::clone(&source.released));
    assert_eq!(open(state.path(), "").run(source, &sink).unwrap(), Intake::Whole);
    assert_eq!(*accepted.lock().unwrap(), [Accepted::New, Accepted::New, Accepted::Answered]);
    assert_eq!(*released.lock().unwrap(), ["/letters/2"], "the third has nothing new");
    let names: Vec<String> =
        [&["a"][..], &["a", "b"], &["a", "b"]].map(|items| request(items, "/").name).into();
    assert_eq!(*sink.0.lock().unwrap(), names);

    let reader = JournalReader::open(state.path()).unwrap();
    let sources = SourceTable::default().with(Arc::new(Letters::new(&[])));
    let found = find_requests(&reader, &sources, "Ada").unwrap();
    assert_eq!(found.len(), 2, "its source knows by what it is called");
    assert!(find_requests(&reader, &SourceTable::default(), "Ada").unwrap().is_empty());
    assert!(found.iter().all(|row| row.state == RequestState::Answered));
}

#[test]
fn a_correction_that_is_taken_back_supersedes_it() {
    let state = tempfile::tempdir().unwrap();
    let source = Letters { replaces: true, ..Letters::new(&[&["a"], &["b"], &["a"], &["a"]]) };
    let (accepted, released) = (Arc::clone(&source.accepted), Arc::clone(&source.released));
    assert_eq!(open(state.path(), "").run(source, &Taken::default()).unwrap(), Intake::Whole);
    use Accepted::{Answered, New};
    assert_eq!(*accepted.lock().unwrap(), [New, New, New, Answered]);
    assert!(released.lock().unwrap().is_empty(), "every folder is claimed by a request");
    let rows = JournalReader::open(state.path()).unwrap().requests().unwrap();
    let claims: Vec<_> = rows.iter().map(|row| row.claims.join(" ")).collect();
    assert_eq!(claims, ["/letters/0", "/letters/1", "/letters/2 /letters/3"]);
}

#[test]
fn a_dataflow_may_ignore_what_comes_later() {
    let state = tempfile::tempdir().unwrap();
    let (source, sink) = (Letters::new(&[&["a"], &["b"]]), Taken::default());
    let (accepted, released) = (Arc::clone(&source.accepted), Arc::clone(&source.released));
    let _ = open(state.path(), "revisions: ignore\n").run(source, &sink).unwrap();
    assert_eq!(*accepted.lock().unwrap(), [Accepted::New, Accepted::Ignored]);
    assert_eq!(*released.lock().unwrap(), ["/letters/1"]);
    assert_eq!(sink.0.lock().unwrap().len(), 1);
}

/// Brings requests one after the other, as many as can be recorded.
struct Offered(&'static [&'static str]);

impl Source for Offered {
    fn name(&self) -> &'static str {
        "letters"
    }

    fn feed(&self, admission: &Admission) -> Intake {
        admission.accept_all(self.0.iter().map(|text| request(&[text], "/letters")))
    }
}

#[test]
fn what_cannot_be_recorded_is_not_accepted() {
    let state = tempfile::tempdir().unwrap();
    let settings = ServiceSettings { free_bytes_min: u64::MAX, ..ServiceSettings::at(state.path()) };
    let service = Service::open(settings, DataflowSelector::only(dataflow(""))).unwrap();
    let sink = Taken::default();
    assert_eq!(service.run(Offered(&["a", "b"]), &sink).unwrap(), Intake::Partial);
    assert!(sink.0.lock().unwrap().is_empty());
    assert!(JournalReader::open(state.path()).unwrap().requests().unwrap().is_empty());
}

/// Delivers nothing.
struct Unable;

impl ResponseSink for Unable {
    fn deliver(&self, pending_delivery: PendingDelivery) {
        pending_delivery.settle(Err(UndeliveredResponse));
    }
}

/// Remembers whether a response was found made.
#[derive(Default)]
struct Made(Mutex<bool>);

impl AdmissionObserver for Made {
    fn observe_admission(&self, event: &AdmissionEvent) {
        *self.0.lock().unwrap() |= matches!(event, AdmissionEvent::ResponseMade { .. });
    }
}

#[test]
fn a_response_that_is_safe_in_the_journal_needs_no_disk_for_its_small_files() {
    let state = tempfile::tempdir().unwrap();
    let _ = open(state.path(), "").run(Offered(&["a"]), &Unable).unwrap();
    // No folder can be made for the files of the request.
    let id = request(&["a"], "/letters").id;
    std::fs::write(state.path().join("store").join(id.to_string()), "").unwrap();
    let (observer, sink) = (Arc::new(Made::default()), Taken::default());
    let mut service = open(state.path(), "");
    service.observer = Arc::clone(&observer) as _;
    let _ = service.run(Offered(&[]), &sink).unwrap();
    assert!(*observer.0.lock().unwrap(), "it is not made again");
    assert_eq!(sink.0.lock().unwrap().len(), 1);
}

#[test]
fn the_version_under_which_a_request_was_accepted_stays_with_it() {
    let state = tempfile::tempdir().unwrap();
    let _ = open(state.path(), "").run(Offered(&["a"]), &Unable).unwrap();
    let (earlier, table) = (dataflow("").digest(), table());
    let service = open(state.path(), "on_failure: stop\n").with_earlier_versions(&table).unwrap();
    assert_eq!(service.dataflows.all().count(), 2);
    assert_eq!(service.dataflows.accepted("count", Some(earlier)).unwrap().digest(), earlier);
    let new = service.dataflows.of(&request(&["b"], "/letters")).digest();
    assert_ne!(new, earlier, "a new request goes through the dataflow as it is now");
    assert_eq!(service.dataflows.accepted("count", None).unwrap().digest(), new);
    assert!(service.dataflows.accepted("other", Some(earlier)).is_none());
}

#[test]
fn a_state_folder_is_one_services_at_a_time() {
    let state = tempfile::tempdir().unwrap();
    let first = open(state.path(), "");
    let second = Service::open(ServiceSettings::at(state.path()), DataflowSelector::only(dataflow("")));
    assert!(matches!(second.err(), Some(ServiceError::State(StateError::Held { .. }))));
    drop(first);
    let journal = open(state.path(), "").journal;
    assert!(journal.keeps() && state.path().join(Journal::FILE).exists());
}
