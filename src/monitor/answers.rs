//! The answers of the JSON API as types: what is served, and what its OpenAPI document is made of.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

use crate::admission::PauseRecord;
use crate::cluster::{MissingPlace, ProcessStanding};
use crate::journal::{AnswerKind, JournalError, JournalReader, RequestRow, RequestState};
use crate::ledger::{DestinationSummary, LedgerSnapshot, WaitingRequest};
use crate::step::{Artifact, Digest};

use super::graph::GraphStep;
use super::site::NameDisplay;

/// The views at one moment, with what the page shows beside them.
#[derive(Serialize, JsonSchema)]
pub struct Overview<'a> {
    pub snapshot: &'a LedgerSnapshot,
    /// Whether the journal has been read; otherwise requests may be missing.
    pub is_complete: bool,
    /// Names of the requests in `waiting` and `oldest`, by their numbers.
    pub names: BTreeMap<String, String>,
    /// Free bytes on the disk of the state folder.
    pub free_bytes: u64,
    /// With fewer, no request is accepted.
    pub free_bytes_min: u64,
    /// The state folder.
    pub state: String,
    /// The studies that are being received now.
    pub receiving: Vec<ReceivingStudy>,
    /// The destinations on this machine, as the folder of responses, with the tries since flow was started.
    pub local: Vec<DestinationSummary>,
    /// The processes, where there are several.
    pub processes: Vec<ProcessStanding>,
    /// The places that steps wait for, and no process has.
    pub missing: Vec<MissingPlace>,
    /// What operators have paused, in the order in which they did.
    pub paused: Vec<PauseRecord>,
}

/// A study that is being received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ReceivingStudy {
    pub study_instance_uid: String,
    pub instances: usize,
}

/// Requests, the last accepted first.
#[derive(Serialize, JsonSchema)]
pub struct RequestList {
    pub requests: Vec<RequestSummary>,
}

/// A request in a list.
#[derive(Serialize, JsonSchema)]
pub struct RequestSummary {
    pub number: i64,
    /// Its name, or its number in words where names are hidden.
    pub name: String,
    pub dataflow: String,
    pub state: RequestState,
    /// The kind of its last response.
    pub answer: AnswerKind,
    /// Whether its last response is an error response.
    pub failed: bool,
    /// Whether that says that an operator has ended it.
    pub cancelled: bool,
    /// Whether an operator has asked to keep it.
    pub kept: bool,
    /// Bytes of its received files and results.
    pub bytes: u64,
    /// Milliseconds of Unix time.
    pub accepted_ms: i64,
    /// The time of its last record, in milliseconds of Unix time.
    pub changed_ms: i64,
    /// The digest of its items.
    pub id: Digest,
}

/// All that is known of a request.
#[derive(Serialize, JsonSchema)]
pub struct ServedRequest {
    pub request: RequestSummary,
    /// What it waits for.
    pub waits: Vec<WaitingRequest>,
    /// Its steps; null where its dataflow is not known to this program.
    pub graph: Option<Vec<GraphStep>>,
    /// The files of its last response; none where names are hidden.
    pub files: Vec<Artifact>,
    pub records: Vec<ServedRecord>,
}

/// A record of the journal.
#[derive(Serialize, JsonSchema)]
pub struct ServedRecord {
    /// Milliseconds of Unix time.
    pub time_ms: i64,
    /// `accepted`, `began`, `run`, `responded`, `delivered`, `answered` and others.
    pub kind: &'static str,
    /// What the record says; its keys depend on the kind.
    pub what: Value,
}

/// Whether requests are accepted now.
#[derive(Serialize, JsonSchema)]
pub struct Readiness {
    pub ready: bool,
    /// Why not.
    pub reasons: Vec<&'static str>,
    /// Free bytes on the disk of the state folder.
    pub free_bytes: u64,
    /// The commit of the journal at which the views stand.
    pub commit: i64,
    /// The time at which the oldest unanswered request was accepted, in milliseconds of Unix time.
    pub oldest_unanswered_ms: Option<i64>,
}

/// An action that was noted: the running flow sees it at once.
#[derive(Serialize, JsonSchema)]
pub struct ActionNoted {
    pub noted: &'static str,
}

/// The reason why there is no other answer.
#[derive(Serialize, JsonSchema)]
pub struct RefusalReason<'a> {
    pub error: &'a str,
    /// Its code, if it is one of a fixed set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
}

impl RequestSummary {
    /// # Errors
    /// If the records of a request that an operator may have ended cannot be read.
    pub fn of(
        row: &RequestRow,
        reader: &JournalReader,
        names: NameDisplay,
    ) -> Result<RequestSummary, JournalError> {
        Ok(RequestSummary {
            number: row.number,
            name: shown_name(row, names),
            dataflow: row.dataflow.clone(),
            state: row.state,
            answer: row.answer,
            failed: row.answer == AnswerKind::Failed,
            cancelled: reader.is_ended_by_operator(row)?,
            kept: row.kept,
            bytes: row.bytes,
            accepted_ms: row.accepted_ms,
            changed_ms: row.changed_ms,
            id: row.id,
        })
    }
}

/// The name of a request, or its number where names are hidden.
pub fn shown_name(row: &RequestRow, names: NameDisplay) -> String {
    match names {
        NameDisplay::Shown => row.name.clone(),
        NameDisplay::Hidden => format!("request {}", row.number),
    }
}
