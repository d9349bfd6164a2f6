//! Sample jobs, and the total that a plain sequential program makes of them.

use std::fs;
use std::io;
use std::path::Path;

use serde_json::{Value as JsonValue, json};

use crate::json::{JsonTotal, TotalGroup};

use super::answers;
use super::search::{DocumentIndex, mixed, word};

/// The smallest amount that counts, as in the dataflow `tally`.
const AMOUNT_MIN: u64 = 2_000;

/// Jobs of two kinds.
pub struct SampleJobs(Vec<JsonValue>);

/// The true total of jobs.
pub type TallyTruth = JsonTotal;

impl SampleJobs {
    /// The jobs of `flow run tally`.
    pub const USUAL: u64 = 5_000;

    /// So many jobs, which are always the same.
    pub fn new(count: u64) -> SampleJobs {
        let job = |id: u64| {
            let dice = mixed(id);
            let count = 1 + dice % 9;
            match dice >> 8 & 1 {
                0 => {
                    let words = format!("{} {}", word(dice >> 16), word(dice >> 32));
                    json!({ "id": id, "kind": "ask", "words": words, "count": count })
                }
                _ => json!({ "id": id, "kind": "direct", "count": count }),
            }
        };
        SampleJobs((0..count).map(job).collect())
    }

    /// Writes the jobs to a file, one a line.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let lines: String = self.0.iter().map(|job| format!("{job}\n")).collect();
        fs::write(path, lines)
    }

    /// The total, one job after the other, without streams, batches, services and faults.
    ///
    /// # Errors
    /// If the index of the search cannot be made.
    pub fn truth(&self) -> io::Result<TallyTruth> {
        let index = DocumentIndex::new().map_err(io::Error::other)?;
        let mut total = JsonTotal::default();
        for job in &self.0 {
            let asks_first =
                job["kind"] == "ask" && answers::answer(answers::SEARCH, job, &index)["go"] == "first";
            let price = answers::price(job, if asks_first { 1 } else { 2 });
            let amount = price * job["count"].as_u64().unwrap_or_default();
            if amount >= AMOUNT_MIN {
                let kind = job["kind"].to_string();
                let amount = i64::try_from(amount).map_err(io::Error::other)?;
                total.add(kind, amount).map_err(|fault| io::Error::other(fault.reason))?;
            }
        }
        Ok(total)
    }
}

impl TotalGroup {
    /// Reads the total of a file that `write-total` has written.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(path: &Path) -> io::Result<TotalGroup> {
        serde_json::from_slice(&fs::read(path)?).map_err(io::Error::other)
    }
}
