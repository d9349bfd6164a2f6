//! The settings of a run: those of the command line, then those of the site's file, then the defaults.

use std::io;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::admission::{DataflowSelector, SelectionRule};
use crate::dataflow::{Dataflow, RequestPriority};
use crate::files::{FilesSite, OutputSetting};
use crate::journal::RetentionLimits;
use crate::site::{DataflowRules, FileReaders, GeneralSettings, Site};
use crate::step::{Request, StepTable};
use crate::store::total_bytes;

use super::exit::{CommandError, CommandErrorKind, of_site};
use super::site::SiteSettings;
use super::state_arguments::STATE;

/// Settings given on the command line.
pub struct GivenSettings {
    pub general: GeneralSettings,
    pub output: Option<OutputSetting>,
}

/// The dataflows of a run: names of built-in ones, or paths of files.
#[derive(Debug)]
pub enum ChosenDataflow {
    /// One for all requests.
    One(String),
    /// The dataflows that the rules of the site's file name.
    ByRules(DataflowRules),
}

impl ChosenDataflow {
    /// Loads and checks them. What cannot be loaded is told at its place in the site's file that names it.
    fn load(&self, table: &StepTable, named_by: Option<&Site>) -> Result<DataflowSelector, CommandError> {
        let load = |name: &str| {
            Dataflow::load(name, table).map_err(|error| match named_by {
                Some(site) => of_site(error, name, site),
                None => error.into(),
            })
        };
        match self {
            ChosenDataflow::One(name) => Ok(DataflowSelector::only(load(name)?)),
            ChosenDataflow::ByRules(rules) => by_rules(rules.clone(), load),
        }
    }
}

/// The dataflows that rules name, and the choice among them.
fn by_rules(
    rules: DataflowRules,
    load: impl Fn(&str) -> Result<Dataflow, CommandError>,
) -> Result<DataflowSelector, CommandError> {
    let names: Vec<String> = rules.dataflows().into_iter().map(str::to_owned).collect();
    let mut dataflows: Vec<Arc<Dataflow>> = Vec::new();
    for name in &names {
        let dataflow = load(name)?;
        if let Some(same) = dataflows.iter().position(|known| known.name() == dataflow.name()) {
            let text =
                format!("the dataflows {} and {name} are both called {}", names[same], dataflow.name());
            let failure = CommandError::new(CommandErrorKind::Problems, text);
            return Err(failure.hint("requests are remembered by the name of their dataflow: rename one"));
        }
        dataflows.push(Arc::new(dataflow));
    }
    let (priorities, matched) = (rules.clone(), rules.clone());
    let named = rules_in_words(&rules, |dataflow| {
        let place = names.iter().position(|name| name == dataflow);
        place.map(|place| dataflows[place].name().to_owned()).unwrap_or_default()
    });
    let choose = move |request: &Request| {
        let chosen = rules.choose(request).dataflow;
        names.iter().position(|name| name == chosen).expect("the rules name no other dataflow")
    };
    let prioritise = move |request: &Request| priorities.choose(request).priority;
    // The default stands behind all rules.
    let match_rule =
        move |request: &Request| Some(matched.choose(request).rule.unwrap_or(matched.rules.len()));
    Ok(DataflowSelector::by(dataflows, choose).with_priorities(prioritise).with_rules(named, match_rule))
}

/// The rules in words, the default last; `name` gives the name of a dataflow that a rule names.
fn rules_in_words(rules: &DataflowRules, name: impl Fn(&str) -> String) -> Vec<SelectionRule> {
    let priority = |priority: Option<RequestPriority>| priority.map(RequestPriority::name);
    let named = rules.rules.iter().map(|rule| SelectionRule {
        when: rule.when.to_string(),
        dataflow: name(&rule.dataflow),
        customer: rule.customer.clone(),
        priority: priority(rule.priority),
        line: rule.line,
    });
    let default = &rules.default;
    let default = SelectionRule {
        when: String::new(),
        dataflow: name(&default.dataflow),
        customer: None,
        priority: priority(default.priority),
        line: default.line,
    };
    named.chain([default]).collect()
}

/// The settings of a run, chosen from the command line, the site's file and the defaults.
#[derive(Debug)]
pub struct RunSettings {
    pub dataflow: ChosenDataflow,
    /// The site's file, if it names the dataflows.
    pub named_by: Option<Arc<Site>>,
    /// The priority of all requests, if the command line says one.
    pub priority: Option<RequestPriority>,
    pub state: PathBuf,
    /// The folder of responses; `None`: there are other destinations only.
    pub output: Option<PathBuf>,
    pub input: Vec<PathBuf>,
    /// The number of worker threads; `None`: one per core.
    pub workers: Option<NonZero<usize>>,
    pub lanes: NonZero<usize>,
    /// The memory in bytes; `None`: a share of the machine's.
    pub memory: Option<u64>,
    pub free_min: u64,
    pub keep_days: f64,
    /// The bytes of answered requests that are kept; `None`: a share of the disk.
    pub keep_bytes: Option<u64>,
    pub retry: Vec<Duration>,
    pub keep_trying: Duration,
    pub readers: FileReaders,
}

/// The default dataflow.
pub const DATAFLOW: &str = "ct-lung";
const OUTPUT: &str = "flow-output";
pub const LANES: NonZero<usize> = NonZero::new(4).expect("four is not zero");
const FREE_BYTES_MIN: u64 = 1 << 30;
const KEEP_DAYS: f64 = 7.0;
const RETRY_S: [u64; 3] = [1, 5, 15];
const KEEP_TRYING: Duration = Duration::from_secs(12 * 60 * 60);

impl RunSettings {
    /// With this priority for all requests, if there is one.
    #[must_use]
    pub fn with_priority(self, priority: Option<RequestPriority>) -> RunSettings {
        RunSettings { priority, ..self }
    }

    /// Loads and checks the dataflows.
    pub fn load(&self, table: &StepTable) -> Result<DataflowSelector, CommandError> {
        let dataflows = self.dataflow.load(table, self.named_by.as_deref())?;
        Ok(match self.priority {
            Some(priority) => dataflows.with_priorities(move |_| Some(priority)),
            None => dataflows,
        })
    }

    /// Settings in force: the command line takes precedence over the site's file. With `receives`, requests
    /// are received, and input files that the site's file names are ignored.
    pub fn choose(
        given: GivenSettings,
        site: &SiteSettings,
        receives: bool,
    ) -> Result<RunSettings, CommandError> {
        let said = site.site.as_ref();
        let output = said.and_then(|site| site.section::<FilesSite>()).and_then(|files| files.output.clone());
        let rules = said.and_then(|site| site.rules.as_ref());
        let named_by = site.site.clone().filter(|_| given.general.dataflow.is_none());
        let said = said.map(|site| site.general.clone()).unwrap_or_default();
        let GivenSettings { general: given, output: output_given } = given;
        let output = output_given.or(output);
        let input = if receives || !given.input.is_empty() { given.input } else { said.input };
        Ok(RunSettings {
            dataflow: match given.dataflow.or(said.dataflow) {
                Some(dataflow) => ChosenDataflow::One(dataflow),
                None => match rules {
                    Some(rules) => ChosenDataflow::ByRules(rules.clone()),
                    None => ChosenDataflow::One(DATAFLOW.to_owned()),
                },
            },
            named_by,
            priority: None,
            state: given.state.or(said.state).unwrap_or_else(|| STATE.into()),
            output: match output.unwrap_or_else(|| OutputSetting::Folder(OUTPUT.into())) {
                OutputSetting::Folder(folder) => Some(folder),
                OutputSetting::Nowhere => None,
            },
            input,
            workers: given.workers.or(said.workers),
            lanes: given.lanes.or(said.lanes).unwrap_or(LANES),
            memory: given.memory.or(said.memory),
            free_min: given.free_min.or(said.free_min).unwrap_or(FREE_BYTES_MIN),
            keep_days: given.keep.days.or(said.keep.days).unwrap_or(KEEP_DAYS),
            keep_bytes: given.keep.bytes.or(said.keep.bytes),
            retry: given.retry.or(said.retry).unwrap_or_else(|| RETRY_S.map(Duration::from_secs).into()),
            keep_trying: given.keep_trying.or(said.keep_trying).unwrap_or(KEEP_TRYING),
            readers: said.readers.unwrap_or_default(),
        })
    }

    /// The folder of received studies.
    pub fn inbox(&self) -> io::Result<PathBuf> {
        std::path::absolute(self.state.join("inbox"))
    }

    /// How much is remembered of answered requests. The state folder has to be there: how large its disk is depends on
    /// where it lies.
    pub fn retention(&self) -> RetentionLimits {
        // Beyond what a duration can hold, it is for ever.
        let age_max = Duration::try_from_secs_f64(self.keep_days * 86_400.0).unwrap_or(Duration::MAX);
        let bytes_max = self.keep_bytes.unwrap_or_else(|| total_bytes(&self.state) / 10);
        RetentionLimits { age_max, bytes_max }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::site::built_in_sections;

    use super::*;

    fn choose(given: GeneralSettings, site: &str) -> Result<RunSettings, CommandError> {
        let site = Site::parse("site.yaml", site, Path::new("/etc/flow"), &built_in_sections()).unwrap();
        RunSettings::choose(GivenSettings { general: given, output: None }, &SiteSettings::of(site), false)
    }

    #[test]
    fn the_command_line_goes_before_the_file_and_the_file_before_what_is_usual() {
        let text = "state: state\noutput: none\nlanes: 9\nkeep: {days: 30}\nretry: [2 s, 1 min]\ninput: [in]\n\
                    dataflow: mine.yaml";
        let chosen = choose(GeneralSettings { lanes: NonZero::new(2), ..Default::default() }, text).unwrap();
        assert_eq!((chosen.state.as_path(), chosen.output), (Path::new("/etc/flow/state"), None));
        assert_eq!((chosen.lanes.get(), chosen.keep_days, chosen.free_min), (2, 30.0, 1 << 30));
        assert_eq!(chosen.retry, [2, 60].map(Duration::from_secs));
        assert!(is_one(&chosen.dataflow, "/etc/flow/mine.yaml"));
        assert_eq!(chosen.input.len(), 1);
    }

    #[test]
    fn rules_choose_among_their_dataflows_unless_the_command_line_names_one() {
        let rules = "rules: [{when: {modality: CT}, dataflow: ct-lung}, {default: ct-lung}]";
        let table = StepTable::built_in();
        let chosen = choose(GeneralSettings::default(), rules).unwrap().dataflow;
        let dataflows = chosen.load(&table, None).unwrap();
        assert_eq!(dataflows.dataflows().len(), 1, "named twice, loaded once");
        let named = GeneralSettings { dataflow: Some("b.yaml".to_owned()), ..Default::default() };
        assert!(is_one(&choose(named, rules).unwrap().dataflow, "b.yaml"));
    }

    fn is_one(dataflow: &ChosenDataflow, expected: &str) -> bool {
        matches!(dataflow, ChosenDataflow::One(name) if name == expected)
    }
}
