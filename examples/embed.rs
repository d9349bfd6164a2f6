//! A program that embeds flow: 1000 requests, killed half way; the next start answers the rest.
//! `cargo run --release --example embed -- FOLDER`, twice.

use std::path::PathBuf;
use std::sync::Arc;

use flow::admission::{Admission, DataflowSelector, Intake, Service, ServiceSettings, Source};
use flow::admission::{DeliveryTrouble, Destination, OutgoingResponse, PartAnswer, PartAnswers};
use flow::step::{AttributeValues, Item, Request, ResponseFile, ResponseFiles, Step, StepOutputs, StepTable};
use flow::{dataflow::Dataflow, outbox::Outbox};

const DATAFLOW: &str = "{dataflow: hello, steps: {a: {step: greet, needs: {guest: request}}}, response: [a]}";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("give a folder")?);
    let greet = Step::new("greet", 1, "Greets.").takes::<Request>("guest").gives::<ResponseFiles>("files");
    let greet = greet.runs(|call| {
        let text = format!("hello {}\n", call.input::<Request>("guest").name).into_bytes();
        let file = ResponseFile::new("hello.txt", "text/plain", text);
        Ok(StepOutputs::one("files", ResponseFiles(vec![file])))
    });
    let dataflow = Dataflow::parse("hello.yaml", DATAFLOW, &StepTable::default().with(greet))?;
    let service = Service::open(ServiceSettings::at(&folder), DataflowSelector::only(dataflow))?;
    let outbox = Outbox::to(Arc::new(Greetings(folder)), &service.journal)?;
    println!("every guest is greeted: {:?}", service.run(Guests, &outbox)?);
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
            let item = Item::inline("number", number.to_string().as_bytes());
            let attributes = [("source".into(), AttributeValues::from("guests"))].into();
            Request::new(format!("guest-{number}"), attributes, vec![item])
        }))
    }
}

/// A destination: a folder with a file for each guest. To write one again changes nothing.
struct Greetings(PathBuf);
impl Destination for Greetings {
    fn name(&self) -> String {
        "greetings".to_owned()
    }
    fn send(&self, one: &OutgoingResponse, parts: &[&str], tell: PartAnswers) -> Result<(), DeliveryTrouble> {
        let greeting = self.0.join(format!("{}.txt", one.request.name));
        let is_half_way = !greeting.exists() && greeting.ends_with("guest-500.txt");
        for file in parts.iter().filter_map(|part| one.file(part)) {
            std::fs::copy(one.path(file), &greeting).map_err(DeliveryTrouble::passing)?;
            tell(PartAnswer::stored(&file.name));
        }
        if is_half_way { std::process::abort() } else { Ok(()) }
    }
}
