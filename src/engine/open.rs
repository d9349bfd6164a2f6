//! The first operator of a lane, on the lane's home worker: a request waits here for its memory.
//! Cancellations and passed deadlines arrive here, too.

use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::operate::FrontierInterest;
use timely::scheduling::SyncActivator;

use crate::dataflow::Response;
use crate::step::{Fault, Request};

use super::budget::{MemoryBudget, MemoryClaim};
use super::epoch::{Epoch, EpochAnswer, EpochBegin, LaneOrder, NodeEmission};
use super::job::RunEnvironment;
use super::shared::ProcessShared;
use super::to_worker::to_worker;

/// The streams that leave the operator.
pub struct OpenerStreams<'scope> {
    pub begun: Stream<'scope, u64, Vec<NodeEmission>>,
    /// Interim responses for requests whose deadline has passed, where the dataflow has one.
    pub overdue: Option<Stream<'scope, u64, Vec<EpochAnswer>>>,
}

/// Brings each request to the worker `home`, and emits its epoch once the budget has granted its memory.
pub fn open<'scope>(
    orders: Stream<'scope, u64, Vec<LaneOrder>>,
    home: usize,
    shared: &Arc<ProcessShared>,
) -> OpenerStreams<'scope> {
    let scope = orders.scope();
    let mut builder = OperatorBuilder::new("open".to_owned(), scope);
    let address = builder.operator_info().address.to_vec();
    let mut opener = EpochOpener::new(scope.worker().sync_activator_for(address), shared);
    let mut input = builder.new_input(orders, to_worker(home));
    let (output, begun) = builder.new_output();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<NodeEmission>>>::from(output);
    let (late, overdue) = shared.work.dataflow.deadline.map(|_| builder.new_output()).unzip();
    let mut late = late.map(OutputBuilder::<_, CapacityContainerBuilder<Vec<EpochAnswer>>>::from);
    builder.set_notify_for(0, FrontierInterest::Never);
    builder.build(move |initial| {
        drop(initial);
        move |_| {
            input.for_each(|capability, orders| {
                let retain = |output| capability.retain_least(output).expect("a message has a time");
                for order in orders.drain(..) {
                    match order {
                        LaneOrder::Begin(begin) => opener.begin(begin, retain(0)),
                        LaneOrder::Cancel => opener.cancel(),
                        LaneOrder::Overdue(after) => {
                            if let (Some(late), Some(said)) = (&mut late, opener.overdue(after)) {
                                late.activate()
                                    .session(&retain(1))
                                    .give_container(&mut vec![EpochAnswer(said)]);
                            }
                        }
                    }
                }
            });
            if let Some((capability, emission)) = opener.open() {
                output.activate().session(&capability).give_container(&mut vec![emission]);
            }
        }
    });
    OpenerStreams { begun, overdue }
}

struct EpochOpener {
    shared: Arc<ProcessShared>,
    activator: SyncActivator,
    /// The request in the lane while it waits for its memory.
    waiting: Option<GateWaiter>,
    /// The epoch of the request once it has its memory.
    epoch: Weak<Epoch>,
}

struct GateWaiter {
    capability: Capability<u64>,
    request: Arc<Request>,
    /// The claim on memory, or the fault because of which the request is not run.
    claim: Result<MemoryClaim, Fault>,
}

impl EpochOpener {
    fn new(activator: SyncActivator, shared: &Arc<ProcessShared>) -> EpochOpener {
        EpochOpener { shared: Arc::clone(shared), activator, waiting: None, epoch: Weak::new() }
    }

    fn begin(&mut self, EpochBegin { request, refused }: EpochBegin, capability: Capability<u64>) {
        let activator = self.activator.clone();
        // A failure means that the worker has ended.
        let wake = move || _ = activator.activate();
        let claim = match refused {
            Some(fault) => Err(fault),
            None => claim(&self.shared.work, &self.shared.budget, &request, wake),
        };
        self.waiting = Some(GateWaiter { capability, request, claim });
    }

    fn cancel(&mut self) {
        match &mut self.waiting {
            Some(waiting) => waiting.claim = Err(Fault::cancelled()),
            None => self.epoch.upgrade().iter().for_each(|epoch| epoch.cancel(&self.shared.work.dataflow)),
        }
    }

    /// The interim response of a passed deadline, unless the request has been answered in the meantime.
    fn overdue(&self, after: Duration) -> Option<Response> {
        let dataflow = &self.shared.work.dataflow;
        match &self.waiting {
            Some(GateWaiter { request, .. }) => Some(dataflow.not_begun(request, after, "memory")),
            None => self.epoch.upgrade().map(|epoch| epoch.unfinished(dataflow, after)),
        }
    }

    /// Begins the epoch of the waiting request if its memory is granted.
    fn open(&mut self) -> Option<(Capability<u64>, NodeEmission)> {
        let granted = |one: &mut GateWaiter| one.claim.as_ref().map_or(true, MemoryClaim::is_granted);
        let GateWaiter { capability, request, claim } = self.waiting.take_if(granted)?;
        let epoch = Epoch::new(&self.shared.work.dataflow, request, claim);
        self.epoch = Rc::downgrade(&epoch);
        Some((capability, NodeEmission { epoch, item: None, left: None }))
    }
}

/// Claims the memory of a request, or of a step of it that runs here.
pub fn claim(
    work: &RunEnvironment,
    budget: &MemoryBudget,
    request: &Request,
    wake: impl Fn() + Send + 'static,
) -> Result<MemoryClaim, Fault> {
    if let Some(fault) = work.dataflow.refuses(request) {
        return Err(fault);
    }
    if let Some(lack) = lack_of_memory(work, budget, request) {
        return Err(Fault::new(
            lack,
            "Start flow with a larger --memory, on a machine that has it, and run the request again with `flow retry`.",
        ));
    }
    // What needs most may run where there is more: then the request has all that there is here.
    let bytes = work.dataflow.memory.estimate(request).min(budget.total());
    Ok(budget.claim(bytes, wake))
}

/// The reason why a request, or a step of it, cannot have its memory in this process; `None` if it can.
pub fn lack_of_memory(work: &RunEnvironment, budget: &MemoryBudget, request: &Request) -> Option<String> {
    let bytes = work.dataflow.memory.estimate(request);
    let lacks = bytes > budget.total() && !work.has_steps_elsewhere(bytes);
    lacks.then(|| {
        format!(
            "the request needs about {} MiB of memory, and {} MiB are allowed in all",
            mebibytes(bytes),
            mebibytes(budget.total())
        )
    })
}

fn mebibytes(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}
