//! A reload: the site's rules and the dataflows are read again, and apply to requests from then on.

use std::sync::Arc;

use crate::admission::DataflowUpdates;
use crate::dataflow::RequestPriority;
use crate::printable::PrintableLines;
use crate::site::{GeneralSettings, Site};
use crate::step::StepTable;

use super::exit::CommandError;
use super::output;
use super::progress::GO_ON;
use super::run_settings::{GivenSettings, RunSettings};
use super::site::SiteArguments;

/// The files that a reload reads again, and the settings that it compares them with.
pub struct RunReload {
    pub site: SiteArguments,
    /// The dataflow that the command line names.
    pub dataflow: Option<String>,
    /// The priority that the command line gives all requests.
    pub priority: Option<RequestPriority>,
    pub table: StepTable,
    /// The site's file at the start. Everything in it except rules and dataflows stays in force.
    pub at_start: Option<Arc<Site>>,
    pub updates: Arc<DataflowUpdates>,
}

impl RunReload {
    /// Reads the files, and gives the new dataflows and rules to the running service. After a problem, which
    /// is reported, nothing changes.
    pub fn reload(&self) {
        match self.read() {
            Ok(differing) if differing.is_empty() => {}
            Ok(differing) => {
                let keys = differing.join(", ");
                let text =
                    format!("not reloaded: {keys}: it differs in the site's file, and takes a new start");
                output::tell_event(&PrintableLines::of(text));
            }
            Err(error) => {
                let head = format_args!("NOT RELOADED: {GO_ON}").to_string();
                output::tell_event(&PrintableLines::of(head).lines_of(error.lines().as_str()));
            }
        }
    }

    /// Reads the files; gives the keys of the site's file that differ and cannot be reloaded.
    fn read(&self) -> Result<Vec<String>, CommandError> {
        let site = self.site.load()?;
        let general = GeneralSettings { dataflow: self.dataflow.clone(), ..GeneralSettings::default() };
        let chosen = RunSettings::choose(GivenSettings { general, output: None }, &site, false)?;
        self.updates.give(chosen.with_priority(self.priority).load(&self.table)?);
        let (Some(before), Some(now)) = (&self.at_start, &site.site) else { return Ok(Vec::new()) };
        let mut differing = before.differing_keys(now);
        differing.retain(|key| !RELOADED.contains(&key.as_str()));
        Ok(differing)
    }
}

/// The keys of the site's file that a reload takes over.
const RELOADED: [&str; 3] = ["dataflow", "rules", "customers"];

/// Reports that a process of a cluster does not reload.
pub fn refuse() {
    let text = "NOT RELOADED: the processes of a cluster agree on their dataflows when they start";
    let hint = "  hint: end all of them, and start them again";
    output::tell_event(&PrintableLines::of(text).line(hint));
}
