//! The operator that waits for everything of an epoch: its input frontiers pass it.

use std::rc::Rc;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::operate::FrontierInterest;

use super::epoch::{Epoch, NodeEmission};

/// Gives `last(epoch)` once nothing more of the epoch can arrive on any of the streams.
pub fn close<'scope, D: Clone + 'static>(
    name: &str,
    streams: Vec<Stream<'scope, u64, Vec<NodeEmission>>>,
    last: impl Fn(&Rc<Epoch>) -> D + 'static,
) -> Stream<'scope, u64, Vec<D>> {
    let scope = streams.first().expect("a dataflow has a step").scope();
    let mut builder = OperatorBuilder::new(name.to_owned(), scope);
    let mut inputs = Vec::new();
    for (index, stream) in streams.into_iter().enumerate() {
        inputs.push(builder.new_input(stream, Pipeline));
        builder.set_notify_for(index, FrontierInterest::IfCapability);
    }
    let (output, stream) = builder.new_output();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<D>>>::from(output);
    builder.build(move |initial| {
        drop(initial);
        let mut held = None;
        move |frontiers| {
            for input in &mut inputs {
                input.for_each(|capability, emissions| {
                    // Only the epoch is needed here: the steps' results have reached the nodes that need
                    // them.
                    if let Some(emission) = emissions.drain(..).next_back().filter(|_| held.is_none()) {
                        let capability = capability.retain_least(0).expect("a message has a time");
                        held = Some((capability, emission.epoch));
                    }
                });
            }
            let passed = held.take_if(|(capability, _)| {
                frontiers.iter().all(|frontier| !frontier.less_equal(capability.time()))
            });
            if let Some((capability, epoch)) = passed {
                output.activate().session(&capability).give_container(&mut vec![last(&epoch)]);
            }
        }
    });
    stream
}
