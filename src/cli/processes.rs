//! The options of `flow run` for several processes.

use std::collections::BTreeSet;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::admission::{DataflowSelector, Service};
use crate::cluster::{
    AnnouncedVersion, ClusterAgreement, ClusterCoordinator, ClusterMember, ClusterSecret, ClusterSecretError,
    ClusterSetup, HostList, HostsError,
};
use crate::dataflow::{Dataflow, ProcessLabel};
use crate::engine::{EngineSettings, EventObserver, ProcessMesh};
use crate::site::Site;
use crate::step::StepTable;
use crate::tls::SessionKeys;

use super::exit::{CommandError, CommandErrorKind};
use super::output;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Several processes")]
pub struct ProcessArguments {
    /// How many processes work together; they must see the same --state and --input folders
    #[arg(short = 'n', long, value_name = "N", default_value = "1")]
    processes: NonZero<usize>,

    /// Index of this process, from 0; requests come in and responses go out at process 0
    #[arg(short = 'p', long, value_name = "INDEX", default_value_t = 0)]
    process: usize,

    /// A file with the address of each process, one host:port a line
    #[arg(long, value_name = "FILE")]
    hosts: Option<PathBuf>,

    /// A file with a secret of at least 32 characters that only these processes know; needed unless all are on this machine or the site's file has certificates
    #[arg(long, value_name = "FILE")]
    secret: Option<PathBuf>,

    /// A label of this process: steps that say `on: LABEL` run on a process that has it; may be given several times [default: those of the site's file]
    #[arg(long = "label", value_name = "LABEL")]
    labels: Vec<ProcessLabel>,
}

/// The longest wait for the other processes, where nothing else has to be answered.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The wait for the other processes where requests have to be answered: what they hold is theirs again.
const PATIENCE_WITH_WORK: Duration = Duration::from_secs(2);

impl ProcessArguments {
    pub fn is_first(&self) -> bool {
        self.process == 0
    }

    /// The number of this process among all of them, from 0.
    pub fn index(&self) -> usize {
        self.process
    }

    /// Whether this is the only process.
    pub fn is_alone(&self) -> bool {
        self.processes.get() == 1 && self.hosts.is_none()
    }

    /// The number of processes that share the memory of this machine: all of them if all addresses are
    /// loopback addresses.
    pub fn on_this_machine(&self) -> u64 {
        let hosts = self.hosts.as_ref().and_then(|path| HostList::read(path, self.processes.get()).ok());
        hosts.filter(HostList::are_loopback).map_or(1, |_| self.processes.get() as u64)
    }

    /// The cluster that this process is to join; `None` if it is alone.
    pub fn cluster(&self, site: Option<&Site>) -> Result<Option<ClusterPlace>, CommandError> {
        let (index, processes) = (self.process, self.processes.get());
        if index >= processes {
            let text = format!("-p {index} is not below -n {processes}");
            return Err(CommandError::new(CommandErrorKind::Usage, text).hint("processes count from 0"));
        }
        if self.is_alone() {
            return Ok(None);
        }
        let hosts = self.hosts()?;
        let keys = session_keys(self.secret.as_deref(), &hosts, site)?;
        let labels = self.labels(site);
        Ok(Some(ClusterPlace { index, processes, hosts, keys, labels }))
    }

    /// The labels of this process: those of the command line, else those of the site's file.
    fn labels(&self, site: Option<&Site>) -> BTreeSet<ProcessLabel> {
        let of_site = site.map(|site| &site.general.labels).filter(|_| self.labels.is_empty());
        of_site.unwrap_or(&self.labels).iter().cloned().collect()
    }

    fn hosts(&self) -> Result<HostList, CommandError> {
        let Some(path) = &self.hosts else {
            let failure = CommandError::new(CommandErrorKind::Usage, "several processes need --hosts");
            return Err(failure.hint("write a file with one host:port a line, for example 127.0.0.1:2101"));
        };
        HostList::read(path, self.processes.get()).map_err(|error| {
            let kind = match error {
                HostsError::Read { .. } => CommandErrorKind::InputOutput,
                HostsError::TooFew { .. } | HostsError::NotAnAddress { .. } => CommandErrorKind::Usage,
            };
            CommandError::of(kind)(error)
        })
    }
}

/// How the processes prove to each other who they are.
pub fn session_keys(
    secret: Option<&Path>,
    hosts: &HostList,
    site: Option<&Site>,
) -> Result<SessionKeys, CommandError> {
    let failed = CommandError::of(CommandErrorKind::InputOutput);
    if let Some(path) = secret {
        let secret = ClusterSecret::read(path).map_err(|error| {
            let is_short = matches!(error, ClusterSecretError::Short { .. });
            let failure = CommandError::of(CommandErrorKind::InputOutput)(error);
            let remedy = format!("head -c 32 /dev/urandom | base64 > {}", path.display());
            if is_short {
                failure.hint(&format!("{remedy} makes one; give it to all processes"))
            } else {
                failure
            }
        })?;
        return SessionKeys::shared(secret.key()).map_err(failed);
    }
    let certificate = site.and_then(|site| site.identity.as_ref().zip(site.authorities.as_ref()));
    if let Some((identity, authorities)) = certificate {
        return SessionKeys::certified(identity, authorities).map_err(failed);
    }
    if hosts.are_loopback() {
        return SessionKeys::shared(ClusterSecret::new(b"").key()).map_err(failed);
    }
    let text = "processes on several machines need --secret, or certificates in the site's file";
    Err(CommandError::new(CommandErrorKind::Usage, text)
        .hint("give all of them the same file, made with `head -c 32 /dev/urandom | base64 > FILE`"))
}

/// The place of this process among those of its cluster.
pub struct ClusterPlace {
    index: usize,
    processes: usize,
    hosts: HostList,
    keys: SessionKeys,
    labels: BTreeSet<ProcessLabel>,
}

impl ClusterPlace {
    fn setup(&self, settings: &EngineSettings) -> Result<ClusterSetup, CommandError> {
        let instance = random().map_err(CommandError::of(CommandErrorKind::InputOutput))?;
        Ok(ClusterSetup {
            index: self.index,
            instance,
            hosts: self.hosts.clone(),
            keys: self.keys.clone(),
            workers: settings.workers.get(),
            memory: settings.memory,
            labels: self.labels.clone(),
            joins: false,
        })
    }

    fn agreement(&self, dataflows: &DataflowSelector, lanes: NonZero<usize>) -> ClusterAgreement {
        let (dataflow, processes) = (dataflows.current_set().digest(), self.processes);
        ClusterAgreement { dataflow, lanes: lanes.get(), processes }
    }

    /// Starts to listen for the other processes, and waits for them, but not long where `has_work` says that requests
    /// are to be answered.
    pub fn coordinate(
        &self,
        service: &Service,
        settings: &EngineSettings,
        has_work: bool,
    ) -> Result<ClusterCoordinator, CommandError> {
        let agreement = self.agreement(&service.dataflows, settings.lanes);
        let failed = CommandError::of(CommandErrorKind::Engine);
        let setup = self.setup(settings)?;
        let cluster =
            ClusterCoordinator::start(setup, &agreement, &service.settings.state).map_err(&failed)?;
        let patience = if has_work { PATIENCE_WITH_WORK } else { PATIENCE };
        let (others, seconds) = (self.processes - 1, patience.as_secs());
        if others > 0 {
            output::tell_line(format_args!("waiting up to {seconds} s for {others} other processes"));
        }
        for process in cluster.wait(patience).map_err(&failed)? {
            tracing::warn!("process {process} at {} is not there yet", self.hosts.addresses()[process]);
        }
        Ok(cluster)
    }

    /// Runs requests of process 0, until it says that all are answered.
    pub fn run_member(
        &self,
        service: &Service,
        table: &StepTable,
        settings: EngineSettings,
        observer: Arc<dyn EventObserver>,
    ) -> Result<(), CommandError> {
        let agreement = self.agreement(&service.dataflows, settings.lanes);
        let member = Arc::new(ClusterMember::new(self.setup(&settings)?, &agreement));
        let mesh = Some(ProcessMesh::Member(Arc::clone(&member) as _));
        let seconds = PATIENCE.as_secs();
        output::tell_line(format_args!("waiting up to {seconds} s for process 0"));
        let read =
            |announced: &AnnouncedVersion| Dataflow::parse(&announced.name, &announced.text, table).ok();
        let settings = EngineSettings { mesh, ..settings };
        let served =
            service.run_engine(|queue| member.serve(queue, &read, PATIENCE), &*member, settings, observer);
        served?.map_err(CommandError::of(CommandErrorKind::Engine))
    }
}

/// A number that no other process has.
pub fn random() -> std::io::Result<u64> {
    let mut bytes = [0; 8];
    std::io::Read::read_exact(&mut std::fs::File::open(Path::new("/dev/urandom"))?, &mut bytes)?;
    Ok(u64::from_be_bytes(bytes))
}
