//! Responses on their way to destinations that refuse, hang, break off, come back, and lie.

mod deadlines;
mod folders;
mod kills;
mod policies;
mod provider;
mod troubles;

use std::num::NonZero;
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use flow::admission::{DeliveryRecord, FileState};
use flow::dataflow::Dataflow;
use flow::dicom::DimseNode;
use flow::dicom::deliver::{ObjectDestination, ObjectTarget, ObjectVerifier};
use flow::engine::{self, EngineSettings, NullObserver, RequestQueue};
use flow::files::ResponseFolder;
use flow::journal::{Journal, JournalReader, RequestArrival, RequestState};
use flow::outbox::{DeliveryClock, DeliveryPolicy, DestinationService, Outbox, OutboxEvent, OutboxSetup};
use flow::step::{
    Digest, Item, ItemPlace, Request, ResponseFile, ResponseFiles, Step, StepOutputs, StepTable,
};
use flow::store::Store;

use crate::support::slices::Slice;

/// A flow whose responses are objects, with its folders; it can be started again and again.
struct Post {
    folder: tempfile::TempDir,
    dataflow: Arc<Dataflow>,
}

/// What the outbox told, in its order.
#[derive(Debug)]
enum Told {
    Delayed(String),
    Forwarded(DeliveryRecord),
    NotWritten(String),
    Answered,
}

type Says<'a> = &'a mpsc::Receiver<Told>;

impl Post {
    /// With so many objects in each response.
    fn new(objects: u32) -> Post {
        Post::with(dataflow(objects))
    }

    fn with(dataflow: Arc<Dataflow>) -> Post {
        Post { folder: tempfile::tempdir().unwrap(), dataflow }
    }

    fn path(&self, below: &str) -> std::path::PathBuf {
        self.folder.path().join(below)
    }

    /// As `run_to`, and each response also gets a folder.
    fn run(
        &self,
        requests: &[&str],
        destinations: Vec<DestinationService>,
        clock: DeliveryClock,
        test: impl FnOnce(&Outbox, Says) + Send,
    ) -> Vec<Told> {
        let destinations = [self.folder(at_once(1))].into_iter().chain(destinations).collect();
        self.run_to(requests, destinations, clock, test)
    }

    fn folder(&self, policy: DeliveryPolicy) -> DestinationService {
        DestinationService {
            destination: Arc::new(ResponseFolder::at(self.path("output")).unwrap()),
            policy,
            alias: None,
        }
    }

    /// Runs until all requests, and what was left of earlier runs, are delivered or can wait. `test` sees
    /// what is told meanwhile; gives what was told after that.
    fn run_to(
        &self,
        requests: &[&str],
        destinations: Vec<DestinationService>,
        clock: DeliveryClock,
        test: impl FnOnce(&Outbox, Says) + Send,
    ) -> Vec<Told> {
        let store = Arc::new(Store::at(self.path("store")).unwrap());
        std::fs::create_dir_all(self.path("state")).unwrap();
        let journal = Arc::new(Journal::open(&self.path("state"), store, 0).unwrap());
        let (tell, says) = mpsc::channel();
        let tell = Mutex::new(tell);
        let outbox = Outbox::open(OutboxSetup {
            destinations,
            waits: Vec::new(),
            journal: Arc::clone(&journal),
            clock,
            tell: Arc::new(move |event| _ = tell.lock().unwrap().send(told(event))),
            control: Arc::default(),
        });
        let outbox = outbox.unwrap();
        let dataflow = &self.dataflow;
        let one = NonZero::new(1).unwrap();
        let settings = EngineSettings {
            workers: one,
            lanes: one,
            memory: 1 << 30,
            mesh: None,
            ..EngineSettings::default()
        };
        let (seen, other) = (&outbox, Arc::clone(&journal));
        let source = |queue: &RequestQueue| {
            for row in other.unanswered("post").unwrap() {
                let history = other.history(row.number).unwrap().unwrap();
                queue.deliver(other.receipt(&history).unwrap(), history.response().unwrap().clone());
            }
            for name in requests {
                let version = dataflow.digest();
                let (request, program) = (request(name), version);
                let arrival = RequestArrival {
                    request,
                    dataflow: "post".to_owned(),
                    version,
                    program,
                    lookup_texts: Vec::new(),
                };
                queue.submit(other.accept(arrival).unwrap());
            }
            test(seen, &says);
            says
        };
        let ran =
            engine::run(Arc::clone(dataflow), journal, settings, Arc::new(NullObserver), source, &outbox);
        let says = ran.unwrap();
        outbox.drain();
        says.try_iter().collect()
    }

    fn states(&self) -> Vec<RequestState> {
        let reader = JournalReader::open(&self.path("state")).unwrap();
        reader.requests().unwrap().into_iter().map(|row| row.state).collect()
    }

    /// What stands in the folder of a response.
    fn deliveries(&self, name: &str) -> Vec<DeliveryRecord> {
        let path = self.path("output").join(name).join("delivery.json");
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }
}

fn told(event: &OutboxEvent) -> Told {
    match event {
        OutboxEvent::Delayed { delivery, .. } => Told::Delayed(delivery.destination.clone()),
        OutboxEvent::Forwarded { delivery, .. } => Told::Forwarded(DeliveryRecord::clone(delivery)),
        OutboxEvent::Answered { .. } => Told::Answered,
        OutboxEvent::NotWritten { error, .. } => Told::NotWritten((*error).to_owned()),
    }
}

/// What was told of destinations that were done.
fn forwarded(told: &[Told]) -> Vec<&DeliveryRecord> {
    let forwarded = told.iter().filter_map(|one| match one {
        Told::Forwarded(delivery) => Some(delivery),
        Told::Delayed(_) | Told::NotWritten(_) | Told::Answered => None,
    });
    forwarded.collect()
}

fn states(delivery: &DeliveryRecord) -> Vec<FileState> {
    delivery.files.iter().map(|file| file.state).collect()
}

fn request(name: &str) -> Arc<Request> {
    let digest = Digest::of(name.as_bytes());
    let path = Path::new("/nowhere").to_owned();
    let item = Item { name: name.to_owned(), place: ItemPlace::File(path), digest, size: 1, decoded: 1 };
    let sender = ("calling_ae".to_owned(), format!("CT{name}").into());
    Arc::new(Request::new(name, [sender].into(), vec![item]))
}

/// The UID of an object in the response to a request whose name is a number.
fn uid(request: &str, number: u32) -> String {
    Slice::new(&format!("1.2.{request}"), number).uid()
}

/// One step, which gives so many objects.
fn dataflow(objects: u32) -> Arc<Dataflow> {
    let step = Step::new("make", 1, "For tests.").takes::<Request>("request").gives::<ResponseFiles>("files");
    let step = step.runs(move |call| {
        let study = format!("1.2.{}", call.input::<Request>("request").name);
        Ok(StepOutputs::one(
            "files",
            ResponseFiles((1..=objects).map(|number| file(&study, number)).collect()),
        ))
    });
    let text = "dataflow: post\nsteps:\n  make: {step: make, needs: {request: request}}\nresponse: [make]\n";
    Arc::new(Dataflow::parse("post.yaml", text, &StepTable::default().with(step)).unwrap())
}

fn file(study: &str, number: u32) -> ResponseFile {
    ResponseFile::new(format!("{number}.dcm"), "application/dicom", slice(study, number).file())
}

/// The second one of a response is so large that it is a file of the store, and the others are not.
fn slice(study: &str, number: u32) -> Slice {
    let slice = Slice::new(study, number);
    if number == 2 { Slice { edge: 96, ..slice } } else { slice }
}

fn forward(destination: DimseNode, policy: DeliveryPolicy) -> DestinationService {
    let target = ObjectTarget::Peer(destination.into());
    let delivered = Arc::default();
    DestinationService {
        destination: Arc::new(ObjectDestination { target, verifier: None, delivered }),
        policy,
        alias: None,
    }
}

/// A destination whose objects are looked for after they were sent.
fn verified(destination: DimseNode, policy: DeliveryPolicy, verifier: ObjectVerifier) -> DestinationService {
    let (target, verifier) = (ObjectTarget::Peer(destination.into()), Some(verifier));
    let delivered = Arc::default();
    DestinationService {
        destination: Arc::new(ObjectDestination { target, verifier, delivered }),
        policy,
        alias: None,
    }
}

/// A few tries, one after the other, and no more.
fn at_once(tries: usize) -> DeliveryPolicy {
    let quick = vec![Duration::ZERO; tries - 1];
    DeliveryPolicy { quick, give_up_after: Duration::ZERO, ..DeliveryPolicy::default() }
}

/// A try, and then long waits.
fn patient() -> DeliveryPolicy {
    DeliveryPolicy { quick: Vec::new(), ..DeliveryPolicy::default() }
}
