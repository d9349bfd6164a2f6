//! The choice of the steps that a replay runs, and the source of the results of all others.

use crate::dataflow::{Dataflow, Wire};

/// The steps to run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope<'a> {
    Whole,
    /// The step and all steps that depend on it.
    From(&'a str),
    Only(&'a str),
}

/// The treatment of a step in a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
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

impl Scope<'_> {
    /// The treatment of every node, in the order of the dataflow. `is_kept` tells whether all values of a
    /// node are stored.
    ///
    /// # Errors
    /// The dataflow has no such step.
    pub fn parts(self, dataflow: &Dataflow, is_kept: impl Fn(&str) -> bool) -> Result<Vec<Part>, NoSuchStep> {
        let wanted = self.wanted(dataflow)?;
        let mut needed = vec![false; wanted.len()];
        let mut parts = Vec::new();
        // In the order of a dataflow, nodes come after the nodes that they need.
        for (index, node) in dataflow.nodes.iter().enumerate().rev() {
            let part = match (wanted[index], needed[index]) {
                (true, _) => Part::Run,
                (false, true) if is_kept(&node.name) => Part::Take,
                (false, true) => Part::Help,
                (false, false) => Part::Leave,
            };
            if matches!(part, Part::Run | Part::Help) {
                sources(&node.wires).for_each(|source| needed[source] = true);
            }
            parts.push(part);
        }
        parts.reverse();
        Ok(parts)
    }

    fn wanted(self, dataflow: &Dataflow) -> Result<Vec<bool>, NoSuchStep> {
        let (Scope::From(step) | Scope::Only(step)) = self else {
            return Ok(vec![true; dataflow.nodes.len()]);
        };
        let mut wanted: Vec<bool> = dataflow.nodes.iter().map(|node| node.name == step).collect();
        let first = wanted.iter().position(|wanted| *wanted).ok_or_else(|| NoSuchStep(step.to_owned()))?;
        if matches!(self, Scope::From(_)) {
            for (index, node) in dataflow.nodes.iter().enumerate().skip(first + 1) {
                let judges = node.wires.contains(&Wire::Outcomes);
                wanted[index] = judges || sources(&node.wires).any(|source| wanted[source]);
            }
        }
        Ok(wanted)
    }
}

/// The nodes at the other end of the wires.
fn sources(wires: &[Wire]) -> impl Iterator<Item = usize> {
    wires.iter().filter_map(|wire| match wire {
        Wire::Port(port) => Some(port.node),
        Wire::Absent | Wire::Request | Wire::Items | Wire::Outcomes => None,
    })
}

#[cfg(test)]
mod tests {
    use super::Part::{Help, Leave, Run, Take};
    use super::*;
    use crate::step::Table;

    /// The treatment of the steps of `ct-lung`, if the values of all of `kept` are stored.
    fn parts(scope: Scope, kept: &[&str]) -> Vec<(String, Part)> {
        let dataflow = Dataflow::load("ct-lung", &Table::built_in()).unwrap();
        let parts = scope.parts(&dataflow, |step| kept.contains(&step)).unwrap();
        dataflow.nodes.iter().map(|node| node.name.clone()).zip(parts).collect()
    }

    /// The steps that are not left out.
    fn check(scope: Scope, kept: &[&str], expected: &[(&str, Part)]) {
        let mut parts = parts(scope, kept);
        parts.retain(|(_, part)| *part != Leave);
        let parts: Vec<(&str, Part)> = parts.iter().map(|(step, part)| (step.as_str(), *part)).collect();
        assert_eq!(parts, expected);
    }

    #[test]
    fn what_is_needed_is_taken_or_made_again() {
        check(Scope::Only("headers"), &[], &[("headers", Run)]);
        check(Scope::Only("lungs"), &["volume"], &[("volume", Take), ("lungs", Run)]);
        let made = [("series", Take), ("volume", Help), ("lungs", Run)];
        check(Scope::Only("lungs"), &["headers", "series"], &made);
        assert!(parts(Scope::Whole, &["volume"]).iter().all(|(_, part)| *part == Run));
    }

    #[test]
    fn what_stands_behind_a_step_is_run_and_what_judges_too() {
        let parts = parts(Scope::From("pictures"), &["volume", "lungs", "densities"]);
        for (step, part) in parts {
            let expected = match step.as_str() {
                "pictures" | "png" | "capture" => Run,
                "error-pages" | "error-png" | "error-capture" | "error-report" => Run,
                "volume" | "lungs" | "densities" => Take,
                _ => Leave,
            };
            assert_eq!(part, expected, "{step}");
        }
    }

    #[test]
    fn a_step_that_is_not_there() {
        let dataflow = Dataflow::load("ct-lung", &Table::built_in()).unwrap();
        assert_eq!(Scope::Only("x").parts(&dataflow, |_| true), Err(NoSuchStep("x".to_owned())));
    }
}
