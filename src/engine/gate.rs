//! The first operator of a lane: a request waits here for its memory, on its home worker.

use std::sync::Arc;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::operate::FrontierInterest;

use crate::dataflow::Dataflow;
use crate::step::{Fault, Request};

use super::budget::{Budget, Claim};
use super::epoch::{Admitted, Emission, Epoch};
use super::shared::Shared;

struct Waiting {
    capability: Capability<u64>,
    request: Arc<Request>,
    claim: Claim,
}

/// Brings each request to `home` and lets it in when the budget has room.
pub fn gate<'scope>(
    admitted: Stream<'scope, u64, Vec<Admitted>>,
    home: usize,
    shared: &Arc<Shared>,
) -> Stream<'scope, u64, Vec<Emission>> {
    let scope = admitted.scope();
    let mut builder = OperatorBuilder::new("gate".to_owned(), scope);
    let address = builder.operator_info().address.to_vec();
    let activator = scope.worker().sync_activator_for(address);
    let mut input = builder.new_input(admitted, Exchange::new(move |_: &Admitted| home as u64));
    let (output, stream) = builder.new_output();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<Emission>>>::from(output);
    builder.set_notify_for(0, FrontierInterest::Never);
    let shared = Arc::clone(shared);
    let mut waiting: Vec<Waiting> = Vec::new();
    builder.build(move |initial| {
        drop(initial);
        move |_| {
            let mut output = output.activate();
            let mut emit = |capability: &Capability<u64>, request, begun| {
                let epoch = Epoch::new(&shared.work.dataflow, request, begun);
                output.session(capability).give(Emission { epoch, item: None, left: None });
            };
            input.for_each(|capability, requests| {
                let capability = capability.retain_least(0).expect("a message has a time");
                for Admitted { request, refused } in requests.drain(..) {
                    let activator = activator.clone();
                    // A worker that is gone needs no waking.
                    let wake = move || _ = activator.activate();
                    let claimed = match refused {
                        Some(fault) => Err(fault),
                        None => claim(&shared.work.dataflow, &shared.budget, &request, wake),
                    };
                    match claimed {
                        Ok(claim) => {
                            waiting.push(Waiting { capability: capability.clone(), request, claim });
                        }
                        Err(fault) => emit(&capability, request, Err(fault)),
                    }
                }
            });
            for Waiting { capability, request, claim } in waiting.extract_if(.., |one| one.claim.is_granted())
            {
                emit(&capability, request, Ok(claim));
            }
        }
    });
    stream
}

fn claim(
    dataflow: &Dataflow,
    budget: &Budget,
    request: &Request,
    wake: impl Fn() + Send + 'static,
) -> Result<Claim, Fault> {
    if let Some(fault) = dataflow.refuses(request) {
        return Err(fault);
    }
    let bytes = dataflow.memory.estimate(request);
    if bytes > budget.total() {
        return Err(Fault::new(
            format!(
                "the request needs about {} MiB of memory, and {} MiB are allowed in all",
                mebibytes(bytes),
                mebibytes(budget.total())
            ),
            "Start flow with a larger --memory, on a machine that has it, and send the request again.",
        ));
    }
    Ok(budget.claim(bytes, wake))
}

fn mebibytes(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}
