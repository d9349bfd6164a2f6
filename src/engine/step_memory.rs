//! What is remembered of requests of which single steps run in another process, on both sides.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::step::{CallAnswers, Digest, Request};

use super::answered_questions::KeptRun;
use super::memory::{MemoryKey, NO_PANIC, RequestMemories, RequestMemory};
use super::remote_request::RemoteRequestKey;

impl RequestMemories {
    /// Begins to remember a request of which this process runs a step, with the answers to calls of it. Each call is
    /// ended by one of [`RequestMemories::close_step`].
    pub fn open_for_step(&self, key: &RemoteRequestKey, runs: Vec<KeptRun>) {
        let mut open = self.lock();
        let new = || Arc::new(RequestMemory::new(key.number, BTreeMap::new()));
        let memory = open.entry(key.memory()).or_insert_with(new);
        *memory.steps.lock().expect(NO_PANIC) += 1;
        let mut elsewhere = memory.elsewhere.lock().expect(NO_PANIC);
        elsewhere.extend(runs.into_iter().map(|(record, content)| (record.key, (record, content))));
    }

    /// Ends one [`RequestMemories::open_for_step`].
    pub fn close_step(&self, key: &RemoteRequestKey) {
        let mut open = self.lock();
        let Some(memory) = open.get(&key.memory()) else { return };
        let mut steps = memory.steps.lock().expect(NO_PANIC);
        *steps -= 1;
        let is_over = *steps == 0;
        drop(steps);
        if is_over {
            open.remove(&key.memory());
        }
    }

    /// The key of a request for other processes, if its runs are recorded.
    pub fn remote_key(&self, memory: MemoryKey) -> Option<RemoteRequestKey> {
        Some(memory.at(self.of(memory).filter(|_| self.keeps())?.number))
    }

    /// The recorded answers to calls of these steps of a request.
    pub fn answers_of(&self, memory: MemoryKey, steps: &[&str]) -> Vec<KeptRun> {
        let Some(memory) = self.of(memory) else { return Vec::new() };
        let is_one = |(record, _): &&KeptRun| {
            let is_call = || record.outputs.iter().any(|output| output.name == CallAnswers::OUTPUT);
            steps.contains(&record.step.as_str()) && is_call()
        };
        let elsewhere = memory.elsewhere.lock().expect(NO_PANIC);
        memory.runs.values().chain(elsewhere.values()).filter(is_one).cloned().collect()
    }

    /// The file of an item of a request that is remembered, by the item's digest.
    pub fn path_of(&self, memory: MemoryKey, request: &Request, digest: Digest) -> Option<PathBuf> {
        self.of(memory)?.path_of(request, digest)
    }
}
