//! `flow explain`: what became of a request, step by step, and what would change it.

use indicatif::HumanBytes;

use crate::journal::{JournalEntry, RequestHistory};
use crate::printable::{PrintableLines, counted};
use crate::replay::{PastRequest, RequestExplanation};
use crate::step::StepTable;

use super::attention::ago;
use super::exit::{CommandError, CommandExit};
use super::lookup::RequestLookup;
use super::output::{json, print, print_line};
use super::subject::{ProgramStart, ReplaySubject};

/// Say what became of a request, step by step: why, of what it was made, and what would change it
///
/// Works beside a running flow, on the state of a stopped one, and on a file that `flow replay` exported.
#[derive(Debug, clap::Args)]
pub struct ExplainArguments {
    #[command(flatten)]
    lookup: RequestLookup,

    /// Print it as JSON
    #[arg(long)]
    json: bool,

    /// Start the programs that the dataflow of an exported file names, for what they declare: trust whoever made it
    #[arg(long)]
    trust: bool,
}

impl ExplainArguments {
    pub fn run(self, table: &StepTable) -> Result<CommandExit, CommandError> {
        let programs = if self.trust { ProgramStart::Allowed } else { ProgramStart::Refused };
        let subject = ReplaySubject::find(&self.lookup, programs)?;
        let explanation = RequestExplanation::of(&subject.past, &subject.dataflow(table)?);
        if self.json {
            print_line(json(&explanation))?;
        } else {
            let head = head(&subject.past);
            let lines = subject.history.iter().fold(head, told);
            print(&lines)?;
            print(&explanation.lines())?;
        }
        Ok(CommandExit::Done)
    }
}

fn head(past: &PastRequest) -> PrintableLines {
    let recording = &past.recording;
    let request = &recording.request;
    let (items, bytes) = (counted(request.items.len(), "item"), HumanBytes(request.size()));
    let (dataflow, version) = (&recording.dataflow.name, recording.dataflow.version.short());
    let id = request.id.short();
    PrintableLines::of(&request.name)
        .line(format_args!("  request {id}, {items}, {bytes}; dataflow {dataflow} {version}"))
}

/// The journal's entries besides the steps, with their times, up to the delivery of the response.
fn told(mut lines: PrintableLines, history: &RequestHistory) -> PrintableLines {
    for dated in &history.entries {
        let what = match &dated.entry {
            JournalEntry::Accepted { request, .. } => match request.attribute("completed_by") {
                "" => "accepted".to_owned(),
                who => format!("accepted; the study was declared complete by {who}"),
            },
            JournalEntry::TakenUp => "taken up by another process".to_owned(),
            JournalEntry::Interim { .. } => "the deadline has passed: an error response says so".to_owned(),
            JournalEntry::Responded { .. } => "responded".to_owned(),
            JournalEntry::Delivered { destination, complete: true, .. } => {
                format!("delivered to {destination}")
            }
            JournalEntry::Delivered { destination, .. } => format!("NOT DELIVERED to {destination}"),
            JournalEntry::Answered => "answered".to_owned(),
            JournalEntry::Asked { what, who: Some(who) } => format!("{what} was asked for by {who}"),
            JournalEntry::Asked { what, who: None } => format!("{what} was asked for"),
            JournalEntry::Late { items } => format!("{} came late", counted(items.len(), "item")),
            JournalEntry::Began
            | JournalEntry::Run(_)
            | JournalEntry::Sent { .. }
            | JournalEntry::Undelivered => continue,
        };
        lines.push(format_args!("  {what}, {} ago", ago(dated.time_ms)));
    }
    lines
}
