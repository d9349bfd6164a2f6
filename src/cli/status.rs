//! `flow status`: the requests by where they stand, and what each one waits for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use indicatif::{HumanBytes, HumanDuration};
use serde::Serialize;

use crate::admission::StateFolder;
use crate::dataflow::Dataflow;
use crate::dicom::{self, WaitingStudy};
use crate::journal::{AnswerKind, JournalEntry, JournalReader, OperatorRequest, RequestRow, RequestState};
use crate::printable::PrintableLines;
use crate::step::{Digest, StepTable};
use crate::store::free_bytes;

use super::exit::{CommandError, CommandErrorKind, CommandExit};
use super::lookup;
use super::output::{json, print, print_line};
use super::state_arguments::StateArguments;
use super::waiting::waits_for;

/// Show the requests by where they stand, and what each one waits for
///
/// Works beside a running flow and on the state of a stopped one.
#[derive(Debug, clap::Args)]
pub struct StatusArguments {
    #[command(flatten)]
    state: StateArguments,

    /// Also list so many of those that are answered, the last ones
    #[arg(long, value_name = "N", default_value_t = 5)]
    answered: usize,

    /// Print a line of JSON for each request
    #[arg(long)]
    json: bool,

    /// Print only what needs attention, and end with exit code 1 if there is any: for monitoring
    #[arg(long, conflicts_with_all = ["json", "answered"])]
    check: bool,
}

/// One request, as `--json` has it.
#[derive(Serialize)]
struct StatusLine<'a> {
    number: i64,
    request: Digest,
    name: &'a str,
    dataflow: &'a str,
    state: RequestState,
    error_response: bool,
    /// The last response is complete, with reservations.
    reservations: bool,
    kept: bool,
    /// An operator has asked for its end, and it is not answered yet.
    cancelled: bool,
    /// A destination does not take its response.
    trouble: bool,
    accepted_ms: i64,
    changed_ms: i64,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_for: Option<String>,
}

impl StatusArguments {
    pub fn run(self, table: &StepTable) -> Result<CommandExit, CommandError> {
        let state = self.state.find()?;
        let reader = lookup::open(&state)?;
        let rows = reader.requests().map_err(CommandError::of(CommandErrorKind::InputOutput))?;
        let lines = self.lines(&rows, &reader, table)?;
        if self.check {
            return check(&state, &lines);
        }
        match self.json {
            true => lines.iter().try_for_each(|line| print_line(json(line)))?,
            false => print(&self.text(&state, &rows, &lines))?,
        }
        Ok(CommandExit::Done)
    }

    /// All that are open, and the last of the others.
    fn lines<'a>(
        &self,
        rows: &'a [RequestRow],
        reader: &JournalReader,
        table: &StepTable,
    ) -> Result<Vec<StatusLine<'a>>, CommandError> {
        let (open, answered): (Vec<&RequestRow>, Vec<&RequestRow>) =
            rows.iter().partition(|row| row.is_open());
        let last = answered.len().saturating_sub(if self.json { usize::MAX } else { self.answered });
        let shown = open.into_iter().chain(answered.into_iter().skip(last));
        shown.map(|row| line(row, reader, table)).collect()
    }

    fn text(&self, state: &Path, rows: &[RequestRow], lines: &[StatusLine]) -> PrintableLines {
        let running = match StateFolder::holder(state) {
            Some(process) => format!("flow is running (process {process})"),
            None => "no flow is running".to_owned(),
        };
        let bytes = rows.iter().map(|row| row.bytes).fold(0, u64::saturating_add);
        let free = free_bytes(state);
        let mut text = PrintableLines::of(format_args!(
            "{running} on {}; {} remembered, {} free",
            state.display(),
            HumanBytes(bytes),
            HumanBytes(free)
        ));
        for (what, count) in counts(rows) {
            text.push(format_args!("{count:>7}  {what}"));
        }
        for study in receiving(state, rows) {
            let (uid, instances) = (&study.study_instance_uid, study.instances);
            text.push(format_args!("{instances:>7}  instances received so far of the study {uid}"));
        }
        lines.iter().fold(text, shown)
    }
}

/// The studies that are being received. What cannot be read is no study.
fn receiving(state: &Path, rows: &[RequestRow]) -> Vec<WaitingStudy> {
    let known = rows.iter().flat_map(|row| &row.claims).map(PathBuf::from).collect();
    dicom::waiting(&state.join("inbox"), &known).unwrap_or_default()
}

fn check(state: &Path, lines: &[StatusLine]) -> Result<CommandExit, CommandError> {
    let mut troubles = PrintableLines::default();
    if StateFolder::holder(state).is_none() {
        troubles.push(format_args!("no flow is running on {}", state.display()));
    }
    for line in lines.iter().filter(|line| line.trouble) {
        let StatusLine { name, changed_ms, .. } = line;
        let error = if line.error_response { "its error response" } else { "its response" };
        let why = line.waits_for.as_deref().unwrap_or_default();
        let since = ago(*changed_ms);
        troubles.push(format_args!("{name}: {error} is not delivered, since {since}: waits for {why}"));
    }
    let exit =
        if troubles == PrintableLines::default() { CommandExit::Done } else { CommandExit::WithErrors };
    print(&troubles)?;
    Ok(exit)
}

fn counts(rows: &[RequestRow]) -> [(&'static str, usize); 6] {
    let count = |state: RequestState, answer: Option<AnswerKind>| {
        let is_it =
            |row: &&RequestRow| row.state == state && answer.is_none_or(|answer| row.answer == answer);
        rows.iter().filter(is_it).count()
    };
    [
        ("in work, or waiting for it", count(RequestState::Accepted, None)),
        ("on their way to their destinations", count(RequestState::Responded, None)),
        ("NOT DELIVERED everywhere; `flow retry` tries again", count(RequestState::Undelivered, None)),
        ("answered with an error response", count(RequestState::Answered, Some(AnswerKind::Failed))),
        ("answered, complete, with reservations", count(RequestState::Answered, Some(AnswerKind::Reserved))),
        ("answered, complete", count(RequestState::Answered, Some(AnswerKind::Complete))),
    ]
}

fn line<'a>(
    row: &'a RequestRow,
    reader: &JournalReader,
    table: &StepTable,
) -> Result<StatusLine<'a>, CommandError> {
    let open = row.is_open().then(|| waiting(row, reader, table)).transpose()?;
    let trouble = row.state == RequestState::Undelivered
        || (row.state == RequestState::Responded && has_failed_delivery(reader, row)?);
    let (cancelled, waits_for) = open.map_or((false, None), |(cancelled, text)| (cancelled, Some(text)));
    Ok(StatusLine {
        number: row.number,
        request: row.id,
        name: &row.name,
        dataflow: &row.dataflow,
        state: row.state,
        error_response: row.answer == AnswerKind::Failed,
        reservations: row.answer == AnswerKind::Reserved,
        kept: row.kept,
        cancelled,
        trouble,
        accepted_ms: row.accepted_ms,
        changed_ms: row.changed_ms,
        bytes: row.bytes,
        waits_for,
    })
}

/// Whether the last try to deliver the response of a request to some destination failed.
fn has_failed_delivery(reader: &JournalReader, row: &RequestRow) -> Result<bool, CommandError> {
    let history = reader.history(row.number).map_err(CommandError::of(CommandErrorKind::InputOutput))?;
    let mut last = BTreeMap::new();
    for dated in &history.entries {
        if let JournalEntry::Delivered { destination, complete, .. } = &dated.entry {
            last.insert(destination.clone(), *complete);
        }
    }
    Ok(last.values().any(|complete| !complete))
}

/// Whether a request is cancelled, and what it waits for.
fn waiting(
    row: &RequestRow,
    reader: &JournalReader,
    table: &StepTable,
) -> Result<(bool, String), CommandError> {
    let failed = CommandError::of(CommandErrorKind::InputOutput);
    let history = reader.history(row.number).map_err(&failed)?;
    let unseen = reader.unseen(row.number).map_err(&failed)?;
    if row.state == RequestState::Accepted && unseen.contains(&OperatorRequest::Cancel) {
        return Ok((true, "a flow that runs on this state".to_owned()));
    }
    let version = history.version();
    let recorded = version.map(|version| reader.dataflow(version)).transpose().map_err(&failed)?.flatten();
    // The steps of a program of one's own may not be known here.
    let dataflow = recorded.and_then(|(name, text)| Dataflow::parse(&name, &text, table).ok());
    let cancelled = row.state == RequestState::Accepted && history.is_cancelled();
    Ok((cancelled, waits_for(&history, dataflow.as_ref())))
}

fn shown(text: PrintableLines, line: &StatusLine) -> PrintableLines {
    let verdict = match (line.state, line.error_response) {
        _ if line.cancelled => "cancelled".to_owned(),
        (RequestState::Accepted, _) | (_, false) => {
            let reserved = line.reservations && line.state != RequestState::Accepted;
            format!("{}{}", line.state.name(), if reserved { ", with reservations" } else { "" })
        }
        (_, true) => format!("{}, ERROR RESPONSE", line.state.name()),
    };
    let kept = if line.kept { ", kept" } else { "" };
    let head = format_args!("{}  {verdict}{kept}, {} ago", line.name, ago(line.changed_ms)).to_string();
    let text = text.line("").line(head);
    line.waits_for.iter().fold(text, |text, waits_for| text.line(format_args!("  waits for {waits_for}")))
}

/// By the clock on the wall, which may have been set since.
pub fn ago(then_ms: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let then = Duration::from_millis(then_ms.unsigned_abs());
    HumanDuration(now.saturating_sub(then)).to_string()
}
