//! The steps of one request with what became of them, for the picture of its graph.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;

use crate::journal::{JournalEntry, RequestHistory};
use crate::ledger::StepWiring;
use crate::step::Outcome;

/// A step of a request's dataflow.
#[derive(Serialize, JsonSchema)]
pub struct GraphStep {
    pub step: String,
    /// The steps whose outputs it needs.
    pub needs: Vec<String>,
    /// `waiting`, `running`, `partly done`, `done`, `failed` or `skipped`.
    pub state: &'static str,
    /// The runs that have ended.
    pub runs: usize,
    /// The runs in all.
    pub of: usize,
    /// Microseconds of all runs together.
    pub took_us: u64,
}

/// The steps of the work in the order of the dataflow: name, needs, state, runs so far and in all, and the time that
/// the runs took together.
pub fn step_graph(
    wiring: &StepWiring,
    history: &RequestHistory,
    running: &BTreeSet<String>,
) -> Vec<GraphStep> {
    let items = history.request().map_or(0, |(request, _)| request.items.len());
    let steps = wiring.runs(items).into_iter().map(|step| {
        let (mut ended, mut took_us, mut outcome) = (BTreeSet::new(), 0_u64, "done");
        for dated in &history.entries {
            match &dated.entry {
                JournalEntry::Run(run) if run.step == step.name => {
                    ended.insert(run.item);
                    took_us = took_us.saturating_add(run.took_us);
                    match &run.outcome {
                        Outcome::Failed(_) => outcome = "failed",
                        Outcome::Skipped { .. } if ended.len() == 1 => outcome = "skipped",
                        Outcome::Done | Outcome::Skipped { .. } => {}
                    }
                }
                // A retry runs again what failed before it.
                JournalEntry::Asked { what, .. } if what == "retry" && outcome == "failed" => {
                    (outcome, ended) = ("done", BTreeSet::new());
                }
                _ => {}
            }
        }
        let state = match () {
            () if running.contains(&step.name) => "running",
            () if ended.len() >= step.runs || (outcome == "failed" && !ended.is_empty()) => outcome,
            () if ended.is_empty() => "waiting",
            () => "partly done",
        };
        GraphStep { step: step.name, needs: step.needs, state, runs: ended.len(), of: step.runs, took_us }
    });
    steps.collect()
}
