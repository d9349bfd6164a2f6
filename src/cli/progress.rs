//! Progress of the requests in work: one line for each on a terminal, plain lines elsewhere.

use std::collections::HashMap;
use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanDuration, MultiProgress, ProgressBar, ProgressStyle};

use crate::admission::{AdmissionEvent, AdmissionObserver};
use crate::dataflow::{Dataflow, Response, ResponseVerdict};
use crate::engine::{EngineEvent, EventObserver};
use crate::printable::{PrintableLines, counted, escaped};
use crate::step::{AttributeValues, Digest, Outcome, OutcomeReason, Request, StepReport};
use crate::yaml::duration::shown;

use super::output;
use super::request_progress::RequestProgress;

/// The progress display on standard error, shared by all threads.
pub struct ProgressDisplay {
    /// The moving lines; `None` if standard error is not a terminal.
    bars: Option<MultiProgress>,
    /// The lines of each request: several if the same request is under way more than once.
    open: Mutex<HashMap<Digest, Vec<ProgressLine>>>,
}

struct ProgressLine {
    began: Instant,
    bar: Option<ProgressBar>,
    progress: RequestProgress,
}

impl ProgressLine {
    fn show(&self, step: &str) {
        if let Some(bar) = &self.bar {
            bar.set_position(self.progress.ended());
            bar.set_message(self.progress.told(step));
        }
    }
}

const TICK: Duration = Duration::from_millis(100);

impl ProgressDisplay {
    pub fn new() -> ProgressDisplay {
        let bars = output::shows_progress().then(MultiProgress::new);
        ProgressDisplay { bars, open: Mutex::default() }
    }

    /// Prints lines above the moving ones.
    pub fn say(&self, lines: &PrintableLines) {
        match &self.bars {
            // Errors are ignored: a run does not end because its terminal is gone.
            Some(bars) => _ = bars.println(lines.to_string()),
            None => output::tell_event(lines),
        }
    }

    /// Prints a line above the moving ones.
    pub fn say_line(&self, line: impl fmt::Display) {
        self.say(&PrintableLines::of(line));
    }

    fn accepted(&self, request: &Request, dataflow: &Dataflow) {
        let progress = RequestProgress::new(request, dataflow);
        let (items, size) = (counted(request.items.len(), "item"), HumanBytes(request.size()));
        let bar = self.bars.as_ref().map(|bars| {
            let bar = bars.add(ProgressBar::new(progress.runs()));
            bar.set_style(style());
            bar.set_prefix(escaped(&request.name).into_owned());
            bar.enable_steady_tick(TICK);
            bar
        });
        if bar.is_none() {
            self.say_line(format_args!("accepted  {}  {items}, {size}", request.name));
        }
        for remark in request.attributes.get("remarks").into_iter().flat_map(AttributeValues::iter) {
            self.say_line(format_args!("remark    {}  {remark}", request.name));
        }
        let line = ProgressLine { began: Instant::now(), bar, progress };
        self.lock().entry(request.id).or_default().push(line);
    }

    fn answered(&self, request: &Request, response: &Response) {
        let Some(line) = self.close(request) else { return };
        if let Some(bar) = line.bar {
            bar.finish_and_clear();
        }
        let took = line.began.elapsed();
        let took = if took < Duration::from_secs(60) {
            format!("{:.2} s", took.as_secs_f64())
        } else {
            HumanDuration(took).to_string()
        };
        let verdict = match response.verdict {
            ResponseVerdict::Complete | ResponseVerdict::CompleteWithReservations => response.verdict.name(),
            ResponseVerdict::Failed | ResponseVerdict::Unfinished => "ERROR RESPONSE",
        };
        let mut lines = PrintableLines::of(format_args!("answered  {}  {verdict}, {took}", request.name));
        for reservation in &response.reservations {
            lines.push(format_args!("  reservation: {}", reservation.text));
        }
        not_run(response).iter().for_each(|text| lines.push(format_args!("  not run: {text}")));
        for FaultGroup { step, items, count, reason, remedy } in fault_groups(response) {
            let items = match (items.is_empty(), count - items.len()) {
                (true, _) => String::new(),
                (false, 0) => format!(" ({})", items.join(", ")),
                (false, more) => format!(" ({} and {more} more)", items.join(", ")),
            };
            lines.push(format_args!("  {step}{items} failed: {reason}"));
            lines.push(format_args!("  hint: {remedy}"));
        }
        // Printed in one piece, so that lines of other threads do not get between them.
        self.say(&lines);
    }

    /// Shows that a known request gets its response again. For an error response the reason is shown, and the
    /// command that makes a new one: flow cannot see whether the cause has been fixed since.
    fn known(&self, request: &Request, response: &Response) {
        let name = &request.name;
        let again = "the same response goes out again";
        let Some((report, fault)) = response.faults().next() else {
            return self.say_line(format_args!("known     {name}  was answered; {again}"));
        };
        let head = format!("known     {name}  was answered with an ERROR RESPONSE; {again}");
        let lines = PrintableLines::of(head).line(format_args!("  {} failed: {}", report.step, fault.reason));
        self.say(&lines.line(format_args!("  hint: `flow retry {name}` runs what failed once more")));
    }

    /// Keeps the line of the request, because the final response follows.
    fn overdue(&self, request: &Request, response: &Response) {
        let reason = response.faults().next().map(|(_, fault)| fault.reason.as_str()).unwrap_or_default();
        let name = &request.name;
        self.say_line(format_args!("overdue   {name}  ERROR RESPONSE, {reason}; the request goes on"));
    }

    fn step(&self, request: &Request, show: impl FnOnce(&mut ProgressLine)) {
        if let Some(line) = self.lock().get_mut(&request.id).and_then(|lines| lines.first_mut()) {
            show(line);
        }
    }

    fn close(&self, request: &Request) -> Option<ProgressLine> {
        let mut open = self.lock();
        let lines = open.get_mut(&request.id)?;
        let line = (!lines.is_empty()).then(|| lines.remove(0));
        if lines.is_empty() {
            open.remove(&request.id);
        }
        line
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, Vec<ProgressLine>>> {
        self.open.lock().expect("nothing panics while it holds the lock")
    }
}

impl EventObserver for ProgressDisplay {
    fn observe(&self, event: &EngineEvent) {
        match event {
            EngineEvent::Accepted { request, dataflow } => self.accepted(request, dataflow),
            EngineEvent::Started { request, step } => self.step(request, |line| line.show(step)),
            EngineEvent::Ended { request, step, .. } => self.step(request, |line| {
                line.progress.end(step);
                line.show(step);
            }),
            EngineEvent::Retrying { request, step, fault, delay } => {
                let delay = shown(*delay);
                self.say_line(format_args!(
                    "again     {}  {step} in {delay}: {}",
                    request.name, fault.reason
                ));
            }
            EngineEvent::Overdue { request, response } => self.overdue(request, response),
            EngineEvent::Answered { request, response } => self.answered(request, response),
            // The outbox has reported the reason.
            EngineEvent::Undelivered { request, .. } => {
                self.close(request).and_then(|line| line.bar).iter().for_each(ProgressBar::finish_and_clear);
            }
        }
    }
}

impl AdmissionObserver for ProgressDisplay {
    fn observe_admission(&self, event: &AdmissionEvent) {
        let text = match event {
            AdmissionEvent::InWork { request } => {
                format!("known     {}  is in work; one answer will do for both", request.name)
            }
            AdmissionEvent::AnsweredBefore { request, response } => return self.known(request, response),
            AdmissionEvent::Ignored { name, items } => {
                format!("ignored   {name}  {} that came after its answer", counted(*items, "item"))
            }
            AdmissionEvent::NotAccepted { name, error } => {
                let line = format!("NOT ACCEPTED {name} and what comes after it: {error}");
                let hint = "  hint: mend it, and run the same command again";
                return self.say(&PrintableLines::of(line).line(hint));
            }
            AdmissionEvent::Resumed { name, runs } => {
                format!("taken up  {name}  {} of steps", counted(*runs, "finished run"))
            }
            AdmissionEvent::ResponseMade { name } => format!("taken up  {name}  its response is made"),
            AdmissionEvent::Cancelled { name } => format!("cancelled {name}  as an operator asked"),
            AdmissionEvent::Retried { name } => format!("retried   {name}  as an operator asked"),
            AdmissionEvent::Hurried { name } => format!("hurried   {name}  as an operator asked"),
            AdmissionEvent::Urgent { name } => format!("urgent    {name}  as an operator asked"),
            AdmissionEvent::DataflowsReplaced { dataflows } => {
                let each = dataflows.iter().map(|one| format!("{} {}", one.name(), one.digest().short()));
                let each = each.collect::<Vec<String>>().join(", ");
                format!("reloaded  {each}: for requests that are accepted from now on")
            }
            AdmissionEvent::DataflowsKept { error } => {
                let line = format!("NOT RELOADED: {error}");
                return self.say(&PrintableLines::of(line).line(format_args!("  {GO_ON}")));
            }
            AdmissionEvent::Told { text, .. } => (*text).to_owned(),
        };
        self.say_line(text);
    }
}

/// The effect of a refusal of new dataflows.
pub const GO_ON: &str = "the dataflows and rules of before go on";

/// All runs of a step that failed for the same reason.
struct FaultGroup<'a> {
    step: &'a str,
    /// The names of the items, the first of them.
    items: Vec<&'a str>,
    count: usize,
    reason: &'a str,
    remedy: &'a str,
}

/// The number of items with the same fault that are named; further ones are counted.
const ITEMS_NAMED_MAX: usize = 3;

fn fault_groups(response: &Response) -> Vec<FaultGroup<'_>> {
    let mut groups: Vec<FaultGroup> = Vec::new();
    let mut places: HashMap<(&str, &str), usize> = HashMap::new();
    for (report, fault) in response.faults() {
        let place = *places.entry((&report.step, &fault.reason)).or_insert(groups.len());
        if place == groups.len() {
            let (step, reason, remedy) = (&report.step, &fault.reason, &fault.remedy);
            groups.push(FaultGroup { step, items: Vec::new(), count: 0, reason, remedy });
        }
        let group = &mut groups[place];
        group.count += usize::from(report.item.is_some());
        group.items.extend(report.item.as_deref().filter(|_| group.count <= ITEMS_NAMED_MAX));
    }
    groups
}

/// The steps that were skipped without any fault, and the number of further steps that needed them.
fn not_run(response: &Response) -> Option<String> {
    let because = |report: &StepReport| match &report.outcome {
        Outcome::Skipped { because: OutcomeReason::SwitchedOff } => {
            Some(format!("{} is switched off", report.step))
        }
        Outcome::Skipped { because: OutcomeReason::Condition { condition } } => {
            Some(format!("{} runs only when {condition}", report.step))
        }
        _ => None,
    };
    let causes: Vec<String> = response.steps.iter().filter_map(because).collect();
    let behind = |report: &&StepReport| {
        matches!(&report.outcome, Outcome::Skipped { because: OutcomeReason::NeedSkipped { .. } })
    };
    match (causes.is_empty(), response.steps.iter().filter(behind).count()) {
        (true, _) => None,
        (false, 0) => Some(causes.join(", ")),
        (false, others) => Some(format!("{}, and {others} steps that need it", causes.join(", "))),
    }
}

fn style() -> ProgressStyle {
    let template = "{spinner} {prefix}  {bar:24} {msg}  {elapsed}";
    ProgressStyle::with_template(template).expect("the template is a constant").progress_chars("━━─")
}
