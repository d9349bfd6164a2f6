//! `flow simulate`: how long studies would wait at a site, with one box and with several.

use std::num::NonZero;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::dataflow::Dataflow;
use crate::dicom::CompletionSignal;
use crate::dicom::site::DicomSite;
use crate::printable::{PrintableLines, counted};
use crate::simulate::{
    HospitalDay, SimulatedQuantiles, SimulatedSite, SimulationReport, StudyProfile, draw_studies, report,
    simulate, studies_at,
};
use crate::site::Site;
use crate::step::StepTable;
use crate::yaml;

use super::bench_figures::BenchFigures;
use super::exit::{CommandError, CommandErrorKind, CommandExit, of_site};
use super::run_settings::{DATAFLOW, LANES};
use super::site::read_site;
use super::{memory, output};

/// Simulate days of studies at a site: how long they wait, and what is full first
///
/// Workers, lanes, memory, dataflow and quiet time are those of the site's file. Nothing is run: the time of a study is
/// one that was measured, as with `flow bench --studies 1 --json`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flow simulate site.yaml --boxes 1,2,4
  flow bench --studies 1 --json > bench.json && flow simulate site.yaml --bench bench.json
  flow simulate site.yaml --core-seconds 120 --study-cores 8")]
pub struct SimulateArguments {
    /// The site's file
    #[arg(value_name = "SITE")]
    site: PathBuf,

    /// Studies in the busiest hour of a day
    #[arg(long, value_name = "N", default_value_t = 250.0, value_parser = more_than_zero)]
    studies_per_hour: f64,

    /// Numbers of boxes to compare; they work as one cluster, and each has the lanes of the site's file
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1")]
    boxes: Vec<NonZero<u16>>,

    /// Days that are simulated
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=366))]
    days: u32,

    /// Arrivals of each hour from midnight on, in any unit: 24 numbers [default: a hospital's day]
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = part)]
    hours: Vec<f64>,

    /// A file with times of arrival in seconds, one a line, in place of days that are drawn
    #[arg(long, value_name = "FILE", conflicts_with_all = ["hours", "days", "studies_per_hour"])]
    arrivals: Option<PathBuf>,

    /// Another seed draws other days
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// What `flow bench --json` wrote; other options go before its figures
    #[arg(long, value_name = "FILE")]
    bench: Option<PathBuf>,

    /// The size of a study [default: 138 MiB, as 275 slices of 512 x 512]
    #[arg(long, value_name = "BYTES", value_parser = yaml::bytes)]
    study_size: Option<u64>,

    /// The standard deviation of sizes, in parts of the mean
    #[arg(long, value_name = "PART", default_value_t = 0.5, value_parser = variation)]
    variation: f64,

    /// The processor's time for a study, in seconds of one core [default: 0.58]
    #[arg(long, value_name = "S", value_parser = more_than_zero)]
    core_seconds: Option<f64>,

    /// Cores that one study can use at the same time, on average [default: 1.7]
    #[arg(long, value_name = "N", value_parser = more_than_zero)]
    study_cores: Option<f64>,

    /// The link into the first box, in Gbit a second
    #[arg(long, value_name = "GBIT", default_value_t = 1.0, value_parser = more_than_zero)]
    network: f64,

    /// Print a line of JSON for each number of boxes
    #[arg(long)]
    json: bool,
}

/// Bytes, seconds of a core and cores of one study: `ct-lung` on a chest of 275 slices, as in
/// docs/src/reference/measurements.md. 4 studies took two cores 1.167 s, and one alone 0.34 s.
const STUDY_BYTES: f64 = 138.0 * 1_048_576.0;
const CORE_S: f64 = 0.58;
const STUDY_CORES: f64 = 1.7;

/// Seconds of an hour.
const HOUR_S: f64 = 3600.0;

/// Bytes of a gigabit.
const GIGABIT: f64 = 125e6;

/// The most studies that are simulated, and the most of them in all numbers of boxes together, each counted as often as
/// there are boxes: every event looks at all of these.
const STUDIES_MAX: f64 = 10e6;
const BOX_STUDIES_MAX: f64 = 1e9;

/// The longest time between the first and the last arrival, in seconds: as many days as `--days` takes.
const ARRIVALS_S_MAX: f64 = 366.0 * 86_400.0;

/// The last time that may be one of a clock, in seconds of Unix time: in the year 5138.
const UNIX_S_MAX: f64 = 1e11;

/// The longest time that all studies may take one after the other, in seconds: a thousand years.
const WORK_S_MAX: f64 = 1000.0 * 365.25 * 86_400.0;

/// A line of JSON.
#[derive(Serialize)]
struct SimulationLine<'a> {
    /// The rate of the busiest hour, of days that are drawn.
    studies_per_hour: Option<f64>,
    #[serde(flatten)]
    report: &'a SimulationReport,
}

impl SimulateArguments {
    pub fn run(self, table: &StepTable) -> Result<CommandExit, CommandError> {
        let site = read_site(&self.site)?;
        let day = self.day()?;
        let bench = self.bench.as_deref().map(BenchFigures::read).transpose()?;
        let profile = self.profile(&site, bench.as_ref(), table)?;
        let one = self.one_box(&site, bench.as_ref());
        let times = self.arrivals.as_deref().map(arrivals).transpose()?;
        let drawn = || self.studies_per_hour * day.total() * f64::from(self.days);
        self.check_bounds(times.as_ref().map_or_else(drawn, |times| times.len() as f64), &one, &profile)?;
        let studies = match &times {
            Some(times) => studies_at(times, &profile, self.seed),
            None => draw_studies(&day, self.studies_per_hour, self.days, &profile, self.seed),
        };
        if studies.is_empty() {
            return Err(CommandError::new(CommandErrorKind::NoInput, "no study arrives"));
        }
        let reports = self.boxes.iter().map(|boxes| {
            let site = SimulatedSite { boxes: boxes.get().into(), ..one };
            report(&site, &profile.study(0.0, 1.0), &simulate(&site, &studies))
        });
        // Memory is that of a box: as many are refused with any number of boxes.
        let mut refused = 0;
        if self.json {
            for report in reports {
                refused = report.refused;
                let studies_per_hour = self.arrivals.is_none().then_some(self.studies_per_hour);
                let line = SimulationLine { studies_per_hour, report: &report };
                output::print_line(output::json(&line))?;
            }
        } else {
            let mut lines = self.head(&day, &one, &profile, studies.len());
            for report in reports {
                refused = report.refused;
                lines.push(row(&report));
            }
            output::print(&lines)?;
        }
        if refused == 0 {
            return Ok(CommandExit::Done);
        }
        output::tell_line(format_args!(
            "{refused} of {} need more memory than the {} of a box: each is answered with an error, and is not in these times",
            counted(studies.len(), "study"),
            size(one.memory)
        ));
        output::tell_line("  hint: a larger `memory` in the site's file, on boxes that have it");
        Ok(CommandExit::WithErrors)
    }

    /// Refuses what would take hours or all memory to simulate.
    fn check_bounds(
        &self,
        count: f64,
        one: &SimulatedSite,
        profile: &StudyProfile,
    ) -> Result<(), CommandError> {
        let refused =
            |text: String, hint: &str| Err(CommandError::new(CommandErrorKind::Usage, text).hint(hint));
        let boxes: f64 = self.boxes.iter().map(|boxes| f64::from(boxes.get())).sum();
        if count > STUDIES_MAX {
            let text = format!("{count:.0} studies would arrive, and at most {STUDIES_MAX:.0} are simulated");
            return refused(text, "take fewer --days, --studies-per-hour or times of --arrivals");
        }
        if count * boxes > BOX_STUDIES_MAX {
            let text = format!("{count:.0} studies are too many for {boxes:.0} boxes");
            return refused(text, "take fewer --boxes, --days or --studies-per-hour");
        }
        let alone_s = profile.core_s / one.study_cores.min(one.cores);
        let work_s = count * (alone_s + profile.bytes / one.link);
        // Written so that what is no number is refused as well.
        if work_s <= WORK_S_MAX {
            return Ok(());
        }
        let text = "one after the other, the studies take more than 1000 years".to_owned();
        refused(
            text,
            "see --core-seconds, --study-cores, --study-size and --network, or the figures of --bench",
        )
    }

    fn day(&self) -> Result<HospitalDay, CommandError> {
        if self.hours.is_empty() {
            return Ok(HospitalDay::USUAL);
        }
        let hours = <[f64; 24]>::try_from(self.hours.as_slice()).ok().and_then(HospitalDay::of);
        hours.ok_or_else(|| {
            let text = "--hours takes 24 numbers, of which one is more than zero";
            CommandError::new(CommandErrorKind::Usage, text)
        })
    }

    /// The usual study, with the memory that the site's dataflow takes for it.
    fn profile(
        &self,
        site: &Site,
        bench: Option<&BenchFigures>,
        table: &StepTable,
    ) -> Result<StudyProfile, CommandError> {
        let by_rules = site.rules.as_ref().map(|rules| rules.default.dataflow.as_str());
        let name = by_rules.or(site.general.dataflow.as_deref()).unwrap_or(DATAFLOW);
        let dataflow = Dataflow::load(name, table).map_err(|error| of_site(error, name, site))?;
        let bytes = self.study_size.map(|bytes| bytes as f64).or(bench.map(BenchFigures::study_bytes));
        Ok(StudyProfile {
            bytes: bytes.unwrap_or(STUDY_BYTES),
            core_s: self.core_seconds.or(bench.map(BenchFigures::study_core_s)).unwrap_or(CORE_S),
            memory_fixed: dataflow.memory.fixed as f64,
            memory_per_byte: dataflow.memory.per_decoded_byte,
            variation: self.variation,
        })
    }

    fn one_box(&self, site: &Site, bench: Option<&BenchFigures>) -> SimulatedSite {
        let general = &site.general;
        let cores = general.workers.or_else(|| std::thread::available_parallelism().ok());
        SimulatedSite {
            boxes: 1,
            cores: cores.map_or(1.0, |cores| cores.get() as f64),
            lanes: general.lanes.unwrap_or(LANES).get(),
            memory: general.memory.unwrap_or_else(memory::default_budget) as f64,
            study_cores: self.study_cores.or(bench.map(BenchFigures::cores)).unwrap_or(STUDY_CORES),
            link: self.network * GIGABIT,
            quiet_s: site.section::<DicomSite>().map_or(0.0, quiet_s),
        }
    }

    fn head(
        &self,
        day: &HospitalDay,
        site: &SimulatedSite,
        profile: &StudyProfile,
        studies: usize,
    ) -> PrintableLines {
        let mut lines = PrintableLines::of(match &self.arrivals {
            Some(path) => format!("{studies} studies at the times of {}, seed {}", path.display(), self.seed),
            None => {
                let (per_hour, hour) = (self.studies_per_hour, day.busiest_hour());
                let (days, next, seed) = (counted(self.days, "day"), hour + 1, self.seed);
                format!(
                    "{studies} studies in {days}, {per_hour} an hour from {hour}:00 to {next}:00, seed {seed}"
                )
            }
        });
        let usual = profile.study(0.0, 1.0);
        lines.push(format_args!(
            "a study: {} ± {:.0} %, {:.2} s of a core, {:.2} s alone, {} of memory",
            size(usual.bytes),
            profile.variation * 100.0,
            usual.core_s,
            usual.core_s / site.study_cores.min(site.cores),
            size(usual.memory)
        ));
        lines.push(format_args!(
            "a box: {} cores, {} lanes, {} for requests; {} Gbit/s into the first; quiet time {} s",
            site.cores,
            site.lanes,
            size(site.memory),
            self.network,
            site.quiet_s
        ));
        lines.push("");
        let times = "   median     95 %     99 %  longest";
        lines.push(format_args!(
            "       {:36}{:36}busiest hour",
            "  wait for a lane, s", "  from first image to answer, s"
        ));
        lines.line(format_args!("boxes  {times}  {times}   cores    memory  first bottleneck"))
    }
}

fn row(report: &SimulationReport) -> String {
    let times = |times: &SimulatedQuantiles| {
        let times = [times.median, times.p95, times.p99, times.longest];
        times.map(|time| format!("{time:>9.2}")).concat()
    };
    format!(
        "{:>5}  {}  {}{:>6.1} %{:>10}  {} at {:.0} studies/h",
        report.boxes,
        times(&report.wait_s),
        times(&report.answer_s),
        report.cores_busiest_hour * 100.0,
        size(report.memory_peak as f64),
        report.bottleneck.name(),
        report.studies_per_hour_max
    )
}

/// The times of a file, in order, from the first full hour before the first of them: they may be Unix times.
fn arrivals(path: &Path) -> Result<Vec<f64>, CommandError> {
    let wrong =
        |text: String, hint: &str| Err(CommandError::new(CommandErrorKind::Problems, text).hint(hint));
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| {
        CommandError::new(CommandErrorKind::InputOutput, format!("could not read {shown}: {error}"))
    })?;
    let mut times = Vec::new();
    for (index, line) in text.lines().enumerate() {
        match part(line.trim()) {
            Ok(time_s) => times.push(time_s),
            Err(error) => {
                let hint = "a time of arrival is a number of seconds, one a line";
                return wrong(format!("{shown}:{}: {line:?}: {error}", index + 1), hint);
            }
        }
    }
    times.sort_by(f64::total_cmp);
    if let Some(time_s) = times.last().filter(|time_s| **time_s > UNIX_S_MAX) {
        let text = format!("{shown}: {time_s:e} s is no time of arrival");
        return wrong(text, "times are in seconds; are these milliseconds?");
    }
    let first_s = times.first().map_or(0.0, |first| (first / HOUR_S).floor() * HOUR_S);
    times.iter_mut().for_each(|time_s| *time_s = (*time_s - first_s).max(0.0));
    match times.last() {
        Some(last_s) if *last_s > ARRIVALS_S_MAX => {
            let days = last_s / 86_400.0;
            let text = format!("{shown}: the last arrival is {days:.0} days after the first");
            wrong(text, "at most 366 days are simulated; times are in seconds")
        }
        _ => Ok(times),
    }
}

/// Seconds from the last image of a study until it is complete. A signal that ends a study at once leaves none.
fn quiet_s(site: &DicomSite) -> f64 {
    let at_once = [CompletionSignal::Released, CompletionSignal::RequestEnd];
    let waits = at_once.iter().all(|signal| !site.completion.at_once.contains(signal));
    if waits { site.completion.quiet_time.as_secs_f64() } else { 0.0 }
}

fn size(bytes: f64) -> String {
    let mebibytes = bytes / 1_048_576.0;
    if mebibytes < 1024.0 { format!("{mebibytes:.0} MiB") } else { format!("{:.1} GiB", mebibytes / 1024.0) }
}

fn more_than_zero(text: &str) -> Result<f64, String> {
    number(text).and_then(|number| match number > 0.0 {
        true => Ok(number),
        false => Err("it must be more than 0".to_owned()),
    })
}

/// Beyond ten times the mean, a distribution of sizes means nothing.
fn variation(text: &str) -> Result<f64, String> {
    number(text).and_then(|number| match (0.0..=10.0).contains(&number) {
        true => Ok(number),
        false => Err("it must be from 0 to 10".to_owned()),
    })
}

fn part(text: &str) -> Result<f64, String> {
    number(text).and_then(|number| match number >= 0.0 {
        true => Ok(number),
        false => Err("it must be at least 0".to_owned()),
    })
}

fn number(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|number: &f64| number.is_finite()).ok_or_else(|| "it is no number".to_owned())
}
