//! One run of a step, with all that belongs to it off the worker's thread: the step itself, its
//! files into the store, and word to the observer.

use std::sync::Arc;
use std::time::Instant;

use crate::dataflow::Dataflow;
use crate::dataflow::perform::{broken, guarded};
use crate::dataflow::response::files_at;
use crate::step::{Artifact, Fault, File, Inputs, Outcome, Outputs, Request};
use crate::store::{Store, StoreError};

use super::event::{Event, Observer, tell};
use super::memory::{Memories, Run};

/// The files of a run that belong to the response, by output.
pub type Delivered = Vec<(&'static str, Vec<Artifact>)>;

/// How a run ended.
pub struct Ended {
    pub item: Option<usize>,
    pub outcome: Outcome,
    pub outputs: Option<Outputs>,
    pub files: Delivered,
}

impl Ended {
    pub fn not_run(item: Option<usize>, outcome: Outcome) -> Ended {
        Ended { item, outcome, outputs: None, files: Vec::new() }
    }
}

/// What a run needs to know of its surroundings.
pub struct Work {
    pub dataflow: Arc<Dataflow>,
    pub store: Arc<Store>,
    pub memories: Memories,
    pub observer: Arc<dyn Observer>,
}

impl Work {
    /// Runs a step. Whatever happens, there is an end to report: else the epoch would never end.
    pub fn perform(&self, index: usize, request: &Request, item: Option<usize>, inputs: Inputs) -> Ended {
        let ended = guarded(|| {
            let ended = self.attempt(index, request, item, &inputs);
            // Before others see the outputs: the next step wants the memory.
            drop(inputs);
            ended
        });
        ended.unwrap_or_else(|panic| Ended::not_run(item, Outcome::Failed(broken(&panic))))
    }

    fn attempt(&self, index: usize, request: &Request, item: Option<usize>, inputs: &Inputs) -> Ended {
        let node = &self.dataflow.nodes[index];
        let began = Instant::now();
        tell(&*self.observer, &Event::Started { request, step: &node.name });
        let kept = self.remembered(index, request, item, inputs);
        let failed = kept.is_err();
        tell(&*self.observer, &Event::Ended { request, step: &node.name, took: began.elapsed(), failed });
        match kept {
            Ok((outputs, files)) => Ended { item, outcome: Outcome::Done, outputs: Some(outputs), files },
            Err(fault) => Ended::not_run(item, Outcome::Failed(fault)),
        }
    }

    /// What the run gave before, where it is recorded; else it is performed, and recorded.
    fn remembered(
        &self,
        index: usize,
        request: &Request,
        item: Option<usize>,
        inputs: &Inputs,
    ) -> Result<(Outputs, Delivered), Fault> {
        let node = &self.dataflow.nodes[index];
        if !self.memories.remembers(request.id) {
            return self.performed(index, request, inputs);
        }
        let key = node.key(self.dataflow.digest, request.id, inputs);
        let run = Run { node, request, item, inputs, key };
        if let Some(recalled) = self.memories.recall(&run) {
            let outputs = recalled?;
            let files = self.keep(index, request, &outputs)?;
            return Ok((outputs, files));
        }
        let began = Instant::now();
        let performed = self.performed(index, request, inputs);
        let result = performed.as_ref().map(|(outputs, _)| outputs);
        self.memories.note(&run, result, began.elapsed()).map_err(not_kept)?;
        performed
    }

    fn performed(
        &self,
        index: usize,
        request: &Request,
        inputs: &Inputs,
    ) -> Result<(Outputs, Delivered), Fault> {
        let outputs = self.dataflow.nodes[index].perform(self.dataflow.digest, request.id, inputs)?;
        let files = self.keep(index, request, &outputs)?;
        Ok((outputs, files))
    }

    fn keep(&self, index: usize, request: &Request, outputs: &Outputs) -> Result<Delivered, Fault> {
        let delivered = outputs.iter().filter(|(name, _)| self.dataflow.delivers(index, name));
        let kept = delivered.map(|(name, value)| {
            let artifacts = files_at(value).iter().map(|file| self.keep_file(request, file));
            Ok((name, artifacts.collect::<Result<Vec<_>, StoreError>>().map_err(not_kept)?))
        });
        kept.collect()
    }

    fn keep_file(&self, request: &Request, file: &File) -> Result<Artifact, StoreError> {
        let artifact = file.artifact();
        self.store.put(request.id, artifact.digest, &file.bytes)?;
        Ok(artifact)
    }
}

fn not_kept(error: StoreError) -> Fault {
    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
    Fault::new(
        format!("its result could not be kept: {error}{cause}"),
        "Make room on the disk of --state or give another folder, and send the request again.",
    )
}
