//! A program that embeds flow, with a step, a source and a destination of its own. It accepts 1000 requests, is
//! killed half way, and the next start of `cargo run --release --example embed -- FOLDER` answers the rest.

use flow::admission::{Admission, DataflowSelector, Intake, Service, ServiceSettings, Source};
use flow::admission::{DeliveryTrouble, Destination, OutgoingResponse, PartAnswer};
use flow::step::{AttributeValues, Item, Request, ResponseFile, ResponseFiles, Step, StepOutputs, StepTable};
use flow::{dataflow::Dataflow, outbox::Outbox};
use std::{path::PathBuf, sync::Arc};

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
            let item = Item::inline("name", format!("guest-{number}").into_bytes());
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
    #[rustfmt::skip]
    fn send(&self, out: &OutgoingResponse, parts: &[&str], answered: &mut dyn FnMut(PartAnswer))
        -> Result<(), DeliveryTrouble> {
        let file = out.file(parts[0]).expect("the response has one file");
        let greeting = self.0.join(format!("{}.txt", out.request.name));
        let kills = !greeting.exists() && greeting.ends_with("guest-500.txt");
        std::fs::copy(out.path(file), &greeting).map_err(DeliveryTrouble::passing)?;
        if kills { std::process::abort() }
        answered(PartAnswer::stored(parts[0]));
        Ok(())
    }
}
