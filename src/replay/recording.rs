//! A past request with all that was recorded of it: enough to run it again on another machine, and
//! to compare.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::dataflow::Response;
use crate::step::{Artifact, Digest, File, Outcome, Request};

/// What was recorded, without the bytes: those are found by their digests. Its form is JSON, with names
/// that stay: later versions must read it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recording {
    /// The version of flow that recorded it.
    pub flow: String,
    pub request: Request,
    pub dataflow: DataflowText,
    /// In the order in which they ended.
    pub runs: Vec<Run>,
    /// Absent while the request is in work.
    pub response: Option<Response>,
}

/// The dataflow that the request went through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataflowText {
    pub name: String,
    pub version: Digest,
    /// The file, as it was.
    pub text: String,
}

/// One run of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The step's name in the dataflow.
    pub step: String,
    /// For a step that runs per item: which.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub item: Option<usize>,
    /// The digest of all that its outputs depend on.
    pub key: Digest,
    /// Of the step.
    pub version: u32,
    /// The digest at each input; of all values together where it takes one per item.
    pub inputs: BTreeMap<String, Digest>,
    pub outcome: Outcome,
    pub took_us: u64,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub outputs: Vec<Output>,
}

/// What a run gave at one of its outputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    pub name: String,
    /// Of the value.
    pub digest: Digest,
    pub kept: Kept,
}

/// What there is of a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// Nothing: it is made again when it is wanted.
    No,
    /// Its form on disk, CBOR.
    Form { digest: Digest, size: u64 },
    /// The files it consists of.
    Files(Vec<Artifact>),
}

/// Bytes that belong to a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Where they stand in an archive.
    pub path: String,
    pub size: u64,
}

impl Recording {
    /// All bytes that belong to it, each once. The files of the response go by their names, so that a
    /// person finds them; everything else goes by its digest.
    pub fn contents(&self) -> BTreeMap<Digest, Content> {
        let mut contents = BTreeMap::new();
        let mut add = |path: String, digest: Digest, size: u64| {
            contents.entry(digest).or_insert(Content { path, size });
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
                Kept::No => {}
                Kept::Form { digest, size } => add(format!("values/{digest}"), *digest, *size),
                Kept::Files(artifacts) => artifacts.iter().for_each(|artifact| {
                    add(file(artifact), artifact.digest, artifact.size);
                }),
            }
        }
        contents
    }

    /// The first of the names in it that could not be that of a file.
    pub fn misnamed(&self) -> Option<&str> {
        let files = self.response.iter().flat_map(|response| &response.files);
        files.map(|artifact| artifact.name.as_str()).find(|name| !File::fits_as_name(name))
    }
}

/// A longer path does not fit into the head of a file in an archive.
const PATH_BYTES_MAX: usize = 100;

fn file(artifact: &Artifact) -> String {
    format!("files/{}", artifact.digest)
}
