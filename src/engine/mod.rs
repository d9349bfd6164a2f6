//! Dataflows as timely lanes. The only folder that names timely.
//!
//! A lane is one instance of the dataflow's graph; a request takes an idle lane and is an epoch in
//! it. It is done when the lane's frontier passes the epoch. Lanes share nothing but threads and
//! memory, so a slow request holds up no other; N lanes with plain `u64` epochs cost next to nothing
//! (`benches/lanes.rs`), where one graph with N incomparable times costs N².
//!
//! | file | what |
//! |---|---|
//! | `lane` | the graph: open, nodes, judge, answer |
//! | `open`, `node`, `close` | its operators |
//! | `chain` | which nodes share an operator |
//! | `to_worker` | its channels between workers |
//! | `epoch` | what they share about a request |
//! | `job`, `run`, `pool` | steps, off the workers' threads |
//! | `timer` | what is to be done later: timeouts, repetitions, deadlines |
//! | `disk_wait` | waiting for a full disk |
//! | `budget`, `slots` | the bounds: bytes, requests |
//! | `dataflow_set` | which dataflows there are |
//! | `worker`, `scheduler` | the workers' loop, requests into lanes |
//! | `queue`, `answer_queue`, `delivery`, `pending_delivery`, `response_sink` | requests in, answers out |
//! | `panic_guard` | the end of a process whose engine broke |

mod answer_queue;
mod as_json;
mod budget;
mod chain;
mod close;
mod dataflow_set;
mod delivery;
mod disk_wait;
mod epoch;
mod event;
mod job;
mod lane;
mod memory;
mod mesh;
mod node;
mod open;
mod panic_guard;
mod pending_delivery;
mod pool;
mod queue;
mod response_sink;
mod run;
mod scheduler;
mod shared;
mod slots;
mod timer;
mod to_worker;
mod worker;

use std::num::NonZero;
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::Thread;

use timely::communication::WorkerGuards;
use timely::{CommunicationConfig, WorkerConfig};

use crate::dataflow::{Dataflow, DataflowNode, RunFrequency};
use crate::journal::Journal;
use crate::step::Digest;

pub use dataflow_set::DataflowSet;
pub use event::{EngineEvent, EventObserver, NullObserver};
pub use mesh::ProcessMesh;
pub use pending_delivery::{PendingDelivery, UndeliveredResponse};
pub use queue::{RequestCanceller, RequestDeadline, RequestQueue, RequestSubmission};
pub use response_sink::ResponseSink;

use answer_queue::AnswerQueue;
use budget::MemoryBudget;
use delivery::DeliveryQueue;
use job::RunEnvironment;
use memory::RequestMemories;
use panic_guard::PanicGuard;
use pending_delivery::ResponseRecorder;
use pool::ThreadPool;
use scheduler::SchedulerChannels;
use shared::ProcessShared;
use timer::TimerThread;

/// How large the engine is.
pub struct EngineSettings {
    /// Worker threads of this process.
    pub workers: NonZero<usize>,
    /// Requests in work at once, of all dataflows and in all processes together.
    pub lanes: NonZero<usize>,
    /// Bytes that requests in work may take in this process.
    pub memory: u64,
    /// The other processes, connected.
    pub mesh: Option<ProcessMesh>,
}

/// One process: a worker for each core, four lanes, 2 GiB.
impl Default for EngineSettings {
    fn default() -> EngineSettings {
        let workers = std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
        let lanes = NonZero::new(4).expect("four is not zero");
        EngineSettings { workers, lanes, memory: 2 << 30, mesh: None }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("could not start the workers: {0}")]
pub struct EngineError(String);

/// Runs requests from `source` through the dataflows, each through the one that its submission names,
/// and gives each one's response to `sink`. A program with one dataflow passes just that.
/// Returns what the source gave when it has returned and the sink has every response.
///
/// In a mesh, all processes have the same dataflows in the same order. Requests come in at the first process; in the others `source` and `sink` are not used,
/// and nothing is given.
///
/// A panic in a step becomes a fault and is not printed: a hook for the whole process sees to that. A
/// panic in a worker, which only a mistake in the engine or a lost process of the mesh can cause, ends
/// the whole process with exit code 70.
///
/// # Errors
/// If the workers cannot be started.
pub fn run<T>(
    dataflows: impl Into<DataflowSet>,
    journal: Arc<Journal>,
    settings: EngineSettings,
    observer: Arc<dyn EventObserver>,
    source: impl FnOnce(&RequestQueue) -> T + Send,
    sink: &dyn ResponseSink,
) -> Result<Option<T>, EngineError> {
    let first = settings.mesh.as_ref().is_none_or(ProcessMesh::is_first);
    let dataflows = Arc::new(dataflows.into());
    let memories = Arc::new(RequestMemories::new(Arc::clone(&journal), Arc::clone(journal.store())));
    let recorder = ResponseRecorder { journal, observer };
    let shared = share(&dataflows, &memories, &recorder, &settings)?;
    let answers = Arc::<AnswerQueue>::default();
    let versions: Vec<Digest> = dataflows.iter().map(|dataflow| dataflow.digest()).collect();
    let (queue, messages) =
        RequestQueue::new(settings.lanes, dataflows, Arc::clone(&memories), answers.sender());
    let slots = queue.slots();
    let channels = SchedulerChannels { messages, answers: answers.sender(), scheduler: queue.scheduler() };
    let delivery = DeliveryQueue { answers, sink, recorder, memories, versions, slots };
    let guards = start(settings, Arc::clone(&shared), channels, queue.worker())?;
    let delivery = &delivery;
    let ended = std::thread::scope(move |scope| {
        (0..DELIVERIES).for_each(|_| drop(scope.spawn(|| delivery.serve())));
        let given = first.then(|| source(&queue));
        // Also when the source panics: the workers end when no more requests can come.
        drop(queue);
        let ended: Result<Vec<()>, String> = guards.join().into_iter().collect();
        ended.map(|_| given)
    });
    shared.iter().for_each(|shared| shared.end());
    ended.map_err(EngineError)
}

/// State that the workers share, per dataflow. The bounds on bytes and threads hold for all together.
fn share(
    dataflows: &DataflowSet,
    memories: &Arc<RequestMemories>,
    recorder: &ResponseRecorder,
    settings: &EngineSettings,
) -> Result<Arc<[Arc<ProcessShared>]>, EngineError> {
    let classes = dataflows.iter().flat_map(|one| one.nodes.iter().map(runs_max).chain([usize::MAX]));
    let pool = Arc::new(ThreadPool::new(classes, STEP_THREADS_MAX));
    let timer = Arc::new(TimerThread::start().map_err(|error| EngineError(error.to_string()))?);
    let budget = MemoryBudget::new(settings.memory);
    let mut class_first = 0;
    let share = |dataflow: &Arc<Dataflow>| {
        let work = RunEnvironment {
            dataflow: Arc::clone(dataflow),
            store: Arc::clone(recorder.store()),
            memories: Arc::clone(memories),
            observer: Arc::clone(&recorder.observer),
            is_shared: settings.mesh.is_some(),
        };
        let (pool, timer, work) = (Arc::clone(&pool), Arc::clone(&timer), Arc::new(work));
        let shared = ProcessShared { work, budget: budget.clone(), pool, class_first, timer };
        class_first += dataflow.nodes.len() + 1;
        Arc::new(shared)
    };
    Ok(dataflows.iter().map(share).collect())
}

/// How many runs of a node may be under way at once. Items are many and short: more of them than
/// there are cores would only take memory.
fn runs_max(node: &DataflowNode) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    node.max.unwrap_or(match node.runs {
        RunFrequency::PerItem => cores,
        RunFrequency::Once => usize::MAX,
    })
}

/// Threads that hand responses over: they mostly wait for disks.
const DELIVERIES: usize = 4;

/// More threads for steps than this are never wanted; a step that waits for one waits its turn.
const STEP_THREADS_MAX: usize = 256;

fn start(
    settings: EngineSettings,
    shared: Arc<[Arc<ProcessShared>]>,
    channels: SchedulerChannels,
    first: Arc<OnceLock<Thread>>,
) -> Result<WorkerGuards<()>, EngineError> {
    let EngineSettings { workers, lanes, mesh, .. } = settings;
    let built = match mesh {
        None => CommunicationConfig::Process(workers.get()).try_build(),
        Some(mesh) => mesh.build(workers.get()),
    };
    let (builders, other) = built.map_err(EngineError)?;
    let channels = Mutex::new(Some(channels));
    let guards = timely::execute::execute_from(builders, other, WorkerConfig::default(), move |worker| {
        let _guard = PanicGuard;
        let channels =
            channels.lock().ok().filter(|_| worker.index() == 0).and_then(|mut channels| channels.take());
        if channels.is_some() {
            first.get_or_init(std::thread::current);
        }
        // One more of each dataflow, for requests that have only their end to be told.
        worker::work(worker, lanes.get() + 1, &shared, channels);
    });
    guards.map_err(EngineError)
}
