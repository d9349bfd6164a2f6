//! Runs of `tally`, one after the other: each has the total that a plain program makes of the same jobs.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Instant;

use flow::tally::SampleJobs;
use serde_json::Value;

use super::program::KilledProgram;
use super::{SoakAccount, SoakPlan, TALLIES_AN_HOUR};

pub const NAME: &str = "tallies";

/// The process of the run that is under way.
pub fn program(folder: &Path) -> Arc<KilledProgram> {
    Arc::new(KilledProgram::new(NAME, folder.to_owned(), &[]))
}

pub fn run(plan: &SoakPlan, program: &KilledProgram) -> SoakAccount {
    let count = plan.share(TALLIES_AN_HOUR);
    let truth = SampleJobs::new(SampleJobs::USUAL).truth().expect("the index of the search can be made");
    let truth = serde_json::to_value(truth).expect("a total is JSON");
    let (mut faults, mut answered) = (Vec::new(), 0);
    for number in 0..count {
        thread::sleep(plan.due(number, count).saturating_duration_since(Instant::now()));
        let (state, output) = (format!("tally-state-{number}"), format!("tally-output-{number}"));
        let arguments = ["run", "tally", "--state", &state, "--output", &output].map(str::to_owned);
        let status = program.run(arguments.into());
        match total(&plan.folder.join(&output)) {
            Some(total) if status.success() => {
                answered += 1;
                if total != truth {
                    faults.push(format!("run {number}: {total} and not {truth}"));
                }
            }
            _ => faults.push(format!("run {number} ended with {status}, and without a total")),
        }
        plan.tallies.fetch_add(1, Ordering::Relaxed);
        let _ = fs::remove_dir_all(plan.folder.join(state));
    }
    SoakAccount { part: NAME, asked: count, answered, faults }
}

/// The totals of the groups of the one response in a folder.
fn total(output: &Path) -> Option<Value> {
    let folders: Vec<_> = fs::read_dir(output).ok()?.flatten().collect();
    let [folder] = folders.as_slice() else { return None };
    let text = fs::read_to_string(folder.path().join("total.json")).ok()?;
    serde_json::from_str::<Value>(&text).ok().map(|mut total| total["groups"].take())
}
