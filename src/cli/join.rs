//! `flow join`: a process that runs steps for a running cluster, without being among its hosts.

use std::collections::BTreeSet;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;

use crate::admission::{DataflowSelector, Service, ServiceSettings};
use crate::cluster::{AnnouncedVersion, ClusterAgreement, ClusterMember, ClusterSetup, HostList};
use crate::dataflow::{Dataflow, ProcessLabel};
use crate::engine::{EngineControl, EngineSettings, ProcessMesh};
use crate::journal::Journal;
use crate::step::StepTable;
use crate::store::Store;
use crate::yaml;

use super::exit::{CommandError, CommandErrorKind, CommandExit};
use super::file_access;
use super::memory;
use super::output;
use super::processes::{PATIENCE, random, session_keys};
use super::progress::ProgressDisplay;
use super::run_settings::DATAFLOW;
use super::run_values;
use super::site::SiteArguments;
use super::step_folders::keep_step_folders;

/// Run steps for a running flow: those that say `on` with a label of this process
///
/// The process needs to see no folder of that flow: inputs and outputs come and go over the connection. It ends when that flow
/// has answered everything, and can be ended at any time: what it was running is run again by another process.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flow join receiver.hospital:7001 --secret secret.txt --label big-memory
  flow join 127.0.0.1:7001 --label network --label gpu")]
pub struct JoinArguments {
    /// The address of process 0: the first line of its hosts file
    #[arg(value_name = "HOST:PORT")]
    address: String,

    /// A label of this process; may be given several times [default: those of the site's file]
    #[arg(long = "label", value_name = "LABEL")]
    labels: Vec<ProcessLabel>,

    /// The file with the secret of the cluster; needed unless process 0 is on this machine or the site's file has certificates
    #[arg(long, value_name = "FILE")]
    secret: Option<PathBuf>,

    /// Worker threads of this process: it gets steps in proportion [default: one per core]
    #[arg(short, long, value_name = "N", value_parser = run_values::workers)]
    workers: Option<NonZero<usize>>,

    /// Memory that steps may take in this process, for example 4GiB [default: half of the machine's]
    #[arg(long, value_name = "BYTES", value_parser = yaml::bytes)]
    memory: Option<u64>,

    /// Where values lie while steps need them [default: a temporary folder]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,

    #[command(flatten)]
    site: SiteArguments,
}

impl JoinArguments {
    pub fn run(self, table: &StepTable) -> Result<CommandExit, CommandError> {
        let failed = CommandError::of(CommandErrorKind::InputOutput);
        let site = self.site.read()?;
        let labels = match &site {
            Some(site) if self.labels.is_empty() => &site.general.labels,
            Some(_) | None => &self.labels,
        };
        if labels.is_empty() {
            let failure =
                CommandError::new(CommandErrorKind::Usage, "a process without labels gets no steps");
            return Err(
                failure.hint("name some with --label: those that steps of the dataflow say after `on`")
            );
        }
        let labels: BTreeSet<ProcessLabel> = labels.iter().cloned().collect();
        let Some(hosts) = HostList::first(&self.address) else {
            let text = format!("{:?} is not an address", self.address);
            let failure = CommandError::new(CommandErrorKind::Usage, text);
            return Err(failure.hint("write HOST:PORT, for example 127.0.0.1:7001"));
        };
        let keys = session_keys(self.secret.as_deref(), &hosts, site.as_ref())?;
        // Removed when this function returns.
        let temporary = self.state.is_none().then(tempfile::tempdir).transpose().map_err(&failed)?;
        let state = self.state.as_deref().or(temporary.as_ref().map(tempfile::TempDir::path));
        let state = state.expect("there is one of both").to_owned();
        file_access::claim_folder(&state, Default::default())?;
        let store = Store::at(state.join("store"));
        let store = Arc::new(store.map_err(CommandError::of(CommandErrorKind::InputOutput))?);
        keep_step_folders(&state, 0)?;
        // The engine has one from the start; process 0 tells of those that steps belong to.
        let dataflows = DataflowSelector::only(Dataflow::load(DATAFLOW, table)?);
        let service = Service::with_journal(ServiceSettings::at(&state), Journal::none(store), dataflows);
        let cores = std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
        let workers = self.workers.unwrap_or(cores);
        let memory = self.memory.unwrap_or_else(memory::default_budget);
        let instance = random().map_err(&failed)?;
        let setup = ClusterSetup {
            index: 0,
            instance,
            hosts,
            keys,
            workers: workers.get(),
            memory,
            labels,
            joins: true,
        };
        let agreement =
            ClusterAgreement { dataflow: service.dataflows.current_set().digest(), lanes: 1, processes: 1 };
        let member = Arc::new(ClusterMember::new(setup, &agreement));
        let settings = EngineSettings {
            workers,
            lanes: NonZero::<usize>::MIN,
            memory,
            mesh: Some(ProcessMesh::Member(Arc::clone(&member) as _)),
            control: Arc::new(EngineControl::at(&state)),
            ..EngineSettings::default()
        };
        output::tell_line(format_args!("waiting up to {} s for {}", PATIENCE.as_secs(), self.address));
        let read =
            |announced: &AnnouncedVersion| Dataflow::parse(&announced.name, &announced.text, table).ok();
        let observer = Arc::new(ProgressDisplay::new());
        let served =
            service.run_engine(|queue| member.serve(queue, &read, PATIENCE), &*member, settings, observer);
        served?.map_err(CommandError::of(CommandErrorKind::Engine))?;
        Ok(CommandExit::Done)
    }
}
