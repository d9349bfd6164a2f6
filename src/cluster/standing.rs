//! How the processes of a cluster stand, as a file that other commands read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dataflow::ProcessLabel;
use crate::engine::WaitingStep;

/// How all processes stand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterStanding {
    /// The number of connections that were made so far: each has a generation of its own.
    pub generation: u64,
    /// The processes by their index.
    pub processes: Vec<ProcessStanding>,
    /// The steps that wait until a process with their label is there.
    #[serde(default)]
    pub waiting: Vec<WaitingStep>,
}

/// How a process stands, seen by process 0. Times are milliseconds of Unix time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProcessStanding {
    /// The index.
    pub process: usize,
    /// Where it listens, or from where it has connected.
    pub address: String,
    /// Whether it is there.
    pub is_connected: bool,
    /// Whether it joined, and runs only steps that say `on`.
    #[serde(default)]
    pub is_joined: bool,
    /// The generation of its last connection; 0 if it never was there, and for process 0.
    pub generation: u64,
    /// The time since which it is there, or is not.
    pub since_ms: i64,
    /// The requests that it runs.
    pub requests: usize,
    /// The requests that wait until it has the memory for them; only of process 0.
    #[serde(default)]
    pub waiting: usize,
    /// The steps of requests of process 0 that it runs.
    #[serde(default)]
    pub steps: usize,
    /// The labels.
    #[serde(default)]
    #[schemars(with = "BTreeSet<String>")]
    pub labels: BTreeSet<ProcessLabel>,
    /// The reasons why it cannot run steps of some dataflows.
    #[serde(default)]
    pub unable: BTreeSet<String>,
    /// The bytes of memory that its work may take.
    #[serde(default)]
    pub memory: u64,
    /// The bytes of memory that its work takes.
    #[serde(default)]
    pub memory_taken: u64,
    /// The worker threads.
    #[serde(default)]
    pub workers: usize,
    /// The work that it is not given for want of memory.
    #[serde(default)]
    pub left_out: Option<String>,
    /// The number of its last report that is in the journal: its part stands there.
    #[serde(default)]
    pub noted: u64,
    /// The number of times that it was lost.
    pub outages: u64,
    /// The length of its last outage that has ended, in milliseconds.
    pub last_outage_ms: Option<i64>,
}

/// The places that steps wait for, and no process has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct MissingPlace {
    /// The label of the process.
    #[schemars(with = "String")]
    pub label: ProcessLabel,
    /// The bytes of memory, where processes with the label are there and have less.
    pub memory: Option<u64>,
    /// The steps that wait.
    pub steps: usize,
    /// The time since which the first of them waits.
    pub since_ms: i64,
}

impl ClusterStanding {
    /// The places that steps wait for, by label and memory.
    pub fn missing(&self) -> Vec<MissingPlace> {
        let mut places: BTreeMap<(&ProcessLabel, Option<u64>), (usize, i64)> = BTreeMap::new();
        for step in &self.waiting {
            let memory = step.lacks_memory.then_some(step.memory);
            let (steps, since_ms) = places.entry((&step.label, memory)).or_insert((0, i64::MAX));
            (*steps, *since_ms) = (*steps + 1, (*since_ms).min(unix_ms(step.since)));
        }
        let place = |((label, memory), (steps, since_ms)): ((&ProcessLabel, _), _)| MissingPlace {
            label: label.clone(),
            memory,
            steps,
            since_ms,
        };
        places.into_iter().map(place).collect()
    }
}

/// Milliseconds of Unix time.
pub fn unix_ms(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The file in which process 0 notes them.
pub(super) struct StandingFile(PathBuf);

impl StandingFile {
    pub fn at(state: &Path) -> StandingFile {
        StandingFile(path(state))
    }

    /// It says what is so now, so it need not outlive a crash of the machine.
    pub fn write(&self, standing: &ClusterStanding) {
        let draft = self.0.with_extension("part");
        let write = || -> io::Result<()> {
            File::create(&draft)?.write_all(&serde_json::to_vec(standing)?)?;
            fs::rename(&draft, &self.0)
        };
        if let Err(error) = write() {
            tracing::warn!(%error, path = %self.0.display(), "how the processes stand is not noted");
        }
    }

    pub fn remove(&self) {
        // Where it never was there is nothing to remove.
        let _ = fs::remove_file(&self.0);
    }
}

fn path(state: &Path) -> PathBuf {
    state.join("cluster.json")
}

/// Removes what a flow that was killed has left.
pub fn forget_standing(state: &Path) {
    StandingFile::at(state).remove();
}

/// How the processes of a running flow with this state folder stand; `None` if there is only one, or it cannot be read.
pub fn cluster_standing(state: &Path) -> Option<ClusterStanding> {
    serde_json::from_slice(&fs::read(path(state)).ok()?).ok()
}
