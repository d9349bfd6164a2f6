//! The figures of `flow bench --json`, which `flow simulate --bench` reads.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::exit::{CommandError, CommandErrorKind};

/// Medians of all rounds.
#[derive(Debug, Deserialize, Serialize)]
pub struct BenchFigures {
    pub dataflow: String,
    pub studies: u64,
    pub slices: u16,
    /// Columns and rows of an image.
    pub matrix: u16,
    pub rounds: usize,
    /// Bytes of all studies.
    pub bytes: u64,
    /// Seconds for reading and decoding all studies, and nothing else.
    pub floor_s: f64,
    /// Seconds for the whole job.
    pub whole_s: f64,
    /// Seconds of cores that the whole job took.
    pub core_s: f64,
    /// The most memory of the process; absent where the system does not tell.
    pub peak_bytes: Option<u64>,
    /// Milliseconds of wall time that each step takes for a study.
    pub step_ms: BTreeMap<String, f64>,
}

impl BenchFigures {
    /// Reads what `flow bench --json` wrote.
    pub fn read(path: &Path) -> Result<BenchFigures, CommandError> {
        let failed = |kind, error: &dyn std::fmt::Display| {
            CommandError::new(kind, format!("could not read {}: {error}", path.display()))
        };
        let text = std::fs::read(path).map_err(|error| failed(CommandErrorKind::InputOutput, &error))?;
        let figures: BenchFigures = serde_json::from_slice(&text).map_err(|error| {
            failed(CommandErrorKind::Problems, &error).hint("flow bench --json writes it")
        })?;
        let sound = figures.studies > 0
            && figures.bytes > 0
            && [figures.whole_s, figures.core_s].iter().all(|seconds| seconds.is_finite() && *seconds > 0.0);
        if sound { Ok(figures) } else { Err(failed(CommandErrorKind::Problems, &"a figure is zero")) }
    }

    /// Bytes of a study.
    pub fn study_bytes(&self) -> f64 {
        self.bytes as f64 / self.studies as f64
    }

    /// Seconds of a core for a study.
    pub fn study_core_s(&self) -> f64 {
        self.core_s / self.studies as f64
    }

    /// Cores that worked at the same time, on average.
    pub fn cores(&self) -> f64 {
        self.core_s / self.whole_s
    }
}
