//! `flow run`: requests through a dataflow.

use std::io::Write;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::dataflow::Dataflow;
use crate::dicom::{self, Commitments};
use crate::engine::{self, Entrance, Settings};
use crate::journal::{Journal, JournalError, Retention};
use crate::outbox::{Clock, Folder, Outbox, Policy, Setup};
use crate::step::{Digest, Digester, Table};
use crate::store::{Store, total_bytes};
use crate::yaml;

use super::attend::{Leave, attend};
use super::audit::Auditor;
use super::destinations::Destinations;
use super::exit::{Exit, Failure, Kind};
use super::intake::Intake;
use super::listen::{self, Inbox, Listen};
use super::memory;
use super::processes::Processes;
use super::progress::Progress;
use super::site::{self, SiteFile};
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
    #[arg(long, value_name = "BYTES", value_parser = yaml::bytes)]
    memory: Option<u64>,

    /// Files or folders with DICOM studies: any nesting, any names
    #[arg(long, value_name = "PATH", num_args = 1.., conflicts_with_all = ["listen", "from"])]
    input: Vec<PathBuf>,

    /// Where responses go: one folder each
    #[arg(short, long, value_name = "DIR", default_value = "flow-output")]
    output: PathBuf,

    /// Also send DICOM results to this node: AETITLE@HOST:PORT, the URL of a DICOMweb service, or a name in the --site file; may be given more than once
    #[arg(long, value_name = "NODE")]
    to: Vec<String>,

    /// Also send DICOM results back to this node, if it was the one that sent the study; may be given more than once
    #[arg(long, value_name = "NODE")]
    back_to: Vec<String>,

    /// How long to wait before each further try to deliver a response
    #[arg(long, value_name = "SECONDS,...", value_delimiter = ',', default_value = "1,5,15", value_parser = listen::seconds)]
    retry: Vec<Duration>,

    /// So long after the first try a destination is tried again every few minutes, as long as studies are received
    #[arg(long, value_name = "HOURS", default_value = "12", value_parser = hours)]
    keep_trying: Duration,

    /// Where the journal, received studies and results lie
    #[arg(long, value_name = "DIR", default_value = "flow-state")]
    state: PathBuf,

    /// With less free on the disk of --state nothing is accepted
    #[arg(long, value_name = "BYTES", default_value = "1GiB", value_parser = yaml::bytes)]
    free_min: u64,

    /// How long answered requests are remembered, with what was received and the results
    #[arg(long, value_name = "DAYS", default_value_t = 7.0, value_parser = days)]
    keep_days: f64,

    /// How much is remembered of answered requests [default: a tenth of the disk]
    #[arg(long, value_name = "BYTES", value_parser = yaml::bytes)]
    keep_bytes: Option<u64>,

    /// Print a line of JSON for each response
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    site: SiteFile,

    #[command(flatten)]
    listen: Listen,

    #[command(flatten)]
    processes: Processes,
}

impl Args {
    pub fn run(self, table: &Table) -> Result<Exit, Failure> {
        let dataflow = Arc::new(Dataflow::load(&self.dataflow, table)?);
        let first = self.processes.is_first();
        // The other processes of a cluster use the folder of the first one.
        let _state = first.then(|| State::take(&self.state)).transpose()?;
        let settings = self.settings(&dataflow)?;
        let store = Store::at(self.state.join("store")).map_err(Failure::of(Kind::InputOutput))?;
        let folder = Folder::at(&self.output).map_err(Failure::of(Kind::InputOutput))?;
        let store = Arc::new(store);
        let journal =
            Arc::new(if first { self.journal(&dataflow, &folder, store)? } else { Journal::none(store) });
        let progress = Arc::new(Progress::new(dataflow.work_count()));
        let site = self.site.load()?;
        let commitments = Arc::default();
        let auditor = Arc::new(Auditor::start(&site, &self.state, &site.ae_title(self.listen.ae_title()))?);
        let source = self.source(&site, &progress, &journal, &commitments, &auditor)?;
        let teller = Arc::new(Teller::new(&progress, self.json));
        let outbox = self.outbox(&site, folder, &journal, &teller, &commitments, &auditor)?;
        let program = program()?;
        let inbox = std::path::absolute(self.inbox())?;
        let release = |claims: &[String]| dicom::release(&inbox, claims);
        let feed = |entrance: &Entrance| {
            let (journal, dataflow, progress) = (&*journal, &*dataflow, &*progress);
            let release = &release;
            let intake = Intake { journal, dataflow, entrance, progress, program, release };
            feed(&source, &intake, &outbox, self.retention())
        };
        let observer = Arc::clone(&progress);
        let all = engine::run(Arc::clone(&dataflow), Arc::clone(&journal), settings, observer, feed, &outbox)
            .map_err(Failure::of(Kind::Engine))?;
        let all = all.transpose().map_err(Failure::of(Kind::InputOutput))?.unwrap_or(true);
        outbox.drain();
        teller.conclude();
        source.conclude(outbox.folder());
        journal.collect(self.retention(), &release).map_err(Failure::of(Kind::InputOutput))?;
        Ok(if source.is_incomplete() || !all { Exit::WithErrors } else { teller.exit() })
    }

    fn inbox(&self) -> PathBuf {
        self.state.join("inbox")
    }

    fn outbox(
        &self,
        site: &site::Settings,
        folder: Folder,
        journal: &Arc<Journal>,
        teller: &Arc<Teller>,
        commitments: &Arc<Commitments>,
        auditor: &Arc<Auditor>,
    ) -> Result<Outbox, Failure> {
        let (quick, give_up_after) = (self.retry.clone(), self.keep_trying);
        let policy = Policy { quick, give_up_after, ..Policy::default() };
        let listens = self.listen.address(site).is_some();
        let own_title = site.ae_title(self.listen.ae_title());
        let ways = Destinations { site, own_title, policy, commitments: listens.then_some(commitments) };
        let destinations = ways.all(&self.to, &self.back_to)?;
        let (teller, auditor) = (Arc::clone(teller), Arc::clone(auditor));
        let setup = Setup {
            folder,
            waits: self.retry.clone(),
            destinations,
            journal: Arc::clone(journal),
            clock: Clock::usual(),
            tell: Arc::new(move |event| {
                auditor.delivered(event);
                teller.tell(event);
            }),
        };
        Ok(Outbox::open(setup)?)
    }

    fn journal(&self, dataflow: &Dataflow, folder: &Folder, store: Arc<Store>) -> Result<Journal, Failure> {
        folder.tidy().map_err(Failure::of(Kind::InputOutput))?;
        let journal = Journal::open(&self.state, store, self.free_min).map_err(unusable)?;
        journal.when_broken(|error| {
            let hint = "mend the disk and start again: what was accepted is taken up where it stands";
            let _ = writeln!(std::io::stderr(), "flow: {error}; ending\n  hint: {hint}");
            std::process::exit(74);
        });
        let known = journal.remember(dataflow.digest(), dataflow.name(), dataflow.text());
        known.map_err(Failure::of(Kind::InputOutput))?;
        Ok(journal)
    }

    fn retention(&self) -> Retention {
        // Beyond what a duration can hold, it is for ever.
        let age_max = Duration::try_from_secs_f64(self.keep_days * 86_400.0).unwrap_or(Duration::MAX);
        let bytes_max = self.keep_bytes.unwrap_or_else(|| total_bytes(&self.state) / 10);
        Retention { age_max, bytes_max }
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

    fn source(
        &self,
        site: &site::Settings,
        progress: &Progress,
        journal: &Journal,
        commitments: &Arc<Commitments>,
        auditor: &Arc<Auditor>,
    ) -> Result<Source, Failure> {
        if !self.processes.is_first() {
            return Ok(Source::Elsewhere);
        }
        if !self.input.is_empty() {
            return Source::files(&self.input, progress);
        }
        if !self.listen.is_wanted(site) {
            return Source::sample(&self.state.join("sample"));
        }
        let folder = std::path::absolute(self.inbox())?;
        let rows = journal.requests().map_err(Failure::of(Kind::InputOutput))?;
        let known = rows.into_iter().flat_map(|row| row.claims).map(PathBuf::from).collect();
        let inbox = Inbox { folder, known, free_bytes_min: self.free_min };
        self.listen.open(site, inbox, commitments, auditor).map(|receiver| Source::Listen(Box::new(receiver)))
    }
}

/// Takes up what was left unanswered while new requests come in. Gives whether all were accepted.
fn feed(
    source: &Source,
    intake: &Intake,
    outbox: &Outbox,
    retention: Retention,
) -> Result<bool, JournalError> {
    let left = intake.left()?;
    let leave = Leave::default();
    std::thread::scope(|scope| {
        scope.spawn(|| attend(scope, intake, outbox, retention, &leave));
        let taking_up = scope.spawn(|| intake.take_up(&left));
        let all = source.feed(intake);
        let taken_up = taking_up.join();
        // An operator may still want something of what is in work.
        intake.entrance.settle();
        outbox.drain();
        leave.leave();
        taken_up.unwrap_or(Ok(())).map(|()| all)
    })
}

fn program() -> Result<Digest, Failure> {
    let mut file = std::fs::File::open(std::env::current_exe()?)?;
    let mut digester = Digester::default();
    std::io::copy(&mut file, &mut digester)?;
    Ok(digester.digest())
}

fn unusable(error: JournalError) -> Failure {
    let hint = match &error {
        JournalError::Damaged { .. } => {
            "nothing was changed. Keep the folder to look into it; studies that were received lie in its \
             inbox, and `flow run --input STATE/inbox --state OTHER` runs them"
        }
        JournalError::Format { .. } => "use the flow that wrote it, or give this one a --state of its own",
        JournalError::Full | JournalError::Low { .. } | JournalError::Failed { .. } => {
            "see whether its disk is full or broken, and whether flow may write there; then start again"
        }
    };
    Failure::of(Kind::InputOutput)(error).hint(hint)
}

fn count(text: &str) -> Result<NonZero<usize>, String> {
    text.parse().map_err(|_| "a whole number of at least 1 is needed".to_owned())
}

fn hours(text: &str) -> Result<Duration, String> {
    let hours = text.parse().ok().and_then(|hours: f64| Duration::try_from_secs_f64(hours * 3600.0).ok());
    hours.ok_or_else(|| "write a number of hours, for example 2".to_owned())
}

fn days(text: &str) -> Result<f64, String> {
    let days = text.parse().ok().filter(|days| *days >= 0.0);
    days.ok_or_else(|| "write a number of days, for example 30".to_owned())
}
