//! `flow run`: requests through a dataflow.

#[cfg(feature = "chat")]
mod chat;
mod outgoing;
#[cfg(feature = "books")]
mod row_refusals;

use std::io;
use std::net::SocketAddr;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::admission::{DataflowSelector, Intake, Service, ServiceSettings, Source};
use crate::calls::note_circuits_in;
use crate::cluster::{ClusterCoordinator, forget_standing};
use crate::dataflow::RequestPriority;
use crate::dicom::{DeliveredObjects, StudyReceiver};
use crate::engine::{EngineControl, EngineSettings, ProcessMesh};
use crate::files::OutputSetting;
use crate::journal::Journal;
use crate::site::{GeneralSettings, KeepSettings};
use crate::step::{Request, StepTable};
use crate::store::Store;
use crate::yaml;

use super::audit::AuditRecorder;
use super::broken::end_when_broken;
#[cfg(feature = "chat")]
use super::chat_server::ChatArguments;
use super::exit::{CommandError, CommandErrorKind, CommandExit};
use super::file_access;
use super::listen::{self, DicomLinks, InboxPlace, ListenArguments};
use super::memory;
use super::monitor::{MonitorSetup, RunMonitor};
use super::noted_states;
use super::output::LogFormat;
use super::processes::{ClusterPlace, ProcessArguments};
use super::progress::ProgressDisplay;
use super::reload::{self, RunReload};
use super::reporter::ResponseReporter;
#[cfg(feature = "books")]
use super::run_row::{RowArguments, RowSettings, row_of};
use super::run_settings::{GivenSettings, RunSettings};
use super::run_values;
use super::service_manager::ServiceManager;
use super::signals;
use super::site::{self, SiteArguments};
use super::source::Input;
use super::step_folders::keep_step_folders;

/// Run requests through a dataflow
///
/// Requests come from DICOM files (--input), from files of any kind (--files), from DICOM senders
/// (--listen), or, if none is given, from a synthetic chest study whose true volumes and densities are known. Every request gets exactly
/// one response: a folder below --output with response.json beside the results, and what is DICOM
/// in it also goes to every --to.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flow run                                       a synthetic chest study, start to end
  flow run --input /data/studies                 every study found there, then end
  flow run --listen 11112 --to ORTHANC@127.0.0.1:4242
                                                 receive studies, send results to a PACS
  flow run tally                                 sample jobs through calls to sample services
  flow run books                                 sample books through a row of directories
  flow run books --only decrypt                  one stage of it, as a process of its own
  flow run chat                                  a chat server, with a page to try it
  flow run my-dataflow.yaml --input study        a dataflow of your own

While it receives requests, SIGINT or SIGTERM ends receiving, and what is complete is still answered; a
second one ends at once. SIGHUP reads the site's rules and the dataflows again.")]
pub struct RunArguments {
    /// Path of a dataflow file, or the name of one that flow carries [default: ct-lung]
    #[arg(value_name = "DATAFLOW")]
    dataflow: Option<String>,

    /// Worker threads of this process [default: one per core]
    #[arg(short, long, value_name = "N", value_parser = run_values::workers)]
    workers: Option<NonZero<usize>>,

    /// Requests in work at once, in all processes together [default: 4]
    #[arg(long, value_name = "N", value_parser = run_values::lanes)]
    lanes: Option<NonZero<usize>>,

    /// Memory that requests in work may take in this process, for example 4GiB [default: half of the machine's, shared by the processes on it]
    #[arg(long, value_name = "BYTES", value_parser = yaml::bytes)]
    memory: Option<u64>,

    /// Files or folders with DICOM studies: any nesting, any names
    #[arg(long, value_name = "PATH", num_args = 1.., conflicts_with_all = ["listen", "from"])]
    input: Vec<PathBuf>,

    /// Files of any kind, for dataflows that are not about DICOM: each PATH is a request, a folder with all files in it
    #[arg(long, value_name = "PATH", num_args = 1.., conflicts_with_all = ["input", "listen", "from"])]
    files: Vec<PathBuf>,

    /// Where responses go: one folder each [default: flow-output]
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,

    /// Make no folders of responses: they go to the other destinations only
    #[arg(long, conflicts_with = "output")]
    no_output: bool,

    /// Also send DICOM results to this node: AETITLE@HOST:PORT, the URL of a DICOMweb service, or a name in the --site file; may be given more than once
    #[arg(long, value_name = "NODE")]
    to: Vec<String>,

    /// Also send DICOM results back to this node, if it was the one that sent the study; may be given more than once
    #[arg(long, value_name = "NODE")]
    back_to: Vec<String>,

    /// How long to wait before each further try to deliver a response [default: 1,5,15]
    #[arg(long, value_name = "TIME,...", value_delimiter = ',', value_parser = listen::time)]
    retry: Option<Vec<Duration>>,

    /// So long after the first try a destination is tried again every few minutes, as long as studies are received; a number alone is in hours [default: 12]
    #[arg(long, value_name = "TIME", value_parser = run_values::hours)]
    keep_trying: Option<Duration>,

    /// Where the journal, received studies and results lie [default: flow-state]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,

    /// With less free on the disk of --state nothing is accepted [default: 1GiB]
    #[arg(long, value_name = "BYTES", value_parser = yaml::bytes)]
    free_min: Option<u64>,

    /// How long answered requests are remembered, with what was received and the results [default: 7]
    #[arg(long, value_name = "DAYS", value_parser = run_values::days)]
    keep_days: Option<f64>,

    /// How much is remembered of answered requests [default: a tenth of the disk]
    #[arg(long, value_name = "BYTES", value_parser = yaml::bytes)]
    keep_bytes: Option<u64>,

    /// Serve a status page, /metrics, /health and /ready at this port; loopback only, unless an address is given
    #[arg(long, value_name = "[ADDRESS:]PORT", value_parser = listen::address)]
    page: Option<SocketAddr>,

    /// The priority of all requests of this run [default: as the rules and the dataflow say]
    #[arg(long, value_name = "PRIORITY", value_parser = run_values::priority())]
    priority: Option<RequestPriority>,

    /// Print a line of JSON for each response
    #[arg(long)]
    json: bool,

    /// The form of the log on standard error
    #[arg(long, value_name = "FORMAT", default_value = "plain")]
    log: LogFormat,

    #[command(flatten)]
    site: SiteArguments,

    #[command(flatten)]
    listen: ListenArguments,

    #[command(flatten)]
    processes: ProcessArguments,

    #[cfg(feature = "books")]
    #[command(flatten)]
    row: RowArguments,

    #[cfg(feature = "chat")]
    #[command(flatten)]
    chat: ChatArguments,
}

/// A run: its settings, and what the command line and the site's file say of sources and destinations.
struct Run {
    chosen: RunSettings,
    site: site::SiteSettings,
    files: Vec<PathBuf>,
    to: Vec<String>,
    back_to: Vec<String>,
    json: bool,
    page: Option<SocketAddr>,
    listen: ListenArguments,
    processes: ProcessArguments,
    /// What may begin.
    control: Arc<EngineControl>,
    /// The files that a reload reads again.
    reloaded: (SiteArguments, Option<String>, Option<RequestPriority>),
}

impl RunArguments {
    pub fn log_format(&self) -> LogFormat {
        self.log
    }

    pub fn run(self, table: &StepTable) -> Result<CommandExit, CommandError> {
        #[cfg(feature = "chat")]
        if self.is_chat() {
            return self.run_chat(table);
        }
        #[cfg(feature = "chat")]
        self.chat.refuse_elsewhere()?;
        #[cfg(feature = "books")]
        if let Some(row) = row_of(self.dataflow.as_deref(), self.output.as_deref(), table)? {
            self.refuse_for_rows()?;
            let RunArguments { workers, lanes, free_min, .. } = self;
            return self.row.run(row, RowSettings { workers, lanes, free_min });
        }
        #[cfg(feature = "books")]
        self.row.refuse_elsewhere()?;
        let site = self.site.load()?;
        let reloaded = (self.site.clone(), self.dataflow.clone(), self.priority);
        let output = if self.no_output { Some(OutputSetting::Nowhere) } else { None };
        let given = GivenSettings {
            output: output.or(self.output.map(OutputSetting::Folder)),
            general: GeneralSettings {
                state: self.state,
                dataflow: self.dataflow,
                input: self.input,
                workers: self.workers,
                lanes: self.lanes,
                memory: self.memory,
                free_min: self.free_min,
                keep: KeepSettings { days: self.keep_days, bytes: self.keep_bytes },
                retry: self.retry,
                keep_trying: self.keep_trying,
                // How open a folder is belongs to the installation, not to one run.
                ..GeneralSettings::default()
            },
        };
        // What the command line names to be received goes before files that the site's file names.
        let receives = self.listen.is_given() || !self.files.is_empty();
        let chosen = RunSettings::choose(given, &site, receives)?.with_priority(self.priority);
        let RunArguments { files, to, back_to, json, page, listen, processes, .. } = self;
        let control = Arc::new(EngineControl::at(&chosen.state));
        Run { chosen, site, files, to, back_to, json, page, listen, processes, control, reloaded }.run(table)
    }
}

impl Run {
    fn run(&self, table: &StepTable) -> Result<CommandExit, CommandError> {
        let (chosen, site) = (&self.chosen, &self.site);
        let dataflows = chosen.load(table)?;
        let progress = Arc::new(ProgressDisplay::new());
        let cluster = self.processes.cluster(site.site.as_deref())?;
        file_access::restrict(chosen.readers);
        file_access::claim_folder(&chosen.state, chosen.readers)?;
        let service = self.service(dataflows, table, &progress)?;
        keep_step_folders(&chosen.state, self.processes.index())?;
        note_circuits_in(&chosen.state, self.processes.index());
        let settings = self.settings();
        if let Some(cluster) = cluster.as_ref().filter(|_| !self.processes.is_first()) {
            self.handle_signals(table, &service)?;
            cluster.run_member(&service, table, settings, progress)?;
            return Ok(CommandExit::Done);
        }
        forget_standing(&chosen.state);
        let coordinator = cluster.map(|place| self.coordinate(&place, &service, &settings)).transpose()?;
        let mesh = coordinator.as_ref().map(|coordinator| ProcessMesh::First(coordinator.processes()));
        let settings = EngineSettings { mesh, ..settings };
        self.note_state(&progress);
        let folder = self.folder()?;
        let monitor = self.monitor(&service, table, &progress)?;
        let links = self.dicom_links(&service)?;
        let auditor = AuditRecorder::start(site, &chosen.state, &site.ae_title(self.listen.ae_title()))?;
        let auditor = Arc::new(auditor);
        self.handle_signals(table, &service)?;
        let input = self.input(&progress, &service, &links, &auditor)?;
        let reporter = Arc::new(ResponseReporter::new(&progress, self.json, self.is_service()));
        let tell = self.outbox_events(&reporter, &auditor, &monitor);
        let outbox = self.outbox(folder, &service.journal, &links, tell)?;
        monitor.show_local(outbox.local_destinations());
        let observer = monitor.observer(progress);
        let _manager = self.is_service().then(|| ServiceManager::tell_ready(&service));
        let intake = service.run_all(input.sources.clone(), &outbox, settings, observer)?;
        coordinator.into_iter().for_each(ClusterCoordinator::end);
        reporter.conclude();
        input.conclude(&outbox, &service.dataflows);
        if let Some(missing) = input.missing {
            return Err(missing);
        }
        Ok(if intake == Intake::Partial { CommandExit::WithErrors } else { reporter.exit() })
    }

    /// The status page and alarms, if they are wanted; the first process of a cluster has the journal.
    fn monitor(
        &self,
        service: &Service,
        table: &StepTable,
        progress: &ProgressDisplay,
    ) -> Result<RunMonitor, CommandError> {
        if !self.processes.is_first() {
            return Ok(RunMonitor::default());
        }
        let (page, site, free_bytes_min) = (self.page, &self.site, self.chosen.free_min);
        let (journal, state) = (&*service.journal, self.chosen.state.as_path());
        let dataflows = &service.dataflows;
        let setup = MonitorSetup { page, journal, dataflows, state, free_bytes_min, table, site };
        RunMonitor::start(&setup, progress)
    }

    /// Says where the state is, and notes it for commands that ask elsewhere.
    fn note_state(&self, progress: &ProgressDisplay) {
        if self.processes.is_first() {
            let state = std::path::absolute(&self.chosen.state).unwrap_or_else(|_| self.chosen.state.clone());
            progress.say_line(format_args!("state     {}", state.display()));
            noted_states::note(&state);
        }
    }

    fn service(
        &self,
        dataflows: DataflowSelector,
        table: &StepTable,
        progress: &Arc<ProgressDisplay>,
    ) -> Result<Service, CommandError> {
        let state = &self.chosen.state;
        let settings = ServiceSettings { free_bytes_min: self.chosen.free_min, ..ServiceSettings::at(state) };
        let mut service = if self.processes.is_first() {
            Service::open(settings, dataflows)?.with_earlier_versions(table)?
        } else {
            // The other processes of a cluster use the folder of the first one.
            let store =
                Store::at(state.join("store")).map_err(CommandError::of(CommandErrorKind::InputOutput))?;
            Service::with_journal(settings, Journal::none(Arc::new(store)), dataflows)
        };
        end_when_broken(&service.journal);
        // Now that the folder is there: how large its disk is depends on where it lies.
        service.settings.retention = self.chosen.retention();
        service.observer = Arc::clone(progress) as _;
        // Studies that an earlier process received are released whatever this one takes in.
        service.sources = service.sources.with(Arc::new(StudyReceiver::of_inbox(self.chosen.inbox()?)));
        Ok(service)
    }

    fn dicom_links(&self, service: &Service) -> Result<DicomLinks, CommandError> {
        let journal = Arc::clone(&service.journal);
        let record = move |request: &Request, objects: &[String]| {
            journal.note_delivered(request.id, objects).map_err(io::Error::other)
        };
        let delivered = Arc::new(DeliveredObjects::new(service.journal.delivered()?, record));
        Ok(DicomLinks { commitments: Arc::default(), delivered })
    }

    /// Settings of the engine, without other processes.
    fn settings(&self) -> EngineSettings {
        let cores = std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
        let (workers, lanes) = (self.chosen.workers.unwrap_or(cores), self.chosen.lanes);
        let budget = self.chosen.memory;
        let budget = budget.unwrap_or_else(|| memory::default_budget() / self.processes.on_this_machine());
        let control = Arc::clone(&self.control);
        let memory = budget - memory::keep_for_inflating(budget);
        EngineSettings { workers, lanes, memory, control, ..EngineSettings::default() }
    }

    /// Listens for the other processes of a cluster.
    fn coordinate(
        &self,
        cluster: &ClusterPlace,
        service: &Service,
        settings: &EngineSettings,
    ) -> Result<ClusterCoordinator, CommandError> {
        let has_work = self.is_service() || !service.journal.open_requests()?.is_empty();
        cluster.coordinate(service, settings, has_work)
    }

    /// Whether nothing is given that a sample could get in the way of: no site, no destination, and no request that is
    /// open or that an operator has asked something for.
    fn is_bare(&self, service: &Service) -> Result<bool, CommandError> {
        let journal = &service.journal;
        let has_site = self.site.site.is_some() || !self.to.is_empty() || !self.back_to.is_empty();
        Ok(!has_site && journal.open_requests()?.is_empty() && !journal.has_operator_requests()?)
    }

    fn input(
        &self,
        progress: &ProgressDisplay,
        service: &Service,
        links: &DicomLinks,
        auditor: &Arc<AuditRecorder>,
    ) -> Result<Input, CommandError> {
        if !self.processes.is_first() {
            return Ok(Input::default());
        }
        let chosen = &self.chosen;
        if !chosen.input.is_empty() {
            return Input::after_left(
                Input::studies(&chosen.input, &links.delivered, progress),
                service,
                progress,
            );
        }
        if !self.files.is_empty() {
            return Input::after_left(Input::files(&self.files, progress), service, progress);
        }
        if !self.is_service() {
            return match self.is_bare(service)? {
                true if self.reloaded.1.as_deref() == Some("tally") => {
                    Input::sample_jobs(&chosen.state.join("sample-jobs"))
                }
                true => Input::sample(&chosen.state.join("sample")),
                false => Ok(Input::default()),
            };
        }
        let input = Input::made(self.site_sources());
        if self.listen.is_wanted(&self.site) {
            Ok(input.and(self.receiver(service, links, auditor)?))
        } else {
            Ok(input)
        }
    }

    /// Whether requests are received until somebody ends it.
    fn is_service(&self) -> bool {
        let has_input = !self.chosen.input.is_empty() || !self.files.is_empty();
        !has_input && (self.listen.is_wanted(&self.site) || !self.site_sources().is_empty())
    }

    fn site_sources(&self) -> Vec<Arc<dyn Source>> {
        self.site.site.as_ref().map(|site| site.sources()).unwrap_or_default()
    }

    fn handle_signals(&self, table: &StepTable, service: &Service) -> Result<(), CommandError> {
        let (is_alone, is_first) = (self.processes.is_alone(), self.processes.is_first());
        if !is_first {
            return signals::handle_reload(reload::refuse);
        }
        if !self.is_service() {
            return signals::handle_nothing_to_reload();
        }
        let (site, dataflow, priority) = self.reloaded.clone();
        let (at_start, updates) = (self.site.site.clone(), Arc::clone(&service.updates));
        let reload = RunReload { site, dataflow, priority, table: table.clone(), at_start, updates };
        signals::handle(&service.stop, move || if is_alone { reload.reload() } else { reload::refuse() })
    }

    fn receiver(
        &self,
        service: &Service,
        links: &DicomLinks,
        auditor: &Arc<AuditRecorder>,
    ) -> Result<StudyReceiver, CommandError> {
        let folder = self.chosen.inbox()?;
        let known = service.journal.claims()?.into_iter().map(PathBuf::from).collect();
        let inbox = InboxPlace { folder, known, free_bytes_min: self.chosen.free_min };
        self.listen.open(&self.site, inbox, links, auditor)
    }
}
