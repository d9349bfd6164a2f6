//! A request that runs in another process than the first one, and its finished runs on their way back.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::dataflow::{Dataflow, RequestPriority};
use crate::journal::RunRecord;
use crate::step::{Digest, Request};

/// The key of a request in all processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RemoteRequestKey {
    /// The number of its row in the journal of the first process.
    pub number: i64,
    /// The identifier.
    pub request: Digest,
    /// The digest of its dataflow.
    pub version: Digest,
}

/// A request that another process is to run.
pub struct RemoteRequest {
    /// The number under which it is answered; never used before.
    pub ticket: u64,
    /// The key.
    pub key: RemoteRequestKey,
    /// The request.
    pub request: Arc<Request>,
    /// The dataflow that runs it.
    pub dataflow: Arc<Dataflow>,
    /// When it begins, among those that wait.
    pub priority: RequestPriority,
    /// The time that is left until its deadline; `None` if there is none, or its interim response is delivered.
    pub deadline: Option<Duration>,
    /// The finished runs with their contents.
    pub runs: Vec<(RunRecord, Vec<u8>)>,
}

/// The recorder of finished runs in the first process, for a process that runs requests of it.
pub trait RunRecorder: Send + Sync {
    /// The index of this process.
    fn process(&self) -> usize;

    /// Whether this process sees the store of the first one.
    fn shares_store(&self) -> bool;

    /// Has a run recorded, without waiting for it.
    fn note(&self, key: &RemoteRequestKey, record: RunRecord, content: Vec<u8>);

    /// Has a run recorded; when this returns, it is on the disk of the first process. Waits as long as that process is
    /// away.
    ///
    /// # Errors
    /// If the request is no longer wanted.
    fn note_durably(
        &self,
        key: &RemoteRequestKey,
        record: RunRecord,
        content: Vec<u8>,
    ) -> Result<(), RunNotRecorded>;
}

/// The request of a run is no longer run here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request is no longer run by this process")]
pub struct RunNotRecorded;
