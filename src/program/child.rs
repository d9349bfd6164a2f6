//! A child process with resource limits, in its own process group. All processes of the group are killed
//! when the child ends, however it ends.
//!
//! A process that has left the group (`setsid`) is found by its mark and killed, too ([`super::sweep`]). If
//! flow itself is killed, the kernel kills the child with it; the children of the child can survive.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{
    Pid, Resource, Rlimit, Signal, WaitId, WaitIdOptions, getpid, getppid, getrlimit, kill_process_group,
    set_parent_process_death_signal, setrlimit, waitid,
};

use crate::step::CancelToken;

use super::sandbox::{ProgramGrants, Sandbox};
use super::sweep::ProcessMark;

/// The program to run, and its limits.
pub struct ProgramOrder<'a> {
    /// A name that is looked up in `PATH`, or an absolute path.
    pub program: &'a str,
    pub arguments: &'a [String],
    /// The working directory.
    pub folder: &'a Path,
    pub stdout: &'a File,
    pub stderr: &'a File,
    pub grants: ProgramGrants,
    /// Limit of the address space of each process, in bytes.
    pub memory_bytes: u64,
    /// Limit of the size of each file that is written, in bytes.
    pub file_bytes: u64,
    /// The time between SIGTERM and SIGKILL.
    pub grace: Duration,
}

pub enum ProgramEnd {
    Exited(ExitStatus),
    /// The program was stopped because the token was set.
    Stopped,
}

/// The value of `PATH`.
pub const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Runs a program to its end. If the token is set, the program gets SIGTERM, and SIGKILL after the grace
/// period.
///
/// # Errors
/// The program cannot be started.
pub fn run(order: &ProgramOrder, token: &CancelToken) -> io::Result<ProgramEnd> {
    let mark = ProcessMark::new();
    let mut group = ProcessGroup { child: start(order, mark)?, mark, is_over: false };
    let stopped = group.wait(order.grace, token)?;
    let status = group.end()?;
    Ok(if stopped { ProgramEnd::Stopped } else { ProgramEnd::Exited(status) })
}

fn start(order: &ProgramOrder, mark: ProcessMark) -> io::Result<Child> {
    let output = |file: &File| file.try_clone().map(Stdio::from);
    let mut command = Command::new(order.program);
    command.args(order.arguments).current_dir(order.folder);
    command.env_clear().env("PATH", PATH).env("LANG", "C");
    command.stdin(Stdio::null()).stdout(output(order.stdout)?).stderr(output(order.stderr)?);
    let limits = ProgramLimits { memory_bytes: order.memory_bytes, file_bytes: order.file_bytes };
    spawn(command, Sandbox::new(order.program, order.folder, &order.grants)?, &limits, mark)
}

/// Limits of a program, in bytes: of the address space of each process, and of each file.
pub struct ProgramLimits {
    pub memory_bytes: u64,
    pub file_bytes: u64,
}

/// Starts a program in a process group of its own, with its limits, in its sandbox. The child is killed when the
/// thread that calls this ends.
///
/// # Errors
/// The program cannot be started.
pub fn spawn(
    mut command: Command,
    mut sandbox: Sandbox,
    limits: &ProgramLimits,
    mark: ProcessMark,
) -> io::Result<Child> {
    command.process_group(0);
    let limits = [
        limit(Resource::As, limits.memory_bytes),
        limit(Resource::Fsize, limits.file_bytes),
        limit(Resource::Core, 0),
        mark.limit(),
    ];
    let parent = getpid();
    let prepare = move || {
        limits.into_iter().try_for_each(|(resource, limit)| setrlimit(resource, limit))?;
        // PDEATHSIG refers to the thread that started the child; that thread waits for it.
        set_parent_process_death_signal(Some(Signal::KILL))?;
        sandbox.enter()?;
        // Flow may have died since the fork.
        if getppid() == Some(parent) { Ok(()) } else { Err(io::ErrorKind::NotConnected.into()) }
    };
    // SAFETY: the code between fork and exec only makes system calls. It allocates nothing, takes no lock,
    // and uses no memory but its own copy of a few numbers.
    unsafe { command.pre_exec(prepare) };
    command.spawn()
}

/// A resource limit, capped at the hard limit of flow itself.
fn limit(resource: Resource, most: u64) -> (Resource, Rlimit) {
    let most = getrlimit(resource).maximum.map_or(most, |highest| highest.min(most));
    (resource, Rlimit { current: Some(most), maximum: Some(most) })
}

/// A child and all processes that it has started. Dropping the group kills them.
struct ProcessGroup {
    child: Child,
    mark: ProcessMark,
    /// The child has been reaped: its process id may have been reused.
    is_over: bool,
}

/// The events that end the wait for a child.
enum ChildEvent {
    Exited,
    Unwanted,
}

impl ProcessGroup {
    /// Waits until the child has exited; returns whether it was stopped.
    fn wait(&self, grace: Duration, token: &CancelToken) -> io::Result<bool> {
        let (tell, told) = channel();
        let exited = tell.clone();
        token.on_cancel(move || _ = tell.send(ChildEvent::Unwanted));
        thread::scope(|scope| {
            let watch = || self.watch(exited);
            let watching = thread::Builder::new().name("flow:program".to_owned()).spawn_scoped(scope, watch);
            if let Err(error) = watching {
                self.signal(Signal::KILL);
                return Err(error);
            }
            let stopped = matches!(told.recv(), Ok(ChildEvent::Unwanted));
            if stopped {
                self.signal(Signal::TERM);
                if matches!(told.recv_timeout(grace), Err(RecvTimeoutError::Timeout)) {
                    self.signal(Signal::KILL);
                }
            }
            Ok(stopped)
        })
    }

    /// Reports the exit of the child without reaping it; `end` does that. Until then the process group id
    /// cannot be reused.
    fn watch(&self, exited: Sender<ChildEvent>) {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while matches!(waitid(WaitId::Pid(self.id()), options), Err(Errno::INTR)) {}
        // The receiver is gone if the child was stopped.
        let _ = exited.send(ChildEvent::Exited);
    }

    /// Kills the remaining processes of the group, and those that have left it, and reaps the child.
    fn end(&mut self) -> io::Result<ExitStatus> {
        self.signal(Signal::KILL);
        self.mark.sweep(self.id());
        self.is_over = true;
        self.child.wait()
    }

    fn signal(&self, signal: Signal) {
        // An error means that the group has no processes left.
        let _ = kill_process_group(self.id(), signal);
    }

    fn id(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        if !self.is_over {
            let _ = self.end();
        }
    }
}
