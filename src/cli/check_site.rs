//! Output of `flow check --site`: problems of a site's file, and the dataflow chosen for each request.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use crate::dataflow::ProcessLabel;
use crate::dicom::folder;
use crate::printable::counted;
use crate::site::{Site, SiteError, built_in_sections, check_attribute, described_request};
use crate::step::{Request, StepTable};
use crate::yaml::Problem;

use super::check_verdict::CheckVerdict;
use super::run_settings::DATAFLOW;

/// The site's file to check, and requests to try its rules on.
#[derive(Debug, clap::Args)]
pub struct SiteQuestion {
    /// Check this site's file and the dataflows that it names
    #[arg(long, value_name = "FILE")]
    site: Option<PathBuf>,

    /// Tell which dataflow a request with these attributes would go to, by the rules of --site
    #[arg(long, value_name = "NAME=VALUE", num_args = 1.., requires = "site", value_parser = attribute)]
    request: Vec<(String, String)>,

    /// Tell which dataflows the studies in these files or folders would go to
    #[arg(long, value_name = "PATH", num_args = 1.., requires = "site")]
    study: Vec<PathBuf>,
}

/// The finding for a site's file.
#[derive(Serialize)]
pub struct SiteCheck {
    site: String,
    #[serde(flatten)]
    found: SiteFound,
    /// The dataflow chosen for each request.
    choices: Vec<RequestChoice>,
    #[serde(skip)]
    file: Option<Arc<Site>>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
enum SiteFound {
    Sound {
        rules: usize,
        dataflows: Vec<String>,
        destinations: usize,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        labels: Vec<ProcessLabel>,
    },
    Problems {
        problems: Vec<Problem>,
    },
    Unreadable {
        reason: String,
        #[serde(skip)]
        verdict: CheckVerdict,
    },
}

/// The dataflow of one request, and why.
#[derive(Serialize)]
struct RequestChoice {
    request: String,
    dataflow: String,
    because: String,
}

impl SiteQuestion {
    /// The site's file.
    pub fn path(&self) -> Option<&Path> {
        self.site.as_deref()
    }

    /// The finding for the site's file; `None` if the command line names no such file.
    pub fn answer(&self) -> Option<SiteCheck> {
        let path = self.site.as_deref()?;
        let wrong = |found| SiteCheck { site: shown(path), found, choices: Vec::new(), file: None };
        Some(match Site::load(path, &built_in_sections()) {
            Ok(site) => match self.requests() {
                Ok(requests) => SiteCheck {
                    site: shown(path),
                    found: SiteFound::of(&site),
                    choices: choices(&site, &requests),
                    file: Some(Arc::new(site)),
                },
                Err((verdict, reason)) => wrong(SiteFound::Unreadable { reason, verdict }),
            },
            Err(SiteError::Problems(problems)) => {
                wrong(SiteFound::Problems { problems: problems.iter().cloned().collect() })
            }
            Err(error @ SiteError::Unreadable { .. }) => {
                let (reason, verdict) = (error.to_string(), CheckVerdict::Unreadable);
                wrong(SiteFound::Unreadable { reason, verdict })
            }
        })
    }

    /// The requests on which the rules are tried, with their names for the output.
    fn requests(&self) -> Result<Vec<(String, Request)>, (CheckVerdict, String)> {
        let mut requests = Vec::new();
        if !self.request.is_empty() {
            let request = described_request(self.request.iter().cloned());
            let told = request.attributes.iter().map(|(name, values)| format!("{name}={}", values.text()));
            requests.push((told.collect::<Vec<String>>().join(" "), request));
        }
        if !self.study.is_empty() {
            let found = folder::find(&self.study).map_err(|error| {
                let is_missing = error.is_missing();
                let verdict = if is_missing { CheckVerdict::NoInput } else { CheckVerdict::Unreadable };
                (verdict, error.to_string())
            })?;
            if found.studies.is_empty() {
                let paths: Vec<String> = self.study.iter().map(|path| shown(path)).collect();
                return Err((CheckVerdict::NoInput, format!("no DICOM study in {}", paths.join(", "))));
            }
            requests.extend(found.studies.into_iter().map(|study| (study.name.clone(), study)));
        }
        Ok(requests)
    }
}

impl SiteFound {
    fn of(site: &Site) -> SiteFound {
        let rules = site.rules.as_ref().map_or(0, |rules| rules.rules.len());
        let ruled = site.rules.iter().flat_map(|rules| rules.dataflows());
        let dataflows = ruled.chain(site.general.dataflow.as_deref()).map(str::to_owned).collect();
        let (destinations, labels) = (site.to.len(), site.general.labels.clone());
        SiteFound::Sound { rules, dataflows, destinations, labels }
    }
}

impl SiteCheck {
    pub fn verdict(&self) -> CheckVerdict {
        match self.found {
            SiteFound::Sound { .. } => CheckVerdict::Sound,
            SiteFound::Problems { .. } => CheckVerdict::Problems,
            SiteFound::Unreadable { verdict, .. } => verdict,
        }
    }

    /// The file, if it is sound.
    pub fn file(&self) -> Option<Arc<Site>> {
        self.file.clone()
    }

    /// The dataflows that the file names.
    pub fn dataflows(&self) -> &[String] {
        match &self.found {
            SiteFound::Sound { dataflows, .. } => dataflows,
            SiteFound::Problems { .. } | SiteFound::Unreadable { .. } => &[],
        }
    }

    /// The number of destinations that the file sends responses to.
    pub fn destinations(&self) -> usize {
        match self.found {
            SiteFound::Sound { destinations, .. } => destinations,
            SiteFound::Problems { .. } | SiteFound::Unreadable { .. } => 0,
        }
    }

    /// The labels of the process in a cluster.
    pub fn labels(&self) -> Vec<ProcessLabel> {
        match &self.found {
            SiteFound::Sound { labels, .. } => labels.clone(),
            SiteFound::Problems { .. } | SiteFound::Unreadable { .. } => Vec::new(),
        }
    }

    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, out: &mut impl Write, err: &mut impl Write) -> io::Result<()> {
        match &self.found {
            SiteFound::Sound { rules, .. } => {
                writeln!(out, "{}: a site with {}", self.site, counted(*rules, "rule"))?;
            }
            SiteFound::Problems { problems } => {
                problems.iter().try_for_each(|problem| writeln!(err, "{problem}"))?;
                let count = problems.len();
                writeln!(err, "{}: {}", self.site, counted(count, "problem"))?;
            }
            SiteFound::Unreadable { reason, .. } => writeln!(err, "{reason}")?,
        }
        self.choices.iter().try_for_each(|RequestChoice { request, dataflow, because }| {
            writeln!(out, "{request}: {dataflow}, by {because}")
        })
    }
}

fn choices(site: &Site, requests: &[(String, Request)]) -> Vec<RequestChoice> {
    let choice = |(name, request): &(String, Request)| {
        let (dataflow, because) = match (&site.rules, &site.general.dataflow) {
            (Some(rules), _) => {
                let choice = rules.choose(request);
                (choice.dataflow.to_owned(), choice.to_string())
            }
            (None, Some(dataflow)) => (dataflow.clone(), "\"dataflow\": there are no rules".to_owned()),
            (None, None) => (DATAFLOW.to_owned(), "default: the file names no dataflow".to_owned()),
        };
        RequestChoice { request: name.clone(), dataflow, because }
    };
    requests.iter().map(choice).collect()
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// `modality=CT`
fn attribute(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE, for example modality=CT")?;
    check_attribute(name, &StepTable::built_in())?;
    Ok((name.to_owned(), value.to_owned()))
}
