//! Records of the journal. They are JSON with stable names: later versions must read them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::dataflow::Response;
use crate::step::{Artifact, CallAnswers, Digest, FaultKind, Outcome, Request};

use super::arrival::RequestArrival;
use super::operator_request::OperatorRequest;

/// One record of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "entry")]
pub enum JournalEntry {
    Accepted {
        request: Request,
        dataflow: String,
        version: Digest,
        /// The digest of the program that was to run it.
        program: Digest,
        /// The earlier request about the same subject that this one supersedes.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        supersedes: Option<Digest>,
    },
    /// A process has started, found the request unanswered and resumed it.
    TakenUp,
    /// The request has got a lane, in which its steps run.
    Began,
    /// A step has ended for the request, or for one of its items.
    Run(RunRecord),
    /// The deadline has passed, and an interim response is being delivered. The final one follows.
    Interim { response: Response },
    /// The final response is made. After a crash this response is delivered, and no other is made.
    Responded { response: Response },
    /// A destination's answer to one file of the response, or the result of verifying that file later.
    Sent { destination: String, response: Digest, detail: serde_json::Value },
    /// The state of the delivery to one destination after a try.
    Delivered {
        destination: String,
        complete: bool,
        /// The digest of the response; without one, it is the last that was made before.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        response: Option<Digest>,
        detail: serde_json::Value,
    },
    /// Delivery has ended for now; not every destination has everything.
    Undelivered,
    /// The request is answered: nothing is left to do.
    Answered,
    /// Items that came after the request was answered, and that the dataflow ignores.
    Late { items: Vec<String> },
    /// An operator request, by its name.
    Asked {
        what: String,
        /// The person or program that asked.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        who: Option<String>,
    },
}

/// [`JournalEntry::Accepted`] as it is written, without a copy of the request.
#[derive(Serialize)]
pub(super) struct AcceptedForm<'a> {
    entry: &'static str,
    request: &'a Request,
    dataflow: &'a str,
    version: Digest,
    program: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    supersedes: Option<Digest>,
}

impl AcceptedForm<'_> {
    pub const KIND: &'static str = "accepted";

    pub fn of(arrival: &RequestArrival) -> AcceptedForm<'_> {
        let RequestArrival { request, dataflow, version, program, lookup_texts: _ } = arrival;
        AcceptedForm {
            entry: AcceptedForm::KIND,
            request,
            dataflow,
            version: *version,
            program: *program,
            supersedes: request.supersedes,
        }
    }
}

impl JournalEntry {
    pub fn is_retry(&self) -> bool {
        matches!(self, JournalEntry::Asked { what, .. } if what == OperatorRequest::Retry.name())
    }

    /// Whether the request needs a further response after this entry.
    pub fn opens(&self) -> bool {
        matches!(self, JournalEntry::Accepted { .. }) || self.is_retry()
    }

    /// The name of the entry in the column `kind`.
    pub fn kind(&self) -> &'static str {
        match self {
            JournalEntry::Accepted { .. } => "accepted",
            JournalEntry::TakenUp => "taken_up",
            JournalEntry::Began => "began",
            JournalEntry::Run(_) => "run",
            JournalEntry::Interim { .. } => "interim",
            JournalEntry::Responded { .. } => "responded",
            JournalEntry::Sent { .. } => "sent",
            JournalEntry::Delivered { .. } => "delivered",
            JournalEntry::Undelivered => "undelivered",
            JournalEntry::Answered => "answered",
            JournalEntry::Late { .. } => "late",
            JournalEntry::Asked { .. } => "asked",
        }
    }
}

/// The end of one run of a step, with its inputs and outputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The step's name in the dataflow.
    pub step: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub item: Option<usize>,
    /// The digest of everything that the outputs depend on: step, version, parameters, inputs, and the
    /// request's identity for a step that makes identifiers.
    pub key: Digest,
    pub version: u32,
    /// The digest at each input; one digest for all values of an input that takes one per item.
    pub inputs: BTreeMap<String, Digest>,
    #[serde(flatten)]
    pub outcome: Outcome,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub outputs: Vec<OutputRecord>,
    /// The kind of the first step's fault, if it is the run of steps that a stream connects and some of them failed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lacking: Option<FaultKind>,
    pub took_us: u64,
    /// The process of a cluster that ran it; absent where flow is alone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub place: Option<RunPlace>,
    /// Batches of it that other processes worked on, if it is the run of steps that a stream connects.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub batches: Vec<BatchPlace>,
    /// The logs of faults in it, if it is the run of steps that a stream connects.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub logs: Vec<ItemLogRecord>,
}

/// The log of a fault of a step in a stream. The store has it as long as the request is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemLogRecord {
    /// The step's name in the dataflow.
    pub step: String,
    /// The place of the item in its stream; absent for the fault of the step as a whole.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub item: Option<String>,
    pub digest: Digest,
}

impl RunRecord {
    /// Whether nothing of it failed.
    pub fn is_whole(&self) -> bool {
        self.outcome == Outcome::Done && self.lacking.is_none()
    }

    /// Whether these are the answers to a call about a batch.
    pub fn has_answers(&self) -> bool {
        self.outputs.iter().any(|output| output.name == CallAnswers::OUTPUT)
    }
}

/// Batches of a step in a stream that another process of a cluster worked on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchPlace {
    /// The step's name in the dataflow.
    pub step: String,
    /// The index of the process.
    pub process: usize,
    /// Their number.
    pub batches: u64,
    /// The bytes that were brought there.
    pub taken: u64,
    /// The bytes that were brought back.
    pub given: u64,
}

/// The process of a cluster that ran a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunPlace {
    /// Its index.
    pub process: usize,
    /// The bytes of its inputs that were brought there; 0 where the whole request ran there.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub taken: u64,
    /// The bytes of its outputs that were brought back; 0 where the whole request ran there.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub given: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(bytes: &u64) -> bool {
    *bytes == 0
}

impl RunPlace {
    /// The process of a whole request.
    pub fn of(process: usize) -> RunPlace {
        RunPlace { process, taken: 0, given: 0 }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputRecord {
    pub name: String,
    /// The digest of the value: see [`crate::step::Value::digest`].
    pub digest: Digest,
    pub kept: ValuePlace,
}

/// The place of a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValuePlace {
    /// Not kept: the value is computed again when it is needed.
    No,
    /// In the record's content, where the values follow each other in the order of the outputs.
    Here { bytes: usize },
    /// In the store, under the digest of its serialized form.
    Stored { form: Digest },
    /// Files of the value, all of them in the store.
    Files { artifacts: Vec<Artifact> },
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::step::Item;

    #[test]
    fn an_accepted_request_is_written_as_the_entry_is_read() {
        let mut request = Request::new("a", Default::default(), vec![Item::inline("a", *b"a")]);
        for supersedes in [None, Some(Digest::of(b"earlier"))] {
            request.supersedes = supersedes;
            let (version, program) = (Digest::of(b"version"), Digest::of(b"program"));
            let arrival = RequestArrival {
                request: Arc::new(request.clone()),
                dataflow: "test".to_owned(),
                version,
                program,
                lookup_texts: Vec::new(),
            };
            let entry = JournalEntry::Accepted {
                request: request.clone(),
                dataflow: "test".to_owned(),
                version,
                program,
                supersedes,
            };
            let written = serde_json::to_string(&AcceptedForm::of(&arrival)).unwrap();
            assert_eq!(written, serde_json::to_string(&entry).unwrap());
            assert_eq!(entry.kind(), AcceptedForm::KIND);
        }
    }
}
