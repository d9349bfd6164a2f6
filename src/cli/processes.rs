//! The options of `flow run` for several processes.

use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::admission::DataflowSelector;
use crate::cluster::{ClusterAgreement, ClusterMember, ClusterSecret, HostList};
use crate::dataflow::Dataflow;
use crate::engine::ProcessMesh;
use crate::step::{Digest, StepTable};

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

    /// A file with a secret that only these processes know; needed unless all are on this machine
    #[arg(long, value_name = "FILE")]
    secret: Option<PathBuf>,
}

/// The longest wait for the other processes.
const PATIENCE: Duration = Duration::from_secs(60);

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
        self.processes.get() == 1
    }

    /// The number of processes that share the memory of this machine: all of them if all addresses are
    /// loopback addresses.
    pub fn on_this_machine(&self) -> u64 {
        let hosts = self.hosts.as_ref().and_then(|path| HostList::read(path, self.processes.get()).ok());
        hosts.filter(HostList::are_loopback).map_or(1, |_| self.processes.get() as u64)
    }

    /// The cluster that this process is to join; `None` if it is alone.
    pub fn cluster(&self) -> Result<Option<ClusterPlace>, CommandError> {
        let (index, processes) = (self.process, self.processes.get());
        if index >= processes {
            let text = format!("-p {index} is not below -n {processes}");
            return Err(CommandError::new(CommandErrorKind::Usage, text).hint("processes count from 0"));
        }
        if processes == 1 {
            return Ok(None);
        }
        let hosts = self.hosts()?;
        let secret = self.secret(&hosts)?;
        Ok(Some(ClusterPlace { index, processes, hosts, secret }))
    }

    fn hosts(&self) -> Result<HostList, CommandError> {
        let Some(path) = &self.hosts else {
            let failure = CommandError::new(CommandErrorKind::Usage, "several processes need --hosts");
            return Err(failure.hint("write a file with one host:port a line, for example 127.0.0.1:2101"));
        };
        HostList::read(path, self.processes.get()).map_err(CommandError::of(CommandErrorKind::Usage))
    }

    fn secret(&self, hosts: &HostList) -> Result<ClusterSecret, CommandError> {
        match &self.secret {
            Some(path) => ClusterSecret::read(path).map_err(|error| {
                CommandError::new(
                    CommandErrorKind::InputOutput,
                    format!("could not read {}: {error}", path.display()),
                )
            }),
            None if hosts.are_loopback() => Ok(ClusterSecret::new(b"")),
            None => {
                let failure =
                    CommandError::new(CommandErrorKind::Usage, "processes on several machines need --secret");
                Err(failure.hint("give all of them the same file with a long random text"))
            }
        }
    }
}

/// The place of this process among those of its cluster.
pub struct ClusterPlace {
    index: usize,
    processes: usize,
    hosts: HostList,
    secret: ClusterSecret,
}

impl ClusterPlace {
    /// Connects to the other processes. The earlier versions of dataflows, which process 0 knows from its
    /// journal, are afterwards known to all of them.
    pub fn meet(
        &self,
        dataflows: &DataflowSelector,
        table: &StepTable,
        workers: NonZero<usize>,
        lanes: NonZero<usize>,
    ) -> Result<ProcessMesh, CommandError> {
        let (index, hosts, secret, processes) = (self.index, &self.hosts, &self.secret, self.processes);
        let (workers, lanes) = (workers.get(), lanes.get());
        let dataflow = dataflows.current_set().digest();
        let agreement = &ClusterAgreement { dataflow, lanes, workers, processes };
        let (others, seconds) = (processes - 1, PATIENCE.as_secs());
        output::tell_line(format_args!("waiting up to {seconds} s for {others} other processes"));
        let member = ClusterMember { index, hosts, secret, agreement, patience: PATIENCE };
        let met = member.meet(&announcement(&dataflows.earlier_versions()));
        let (mesh, announced) = met.map_err(CommandError::of(CommandErrorKind::Engine))?;
        for dataflow in announced_versions(&announced, table)? {
            dataflows.add_version(dataflow);
        }
        Ok(mesh)
    }
}

/// A version of a dataflow as process 0 sends it to the others.
#[derive(serde::Serialize, serde::Deserialize)]
struct AnnouncedVersion {
    name: String,
    text: String,
    version: Digest,
}

fn announcement(versions: &[Arc<Dataflow>]) -> Vec<u8> {
    let announced = versions.iter().map(|dataflow| AnnouncedVersion {
        name: dataflow.name().to_owned(),
        text: dataflow.text().to_owned(),
        version: dataflow.digest(),
    });
    serde_json::to_vec(&announced.collect::<Vec<_>>()).expect("texts are written as JSON")
}

/// The dataflows of an announcement.
fn announced_versions(announced: &[u8], table: &StepTable) -> Result<Vec<Dataflow>, CommandError> {
    let versions: Vec<AnnouncedVersion> =
        serde_json::from_slice(announced).map_err(CommandError::of(CommandErrorKind::Engine))?;
    let read = |announced: AnnouncedVersion| {
        let AnnouncedVersion { name, text, version } = announced;
        let dataflow = Dataflow::parse(&name, &text, table).ok();
        dataflow.filter(|dataflow| dataflow.digest() == version).ok_or_else(|| {
            let text = format!(
                "this process cannot run version {} of {name}, which unanswered requests were accepted under",
                version.short()
            );
            CommandError::new(CommandErrorKind::Engine, text)
                .hint("use the same flow and the same programs as process 0")
        })
    };
    versions.into_iter().map(read).collect()
}
