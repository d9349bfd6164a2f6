//! The dataflows that an engine runs. Others may be added while it runs; none is removed, because accepted
//! requests stay with their versions.
//!
//! All workers build the lanes of the dataflows in the order of this list, each worker at its next round.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::Thread;

use crate::dataflow::{Dataflow, DataflowNode, RunFrequency};
use crate::step::Digest;

use super::budget::MemoryBudget;
use super::control::EngineControl;
use super::dataflow_set::DataflowSet;
use super::event::EventObserver;
use super::job::RunEnvironment;
use super::memory::RequestMemories;
use super::pool::ThreadPool;
use super::remote_steps::RemoteSteps;
use super::room_signal::RoomSignal;
use super::shared::ProcessShared;
use super::slots::RequestSlots;
use super::timer::TimerThread;

/// The largest number of dataflows: each has lanes and limits of its own.
const DATAFLOWS_MAX: usize = 64;

/// The reason why a dataflow was not added to a running engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DataflowRefusal {
    /// There are too many already.
    #[error(
        "this process runs {DATAFLOWS_MAX} versions of dataflows already: start it again to take up more"
    )]
    TooMany,
}

/// The dataflows of one process, by their places in the order in which they were added.
pub struct RunningDataflows {
    all: RwLock<Vec<Arc<ProcessShared>>>,
    resources: EngineResources,
    workers: Mutex<Vec<Thread>>,
}

/// Resources that all dataflows of a process use together: the bounds on bytes and threads hold for all.
pub struct EngineResources {
    pub memories: Arc<RequestMemories>,
    pub observer: Arc<dyn EventObserver>,
    pub pool: Arc<ThreadPool>,
    pub timer: Arc<TimerThread>,
    pub budget: MemoryBudget,
    /// Requests of each dataflow that may be waiting, in work or in delivery.
    pub slots: usize,
    /// Requests of all dataflows that may be in work.
    pub in_work_max: usize,
    /// Whether another process delivers the responses.
    pub is_member: bool,
    /// The other processes that run steps, if requests come in at this one of several.
    pub steps: Option<Arc<RemoteSteps>>,
    pub control: Arc<EngineControl>,
    pub room: Arc<RoomSignal>,
}

impl RunningDataflows {
    pub fn new(dataflows: &DataflowSet, resources: EngineResources) -> RunningDataflows {
        let all = dataflows.iter().map(|dataflow| resources.share(dataflow)).collect();
        RunningDataflows { all: RwLock::new(all), resources, workers: Mutex::default() }
    }

    /// Adds a dataflow, for requests from now on. One that is there already is not added again, unless its limits or other
    /// settings, which do not count for the version, have changed.
    pub fn add(&self, dataflow: &Arc<Dataflow>) -> Result<(), DataflowRefusal> {
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        let known = position(&all, dataflow.digest());
        if known.is_some_and(|known| all[known].work.dataflow.has_settings_of(dataflow)) {
            return Ok(());
        }
        match all.len() {
            DATAFLOWS_MAX.. => return Err(DataflowRefusal::TooMany),
            _ => all.push(self.resources.share(dataflow)),
        }
        drop(all);
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers.iter().for_each(Thread::unpark);
        Ok(())
    }

    /// Registers this thread to be woken when a dataflow is added.
    pub fn wake_this_thread(&self) {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).push(std::thread::current());
    }

    /// The index of a version in the list, as it was added last.
    pub fn position(&self, version: Digest) -> Option<usize> {
        position(&self.read(), version)
    }

    /// The dataflow with this index.
    pub fn at(&self, place: usize) -> Arc<ProcessShared> {
        Arc::clone(&self.read()[place])
    }

    /// The dataflows from this index on.
    pub fn from(&self, place: usize) -> Vec<Arc<ProcessShared>> {
        self.read().get(place..).unwrap_or_default().to_vec()
    }

    /// Whether a request for this version would begin at once in this process, after so many `others` that come before it.
    pub fn begins_at_once(&self, version: Digest, others: usize) -> bool {
        let all = self.read();
        let Some(place) = position(&all, version) else { return false };
        let present: usize = all.iter().map(|shared| shared.slots.present()).sum();
        let is_paused = self.control().pauses.is_dataflow_paused(&all[place].work.dataflow.name);
        present.saturating_add(others) < self.resources.in_work_max
            && !is_paused
            && self.resources.steps.is_none()
    }

    /// The control of what may begin.
    pub fn control(&self) -> &EngineControl {
        &self.resources.control
    }

    /// The memory of all requests in work.
    pub fn budget(&self) -> &MemoryBudget {
        &self.resources.budget
    }

    /// The signal that a slot is free.
    pub fn room(&self) -> &RoomSignal {
        &self.resources.room
    }

    /// Ends the threads of the pool and the timer.
    pub fn end(&self) {
        self.resources.pool.end();
        self.resources.timer.end();
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Vec<Arc<ProcessShared>>> {
        self.all.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn position(all: &[Arc<ProcessShared>], version: Digest) -> Option<usize> {
    all.iter().rposition(|shared| shared.work.dataflow.digest() == version)
}

impl EngineResources {
    /// State of a dataflow that the workers share.
    fn share(&self, dataflow: &Arc<Dataflow>) -> Arc<ProcessShared> {
        let work = RunEnvironment {
            dataflow: Arc::clone(dataflow),
            store: Arc::clone(self.memories.store()),
            memories: Arc::clone(&self.memories),
            observer: Arc::clone(&self.observer),
            is_shared: self.is_member,
            steps: self.steps.clone(),
            control: Arc::clone(&self.control),
        };
        // One class more, for the interim responses of deadlines.
        let classes = dataflow.nodes.iter().map(runs_max).chain([usize::MAX]);
        Arc::new(ProcessShared {
            work: Arc::new(work),
            budget: self.budget.clone(),
            class_first: self.pool.add_classes(classes),
            pool: Arc::clone(&self.pool),
            timer: Arc::clone(&self.timer),
            slots: RequestSlots::new(self.slots, Arc::clone(&self.room)),
        })
    }
}

/// The runs of a step per item that other processes may have at once, whose cores are not known here.
const ELSEWHERE_MAX: usize = 64;

/// The number of a node's runs that may be under way at once. Runs per item are many and short, so that more
/// of them than cores would only take memory.
fn runs_max(node: &DataflowNode) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    node.max.unwrap_or(match node.runs {
        RunFrequency::PerItem if node.label().is_some() => ELSEWHERE_MAX,
        RunFrequency::PerItem => cores,
        RunFrequency::Once => usize::MAX,
    })
}
