//! A program that embeds flow, with a step, a source and a destination of its own. It accepts 1000
//! requests, is killed half way, and the next start of `cargo run --release --example embed -- FOLDER`
//! answers the rest.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use flow::admission::{Admission, DataflowSelector, Intake, Service, ServiceSettings, Source};
use flow::dataflow::Dataflow;
use flow::engine::{PendingDelivery, ResponseSink, UndeliveredResponse};
use flow::step::{AttributeValues, Item, Request, ResponseFile, ResponseFiles, Step, StepOutputs, StepTable};

const DATAFLOW: &str = "{dataflow: hello, steps: {a: {step: greet, needs: {guest: request}}}, response: [a]}";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("give a folder")?);
    let greet = Step::new("greet", 1, "Greets.").takes::<Request>("guest").gives::<ResponseFiles>("files");
    let greet = greet.runs(|call| {
        let text = format!("hello {}\n", call.input::<Request>("guest").name);
        let file = ResponseFile::new("hello.txt", "text/plain", text.into_bytes());
        Ok(StepOutputs::one("files", ResponseFiles(vec![file])))
    });
    let dataflow = Dataflow::parse("hello.yaml", DATAFLOW, &StepTable::default().with(greet))?;
    let kill_after = (!folder.exists()).then_some(500);
    let service = Service::open(ServiceSettings::at(&folder), DataflowSelector::only(dataflow))?;
    let intake = service.run(Guests, &Greetings(folder, kill_after, AtomicUsize::new(0)))?;
    println!("every guest is greeted: {intake:?}");
    Ok(())
}

/// A source: all guests come at each start, and flow knows those that it has accepted before.
struct Guests;
impl Source for Guests {
    fn name(&self) -> &'static str {
        "guests"
    }
    fn feed(&self, admission: &Admission) -> Intake {
        admission.accept_all((1..=1000).map(|number| {
            let name = format!("guest-{number}");
            let item = Item::inline("name", name.as_bytes());
            Request::new(name, [("source".into(), AttributeValues::from("guests"))].into(), vec![item])
        }))
    }
}

/// A folder, the number of greetings after which the program is killed, and their number so far.
struct Greetings(PathBuf, Option<usize>, AtomicUsize);

/// Each greeting becomes a file: to write it again changes nothing.
impl ResponseSink for Greetings {
    fn deliver(&self, delivery: PendingDelivery) {
        let (file, name) = (&delivery.response().files[0], format!("{}.txt", delivery.request().name));
        let written = std::fs::copy(delivery.store().path(delivery.request().id, file), self.0.join(name));
        delivery.settle(written.map(drop).map_err(|_| UndeliveredResponse));
        if Some(self.2.fetch_add(1, Ordering::Relaxed) + 1) == self.1 {
            std::process::abort();
        }
    }
}
