//! Dataflows as timely lanes. The only folder that names timely.
//!
//! A lane is one instance of the dataflow's graph; a request takes an idle lane and is an epoch in
//! it. It is done when the lane's frontier passes the epoch. Lanes share nothing but threads and
//! memory, so a slow request holds up no other; N lanes with plain `u64` epochs cost next to nothing
//! (`benches/lanes.rs`), where one graph with N incomparable times costs N².
//!
//! | file | what |
//! |---|---|
//! | `lane`, `lane_builder` | the graph: open, nodes, judge, answer; the lanes of each dataflow |
//! | `open`, `node`, `close` | its operators |
//! | `chain` | which nodes share an operator |
//! | `to_worker` | its channels between workers |
//! | `remote`, `remote_request`, `placement` | other processes that run whole requests, and which request runs where |
//! | `remote_step`, `remote_steps`, `step_processes`, `elsewhere`, `batches_elsewhere`, `carried`, `apart` | other processes that run single steps, those that say `on:` |
//! | `process_choice`, `held_values` | which process does a piece of work, and what each has of its inputs |
//! | `step_runner`, `step_memory` | steps of requests that another process has |
//! | `losses` | how many processes may be lost over one request |
//! | `epoch` | what they share about a request |
//! | `job`, `run`, `pool` | steps, off the workers' threads |
//! | `call_records`, `answered_questions` | the answers to calls, in the journal before anything uses them |
//! | `timer` | what is to be done later: timeouts, repetitions, deadlines |
//! | `disk_wait` | waiting for a full disk |
//! | `budget`, `slots` | the bounds: bytes, requests |
//! | `control`, `rate_limiter`, `call_gates`, `pause_board` | what may begin: how often, how many, and what is paused |
//! | `dataflow_set`, `running_dataflows` | which dataflows there are; more are added while it runs |
//! | `worker`, `scheduler`, `dataflow_queue`, `pending_request`, `turn_order` | the workers' loop, requests into lanes, and in which order |
//! | `queue`, `answer_queue`, `delivery`, `pending_delivery`, `response_sink` | requests in, answers out |
//! | `panic_guard` | the end of a process whose engine broke |

mod answer_queue;
mod answered_questions;
mod apart;
mod as_json;
mod batches_elsewhere;
mod budget;
mod call_gates;
mod call_records;
mod carried;
mod chain;
mod close;
mod control;
mod dataflow_queue;
mod dataflow_set;
mod delivery;
mod disk_wait;
mod elsewhere;
mod epoch;
mod event;
mod fault_logs;
mod held_values;
mod job;
mod lane;
mod lane_builder;
mod losses;
mod memory;
mod node;
mod open;
mod panic_guard;
mod partial_text;
mod pause_board;
mod pending_delivery;
mod pending_request;
mod placement;
mod pool;
mod process_choice;
mod queue;
mod rate_limiter;
mod remote;
mod remote_request;
mod remote_step;
mod remote_steps;
mod response_sink;
mod room_signal;
mod run;
mod running_dataflows;
mod scheduler;
mod shared;
mod slots;
mod step_memory;
mod step_processes;
mod step_runner;
mod timer;
mod to_worker;
mod turn_order;
mod worker;

use std::num::NonZero;
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::Thread;

use timely::communication::WorkerGuards;
use timely::{CommunicationConfig, WorkerConfig};

use crate::journal::Journal;

pub use apart::ValueSource;
pub use control::EngineControl;
pub use dataflow_set::DataflowSet;
pub use event::{EngineEvent, EventObserver, NullObserver};
pub use partial_text::{PartialText, PartialTexts};
pub use pause_board::{PausablePart, PauseBoard};
pub use pending_delivery::{PendingDelivery, UndeliveredResponse};
pub use queue::{
    PausedWaits, RequestCanceller, RequestDeadline, RequestQueue, RequestSubmission, RequestSubmitter,
};
pub use remote::{OwnShare, ProcessMesh, RemoteProcesses, RemoteReports};
pub use remote_request::{RemoteRequest, RemoteRequestKey, RunNotRecorded, RunRecorder};
pub use remote_step::{
    AttemptNote, CarriedInput, CarriedValue, RemoteBatch, RemoteStep, RemoteStepEnd, RemoteStepKey, StepNeed,
    StepValue, ValuePiece, WaitingStep,
};
pub use response_sink::ResponseSink;
pub use running_dataflows::DataflowRefusal;
pub use step_processes::{RemotePeer, StepProcesses};
pub use step_runner::{StepRun, StepRunner};

use answer_queue::AnswerQueue;
use budget::MemoryBudget;
use delivery::DeliveryQueue;
use memory::RequestMemories;
use panic_guard::PanicGuard;
use pending_delivery::ResponseRecorder;
use placement::RequestPlacement;
use pool::ThreadPool;
use queue::SchedulerMessage;
use remote_steps::RemoteSteps;
use running_dataflows::{EngineResources, RunningDataflows};
use scheduler::SchedulerChannels;
use timer::TimerThread;

/// How large the engine is.
pub struct EngineSettings {
    /// Worker threads of this process.
    pub workers: NonZero<usize>,
    /// Requests of each dataflow in work at once, in all processes together.
    pub lanes: NonZero<usize>,
    /// Requests of all dataflows in work at once, in all processes together; as many as lanes, unless said.
    pub in_work_max: Option<NonZero<usize>>,
    /// Requests of each dataflow that wait, are in work or in delivery before a thread that submits one more blocks;
    /// twice as many as lanes, unless said.
    pub under_way_max: Option<NonZero<usize>>,
    /// Bytes that requests in work may take in this process.
    pub memory: u64,
    /// The other processes, if there are any.
    pub mesh: Option<ProcessMesh>,
    /// What may begin: rate limits, and what is paused.
    pub control: Arc<EngineControl>,
}

/// One process: a worker for each core, four lanes, 2 GiB.
impl Default for EngineSettings {
    fn default() -> EngineSettings {
        let workers = std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
        let lanes = NonZero::new(4).expect("four is not zero");
        let (memory, control) = (2 << 30, Arc::default());
        EngineSettings { workers, lanes, in_work_max: None, under_way_max: None, memory, mesh: None, control }
    }
}

/// The engine did not start, or a worker ended before its work: the cause, as text.
#[derive(Debug, thiserror::Error)]
#[error("could not start the workers: {0}")]
pub struct EngineError(String);

/// Runs requests from `source` through the dataflows, each through the one that its submission names,
/// and gives each one's response to `sink`. A program with one dataflow passes just that.
/// Returns what the source gave when it has returned and the sink has every response.
///
/// Among several processes, requests come in at the first one, which gives some of them to the others. The source of
/// another process takes them from there, and its sink gives the responses back.
///
/// A panic in a step becomes a fault and is not printed: a hook for the whole process sees to that. A
/// panic in a worker, which only a mistake in the engine can cause, ends the whole process with exit code 70.
///
/// # Errors
/// If a thread or a connection of the workers cannot be started, or a worker has panicked.
pub fn run<T>(
    dataflows: impl Into<DataflowSet>,
    journal: Arc<Journal>,
    settings: EngineSettings,
    observer: Arc<dyn EventObserver>,
    source: impl FnOnce(&RequestQueue) -> T + Send,
    sink: &dyn ResponseSink,
) -> Result<T, EngineError> {
    let (elsewhere, process) = match &settings.mesh {
        Some(ProcessMesh::Member(recorder)) => (Some(Arc::clone(recorder)), Some(recorder.process())),
        Some(ProcessMesh::First(_)) => (None, Some(0)),
        None => (None, None),
    };
    let store = Arc::clone(journal.store());
    let memories = Arc::new(RequestMemories::new(Arc::clone(&journal), store, elsewhere, process));
    let recorder = ResponseRecorder { journal, observer, sink_keeps: sink.keeps_responses() };
    let resources = resources(&memories, &recorder, &settings)?;
    let steps = resources.steps.clone();
    let dataflows = Arc::new(RunningDataflows::new(&dataflows.into(), resources));
    let answers = Arc::<AnswerQueue>::default();
    let (queue, messages) =
        RequestQueue::new(Arc::clone(&dataflows), Arc::clone(&memories), answers.sender());
    let channels = SchedulerChannels { messages, answers: answers.sender(), scheduler: queue.scheduler() };
    if let (Some(ProcessMesh::First(remote)), Some(steps)) = (&settings.mesh, steps) {
        let (scheduler, memories) = (queue.scheduler(), Arc::clone(&memories));
        let told = queue.scheduler();
        steps.when_more_wait(move || told.send(SchedulerMessage::Changed));
        let budget = dataflows.budget().clone();
        remote.start(RemoteReports { scheduler, memories, steps, budget });
    }
    let dataflows_delivered = Arc::clone(&dataflows);
    let delivery = DeliveryQueue { answers, sink, recorder, memories, dataflows: dataflows_delivered };
    let guards = start(settings, Arc::clone(&dataflows), channels, queue.worker())?;
    let delivery = &delivery;
    let ended = std::thread::scope(move |scope| {
        (0..DELIVERIES).for_each(|_| drop(scope.spawn(|| delivery.serve())));
        let given = source(&queue);
        // Also when the source panics: the workers end when no more requests can come.
        drop(queue);
        let ended: Result<Vec<()>, String> = guards.join().into_iter().collect();
        ended.map(|_| given)
    });
    dataflows.end();
    ended.map_err(EngineError)
}

/// Resources that all dataflows of this process use together.
fn resources(
    memories: &Arc<RequestMemories>,
    recorder: &ResponseRecorder,
    settings: &EngineSettings,
) -> Result<EngineResources, EngineError> {
    let steps = match &settings.mesh {
        Some(ProcessMesh::First(remote)) => {
            Some(Arc::new(RemoteSteps::new(Arc::clone(remote) as _, settings.memory)))
        }
        Some(ProcessMesh::Member(_)) | None => None,
    };
    Ok(EngineResources {
        memories: Arc::clone(memories),
        steps,
        observer: Arc::clone(&recorder.observer),
        pool: Arc::new(ThreadPool::new(STEP_THREADS_MAX)),
        timer: Arc::new(TimerThread::start().map_err(|error| EngineError(error.to_string()))?),
        budget: MemoryBudget::new(settings.memory),
        slots: settings.under_way_max.map_or(settings.lanes.get().saturating_mul(2), NonZero::get),
        in_work_max: settings.in_work_max.unwrap_or(settings.lanes).get(),
        is_member: matches!(settings.mesh, Some(ProcessMesh::Member(_))),
        room: Arc::default(),
        control: Arc::clone(&settings.control),
    })
}

/// Threads that hand responses over: they mostly wait for disks.
const DELIVERIES: usize = 4;

/// More threads for steps than this are never wanted; a step that waits for one waits its turn.
const STEP_THREADS_MAX: usize = 256;

fn start(
    settings: EngineSettings,
    dataflows: Arc<RunningDataflows>,
    channels: SchedulerChannels,
    first: Arc<OnceLock<Thread>>,
) -> Result<WorkerGuards<()>, EngineError> {
    let EngineSettings { workers, lanes, in_work_max, mesh, .. } = settings;
    let budget = dataflows.budget().clone();
    let in_work_max = in_work_max.unwrap_or(lanes);
    let placement = match mesh {
        Some(ProcessMesh::First(remote)) => Some(RequestPlacement::new(remote, workers.get(), budget)),
        Some(ProcessMesh::Member(_)) | None => None,
    };
    let (builders, other) = CommunicationConfig::Process(workers.get()).try_build().map_err(EngineError)?;
    let channels = Mutex::new(Some((channels, placement)));
    let guards = timely::execute::execute_from(builders, other, WorkerConfig::default(), move |worker| {
        let _guard = PanicGuard;
        let channels =
            channels.lock().ok().filter(|_| worker.index() == 0).and_then(|mut channels| channels.take());
        if channels.is_some() {
            first.get_or_init(std::thread::current);
        }
        worker::work(worker, lanes, in_work_max, &dataflows, channels);
    });
    guards.map_err(EngineError)
}
