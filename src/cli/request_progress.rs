//! The progress of a request: its steps, and the items of steps that run once per item.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::dataflow::{Dataflow, NodePhase};
use crate::step::Request;

/// The runs of each step of a request, and how many of them have ended.
pub struct RequestProgress(BTreeMap<Arc<str>, StepRuns>);

struct StepRuns {
    ended: usize,
    all: usize,
}

impl RequestProgress {
    /// The steps that are to run for a request, none of which has ended.
    pub fn new(request: &Request, dataflow: &Dataflow) -> RequestProgress {
        let nodes = dataflow.nodes.iter().filter(|node| node.phase == NodePhase::Work && node.enabled);
        let steps = nodes.map(|node| (node.name.clone(), StepRuns { ended: 0, all: node.runs_of(request) }));
        RequestProgress(steps.collect())
    }

    /// Notes that a run of a step has ended. A repeated run is counted once.
    pub fn end(&mut self, step: &str) {
        if let Some(runs) = self.0.get_mut(step) {
            runs.ended = (runs.ended + 1).min(runs.all);
        }
    }

    /// The number of all runs of all steps.
    pub fn runs(&self) -> u64 {
        self.0.values().map(|runs| runs.all as u64).sum()
    }

    /// The number of runs that have ended.
    pub fn ended(&self) -> u64 {
        self.0.values().map(|runs| runs.ended as u64).sum()
    }

    /// The number of steps of which all runs have ended, and the progress of this step.
    pub fn told(&self, step: &str) -> String {
        let done = self.0.values().filter(|runs| runs.ended == runs.all).count();
        let items = self.0.get(step).filter(|runs| runs.all > 1);
        let items = items.map(|runs| format!(" {}/{} items", runs.ended, runs.all)).unwrap_or_default();
        format!("{done}/{} steps  {step}{items}", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::{Item, StepTable};

    #[test]
    fn a_step_is_done_when_all_of_its_items_are() {
        let text = "dataflow: convert\nlimits: {memory: {fixed: 1 B}}\nsteps:\n  \
                    one: {step: run-program, needs: {item: request.items}, with: {program: cp}}\nresponse: [one]\n";
        let dataflow = Dataflow::parse("convert.yaml", text, &StepTable::built_in()).unwrap();
        let items = (0..120).map(|number: u32| Item::inline(number.to_string(), number.to_le_bytes()));
        let request = Request::new("study", BTreeMap::new(), items.collect());
        let mut progress = RequestProgress::new(&request, &dataflow);
        (0..13).for_each(|_| progress.end("one"));
        assert_eq!(progress.told("one"), "0/1 steps  one 13/120 items");
        assert_eq!((progress.ended(), progress.runs()), (13, 120));
        (0..200).for_each(|_| progress.end("one"));
        progress.end("failure");
        assert_eq!(progress.told("one"), "1/1 steps  one 120/120 items");
    }
}
