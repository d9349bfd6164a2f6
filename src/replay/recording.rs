//! The recording of a request: all data needed to run it again on another machine and compare the
//! results.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::dataflow::Response;
use crate::journal::{BatchPlace, RunPlace};
use crate::step::{Artifact, CallAnswers, Digest, Outcome, Request, ResponseFile};

/// The recording without the bytes, which are found by their digests. The form is JSON with stable names:
/// later versions must read it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequestRecording {
    /// The version of flow that made the recording.
    pub flow: String,
    pub request: Request,
    pub dataflow: DataflowText,
    /// The runs in the order in which they ended.
    pub runs: Vec<RecordingRun>,
    /// Absent while the request is in work.
    pub response: Option<Response>,
}

/// The dataflow of the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataflowText {
    pub name: String,
    pub version: Digest,
    /// The text of the dataflow file.
    pub text: String,
}

/// One run of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordingRun {
    /// The step's name in the dataflow.
    pub step: String,
    /// The index of the item, for a step that runs per item.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub item: Option<usize>,
    /// The digest of all dependencies of the outputs.
    pub key: Digest,
    /// The version of the step.
    pub version: u32,
    /// The digest at each input; one digest for all values of an input that takes one per item.
    pub inputs: BTreeMap<String, Digest>,
    pub outcome: Outcome,
    pub took_us: u64,
    /// The process of a cluster that ran it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub place: Option<RunPlace>,
    /// Batches of it that other processes worked on, if it is the run of steps that a stream connects.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub batches: Vec<BatchPlace>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub outputs: Vec<RecordingOutput>,
    /// The logs of faults in it, if it is the run of steps that a stream connects.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub logs: Vec<RecordingLog>,
}

/// The log of a fault of a step in a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingLog {
    /// The step's name in the dataflow.
    pub step: String,
    /// The place of the item in its stream; absent for the fault of the step as a whole.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub item: Option<String>,
    pub digest: Digest,
    pub size: u64,
}

/// The result at one output of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingOutput {
    pub name: String,
    /// The digest of the value.
    pub digest: Digest,
    pub kept: RecordingForm,
}

/// The stored form of a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordingForm {
    /// The value is not stored; it is computed again when needed.
    No,
    /// The value as CBOR.
    Form { digest: Digest, size: u64 },
    /// The files of the value.
    Files(Vec<Artifact>),
}

/// Bytes that are part of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingContent {
    /// The path in an archive.
    pub path: String,
    pub size: u64,
}

impl RecordingRun {
    /// Whether it is not a run of its own, but the answers to a call that one made.
    pub fn is_call(&self) -> bool {
        self.outputs.iter().any(|output| output.name == CallAnswers::OUTPUT)
    }
}

impl RequestRecording {
    /// All contents of the recording, each once. Files of the response are listed by name for human readers,
    /// all other contents by digest.
    pub fn contents(&self) -> BTreeMap<Digest, RecordingContent> {
        let mut contents = BTreeMap::new();
        let mut add = |path: String, digest: Digest, size: u64| {
            contents.entry(digest).or_insert(RecordingContent { path, size });
        };
        for item in &self.request.items {
            add(format!("items/{}", item.digest), item.digest, item.size);
        }
        for artifact in self.response.iter().flat_map(|response| &response.files) {
            let named = format!("response/{}", artifact.name);
            let path = if named.len() <= PATH_BYTES_MAX { named } else { file(artifact) };
            add(path, artifact.digest, artifact.size);
        }
        for output in self.runs.iter().flat_map(|run| &run.outputs) {
            match &output.kept {
                RecordingForm::No => {}
                RecordingForm::Form { digest, size } => add(format!("values/{digest}"), *digest, *size),
                RecordingForm::Files(artifacts) => artifacts.iter().for_each(|artifact| {
                    add(file(artifact), artifact.digest, artifact.size);
                }),
            }
        }
        for RecordingLog { digest, size, .. } in self.runs.iter().flat_map(|run| &run.logs) {
            add(format!("values/{digest}"), *digest, *size);
        }
        contents
    }

    /// The first name that is no valid file name.
    pub fn misnamed(&self) -> Option<&str> {
        let files = self.response.iter().flat_map(|response| &response.files);
        files.map(|artifact| artifact.name.as_str()).find(|name| !ResponseFile::fits_as_name(name))
    }
}

/// Limit of the length of a path in the head of a file in an archive.
const PATH_BYTES_MAX: usize = 100;

fn file(artifact: &Artifact) -> String {
    format!("files/{}", artifact.digest)
}
