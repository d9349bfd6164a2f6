//! `flow check`: the problems of dataflow files.

use std::io::{self, Write};
use std::sync::Arc;

use serde::Serialize;

#[cfg(feature = "chat")]
use crate::chat::MessageType;
use crate::dataflow::{Dataflow, LoadError, ProcessLabel, built_in_names};
use crate::printable::{counted, with_causes};
use crate::site::Site;
use crate::step::StepTable;
use crate::yaml::Problem;

use super::check_site::{SiteCheck, SiteQuestion};
pub use super::check_verdict::CheckVerdict;
use super::customer;

/// Check dataflow files and print everything that is wrong with them
///
/// Each problem is given with file, line and column and, where something can be said, a hint.
/// Nothing is run. A dataflow without a problem is one line: its name, its digest (the version
/// that its results carry) and the number of its steps.
///
/// With --customer a customer's overlay is checked together with its base, and what it changes is listed.
///
/// With --site the site's file is checked, and with --request or --study it is told which dataflow a
/// request would go to, and which rule says so.
///
/// With --examples the examples of message types are run, and those whose answers differ count as problems.
///
/// Problems go to stderr. The exit code is 3 if there is one, 2 if a dataflow of the command line is not known, 66 if there
/// is no study to try, and 74 if a file cannot be read.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flow check my-dataflow.yaml
  flow check --site site.yaml --request modality=CT calling_ae=CT1
  flow check --site site.yaml --study /data/studies/1
  flow check --customer north
  flow check --examples types/triage.yaml")]
pub struct CheckArguments {
    /// Files, or names of dataflows that flow carries; if none is given, those that --site names, or all that flow carries
    #[arg(value_name = "DATAFLOW")]
    dataflows: Vec<String>,
    /// Check the overlay of this customer: the file NAME.yaml in `customers`, or in the folder that --site says
    #[arg(long, value_name = "NAME")]
    customer: Vec<String>,
    #[command(flatten)]
    site: SiteQuestion,
    /// Run the examples of message types; the services and models that they call are called
    #[arg(long)]
    examples: bool,
    /// Print the verdicts and problems as JSON, on stdout
    #[arg(long)]
    json: bool,
}

impl CheckArguments {
    /// # Errors
    /// If what there is to say cannot be written.
    pub fn run(
        &self,
        table: &StepTable,
        out: &mut impl Write,
        err: &mut impl Write,
    ) -> io::Result<CheckVerdict> {
        let site = self.site.answer();
        let names = self.names(site.as_ref());
        let facts = SiteFacts {
            destinations: site.as_ref().map_or(0, SiteCheck::destinations),
            labels: site.as_ref().map(SiteCheck::labels).unwrap_or_default(),
            named_by: site.as_ref().filter(|_| self.dataflows.is_empty()).and_then(SiteCheck::file),
        };
        let customers = self.customer.iter().map(|name| self.overlay(name, table, &facts));
        let checks = names.iter().map(|name| FileCheck::of(name, table, &facts)).chain(customers);
        let checks = checks.map(|check| if self.examples { check.with_examples(table) } else { check });
        let checks = checks.map(AnyCheck::Dataflow);
        let checks: Vec<AnyCheck> = site.map(AnyCheck::Site).into_iter().chain(checks).collect();
        match self.json {
            true => writeln!(out, "{}", serde_json::to_string_pretty(&checks)?)?,
            false => checks.iter().try_for_each(|check| check.write(out, err))?,
        }
        Ok(checks.iter().map(AnyCheck::verdict).max().unwrap_or(CheckVerdict::Sound))
    }

    fn names(&self, site: Option<&SiteCheck>) -> Vec<String> {
        match (self.dataflows.is_empty(), site) {
            (false, _) => self.dataflows.clone(),
            (true, _) if !self.customer.is_empty() => Vec::new(),
            (true, Some(site)) => site.dataflows().to_vec(),
            (true, None) => built_in_names().map(str::to_owned).collect(),
        }
    }
}

impl CheckArguments {
    fn overlay(&self, customer: &str, table: &StepTable, facts: &SiteFacts) -> FileCheck {
        match customer::overlay(customer, self.site.path()) {
            Ok(path) => FileCheck::of(&path, table, facts),
            Err(error) => {
                let (reason, hint) = (error.to_string(), Some(error.hint));
                let found = CheckFinding::Unreadable { reason, hint, is_there: false };
                FileCheck { dataflow: customer.to_owned(), found, examples: None }
            }
        }
    }
}

#[cfg(feature = "chat")]
fn examples(dataflow: Option<Dataflow>) -> Option<ExamplesRun> {
    let one = dataflow.and_then(MessageType::of)?;
    let differ = one.run_examples().iter().map(ToString::to_string).collect();
    Some(ExamplesRun { count: one.examples.len(), differ })
}

/// Only message types have examples.
#[cfg(not(feature = "chat"))]
fn examples(_: Option<Dataflow>) -> Option<ExamplesRun> {
    None
}

/// One file that was checked.
#[derive(Serialize)]
#[serde(untagged)]
enum AnyCheck {
    Site(SiteCheck),
    Dataflow(FileCheck),
}

impl AnyCheck {
    fn verdict(&self) -> CheckVerdict {
        match self {
            AnyCheck::Site(site) => site.verdict(),
            AnyCheck::Dataflow(dataflow) => dataflow.verdict(),
        }
    }

    fn write(&self, out: &mut impl Write, err: &mut impl Write) -> io::Result<()> {
        match self {
            AnyCheck::Site(site) => site.write(out, err),
            AnyCheck::Dataflow(dataflow) => dataflow.write(out, err),
        }
    }
}

/// The finding for one dataflow file.
#[derive(Serialize)]
struct FileCheck {
    dataflow: String,
    #[serde(flatten)]
    found: CheckFinding,
    /// The examples of a message type, if they were run.
    #[serde(skip_serializing_if = "Option::is_none")]
    examples: Option<ExamplesRun>,
}

#[derive(Serialize)]
struct ExamplesRun {
    count: usize,
    /// The ones whose answers differ, in words.
    differ: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
enum CheckFinding {
    Sound {
        name: String,
        digest: String,
        steps: usize,
        /// The changes of an overlay.
        #[serde(skip_serializing_if = "Option::is_none")]
        changes: Option<Vec<String>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        warning: Option<String>,
    },
    Problems {
        problems: Vec<Problem>,
    },
    Unreadable {
        reason: String,
        hint: Option<String>,
        #[serde(skip)]
        is_there: bool,
    },
}

/// What the site's file says that concerns dataflows.
#[derive(Default)]
struct SiteFacts {
    /// The number of destinations that get responses.
    destinations: usize,
    /// The labels of the process.
    labels: Vec<ProcessLabel>,
    /// The site's file, if it names the dataflows.
    named_by: Option<Arc<Site>>,
}

impl SiteFacts {
    /// What may surprise in a dataflow without problems.
    fn warning(&self, dataflow: &Dataflow) -> Option<String> {
        let unanswered = (self.destinations > 0 && dataflow.error_response().is_empty()).then(|| {
            "without a `failure:` part the site's destinations get nothing when a step fails".to_owned()
        });
        let empty = dataflow
            .response_off_at()
            .map(|step| format!("the response has no files, because the step \"{step}\" is switched off"));
        let labels = dataflow.labels();
        let lacking = labels.iter().filter(|(label, _)| !self.labels.contains(label));
        let placed = lacking.map(|(label, steps)| {
            format!(
                "`on: {label}` ({}): in a cluster it waits for a process with this label; alone, flow runs it here",
                steps.join(", ")
            )
        });
        let warnings: Vec<String> = unanswered.into_iter().chain(empty).chain(placed).collect();
        (!warnings.is_empty()).then(|| warnings.join("; "))
    }
}

impl FileCheck {
    fn of(name: &str, table: &StepTable, facts: &SiteFacts) -> FileCheck {
        let found = match Dataflow::load(name, table) {
            Ok(dataflow) => CheckFinding::Sound {
                name: dataflow.name().to_owned(),
                digest: dataflow.digest().to_string(),
                steps: dataflow.step_count(),
                changes: changes(&dataflow, table),
                warning: facts.warning(&dataflow),
            },
            Err(LoadError::Problems(problems)) => {
                CheckFinding::Problems { problems: problems.iter().cloned().collect() }
            }
            Err(error) => {
                match facts.named_by.as_ref().and_then(|site| site.dataflow_problem(name, &error)) {
                    Some(problems) => CheckFinding::Problems { problems: problems.iter().cloned().collect() },
                    None => CheckFinding::Unreadable {
                        reason: with_causes(&error),
                        hint: error.hint().map(str::to_owned),
                        is_there: matches!(error, LoadError::Read { .. }),
                    },
                }
            }
        };
        FileCheck { dataflow: name.to_owned(), found, examples: None }
    }

    /// Runs the examples, if the file is a message type without problems.
    fn with_examples(self, table: &StepTable) -> FileCheck {
        let examples = examples(Dataflow::load(&self.dataflow, table).ok());
        FileCheck { examples, ..self }
    }

    fn verdict(&self) -> CheckVerdict {
        let differs = self.examples.as_ref().is_some_and(|examples| !examples.differ.is_empty());
        match self.found {
            CheckFinding::Sound { .. } if differs => CheckVerdict::Problems,
            CheckFinding::Sound { .. } => CheckVerdict::Sound,
            CheckFinding::Problems { .. } => CheckVerdict::Problems,
            CheckFinding::Unreadable { is_there: true, .. } => CheckVerdict::Unreadable,
            CheckFinding::Unreadable { .. } => CheckVerdict::Unknown,
        }
    }

    fn write(&self, out: &mut impl Write, err: &mut impl Write) -> io::Result<()> {
        match &self.found {
            CheckFinding::Sound { name, digest, steps, changes, warning } => {
                writeln!(out, "{}: {name}, {}, {digest}", self.dataflow, counted(*steps, "step"))?;
                changes.iter().flatten().try_for_each(|change| writeln!(out, "  {change}"))?;
                self.examples.iter().try_for_each(|examples| examples.write(&self.dataflow, out, err))?;
                warning.iter().try_for_each(|text| writeln!(err, "{}: warning: {text}", self.dataflow))
            }
            CheckFinding::Problems { problems } => {
                problems.iter().try_for_each(|problem| writeln!(err, "{problem}"))?;
                let count = problems.len();
                writeln!(err, "{}: {}", self.dataflow, counted(count, "problem"))
            }
            CheckFinding::Unreadable { reason, hint, .. } => {
                writeln!(err, "{reason}")?;
                hint.iter().try_for_each(|hint| writeln!(err, "  hint: {hint}"))
            }
        }
    }
}

impl ExamplesRun {
    fn write(&self, file: &str, out: &mut impl Write, err: &mut impl Write) -> io::Result<()> {
        let fit = self.count - self.differ.len();
        writeln!(out, "  {} answered as written", counted(fit, "example"))?;
        self.differ.iter().try_for_each(|one| writeln!(err, "{file}: {one}"))
    }
}

/// The changes that an overlay makes to its base; `None` if the dataflow is no overlay.
fn changes(dataflow: &Dataflow, table: &StepTable) -> Option<Vec<String>> {
    let base = Dataflow::load(&dataflow.overlay()?.base, table);
    // An overlay may mend a base that is not sound by itself: then there is nothing to compare it with.
    Some(base.map(|base| dataflow.differences_from(&base)).unwrap_or_default())
}
