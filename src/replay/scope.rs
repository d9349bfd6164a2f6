//! The choice of the steps that a replay runs, and the source of the results of all others.

use crate::dataflow::{Dataflow, InputWire};

/// The steps to run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayScope<'a> {
    Whole,
    /// The step and all steps that depend on it.
    From(&'a str),
    Only(&'a str),
}

/// The treatment of a step in a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepTreatment {
    /// The step is run and compared with the recording.
    Run,
    /// The step is run because other steps need its values, which are not stored.
    Help,
    /// The recorded values are used because other steps need them.
    Take,
    /// No step needs the values.
    Leave,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the dataflow has no step {0:?}")]
pub struct NoSuchStep(pub String);

impl ReplayScope<'_> {
    /// The treatment of every node, in the order of the dataflow. `is_kept` tells whether all values of a
    /// node are stored.
    ///
    /// # Errors
    /// The dataflow has no such step.
    pub fn parts(
        self,
        dataflow: &Dataflow,
        is_kept: impl Fn(&str) -> bool,
    ) -> Result<Vec<StepTreatment>, NoSuchStep> {
        let wanted = self.wanted(dataflow)?;
        let mut needed = vec![false; wanted.len()];
        let mut parts = Vec::new();
        // In the order of a dataflow, nodes come after the nodes that they need.
        for (index, node) in dataflow.nodes.iter().enumerate().rev() {
            let part = match (wanted[index], needed[index]) {
                (true, _) => StepTreatment::Run,
                (false, true) if is_kept(&node.name) => StepTreatment::Take,
                (false, true) => StepTreatment::Help,
                (false, false) => StepTreatment::Leave,
            };
            if matches!(part, StepTreatment::Run | StepTreatment::Help) {
                sources(&node.wires).for_each(|source| needed[source] = true);
            }
            parts.push(part);
        }
        parts.reverse();
        Ok(parts)
    }

    fn wanted(self, dataflow: &Dataflow) -> Result<Vec<bool>, NoSuchStep> {
        let (ReplayScope::From(step) | ReplayScope::Only(step)) = self else {
            return Ok(vec![true; dataflow.nodes.len()]);
        };
        let mut wanted: Vec<bool> = dataflow.nodes.iter().map(|node| &*node.name == step).collect();
        let first = wanted.iter().position(|wanted| *wanted).ok_or_else(|| NoSuchStep(step.to_owned()))?;
        if matches!(self, ReplayScope::From(_)) {
            for (index, node) in dataflow.nodes.iter().enumerate().skip(first + 1) {
                let judges = node.wires.contains(&InputWire::Outcomes);
                wanted[index] = judges || sources(&node.wires).any(|source| wanted[source]);
            }
        }
        Ok(wanted)
    }
}

/// The nodes at the other end of the wires.
fn sources(wires: &[InputWire]) -> impl Iterator<Item = usize> {
    wires.iter().filter_map(|wire| match wire {
        InputWire::Port(port) => Some(port.node),
        InputWire::Absent | InputWire::Request | InputWire::Items | InputWire::Outcomes => None,
    })
}

#[cfg(test)]
mod tests {
    use super::StepTreatment::{Help, Leave, Run, Take};
    use super::*;
    use crate::step::StepTable;

    /// The treatment of the steps of `ct-lung`, if the values of all of `kept` are stored.
    fn parts(scope: ReplayScope, kept: &[&str]) -> Vec<(String, StepTreatment)> {
        let dataflow = Dataflow::load("ct-lung", &StepTable::built_in()).unwrap();
        let parts = scope.parts(&dataflow, |step| kept.contains(&step)).unwrap();
        dataflow.nodes.iter().map(|node| node.name.to_string()).zip(parts).collect()
    }

    /// The steps that are not left out.
    fn check(scope: ReplayScope, kept: &[&str], expected: &[(&str, StepTreatment)]) {
        let mut parts = parts(scope, kept);
        parts.retain(|(_, part)| *part != Leave);
        let parts: Vec<(&str, StepTreatment)> =
            parts.iter().map(|(step, part)| (step.as_str(), *part)).collect();
        assert_eq!(parts, expected);
    }

    #[test]
    fn what_is_needed_is_taken_or_made_again() {
        check(ReplayScope::Only("headers"), &[], &[("headers", Run)]);
        check(ReplayScope::Only("lungs"), &["volume"], &[("volume", Take), ("lungs", Run)]);
        let made = [("series", Take), ("volume", Help), ("lungs", Run)];
        check(ReplayScope::Only("lungs"), &["headers", "series"], &made);
        assert!(parts(ReplayScope::Whole, &["volume"]).iter().all(|(_, part)| *part == Run));
    }

    #[test]
    fn what_stands_behind_a_step_is_run_and_what_judges_too() {
        let parts =
            parts(ReplayScope::From("pictures"), &["series", "volume", "lungs", "densities", "quality"]);
        for (step, part) in parts {
            let expected = match step.as_str() {
                "pictures" | "png" | "capture" | "page" => Run,
                "error-pages" | "error-png" | "error-capture" | "error-report" => Run,
                "series" | "volume" | "lungs" | "densities" | "quality" => Take,
                _ => Leave,
            };
            assert_eq!(part, expected, "{step}");
        }
    }

    #[test]
    fn a_step_that_is_not_there() {
        let dataflow = Dataflow::load("ct-lung", &StepTable::built_in()).unwrap();
        assert_eq!(ReplayScope::Only("x").parts(&dataflow, |_| true), Err(NoSuchStep("x".to_owned())));
    }
}
