//! `flow status`: the requests by where they stand, and what each one waits for.

use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::HumanBytes;
use serde::Serialize;

use crate::admission::{PauseRecord, StateFolder};
use crate::dataflow::Dataflow;
use crate::dicom::{self, WaitingStudy};
use crate::engine::{PausablePart, WaitingStep};
use crate::journal::{
    AnswerKind, JournalReader, OperatorRequest, RequestRow, RequestState, StandingCounts, StandingKey,
};
use crate::ledger::{DeclaredView, LedgerSnapshot, NameTable, RowCounts, add_declared_rows};
use crate::printable::PrintableLines;
use crate::step::{Digest, StepTable};
use crate::store::free_bytes;

use super::attention::{
    self, ago, circuits, pause_lines, pauses, peer_troubles, process_lines, step_line, waiting_steps,
};
use super::exit::{CommandError, CommandErrorKind, CommandExit};
use super::listen;
use super::lookup;
use super::output::{json, print, print_line};
use super::state_arguments::StateArguments;
use super::waiting::{ITS_TURN, TroubledDestination, since_ms, troubled_destinations, waits_for};

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

    /// Print a line of JSON for each request, and for each archive or service that fails
    #[arg(long)]
    json: bool,

    /// Print only what needs attention, and end with exit code 1 if there is any: for monitoring
    #[arg(long, conflicts_with_all = ["json", "answered"])]
    check: bool,

    /// For --check: what is paused needs attention after this time
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = listen::time, requires = "check")]
    pause_max: Duration,

    /// Print only the counts of the views that the site's file declares
    #[arg(long, conflicts_with_all = ["check", "answered"])]
    views: bool,
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
    /// An operator has asked for its end, and that is or will be its response.
    cancelled: bool,
    /// A destination does not take its response.
    trouble: bool,
    accepted_ms: i64,
    /// The time of its last record.
    changed_ms: i64,
    /// The time since which it stands where it does.
    since_ms: i64,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_for: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    troubles: Vec<TroubledDestination>,
}

impl StatusArguments {
    pub fn run(self, table: &StepTable) -> Result<CommandExit, CommandError> {
        let state = self.state.find()?;
        let reader = lookup::open(&state)?;
        if self.views {
            return views(&reader, &self.state.views()?, self.json);
        }
        let failed = CommandError::of(CommandErrorKind::InputOutput);
        // As JSON all requests are printed; else those that are answered are only counted.
        let ended = if self.json { usize::MAX } else { self.answered };
        let overview = reader.overview(ended).map_err(&failed)?;
        let shown = overview.open.iter().chain(&overview.ended);
        let pauses = pauses(&state);
        let places = waiting_steps(&state);
        let lines = shown.map(|row| line(row, &reader, table, &pauses)).collect::<Result<Vec<_>, _>>()?;
        let lines: Vec<StatusLine> = lines.into_iter().map(|line| line.with_places(&places)).collect();
        if self.check {
            return check(&state, &lines, attention::long_pauses(&pauses, self.pause_max));
        }
        match self.json {
            true => {
                lines.iter().try_for_each(|line| print_line(json(line)))?;
                let troubles = dicom::archive_troubles(&state.join("inbox"));
                troubles.iter().try_for_each(|trouble| print_line(json(trouble)))?;
                circuits(&state).iter().try_for_each(|circuit| print_line(json(circuit)))?;
                pauses.iter().try_for_each(|paused| print_line(json(paused)))?;
            }
            false => {
                let claims = reader.claims().map_err(&failed)?;
                print(&text(&state, &overview.standing, claims, &lines))?;
            }
        }
        Ok(CommandExit::Done)
    }
}

/// The counts of the views that the site declares.
fn views(
    reader: &JournalReader,
    declared: &[DeclaredView],
    as_json: bool,
) -> Result<CommandExit, CommandError> {
    let cut = reader.cut().map_err(CommandError::of(CommandErrorKind::InputOutput))?;
    let (mut names, mut rows) = (NameTable::default(), RowCounts::new());
    add_declared_rows(&cut.tally, declared, &mut names, &mut rows);
    let snapshot = LedgerSnapshot::of(cut.number, &rows, &names);
    let mut text = PrintableLines::default();
    let mut view = None;
    for one in &snapshot.declared {
        if as_json {
            print_line(json(one))?;
            continue;
        }
        if view.replace(&one.view) != Some(&one.view) {
            text.push(&one.view);
        }
        let key: Vec<&str> = one.key.iter().map(String::as_str).filter(|key| !key.is_empty()).collect();
        let times = one.times.map(|times| {
            format!("  {:.1} s in all, median {:.3} s, 99 % {:.3} s", one.seconds, times.p50, times.p99)
        });
        text.push(format_args!("{:>9}  {}{}", one.count, key.join("  "), times.unwrap_or_default()));
    }
    print(&text)?;
    Ok(CommandExit::Done)
}

fn text(
    state: &Path,
    standing: &StandingCounts,
    claims: Vec<String>,
    lines: &[StatusLine],
) -> PrintableLines {
    let running = match StateFolder::holder(state) {
        Some(process) => format!("flow is running (process {process})"),
        None => "no flow is running".to_owned(),
    };
    let bytes = standing.values().map(|totals| totals.bytes.unsigned_abs()).fold(0, u64::saturating_add);
    let free = free_bytes(state);
    let mut text = PrintableLines::of(format_args!(
        "{running} on {}; {} remembered, {} free",
        state.display(),
        HumanBytes(bytes),
        HumanBytes(free)
    ));
    for (what, count) in counts(standing) {
        text.push(format_args!("{count:>7}  {what}"));
    }
    for study in receiving(state, claims) {
        let (uid, instances) = (&study.study_instance_uid, study.instances);
        text.push(format_args!("{instances:>7}  instances received so far of the study {uid}"));
    }
    for line in process_lines(state) {
        text.push(format_args!("PROCESS  {line}"));
    }
    for trouble in peer_troubles(state) {
        text.push(format_args!("TROUBLE  {trouble}"));
    }
    for paused in pause_lines(&pauses(state)) {
        text.push(format_args!(" PAUSED  {paused}"));
    }
    lines.iter().fold(text, shown)
}

/// The studies that are being received. What cannot be read is no study.
fn receiving(state: &Path, claims: Vec<String>) -> Vec<WaitingStudy> {
    let known = claims.into_iter().map(PathBuf::from).collect();
    dicom::waiting(&state.join("inbox"), &known).unwrap_or_default()
}

fn check(state: &Path, lines: &[StatusLine], pauses: Vec<String>) -> Result<CommandExit, CommandError> {
    let mut troubles = PrintableLines::default();
    attention::troubles(state).iter().chain(&pauses).for_each(|trouble| troubles.push(trouble));
    for line in lines.iter().filter(|line| line.trouble) {
        let name = line.name;
        let error = if line.error_response { "its error response" } else { "its response" };
        let why = line.waits_for.as_deref().unwrap_or_default();
        let since = line.troubles.iter().map(|trouble| trouble.since_ms).min().unwrap_or(line.since_ms);
        let since = ago(since);
        troubles.push(format_args!("{name}: {error} is not delivered, since {since}: waits for {why}"));
    }
    let exit =
        if troubles == PrintableLines::default() { CommandExit::Done } else { CommandExit::WithErrors };
    print(&troubles)?;
    Ok(exit)
}

fn counts(standing: &StandingCounts) -> [(&'static str, i64); 7] {
    let count = |state: RequestState, answer: Option<AnswerKind>| {
        let is_it =
            |key: &StandingKey| key.state == state && answer.is_none_or(|answer| key.answer == answer);
        standing.iter().filter(|(key, _)| is_it(key)).map(|(_, totals)| totals.requests).sum::<i64>()
    };
    [
        ("in work, or waiting for it", count(RequestState::Accepted, None)),
        ("on their way to their destinations", count(RequestState::Responded, None)),
        ("NOT DELIVERED everywhere; `flow retry` tries again", count(RequestState::Undelivered, None)),
        (
            "of these with an error response",
            count(RequestState::Responded, Some(AnswerKind::Failed))
                + count(RequestState::Undelivered, Some(AnswerKind::Failed)),
        ),
        ("answered with an error response", count(RequestState::Answered, Some(AnswerKind::Failed))),
        ("answered, complete, with reservations", count(RequestState::Answered, Some(AnswerKind::Reserved))),
        ("answered, complete", count(RequestState::Answered, Some(AnswerKind::Complete))),
    ]
}

fn line<'a>(
    row: &'a RequestRow,
    reader: &JournalReader,
    table: &StepTable,
    pauses: &[PauseRecord],
) -> Result<StatusLine<'a>, CommandError> {
    let open = row.is_open().then(|| open_request(row, reader, table, pauses)).transpose()?;
    let since_ms = open.as_ref().map_or(row.changed_ms, |open| open.since_ms);
    let cancelled = match &open {
        Some(open) => open.cancelled,
        None => reader.is_ended_by_operator(row).map_err(CommandError::of(CommandErrorKind::InputOutput))?,
    };
    let (waits_for, troubles) = open.map(|open| (open.waits_for, open.troubles)).unzip();
    let troubles = troubles.unwrap_or_default();
    let trouble = row.state == RequestState::Undelivered || !troubles.is_empty();
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
        since_ms,
        bytes: row.bytes,
        waits_for,
        troubles,
    })
}

/// An open request, as its records show it.
struct OpenRequest {
    /// An operator has asked for its end.
    cancelled: bool,
    waits_for: String,
    troubles: Vec<TroubledDestination>,
    since_ms: i64,
}

fn open_request(
    row: &RequestRow,
    reader: &JournalReader,
    table: &StepTable,
    pauses: &[PauseRecord],
) -> Result<OpenRequest, CommandError> {
    let failed = CommandError::of(CommandErrorKind::InputOutput);
    let history = reader.history(row.number).map_err(&failed)?;
    let unseen = reader.unseen(row.number).map_err(&failed)?;
    let (troubles, since_ms) = (troubled_destinations(&history), since_ms(&history));
    if row.state == RequestState::Accepted && unseen.contains(&OperatorRequest::Cancel) {
        let waits_for = "a flow that runs on this state".to_owned();
        return Ok(OpenRequest { cancelled: true, waits_for, troubles, since_ms });
    }
    let version = history.version();
    let recorded = version.map(|version| reader.dataflow(version)).transpose().map_err(&failed)?.flatten();
    // The steps of a program of one's own may not be known here.
    let dataflow = recorded.and_then(|(name, text)| Dataflow::parse(&name, &text, table).ok());
    let may_be = row.state == RequestState::Accepted || row.answer == AnswerKind::Failed;
    let cancelled = may_be && history.is_cancelled();
    let waits_for = with_pauses(waits_for(&history, dataflow.as_ref()), &row.dataflow, pauses);
    Ok(OpenRequest { cancelled, waits_for, troubles, since_ms })
}

impl StatusLine<'_> {
    /// With the label of a process that one of its steps waits for.
    fn with_places(self, waiting: &[WaitingStep]) -> Self {
        let own =
            waiting.iter().filter(|step| step.number == self.number && self.state == RequestState::Accepted);
        let own: Vec<String> = own.map(step_line).collect();
        let waits_for = if own.is_empty() { self.waits_for } else { Some(own.join("; ")) };
        StatusLine { waits_for, ..self }
    }
}

/// What a request waits for, where that is paused.
fn with_pauses(waits_for: String, dataflow: &str, pauses: &[PauseRecord]) -> String {
    let is_paused = |part: PausablePart| pauses.iter().any(|record| record.paused == part);
    let of_dataflow = || is_paused(PausablePart::Dataflow(dataflow.to_owned()));
    let step = waits_for.strip_prefix("the step ");
    let of_step =
        |step: &str| is_paused(PausablePart::Step { dataflow: dataflow.to_owned(), step: step.to_owned() });
    match step {
        Some(step) if of_step(step) => format!("{waits_for}, which is paused"),
        None if waits_for == ITS_TURN && of_dataflow() => "its dataflow, which is paused".to_owned(),
        Some(_) | None => waits_for,
    }
}

fn shown(text: PrintableLines, line: &StatusLine) -> PrintableLines {
    let verdict = match (line.state, line.error_response) {
        (RequestState::Accepted | RequestState::Answered, _) if line.cancelled => "cancelled".to_owned(),
        (state, true) if line.cancelled => format!("{}, cancelled", state.name()),
        (RequestState::Accepted, _) | (_, false) => {
            let reserved = line.reservations && line.state != RequestState::Accepted;
            format!("{}{}", line.state.name(), if reserved { ", with reservations" } else { "" })
        }
        (_, true) => format!("{}, ERROR RESPONSE", line.state.name()),
    };
    let kept = if line.kept { ", kept" } else { "" };
    let head = format_args!("{}  {verdict}{kept}, {} ago", line.name, ago(line.since_ms)).to_string();
    let text = text.line("").line(head);
    let text = line
        .waits_for
        .iter()
        .fold(text, |text, waits_for| text.line(format_args!("  waits for {waits_for}")));
    line.troubles.iter().fold(text, |text, TroubledDestination { destination, since_ms, .. }| {
        text.line(format_args!("  {destination} does not take it, since {}", ago(*since_ms)))
    })
}
