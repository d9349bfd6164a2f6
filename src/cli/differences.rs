//! The differences that a replay finds, step by step: printed for `flow replay`, or handed to the status page.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::imaging::Picture;
use crate::monitor::{ReplayConclusion, ReplayedStep, RunDifference};
use crate::printable::{PrintableLines, counted};
use crate::replay::{OutputDifference, PastRequest, ReplayResult, ReplayScope, ReplayedRun, RunVerdict};
use crate::step::Outcome;

use super::exit::{CommandError, CommandExit};
use super::output::{json, print, print_line};

/// A printer of the differences of a replay. The differences of a step are told when the next step begins.
pub struct DifferencePrinter<'a> {
    past: &'a PastRequest,
    /// The folder for pictures of differences, if they are to be written.
    output: Option<&'a Path>,
    form: DifferenceForm<'a>,
    /// The step under way.
    step: Option<ReplayedStep>,
    steps: usize,
    identical: usize,
    /// The first error of printing or writing.
    trouble: Option<io::Error>,
}

/// How differences are told.
pub enum DifferenceForm<'a> {
    /// Lines for a person.
    Text,
    /// A line of JSON for each step.
    Json,
    /// Handed to a function.
    Handed(&'a mut dyn FnMut(ReplayedStep)),
}

/// The number of differing runs of a step that are shown.
const RUNS_SHOWN: usize = 5;

impl<'a> DifferencePrinter<'a> {
    pub fn new(
        past: &'a PastRequest,
        output: Option<&'a Path>,
        form: DifferenceForm<'a>,
    ) -> DifferencePrinter<'a> {
        DifferencePrinter { past, output, form, step: None, steps: 0, identical: 0, trouble: None }
    }

    pub fn take(&mut self, ran: &ReplayedRun) {
        if self.step.as_ref().is_none_or(|step| step.step != ran.step) {
            self.end_step();
        }
        let difference = (ran.verdict != RunVerdict::Identical).then(|| self.difference(ran));
        let step = self
            .step
            .get_or_insert_with(|| ReplayedStep { step: ran.step.clone(), ..ReplayedStep::default() });
        step.runs += 1;
        step.identical += usize::from(difference.is_none());
        step.took_us += micros(ran.took);
        step.differences.extend(difference);
    }

    /// Says how much was identical.
    pub fn conclude(self, scope: ReplayScope, ran: &ReplayResult) -> Result<CommandExit, CommandError> {
        let as_json = matches!(self.form, DifferenceForm::Json);
        let concluded = self.end(scope, ran)?;
        let ReplayConclusion { steps, identical, others } = &concluded;
        if as_json {
            print_line(json(&concluded))?;
        } else {
            let head = PrintableLines::of("")
                .line(format_args!("{}, {identical} identical", counted(*steps, "step")));
            print(&others.iter().fold(head, PrintableLines::line))?;
        }
        let same = identical == steps && others.is_empty();
        Ok(if same { CommandExit::Done } else { CommandExit::WithErrors })
    }

    /// Tells the last step; gives how much was identical.
    ///
    /// # Errors
    /// If something could not be printed or written.
    pub fn end(mut self, scope: ReplayScope, ran: &ReplayResult) -> io::Result<ReplayConclusion> {
        self.end_step();
        if let Some(trouble) = self.trouble.take() {
            return Err(trouble);
        }
        let mut others = Vec::new();
        if scope == ReplayScope::Whole {
            let missing = missing(self.past, ran);
            others.extend(missing.iter().map(|step| format!("{step} ran before, and does not now")));
            others.extend(otherwise(self.past, ran));
        }
        Ok(ReplayConclusion { steps: self.steps, identical: self.identical, others })
    }

    fn end_step(&mut self) {
        let Some(step) = self.step.take() else { return };
        self.steps += 1;
        self.identical += usize::from(step.differences.is_empty());
        let said = match &mut self.form {
            DifferenceForm::Text => print(&lines(&step)),
            DifferenceForm::Json => print_line(json(&step)),
            DifferenceForm::Handed(take) => {
                take(step);
                Ok(())
            }
        };
        self.trouble = self.trouble.take().or(said.err());
    }

    fn difference(&mut self, ran: &ReplayedRun) -> RunDifference {
        let item = ran.item.and_then(|item| self.past.recording.request.items.get(item));
        RunDifference {
            item: item.map(|item| item.name.clone()),
            what: what(ran),
            parts: ran.parts.iter().map(|(output, part)| self.part(&ran.step, output, part)).collect(),
        }
    }

    /// Prints the differences at one output, and writes a picture of them.
    fn part(&mut self, step: &str, output: &str, part: &OutputDifference) -> String {
        match part {
            OutputDifference::Unkept => format!("{output}: of the value before only the digest is kept"),
            OutputDifference::Added { name } => format!("{name}: added"),
            OutputDifference::Removed { name } => format!("{name}: removed"),
            OutputDifference::Value(difference) => {
                format!("{output}:\n{}", indented(&difference.to_string()))
            }
            OutputDifference::File { name, difference } => {
                let picture = difference.marked().zip(self.output).map(|(picture, output)| {
                    let path = output.join(step).join(name);
                    let written = write(picture, &path);
                    self.trouble = self.trouble.take().or(written.err());
                    format!("  see {}\n", path.display())
                });
                let difference = indented(&difference.to_string());
                format!("{name}:\n{difference}{}", picture.unwrap_or_default())
            }
        }
    }
}

fn write(picture: &Picture, path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    fs::write(path, picture.png().map_err(io::Error::other)?)
}

/// The difference between a run and the recorded one, in words.
fn what(ran: &ReplayedRun) -> String {
    match &ran.verdict {
        RunVerdict::Identical => "identical".to_owned(),
        RunVerdict::New => "did not run before".to_owned(),
        RunVerdict::Otherwise { before, after } => format!("{} before; {} now", ended(before), ended(after)),
        RunVerdict::Differs(outputs) => {
            let why = match ran.changed.as_slice() {
                [] => ", though nothing that it depends on has changed".to_owned(),
                changed => format!(": {} changed", changed.join(" and ")),
            };
            format!("gives other {}{why}", outputs.join(", "))
        }
    }
}

fn ended(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done => "done".to_owned(),
        Outcome::Failed(fault) => format!("failed ({fault})"),
        Outcome::Skipped { .. } => "skipped".to_owned(),
    }
}

/// The steps with recorded runs that did not run in the replay.
fn missing(past: &PastRequest, ran: &ReplayResult) -> Vec<String> {
    let mut missing: Vec<String> = Vec::new();
    for run in past.recording.runs.iter().filter(|run| !run.is_call()) {
        let is_there = ran.runs.iter().any(|ran| ran.step == run.step);
        if !is_there && !missing.contains(&run.step) {
            missing.push(run.step.clone());
        }
    }
    missing
}

/// The difference between the kinds of the two responses, if there is one.
fn otherwise(past: &PastRequest, ran: &ReplayResult) -> Option<String> {
    let before = past.recording.response.as_ref()?.verdict;
    let now = ran.response.verdict;
    let (told, tells) = (before.name(), now.name());
    (before != now).then(|| format!("the response was {told} before, and is {tells} now"))
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

fn lines(replayed: &ReplayedStep) -> PrintableLines {
    let ReplayedStep { step, runs, identical, took_us, differences } = replayed;
    let runs = if *runs > 1 { format!("{}, ", counted(*runs, "run")) } else { String::new() };
    let ms = *took_us as f64 / 1e3;
    if differences.is_empty() {
        return PrintableLines::of(format_args!("{step:16} {runs}identical, {ms:.1} ms"));
    }
    let identical = if *identical > 0 { format!(", {identical} identical") } else { String::new() };
    let mut lines = PrintableLines::of(format_args!("{step:16} {runs}DIFFERS{identical}, {ms:.1} ms"));
    for RunDifference { item, what, parts } in differences.iter().take(RUNS_SHOWN) {
        let item = item.as_ref().map(|item| format!("{item}: ")).unwrap_or_default();
        lines.push(format_args!("  {item}{what}"));
        lines = parts.iter().fold(lines, |lines, part| lines.lines_of(indented(&indented(part))));
    }
    match differences.len().checked_sub(RUNS_SHOWN) {
        Some(more @ 1..) => lines.line(format_args!("  and {}", counted(more, "more run"))),
        _ => lines,
    }
}
