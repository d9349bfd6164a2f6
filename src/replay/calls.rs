//! Calls in a replay: recorded answers stand in for the services, which are not called again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::dataflow::interpret::ReadyRun;
use crate::step::{
    CallAnswers, CallBatch, CallEnvironment, CancelToken, Digest, Fault, FaultKind, UnrecordedCalls,
};

use super::{PastRequest, RecordingForm};

/// The recorded answers of a past request, by the keys of their batches.
pub struct ReplayedCalls(BTreeMap<Digest, Vec<u8>>);

impl ReplayedCalls {
    /// The environment of a run that is replayed.
    pub fn shared(past: &PastRequest, due: &ReadyRun) -> Arc<dyn CallEnvironment> {
        if due.node.section.is_none() {
            return UnrecordedCalls::shared();
        }
        let answers = past.recording.runs.iter().filter_map(|run| {
            let output = run.outputs.iter().find(|output| output.name == CallAnswers::OUTPUT)?;
            match output.kept {
                RecordingForm::Form { digest, .. } => Some((run.key, past.bytes(digest)?)),
                RecordingForm::No | RecordingForm::Files(_) => None,
            }
        });
        Arc::new(ReplayedCalls(answers.collect()))
    }
}

impl CallEnvironment for ReplayedCalls {
    fn recall(&self, batch: &CallBatch) -> Result<Option<Vec<u8>>, Fault> {
        match self.0.get(&batch.key) {
            Some(answers) => Ok(Some(answers.clone())),
            None => Err(Fault::of(
                FaultKind::Storage,
                "the answers to this call are not recorded, and a replay makes no calls",
                "Replay the request with the dataflow and the steps with which it was run.",
            )),
        }
    }

    fn record(&self, _: &CallBatch, _: &[u8], _: Option<&Fault>) -> Result<(), Fault> {
        Ok(())
    }

    fn wait(&self, _: Duration, _: &CancelToken) {}
}
