//! `flow run`: requests through a dataflow.

use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::dataflow::{self, Dataflow};
use crate::dicom::Destination;
use crate::engine::{self, Entrance, Settings};
use crate::outbox::{Folder, Forward, Outbox};
use crate::step::Table;
use crate::store::Store;

use super::exit::{Exit, Failure, Kind};
use super::listen::{self, Listen};
use super::memory;
use super::processes::Processes;
use super::progress::Progress;
use super::source::Source;
use super::state::State;
use super::teller::Teller;

/// Run requests through a dataflow
///
/// Requests come from files (--input), from DICOM senders (--listen), or, if neither is given, from
/// a synthetic chest study whose true volumes and densities are known. Every request gets exactly
/// one response: a folder below --output with response.json beside the results, and what is DICOM
/// in it also goes to every --to.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flow run                                       a synthetic chest study, start to end
  flow run --input /data/studies                 every study found there, then end
  flow run --listen 11112 --to ORTHANC@127.0.0.1:4242
                                                 receive studies, send results to a PACS
  flow run my-dataflow.yaml --input study        a dataflow of your own")]
pub struct Args {
    /// Path of a dataflow file, or the name of one that flow carries
    #[arg(value_name = "DATAFLOW", default_value = "ct-lung")]
    dataflow: String,

    /// Worker threads of this process [default: one per core]
    #[arg(short, long, value_name = "N", value_parser = count)]
    workers: Option<NonZero<usize>>,

    /// Requests in work at once, in all processes together
    #[arg(long, value_name = "N", default_value = "4", value_parser = count)]
    lanes: NonZero<usize>,

    /// Memory that requests in work may take in this process, for example 4GiB [default: half of the machine's, shared by the processes on it]
    #[arg(long, value_name = "BYTES", value_parser = dataflow::bytes)]
    memory: Option<u64>,

    /// Files or folders with DICOM studies: any nesting, any names
    #[arg(long, value_name = "PATH", num_args = 1.., conflicts_with = "listen")]
    input: Vec<PathBuf>,

    /// Where responses go: one folder each
    #[arg(short, long, value_name = "DIR", default_value = "flow-output")]
    output: PathBuf,

    /// Also send DICOM results to this node; may be given more than once
    #[arg(long, value_name = "AETITLE@HOST:PORT")]
    to: Vec<Destination>,

    /// How long to wait before each further try to deliver a response
    #[arg(long, value_name = "SECONDS,...", value_delimiter = ',', default_value = "1,5,15", value_parser = listen::seconds)]
    retry: Vec<Duration>,

    /// Where received studies and unfinished results lie
    #[arg(long, value_name = "DIR", default_value = "flow-state")]
    state: PathBuf,

    /// Print a line of JSON for each response
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    listen: Listen,

    #[command(flatten)]
    processes: Processes,
}

impl Args {
    pub fn run(self, table: &Table) -> Result<Exit, Failure> {
        let dataflow = Arc::new(Dataflow::load(&self.dataflow, table)?);
        // The other processes of a cluster use the folder of the first one.
        let _state = self.processes.is_first().then(|| State::take(&self.state)).transpose()?;
        let settings = self.settings(&dataflow)?;
        let store = Store::at(self.state.join("store")).map_err(Failure::of(Kind::InputOutput))?;
        let folder = Folder::at(&self.output).map_err(Failure::of(Kind::InputOutput))?;
        let progress = Arc::new(Progress::new(dataflow.work_count()));
        let source = self.source(&progress)?;
        let teller = Teller::new(&progress, self.json);
        let destinations =
            self.to.iter().map(|to| Forward { destination: to.clone(), waits: self.retry.clone() }).collect();
        let outbox = Outbox {
            folder,
            waits: self.retry.clone(),
            destinations,
            tell: |event: crate::outbox::Event| teller.tell(&event),
        };
        let feed = |entrance: &Entrance| source.feed(entrance, &progress);
        let observer = Arc::clone(&progress);
        engine::run(dataflow, Arc::new(store), settings, observer, feed, &outbox)
            .map_err(Failure::of(Kind::Engine))?;
        teller.conclude();
        source.conclude(&outbox.folder);
        Ok(if source.is_incomplete() { Exit::WithErrors } else { teller.exit() })
    }

    fn settings(&self, dataflow: &Dataflow) -> Result<Settings, Failure> {
        let cores = std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
        let workers = self.workers.unwrap_or(cores);
        Ok(Settings {
            workers,
            lanes: self.lanes,
            memory: self
                .memory
                .unwrap_or_else(|| memory::default_budget() / self.processes.on_this_machine()),
            mesh: self.processes.mesh(dataflow, workers, self.lanes)?,
        })
    }

    fn source(&self, progress: &Progress) -> Result<Source, Failure> {
        if !self.processes.is_first() {
            return Ok(Source::Elsewhere);
        }
        match self.listen.address() {
            Some(address) => self.listen.open(address, self.state.join("inbox")).map(Source::Listen),
            None if self.input.is_empty() => Source::sample(&self.state.join("sample")),
            None => Source::files(&self.input, progress),
        }
    }
}

fn count(text: &str) -> Result<NonZero<usize>, String> {
    text.parse().map_err(|_| "a whole number of at least 1 is needed".to_owned())
}
