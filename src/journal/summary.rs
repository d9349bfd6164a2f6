//! Records without their values: what views over many requests are made of.

use crate::step::{Digest, Outcome};

use super::arrival::RequestArrival;
use super::entry::{JournalEntry, RunRecord};
use super::general_reason::general_fault;
use super::operator_request::OperatorRequest;
use super::row::AnswerKind;

/// A record of a request, without its values.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordSummary {
    /// The number of the request.
    pub request: i64,
    /// Milliseconds of Unix time.
    pub time_ms: i64,
    pub meaning: RecordMeaning,
}

/// The meaning of a record for views.
#[derive(Clone, Debug, PartialEq)]
pub enum RecordMeaning {
    Accepted(AcceptedSummary),
    TakenUp,
    Began,
    Ran(RunSummary),
    Interim,
    Responded(AnswerKind),
    /// The state at a destination after a try; the detail is there if the delivery is not complete.
    Delivered {
        destination: String,
        detail: Option<serde_json::Value>,
    },
    Undelivered,
    Answered,
    Cancelled,
    Retried,
    /// Any other record.
    Other,
}

/// An accepted request.
#[derive(Clone, Debug, PartialEq)]
pub struct AcceptedSummary {
    pub id: Digest,
    pub dataflow: String,
    pub version: Digest,
    /// The name of the source, for example `dicom`.
    pub source: String,
    /// The number of items: a step may run for each.
    pub items: usize,
}

/// The end of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct RunSummary {
    pub step: String,
    pub item: Option<usize>,
    pub took_us: u64,
    /// Kind and reason in general words, if it failed.
    pub fault: Option<(&'static str, String)>,
}

/// The source of a request that names none.
const NO_SOURCE: &str = "other";

impl RecordMeaning {
    pub fn of(entry: &JournalEntry) -> RecordMeaning {
        match entry {
            JournalEntry::Accepted { request, dataflow, version, .. } => {
                let (id, items) = (request.id, request.items.len());
                let source = source(request.attribute("source"));
                let dataflow = dataflow.clone();
                RecordMeaning::Accepted(AcceptedSummary { id, dataflow, version: *version, source, items })
            }
            JournalEntry::TakenUp => RecordMeaning::TakenUp,
            JournalEntry::Began => RecordMeaning::Began,
            JournalEntry::Run(run) => RecordMeaning::Ran(RunSummary::of(run)),
            JournalEntry::Interim { .. } => RecordMeaning::Interim,
            JournalEntry::Responded { response } => {
                RecordMeaning::Responded(AnswerKind::of(response.verdict))
            }
            JournalEntry::Delivered { destination, complete, detail, .. } => RecordMeaning::Delivered {
                destination: destination.clone(),
                detail: (!complete).then(|| detail.clone()),
            },
            JournalEntry::Undelivered => RecordMeaning::Undelivered,
            JournalEntry::Answered => RecordMeaning::Answered,
            JournalEntry::Asked { what, .. } => match OperatorRequest::named(what) {
                Some(OperatorRequest::Cancel) => RecordMeaning::Cancelled,
                Some(OperatorRequest::Retry) => RecordMeaning::Retried,
                Some(
                    OperatorRequest::Keep
                    | OperatorRequest::Release
                    | OperatorRequest::Hurry
                    | OperatorRequest::Replay,
                )
                | None => RecordMeaning::Other,
            },
            JournalEntry::Sent { .. } | JournalEntry::Late { .. } => RecordMeaning::Other,
        }
    }

    pub(super) fn accepted(arrival: &RequestArrival) -> RecordMeaning {
        let RequestArrival { request, dataflow, version, .. } = arrival;
        let (id, items) = (request.id, request.items.len());
        let source = source(request.attribute("source"));
        let (dataflow, version) = (dataflow.clone(), *version);
        RecordMeaning::Accepted(AcceptedSummary { id, dataflow, version, source, items })
    }

    /// Whether the request needs a further response after this record.
    pub fn opens(&self) -> bool {
        matches!(self, RecordMeaning::Accepted(_) | RecordMeaning::Retried)
    }
}

impl RunSummary {
    fn of(run: &RunRecord) -> RunSummary {
        let fault = match &run.outcome {
            Outcome::Failed(fault) => Some((fault.kind.name(), general_fault(fault))),
            Outcome::Done | Outcome::Skipped { .. } => None,
        };
        RunSummary { step: run.step.clone(), item: run.item, took_us: run.took_us, fault }
    }
}

fn source(name: &str) -> String {
    if name.is_empty() { NO_SOURCE.to_owned() } else { name.to_owned() }
}
