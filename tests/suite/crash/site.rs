//! The folders of one flow, which stay through all of its lives, and the address where it listens.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Condvar, Mutex};

use crate::support::peers::DEADLINE;

/// Folders for a flow: its state, its output, and what else a test needs.
pub struct Site(tempfile::TempDir);

impl Site {
    pub fn new() -> Site {
        Site(tempfile::tempdir().expect("a temporary folder can be made"))
    }

    pub fn path(&self, below: &str) -> PathBuf {
        // As the kernel names it: a temporary folder may lie behind a link.
        self.0.path().canonicalize().expect("the folder is there").join(below)
    }

    pub fn state(&self) -> PathBuf {
        self.path("state")
    }

    pub fn output(&self) -> PathBuf {
        self.path("output")
    }

    /// `flow run` with this state and output.
    pub fn run(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flow"));
        command.current_dir(self.0.path()).env_remove("RUST_LOG").arg("run");
        command.arg("--state").arg(self.state()).arg("--output").arg(self.output());
        command.args(["-w", "2", "--retry", "0.01"]);
        command
    }

    pub fn run_files(&self, input: &Path) -> Command {
        let mut command = self.run();
        command.arg("--input").arg(input);
        command
    }

    /// What was broken off waits long enough that it is sent again before it is answered as it is.
    pub fn run_listening(&self) -> Command {
        let mut command = self.run();
        command.args(["--listen", "0", "--quiet-time", "0.1", "--broken-time", "3"]);
        command
    }
}

/// Where flow listens, as long as it does.
#[derive(Default)]
pub struct ListeningAddress {
    address: Mutex<Option<SocketAddr>>,
    moved: Condvar,
}

impl ListeningAddress {
    pub fn set(&self, address: SocketAddr) {
        *self.lock() = Some(address);
        self.moved.notify_all();
    }

    pub fn clear(&self) {
        *self.lock() = None;
    }

    /// The address; waits for one if the flow does not listen.
    pub fn address(&self) -> SocketAddr {
        let closed = |address: &mut Option<SocketAddr>| address.is_none();
        let (address, waited) =
            self.moved.wait_timeout_while(self.lock(), DEADLINE, closed).expect("nothing panics here");
        assert!(!waited.timed_out(), "flow has not listened for a long time");
        address.expect("the flow listens")
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<SocketAddr>> {
        self.address.lock().expect("nothing panics while it holds the address")
    }
}
