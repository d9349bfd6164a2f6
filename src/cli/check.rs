//! `flow check`: what is wrong with dataflow files.

use std::error::Error;
use std::io::{self, Write};

use serde::Serialize;

use crate::dataflow::{Dataflow, LoadError, built_in_names};
use crate::step::Table;
use crate::yaml::Problem;

/// Check dataflow files and print everything that is wrong with them
///
/// Each problem is given with file, line and column and, where something can be said, a hint.
/// Nothing is run. A dataflow without a problem is one line: its name, its digest (the version
/// that its results carry) and the number of its steps.
///
/// Problems go to stderr. The exit code is 3 if there is one, 2 if a file cannot be read.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files, or names of dataflows that flow carries; all of the latter if none is given
    #[arg(value_name = "DATAFLOW")]
    dataflows: Vec<String>,
    /// Print the verdicts and problems as JSON, on stdout
    #[arg(long)]
    json: bool,
}

/// What became of the worst file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Sound,
    Problems,
    Unreadable,
}

impl Args {
    /// # Errors
    /// If what there is to say cannot be written.
    pub fn run(&self, table: &Table, out: &mut impl Write, err: &mut impl Write) -> io::Result<Verdict> {
        let checks: Vec<Check> = self.names().iter().map(|name| Check::of(name, table)).collect();
        match self.json {
            true => writeln!(out, "{}", serde_json::to_string_pretty(&checks)?)?,
            false => checks.iter().try_for_each(|check| check.write(out, err))?,
        }
        Ok(checks.iter().map(Check::verdict).max().unwrap_or(Verdict::Sound))
    }

    fn names(&self) -> Vec<String> {
        match self.dataflows.is_empty() {
            true => built_in_names().map(str::to_owned).collect(),
            false => self.dataflows.clone(),
        }
    }
}

/// What was found out about one file.
#[derive(Serialize)]
struct Check {
    dataflow: String,
    #[serde(flatten)]
    found: Found,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
enum Found {
    Sound { name: String, digest: String, steps: usize },
    Problems { problems: Vec<Problem> },
    Unreadable { reason: String, hint: Option<String> },
}

impl Check {
    fn of(name: &str, table: &Table) -> Check {
        let found = match Dataflow::load(name, table) {
            Ok(dataflow) => Found::Sound {
                name: dataflow.name().to_owned(),
                digest: dataflow.digest().to_string(),
                steps: dataflow.step_count(),
            },
            Err(LoadError::Problems(problems)) => {
                Found::Problems { problems: problems.iter().cloned().collect() }
            }
            Err(error) => {
                Found::Unreadable { reason: with_cause(&error), hint: error.hint().map(str::to_owned) }
            }
        };
        Check { dataflow: name.to_owned(), found }
    }

    fn verdict(&self) -> Verdict {
        match self.found {
            Found::Sound { .. } => Verdict::Sound,
            Found::Problems { .. } => Verdict::Problems,
            Found::Unreadable { .. } => Verdict::Unreadable,
        }
    }

    fn write(&self, out: &mut impl Write, err: &mut impl Write) -> io::Result<()> {
        match &self.found {
            Found::Sound { name, digest, steps } => {
                writeln!(out, "{}: {name}, {steps} steps, {digest}", self.dataflow)
            }
            Found::Problems { problems } => {
                problems.iter().try_for_each(|problem| writeln!(err, "{problem}"))?;
                let count = problems.len();
                let plural = if count == 1 { "" } else { "s" };
                writeln!(err, "{}: {count} problem{plural}", self.dataflow)
            }
            Found::Unreadable { reason, hint } => {
                writeln!(err, "{reason}")?;
                hint.iter().try_for_each(|hint| writeln!(err, "  hint: {hint}"))
            }
        }
    }
}

fn with_cause(error: &LoadError) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
