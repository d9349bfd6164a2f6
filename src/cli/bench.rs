//! `flow bench`: how fast the whole job is, beside the least that anybody has to do.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rayon::prelude::*;

use crate::admission::{
    Admission, DataflowSelector, LeftRequests, SourceTable, StateFolder, StopSignal, UnobservedAdmission,
};
use crate::dataflow::Dataflow;
use crate::dicom::folder;
use crate::engine::{self, EngineEvent, EngineSettings, EventObserver, RequestQueue};
use crate::files::ResponseFolder;
use crate::imaging::phantom::{PhantomChest, PhantomOptions, PhantomSyntax};
use crate::imaging::{decode_slice, read_instance};
use crate::journal::Journal;
use crate::outbox::{self, DeliveryClock, DeliveryPolicy, DestinationService, Outbox, OutboxSetup};
use crate::printable::PrintableLines;
use crate::step::{Digest, Fault, StepTable};
use crate::store::Store;
use crate::yaml;

use super::bench_figures::BenchFigures;
use super::exit::{CommandError, CommandErrorKind, CommandExit};
use super::memory;
use super::output;
use super::processor_time::processor_time;
use super::run_values;

/// Measure the whole job on synthetic studies, beside reading and decoding alone
///
/// Writes studies below --state, then runs them through the dataflow and measures from the first
/// look at the folder to the last response in its folder. Between the rounds it measures the floor
/// in the same process: reading and decoding the same files with all cores and doing nothing else.
/// All figures are medians of the rounds; files come from the page cache.
#[derive(Debug, clap::Args)]
pub struct BenchArguments {
    /// Path of a dataflow file, or the name of one that flow carries
    #[arg(value_name = "DATAFLOW", default_value = "ct-lung")]
    dataflow: String,

    /// How many studies
    #[arg(long, value_name = "N", default_value = "4")]
    studies: NonZero<u64>,

    /// Columns and rows of an image
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u16).range(32..=2048))]
    matrix: u16,

    /// Images in a study
    #[arg(long, value_name = "N", default_value_t = 275, value_parser = clap::value_parser!(u16).range(16..=4096))]
    slices: u16,

    /// How often everything is measured
    #[arg(long, value_name = "N", default_value = "5")]
    rounds: NonZero<usize>,

    /// Worker threads [default: one per core]
    #[arg(short, long, value_name = "N", value_parser = run_values::workers)]
    workers: Option<NonZero<usize>>,

    /// Requests in work at once
    #[arg(long, value_name = "N", default_value = "4")]
    lanes: NonZero<usize>,

    /// Memory that requests in work may take [default: half of the machine's]
    #[arg(long, value_name = "BYTES", value_parser = yaml::bytes)]
    memory: Option<u64>,

    /// Where the studies and results of the benchmark lie; removed afterwards
    #[arg(long, value_name = "DIR", default_value = "flow-state")]
    state: PathBuf,

    /// Print one line of JSON, as `flow simulate --bench` reads it
    #[arg(long)]
    json: bool,
}

impl BenchArguments {
    pub fn run(self, table: &StepTable) -> Result<CommandExit, CommandError> {
        let dataflow = Arc::new(Dataflow::load(&self.dataflow, table)?);
        let bench = BenchSetup { folder: self.state.join("bench"), dataflow, args: &self };
        let _state = StateFolder::take(&self.state)?;
        bench.clear()?;
        let bytes = bench.write_studies()?;
        let rounds: Vec<BenchRound> =
            (0..self.rounds.get()).map(|number| bench.round(number)).collect::<Result<_, _>>()?;
        bench.clear()?;
        let figures = self.figures(bench.dataflow.name(), bytes, &rounds);
        if self.json {
            output::print_line(output::json(&figures))?;
        } else {
            output::print(&self.lines(&figures, &rounds))?;
        }
        let complete = rounds.iter().all(|round| round.complete);
        Ok(if complete { CommandExit::Done } else { CommandExit::WithErrors })
    }

    fn figures(&self, dataflow: &str, bytes: u64, rounds: &[BenchRound]) -> BenchFigures {
        let seconds =
            |of: fn(&BenchRound) -> Duration| median_of(rounds.iter().map(of).map(|time| time.as_secs_f64()));
        let steps = rounds.last().into_iter().flat_map(|round| &round.steps);
        let per_study = |time: Duration| time.as_secs_f64() * 1e3 / self.studies.get() as f64;
        BenchFigures {
            dataflow: dataflow.to_owned(),
            studies: self.studies.get(),
            slices: self.slices,
            matrix: self.matrix,
            rounds: rounds.len(),
            bytes,
            floor_s: seconds(|round| round.floor),
            whole_s: seconds(|round| round.whole),
            core_s: seconds(|round| round.worked),
            peak_bytes: memory::peak(),
            step_ms: steps.map(|(step, spent)| (step.clone(), per_study(spent.time))).collect(),
        }
    }

    fn lines(&self, figures: &BenchFigures, rounds: &[BenchRound]) -> PrintableLines {
        let studies = self.studies.get() as f64;
        let megabytes = figures.bytes as f64 / 1e6;
        let BenchArguments { matrix, slices, .. } = self;
        let count = self.rounds.get();
        let mut lines = PrintableLines::of(format_args!(
            "{studies} studies of {slices} slices of {matrix} × {matrix}, {megabytes:.0} MB; {count} rounds, medians"
        ));
        lines.push(format_args!("{:28}{:>10}{:>12}{:>10}", "", "s", "studies/s", "MB/s"));
        for (name, seconds) in
            [("read and decode alone", figures.floor_s), ("the whole job", figures.whole_s)]
        {
            let rates = (studies / seconds, megabytes / seconds);
            lines.push(format_args!("{name:28}{seconds:>10.3}{:>12.2}{:>10.0}", rates.0, rates.1));
        }
        lines.push(format_args!("{:28}{:>10.3}", "cores worked for the job", figures.core_s));
        let ratios: Vec<f64> = rounds.iter().map(BenchRound::ratio).collect();
        let (least, most) =
            (ratios.iter().copied().fold(f64::MAX, f64::min), ratios.iter().copied().fold(0.0, f64::max));
        lines.push(format_args!("ratio {:.2} ({least:.2} to {most:.2})", median_of(ratios.into_iter())));
        if let Some(peak) = figures.peak_bytes {
            lines
                .push(format_args!("peak memory of the process {:.0} MiB", peak as f64 / f64::from(1 << 20)));
        }
        lines.push("");
        lines.push(format_args!("{:28}{:>10}{:>12}", "step", "ms/study", "runs/study"));
        for (step, spent) in rounds.last().iter().flat_map(|round| &round.steps) {
            let (time, runs) = (spent.time.as_secs_f64() * 1e3 / studies, spent.runs as f64 / studies);
            lines.push(format_args!("{step:28}{time:>10.1}{runs:>12.0}"));
        }
        lines.line("(a step's time is wall time, shared with whatever else runs on the cores)")
    }
}

struct BenchRound {
    floor: Duration,
    whole: Duration,
    /// The processor's time for the whole job, of all cores together.
    worked: Duration,
    steps: BTreeMap<String, StepTime>,
    complete: bool,
}

impl BenchRound {
    fn ratio(&self) -> f64 {
        self.whole.as_secs_f64() / self.floor.as_secs_f64()
    }
}

#[derive(Clone, Copy, Default)]
struct StepTime {
    time: Duration,
    runs: u64,
}

struct BenchSetup<'a> {
    folder: PathBuf,
    dataflow: Arc<Dataflow>,
    args: &'a BenchArguments,
}

impl BenchSetup<'_> {
    fn studies(&self) -> PathBuf {
        self.folder.join("studies")
    }

    fn clear(&self) -> Result<(), CommandError> {
        match std::fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Gives the bytes of all files.
    fn write_studies(&self) -> Result<u64, CommandError> {
        let BenchArguments { matrix, slices, studies, .. } = *self.args;
        output::tell_line(format_args!("writing {studies} studies below {}", self.folder.display()));
        let mut bytes = 0;
        for seed in 1..=studies.get() {
            let size = [matrix.into(), matrix.into(), slices.into()];
            let chest = PhantomChest::new(&PhantomOptions { size, seed, ..PhantomOptions::default() });
            let folder = self.studies().join(seed.to_string());
            let files = chest
                .write(&folder, PhantomSyntax::default())
                .map_err(CommandError::of(CommandErrorKind::InputOutput))?;
            bytes += files.iter().filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum::<u64>();
        }
        Ok(bytes)
    }

    fn round(&self, number: usize) -> Result<BenchRound, CommandError> {
        let files = files(&self.studies())?;
        let began = Instant::now();
        let decoded: Result<(), Fault> =
            files.par_iter().try_for_each_init(Vec::new, |voxels, file| decode(file, voxels));
        let floor = began.elapsed();
        decoded.map_err(CommandError::of(CommandErrorKind::InputOutput))?;
        let (began, worked_before) = (Instant::now(), processor_time());
        let (steps, complete) = self.whole(number)?;
        let worked = processor_time().saturating_sub(worked_before);
        Ok(BenchRound { floor, whole: began.elapsed(), worked, steps, complete })
    }

    /// Runs all studies once. Each round has an output folder of its own, so that removing earlier responses
    /// is not measured.
    fn whole(&self, number: usize) -> Result<(BTreeMap<String, StepTime>, bool), CommandError> {
        let found = folder::find(&[self.studies()]).map_err(CommandError::of(CommandErrorKind::NoInput))?;
        let store = Store::at(self.folder.join("store").join(number.to_string()));
        let store = store.map_err(CommandError::of(CommandErrorKind::InputOutput))?;
        let folder = ResponseFolder::at(self.folder.join("output").join(number.to_string()))
            .map_err(CommandError::of(CommandErrorKind::InputOutput))?;
        let written = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&written);
        let count = move |event: &outbox::OutboxEvent| {
            if let outbox::OutboxEvent::Answered { response, .. } = event
                && response.verdict.is_complete()
            {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        };
        let failed = |error| CommandError::of(CommandErrorKind::InputOutput)(error);
        // A new state folder for each round: in an old one the studies would be known, and not be run again.
        let state = self.folder.join("state").join(number.to_string());
        std::fs::create_dir_all(&state)?;
        let journal = Arc::new(Journal::open(&state, Arc::new(store), 0).map_err(failed)?);
        let outbox = Outbox::open(OutboxSetup {
            destinations: vec![DestinationService {
                destination: Arc::new(folder),
                policy: DeliveryPolicy::default(),
                alias: None,
            }],
            waits: Vec::new(),
            journal: Arc::clone(&journal),
            clock: DeliveryClock::usual(),
            tell: Arc::new(count),
            control: Arc::default(),
        })?;
        let times = Arc::new(StepTimes::default());
        let observer = Arc::clone(&times);
        let dataflows = DataflowSelector::only(Arc::clone(&self.dataflow));
        let (sources, stop) = (SourceTable::built_in(), StopSignal::default());
        let source = |queue: &RequestQueue| {
            let admission = Admission {
                journal: &journal,
                queue,
                dataflows: &dataflows,
                sources: &sources,
                observer: &UnobservedAdmission,
                stop: &stop,
                program: Digest::of(b"the same in each round"),
                left: &LeftRequests::default(),
            };
            admission.accept_all(found.studies.iter().cloned())
        };
        let _ = engine::run(
            Arc::clone(&self.dataflow),
            Arc::clone(&journal),
            self.settings(),
            observer,
            source,
            &outbox,
        )
        .map_err(CommandError::of(CommandErrorKind::Engine))?;
        let complete = written.load(Ordering::Relaxed) == found.studies.len();
        let steps = std::mem::take(&mut *times.0.lock().expect("adding does not panic"));
        Ok((steps, complete))
    }

    fn settings(&self) -> EngineSettings {
        let cores = std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
        let memory = self.args.memory.unwrap_or_else(memory::default_budget);
        EngineSettings {
            workers: self.args.workers.unwrap_or(cores),
            lanes: self.args.lanes,
            memory,
            ..EngineSettings::default()
        }
    }
}

fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for study in std::fs::read_dir(folder)? {
        for file in std::fs::read_dir(study?.path())? {
            files.push(file?.path());
        }
    }
    Ok(files)
}

/// The least work that any reader must do: load the file and decode its pixels to CT numbers.
fn decode(file: &Path, voxels: &mut Vec<i16>) -> Result<(), Fault> {
    let name = file.to_string_lossy();
    let unread = |error: &dyn std::fmt::Display| Fault::new(format!("{name}: {error}"), "");
    let bytes = std::fs::read(file).map_err(|error| unread(&error))?;
    let (header, _) = read_instance(&name, file, &bytes).map_err(|error| unread(&error))?;
    voxels.resize(usize::from(header.rows) * usize::from(header.columns), 0);
    decode_slice(&header, &bytes, voxels)
}

/// How long the steps took, over all requests.
#[derive(Default)]
struct StepTimes(Mutex<BTreeMap<String, StepTime>>);

impl EventObserver for StepTimes {
    fn observe(&self, event: &EngineEvent) {
        if let EngineEvent::Ended { step, took, .. } = event {
            let mut times = self.0.lock().expect("adding does not panic");
            let spent = times.entry((*step).to_owned()).or_default();
            spent.time += *took;
            spent.runs += 1;
        }
    }
}

fn median_of(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
