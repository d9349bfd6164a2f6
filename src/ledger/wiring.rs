//! Which steps a dataflow has, and which of them each one needs.

use crate::dataflow::{Dataflow, InputWire, NodePhase, RunFrequency};
use crate::step::Digest;

/// The steps of the work of a dataflow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepWiring {
    pub(super) steps: Vec<WiredStep>,
}

/// A step with the indices of those that it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WiredStep {
    pub(super) name: String,
    pub(super) needs: Vec<usize>,
    pub(super) runs: RunFrequency,
    /// Whether the step runs at all: it is one of the work and is switched on.
    pub(super) is_work: bool,
}

/// A function that gives the wiring of a version of a dataflow, if that is known.
pub type WiringLookup = Box<dyn Fn(Digest) -> Option<StepWiring> + Send>;

impl StepWiring {
    /// The wiring of a dataflow.
    pub fn of(dataflow: &Dataflow) -> StepWiring {
        let needs = |wires: &[InputWire]| {
            wires.iter().flat_map(|wire| wire.ports().iter().map(|port| port.node)).collect()
        };
        let step = |node: &crate::dataflow::DataflowNode| WiredStep {
            name: node.name.to_string(),
            needs: needs(&node.wires),
            runs: node.runs,
            is_work: node.enabled && node.phase == NodePhase::Work,
        };
        StepWiring { steps: dataflow.nodes.iter().map(step).collect() }
    }

    /// A chain of steps, each of which needs the one before it.
    pub fn chain(names: &[&str]) -> StepWiring {
        let step = |(index, name): (usize, &&str)| WiredStep {
            name: (*name).to_owned(),
            needs: index.checked_sub(1).into_iter().collect(),
            runs: RunFrequency::Once,
            is_work: true,
        };
        StepWiring { steps: names.iter().enumerate().map(step).collect() }
    }
}

/// A step of the work with the number of its runs for one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WiredRuns {
    pub name: String,
    /// The steps that it needs.
    pub needs: Vec<String>,
    pub runs: usize,
}

impl StepWiring {
    /// The steps that run for a request with so many items.
    pub fn runs(&self, items: usize) -> Vec<WiredRuns> {
        let work = self.steps.iter().filter(|step| step.is_work);
        let runs = work.map(|step| {
            let mut needs: Vec<String> =
                step.needs.iter().map(|need| self.steps[*need].name.clone()).collect();
            needs.sort();
            needs.dedup();
            WiredRuns { name: step.name.clone(), needs, runs: step.runs_of(items) }
        });
        runs.collect()
    }
}

impl WiredStep {
    /// The number of its runs for a request with so many items.
    pub(super) fn runs_of(&self, items: usize) -> usize {
        match self.runs {
            RunFrequency::Once => 1,
            RunFrequency::PerItem => items,
        }
    }
}
