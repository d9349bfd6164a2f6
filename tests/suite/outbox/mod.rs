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

use flow::admission::{Delivery, FileState};
use flow::dataflow::Dataflow;
use flow::dicom::Destination;
use flow::dicom::deliver::{ObjectDestination, ObjectTarget, ObjectVerifier};
use flow::engine::{self, Entrance, Settings, Unobserved};
use flow::files::Folder;
use flow::journal::{Arrival, Journal, Reader, State};
use flow::outbox::{Clock, Event, Forward, Outbox, Policy, Setup};
use flow::step::{Digest, File, Files, Item, ItemPlace, Outputs, Request, Step, Table};
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
    Forwarded(Delivery),
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
        destinations: Vec<Forward>,
        clock: Clock,
        test: impl FnOnce(&Outbox, Says) + Send,
    ) -> Vec<Told> {
        let destinations = [self.folder(at_once(1))].into_iter().chain(destinations).collect();
        self.run_to(requests, destinations, clock, test)
    }

    fn folder(&self, policy: Policy) -> Forward {
        Forward { destination: Arc::new(Folder::at(self.path("output")).unwrap()), policy }
    }

    /// Runs until all requests, and what was left of earlier runs, are delivered or can wait. `test` sees
    /// what is told meanwhile; gives what was told after that.
    fn run_to(
        &self,
        requests: &[&str],
        destinations: Vec<Forward>,
        clock: Clock,
        test: impl FnOnce(&Outbox, Says) + Send,
    ) -> Vec<Told> {
        let store = Arc::new(Store::at(self.path("store")).unwrap());
        std::fs::create_dir_all(self.path("state")).unwrap();
        let journal = Arc::new(Journal::open(&self.path("state"), store, 0).unwrap());
        let (tell, says) = mpsc::channel();
        let tell = Mutex::new(tell);
        let outbox = Outbox::open(Setup {
            destinations,
            waits: Vec::new(),
            journal: Arc::clone(&journal),
            clock,
            tell: Arc::new(move |event| _ = tell.lock().unwrap().send(told(event))),
        });
        let outbox = outbox.unwrap();
        let dataflow = &self.dataflow;
        let one = NonZero::new(1).unwrap();
        let settings = Settings { workers: one, lanes: one, memory: 1 << 30, mesh: None };
        let (seen, other) = (&outbox, Arc::clone(&journal));
        let source = |entrance: &Entrance| {
            for row in other.unanswered("post").unwrap() {
                let history = other.history(row.number).unwrap().unwrap();
                entrance.deliver(other.receipt(&history).unwrap(), history.response().unwrap().clone());
            }
            for name in requests {
                let version = dataflow.digest();
                let (request, program) = (request(name), version);
                let arrival = Arrival { request, dataflow: "post".to_owned(), version, program };
                entrance.submit(other.accept(arrival).unwrap());
            }
            test(seen, &says);
            says
        };
        let ran = engine::run(Arc::clone(dataflow), journal, settings, Arc::new(Unobserved), source, &outbox);
        let says = ran.unwrap().unwrap();
        outbox.drain();
        says.try_iter().collect()
    }

    fn states(&self) -> Vec<State> {
        let reader = Reader::open(&self.path("state")).unwrap();
        reader.requests().unwrap().into_iter().map(|row| row.state).collect()
    }

    /// What stands in the folder of a response.
    fn deliveries(&self, name: &str) -> Vec<Delivery> {
        let path = self.path("output").join(name).join("delivery.json");
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }
}

fn told(event: &Event) -> Told {
    match event {
        Event::Delayed { delivery, .. } => Told::Delayed(delivery.destination.clone()),
        Event::Forwarded { delivery, .. } => Told::Forwarded(Delivery::clone(delivery)),
        Event::Answered { .. } => Told::Answered,
        Event::NotWritten { error, .. } => Told::NotWritten((*error).to_owned()),
    }
}

/// What was told of destinations that were done.
fn forwarded(told: &[Told]) -> Vec<&Delivery> {
    let forwarded = told.iter().filter_map(|one| match one {
        Told::Forwarded(delivery) => Some(delivery),
        Told::Delayed(_) | Told::NotWritten(_) | Told::Answered => None,
    });
    forwarded.collect()
}

fn states(delivery: &Delivery) -> Vec<FileState> {
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
    let step = Step::new("make", 1, "For tests.").takes::<Request>("request").gives::<Files>("files");
    let step = step.runs(move |call| {
        let study = format!("1.2.{}", call.input::<Request>("request").name);
        Ok(Outputs::one("files", Files((1..=objects).map(|number| file(&study, number)).collect())))
    });
    let text = "dataflow: post\nsteps:\n  make: {step: make, needs: {request: request}}\nresponse: [make]\n";
    Arc::new(Dataflow::parse("post.yaml", text, &Table::default().with(step)).unwrap())
}

fn file(study: &str, number: u32) -> File {
    let bytes = Slice::new(study, number).file();
    File::new(format!("{number}.dcm"), "application/dicom", bytes)
}

fn forward(destination: Destination, policy: Policy) -> Forward {
    let target = ObjectTarget::Node(Box::new(destination));
    Forward { destination: Arc::new(ObjectDestination { target, verifier: None }), policy }
}

/// A destination whose objects are looked for after they were sent.
fn verified(destination: Destination, policy: Policy, verifier: ObjectVerifier) -> Forward {
    let (target, verifier) = (ObjectTarget::Node(Box::new(destination)), Some(verifier));
    Forward { destination: Arc::new(ObjectDestination { target, verifier }), policy }
}

/// A few tries, one after the other, and no more.
fn at_once(tries: usize) -> Policy {
    let quick = vec![Duration::ZERO; tries - 1];
    Policy { quick, give_up_after: Duration::ZERO, ..Policy::default() }
}

/// A try, and then long waits.
fn patient() -> Policy {
    Policy { quick: Vec::new(), ..Policy::default() }
}
