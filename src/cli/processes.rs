//! The options of `flow run` for several processes.

use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

use crate::cluster::{self, ClusterAgreement, ClusterSecret, HostList};
use crate::engine::{DataflowSet, ProcessMesh};

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

    /// Connects to the other processes; `None` if there is only one.
    pub fn mesh(
        &self,
        dataflows: &DataflowSet,
        workers: NonZero<usize>,
        lanes: NonZero<usize>,
    ) -> Result<Option<ProcessMesh>, CommandError> {
        let processes = self.processes.get();
        if self.process >= processes {
            let text = format!("-p {} is not below -n {processes}", self.process);
            return Err(CommandError::new(CommandErrorKind::Usage, text).hint("processes count from 0"));
        }
        if processes == 1 {
            return Ok(None);
        }
        let hosts = self.hosts()?;
        let secret = self.secret(&hosts)?;
        let (workers, lanes) = (workers.get(), lanes.get());
        let agreement = ClusterAgreement { dataflow: dataflows.digest(), lanes, workers, processes };
        let others = processes - 1;
        let seconds = PATIENCE.as_secs();
        output::tell_line(format_args!("waiting up to {seconds} s for {others} other processes"));
        let mesh = cluster::meet(self.process, &hosts, &secret, &agreement, PATIENCE);
        mesh.map(Some).map_err(CommandError::of(CommandErrorKind::Engine))
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
