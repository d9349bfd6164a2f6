//! `flow explain`: what became of a request, step by step, and what would change it.

use std::io::{Write, stdout};

use indicatif::HumanBytes;

use crate::journal::{Entry, History};
use crate::replay::{Explanation, Past};
use crate::step::Table;

use super::exit::{Exit, Failure};
use super::lookup::Lookup;
use super::status::ago;
use super::subject::Subject;

/// Say what became of a request, step by step: why, of what it was made, and what would change it
///
/// Works beside a running flow, on the state of a stopped one, and on a file that `flow replay` exported.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    lookup: Lookup,

    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    pub fn run(self, table: &Table) -> Result<Exit, Failure> {
        let subject = Subject::find(&self.lookup)?;
        let explanation = Explanation::of(&subject.past, &subject.dataflow(table)?);
        let text = if self.json {
            serde_json::to_string(&explanation).expect("it is made of texts and numbers") + "\n"
        } else {
            let history = subject.history.as_ref().map(told).unwrap_or_default();
            format!("{}{history}{explanation}", head(&subject.past))
        };
        stdout().write_all(text.as_bytes())?;
        Ok(Exit::Done)
    }
}

fn head(past: &Past) -> String {
    let recording = &past.recording;
    let request = &recording.request;
    let (items, bytes) = (request.items.len(), HumanBytes(request.size()));
    let (dataflow, version) = (&recording.dataflow.name, recording.dataflow.version.short());
    let id = request.id.short();
    format!("{}\n  request {id}, {items} items, {bytes}; dataflow {dataflow} {version}\n", request.name)
}

/// What the journal knows besides the steps: when, and what became of the response.
fn told(history: &History) -> String {
    let mut text = String::new();
    for dated in &history.entries {
        let what = match &dated.entry {
            Entry::Accepted { .. } => "accepted".to_owned(),
            Entry::TakenUp => "taken up by another process".to_owned(),
            Entry::Interim { .. } => "the deadline has passed: an error response says so".to_owned(),
            Entry::Responded { .. } => "responded".to_owned(),
            Entry::Delivered { destination, complete: true, .. } => format!("delivered to {destination}"),
            Entry::Delivered { destination, .. } => format!("NOT DELIVERED to {destination}"),
            Entry::Answered => "answered".to_owned(),
            Entry::Asked { what } => format!("{what} was asked for"),
            Entry::Late { items } => format!("{} items came late", items.len()),
            Entry::Began | Entry::Run(_) | Entry::Sent { .. } | Entry::Undelivered => continue,
        };
        text += &format!("  {what}, {} ago\n", ago(dated.time_ms));
    }
    text
}
