//! The history of a request as the spans of one trace.

use std::collections::BTreeMap;

use crate::journal::{JournalEntry, RequestHistory, RunRecord, general_fault};
use crate::step::{Digest, Outcome};

/// The trace of one answer to a request: a retry by an operator begins another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestTrace {
    pub id: [u8; 16],
    /// The span of the request first; all others are its children.
    pub spans: Vec<TraceSpan>,
}

/// Something that took time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceSpan {
    pub id: [u8; 8],
    pub parent: Option<[u8; 8]>,
    pub name: String,
    pub kind: SpanKind,
    /// Nanoseconds of Unix time. The journal has milliseconds, the time of a run has microseconds.
    pub start_ns: u64,
    pub end_ns: u64,
    pub attributes: Vec<(&'static str, SpanAttribute)>,
    /// The reason in general words, if it failed.
    pub error: Option<String>,
}

/// The role of a span between services, with its number in OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    Internal = 1,
    Server = 2,
    Client = 3,
}

/// A value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpanAttribute {
    Text(String),
    Number(i64),
}

/// The largest number of spans in a trace: a study may have thousands of items, and a step that runs for each.
const SPANS_MAX: usize = 1_000;

impl RequestTrace {
    /// The trace of the last answer; `None` while the request is not answered.
    pub fn of(history: &RequestHistory) -> Option<RequestTrace> {
        let opened = history.entries.iter().rposition(|dated| dated.entry.opens())?;
        let entries = &history.entries[opened..];
        let answered = entries.iter().rfind(|dated| matches!(dated.entry, JournalEntry::Answered))?;
        let row = &history.row;
        let ids = SpanIds(Digest::of_parts([
            row.id.as_bytes().as_slice(),
            row.dataflow.as_bytes(),
            &entries[0].time_ms.to_le_bytes(),
        ]));
        let root = TraceSpan {
            id: ids.span("request"),
            parent: None,
            name: row.dataflow.clone(),
            kind: SpanKind::Server,
            start_ns: nanoseconds(entries[0].time_ms),
            end_ns: nanoseconds(answered.time_ms),
            attributes: vec![
                ("flow.request", SpanAttribute::Number(row.number)),
                ("flow.dataflow", SpanAttribute::Text(row.dataflow.clone())),
                ("flow.answer", SpanAttribute::Text(row.answer.name().to_owned())),
            ],
            error: None,
        };
        let mut trace = TraceDraft { ids, spans: vec![root], deliveries: BTreeMap::new(), left_out: 0 };
        entries.iter().for_each(|dated| trace.add(nanoseconds(dated.time_ms), &dated.entry));
        Some(trace.end())
    }
}

/// The identifiers of a trace and its spans: the same for the same answer.
struct SpanIds(Digest);

impl SpanIds {
    fn trace(&self) -> [u8; 16] {
        first(&self.0)
    }

    fn span(&self, name: &str) -> [u8; 8] {
        first(&Digest::of_parts([self.0.as_bytes().as_slice(), name.as_bytes()]))
    }
}

fn first<const LENGTH: usize>(digest: &Digest) -> [u8; LENGTH] {
    *digest.as_bytes().first_chunk().expect("a digest has 32 bytes")
}

/// A trace while the records of its request are read.
struct TraceDraft {
    ids: SpanIds,
    /// The span of the request, and those that have ended.
    spans: Vec<TraceSpan>,
    /// Deliveries by destination: each try ends the same span later.
    deliveries: BTreeMap<String, TraceSpan>,
    left_out: usize,
}

impl TraceDraft {
    fn add(&mut self, time_ns: u64, entry: &JournalEntry) {
        match entry {
            JournalEntry::Began => {
                let start_ns = self.spans[0].start_ns;
                let wait = self.child("wait for a lane", SpanKind::Internal, start_ns, time_ns);
                self.push(wait);
            }
            JournalEntry::Run(run) => self.run(time_ns, run),
            JournalEntry::Sent { destination, .. } => {
                self.delivery(time_ns, destination);
            }
            JournalEntry::Delivered { destination, complete, .. } => {
                let error = (!complete).then(|| "not everything was delivered".to_owned());
                self.delivery(time_ns, destination).error = error;
            }
            JournalEntry::Responded { response } => {
                let is_error = response.verdict == crate::dataflow::ResponseVerdict::Failed;
                self.spans[0].error = is_error.then(|| "answered with an error response".to_owned());
            }
            JournalEntry::Accepted { .. }
            | JournalEntry::TakenUp
            | JournalEntry::Interim { .. }
            | JournalEntry::Undelivered
            | JournalEntry::Answered
            | JournalEntry::Late { .. }
            | JournalEntry::Asked { .. } => {}
        }
    }

    fn run(&mut self, end_ns: u64, run: &RunRecord) {
        if matches!(run.outcome, Outcome::Skipped { .. }) {
            return;
        }
        let start_ns = end_ns.saturating_sub(run.took_us.saturating_mul(1_000));
        let mut span = self.child(&run.step, SpanKind::Internal, start_ns, end_ns);
        span.attributes.push(("flow.step", SpanAttribute::Text(run.step.clone())));
        if let Some(item) = run.item {
            span.id = self.ids.span(&format!("{} {item}", run.step));
            span.attributes.push(("flow.item", SpanAttribute::Number(item as i64)));
        }
        if let Outcome::Failed(fault) = &run.outcome {
            span.error = Some(general_fault(fault));
        }
        self.push(span);
    }

    /// The span of the deliveries to a destination, which ends now.
    fn delivery(&mut self, end_ns: u64, destination: &str) -> &mut TraceSpan {
        let start_ns = self.spans.iter().map(|span| span.end_ns).max().filter(|&last| last <= end_ns);
        let name = format!("deliver to {destination}");
        let mut span = self.child(&name, SpanKind::Client, start_ns.unwrap_or(end_ns), end_ns);
        span.attributes.push(("flow.destination", SpanAttribute::Text(destination.to_owned())));
        let delivery = self.deliveries.entry(destination.to_owned()).or_insert(span);
        delivery.end_ns = end_ns;
        delivery
    }

    fn child(&self, name: &str, kind: SpanKind, start_ns: u64, end_ns: u64) -> TraceSpan {
        let (id, parent) = (self.ids.span(name), Some(self.spans[0].id));
        TraceSpan {
            id,
            parent,
            name: name.to_owned(),
            kind,
            start_ns,
            end_ns,
            attributes: Vec::new(),
            error: None,
        }
    }

    fn push(&mut self, span: TraceSpan) {
        match self.spans.len() < SPANS_MAX {
            true => self.spans.push(span),
            false => self.left_out += 1,
        }
    }

    fn end(mut self) -> RequestTrace {
        if self.left_out > 0 {
            let left_out = SpanAttribute::Number(self.left_out as i64);
            self.spans[0].attributes.push(("flow.spans_left_out", left_out));
        }
        self.spans.extend(self.deliveries.into_values());
        RequestTrace { id: self.ids.trace(), spans: self.spans }
    }
}

fn nanoseconds(time_ms: i64) -> u64 {
    u64::try_from(time_ms).unwrap_or_default().saturating_mul(1_000_000)
}
