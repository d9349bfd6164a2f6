//! A recording made from a replay, for a request that was never recorded in its present form.

use std::collections::BTreeMap;

use crate::dataflow::response::files_at;
use crate::step::{Digest, Outcome, Payload, ResponseFile, ResponseFiles, Value};

use super::again::ReplayedRun;
use super::{PastRequest, RecordingForm, RecordingOutput, RecordingRun, ReplayResult, RequestRecording};

/// Limit of the size of a stored value, in bytes. Larger values are computed again when needed.
const VALUE_BYTES_MAX: usize = 64 << 10;

impl ReplayResult {
    /// The recording of `past`, with its results replaced by those of this replay.
    pub fn into_past(self, past: &PastRequest) -> PastRequest {
        let mut bytes = BTreeMap::new();
        let mut keep = |kept: &[u8]| {
            let digest = Digest::of(kept);
            bytes.entry(digest).or_insert_with(|| kept.to_vec());
            digest
        };
        self.files.iter().for_each(|file| _ = keep(&file.bytes));
        let runs = self.runs.iter().map(|ran| run(ran, &mut keep)).collect();
        let recording = RequestRecording { runs, response: Some(self.response), ..past.recording.clone() };
        PastRequest::new(recording, move |digest| bytes.get(&digest).cloned())
    }
}

fn run(ran: &ReplayedRun, keep: &mut impl FnMut(&[u8]) -> Digest) -> RecordingRun {
    let (outcome, outputs) = match &ran.result {
        Ok(outputs) => {
            (Outcome::Done, outputs.iter().map(|(name, value)| output(name, value, keep)).collect())
        }
        Err(fault) => (Outcome::Failed(fault.clone()), Vec::new()),
    };
    RecordingRun {
        step: ran.step.clone(),
        item: ran.item,
        key: ran.depends.key,
        version: ran.depends.version,
        inputs: ran.depends.inputs.clone(),
        outcome,
        took_us: u64::try_from(ran.took.as_micros()).unwrap_or(u64::MAX),
        place: None,
        batches: Vec::new(),
        logs: Vec::new(),
        outputs,
    }
}

fn output(name: &str, value: &Value, keep: &mut impl FnMut(&[u8]) -> Digest) -> RecordingOutput {
    let kept = if value.kind() == ResponseFiles::TYPE {
        let files = files_at(value);
        files.iter().for_each(|file| _ = keep(&file.bytes));
        RecordingForm::Files(files.iter().map(ResponseFile::artifact).collect())
    } else {
        match value.to_bytes() {
            form if form.len() <= VALUE_BYTES_MAX => {
                RecordingForm::Form { digest: keep(&form), size: form.len() as u64 }
            }
            _ => RecordingForm::No,
        }
    };
    RecordingOutput { name: name.to_owned(), digest: value.digest(), kept }
}
