//! A child process with resource limits, in its own process group. All processes that it started are killed
//! when the child ends, however it ends.
//!
//! Where flow can make namespaces ([`super::namespaces`]), the kernel sees to it, also if flow itself is killed.
//! Elsewhere the process group is killed, and a process that has left the group (`setsid`) is found by its mark and
//! killed, too ([`super::sweep`]). If flow itself is killed, the kernel then kills the child with it; the children of
//! the child can survive.

use std::fs::File;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{
    Pid, Resource, Rlimit, Signal, WaitId, WaitIdOptions, WaitOptions, getpid, getppid, getrlimit,
    kill_process_group, set_parent_process_death_signal, setpgid, setrlimit, waitid, waitpid,
};

use crate::step::CancelToken;

use super::namespaces::{self, NamespaceInit};
use super::sandbox::Sandbox;
use super::sandbox_grants::ProgramGrants;
use super::stopping::StoppingProgram;
use super::sweep::ProcessMark;

/// The program to run, and its limits.
pub struct ProgramOrder<'a> {
    /// A name that is looked up in `PATH`, or an absolute path.
    pub program: &'a str,
    pub arguments: &'a [String],
    /// Variables besides `PATH` and `LANG`.
    pub environment: Vec<(String, String)>,
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
    let mut group = ProcessGroup { program: start(order)?, is_over: false };
    // Noted until nothing is left of the program.
    let stopping = group.wait(order.grace, token)?;
    let status = group.end()?;
    Ok(if stopping.is_some() { ProgramEnd::Stopped } else { ProgramEnd::Exited(status) })
}

fn start(order: &ProgramOrder) -> io::Result<ProgramProcess> {
    let output = |file: &File| file.try_clone().map(Stdio::from);
    let mut command = Command::new(order.program);
    command.args(order.arguments).current_dir(order.folder);
    command.env_clear().env("PATH", PATH).env("LANG", "C");
    command.envs(order.environment.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stdout(output(order.stdout)?).stderr(output(order.stderr)?);
    let limits = ProgramLimits { memory_bytes: order.memory_bytes, file_bytes: order.file_bytes };
    spawn(command, Sandbox::new(order.program, order.folder, &order.grants)?, &limits)
}

/// Limits of a program, in bytes: of the address space of each process, and of each file.
pub struct ProgramLimits {
    pub memory_bytes: u64,
    pub file_bytes: u64,
}

/// A program that was started, with all processes that it starts.
pub struct ProgramProcess {
    pub id: Pid,
    pub stdin: Option<ChildStdin>,
    pub stdout: Option<ChildStdout>,
    descendants: ProgramDescendants,
}

/// The way in which the processes that a program has started are found.
enum ProgramDescendants {
    InNamespace(NamespaceInit),
    Marked(ProcessMark),
}

impl ProgramProcess {
    /// Kills the program and all processes that it has started, and reaps it. To be called once: afterwards the number
    /// may be another process's.
    ///
    /// # Errors
    /// Somebody else has reaped the program.
    pub fn end(&self) -> io::Result<ExitStatus> {
        // An error means that the group has no processes left.
        let _ = kill_process_group(self.id, Signal::KILL);
        match &self.descendants {
            ProgramDescendants::InNamespace(init) => init.kill(),
            ProgramDescendants::Marked(mark) => mark.sweep(self.id),
        }
        let status = loop {
            match waitpid(Some(self.id), WaitOptions::empty()) {
                Err(Errno::INTR) | Ok(None) => {}
                Ok(Some((_, status))) => break Ok(ExitStatus::from_raw(status.as_raw())),
                Err(error) => break Err(error.into()),
            }
        };
        if let ProgramDescendants::InNamespace(init) = &self.descendants {
            init.reap();
        }
        status
    }
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
) -> io::Result<ProgramProcess> {
    command.process_group(0);
    let limits = [
        limit(Resource::As, limits.memory_bytes),
        limit(Resource::Fsize, limits.file_bytes),
        limit(Resource::Core, 0),
    ];
    let prepare = move |sandbox: &Sandbox| {
        limits.into_iter().try_for_each(|(resource, limit)| setrlimit(resource, limit))?;
        sandbox.enter()?;
        // PDEATHSIG refers to the thread that started the child; that thread waits for it.
        set_parent_process_death_signal(Some(Signal::KILL)).map_err(io::Error::from)
    };
    if let Some(plan) = sandbox.namespaces() {
        let writable = sandbox.take_writable();
        let sandbox = Arc::new(sandbox);
        let first = Arc::clone(&sandbox);
        let restrict_program = move || {
            setpgid(None, None)?;
            prepare(&sandbox)
        };
        let restrict_first = Box::new(move || first.enter_first());
        let started = namespaces::spawn(command, plan, writable, restrict_first, Box::new(restrict_program))?;
        let descendants = ProgramDescendants::InNamespace(started.init);
        return Ok(ProgramProcess {
            id: started.id,
            stdin: started.stdin,
            stdout: started.stdout,
            descendants,
        });
    }
    let (parent, mark) = (getpid(), ProcessMark::new());
    let (resource, marking) = mark.limit();
    let prepare = move || {
        setrlimit(resource, marking)?;
        prepare(&sandbox)?;
        // Flow may have died since the fork.
        if getppid() == Some(parent) { Ok(()) } else { Err(io::ErrorKind::NotConnected.into()) }
    };
    // SAFETY: the code between fork and exec only makes system calls. It allocates nothing, takes no lock,
    // and uses no memory but its own copy of a few numbers.
    unsafe { command.pre_exec(prepare) };
    let mut child = command.spawn()?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let descendants = ProgramDescendants::Marked(mark);
    Ok(ProgramProcess { id: Pid::from_child(&child), stdin, stdout, descendants })
}

/// A resource limit, capped at the hard limit of flow itself.
fn limit(resource: Resource, most: u64) -> (Resource, Rlimit) {
    let most = getrlimit(resource).maximum.map_or(most, |highest| highest.min(most));
    (resource, Rlimit { current: Some(most), maximum: Some(most) })
}

/// A program and all processes that it has started. Dropping the group kills them.
struct ProcessGroup {
    program: ProgramProcess,
    /// The child has been reaped: its process id may have been reused.
    is_over: bool,
}

/// The events that end the wait for a child.
enum ChildEvent {
    Exited,
    Unwanted(StoppingProgram),
}

impl ProcessGroup {
    /// Waits until the child has exited; returns the note that it was stopped, if it was.
    fn wait(&self, grace: Duration, token: &CancelToken) -> io::Result<Option<StoppingProgram>> {
        let (tell, told) = channel();
        let exited = tell.clone();
        token.on_cancel(move || _ = tell.send(ChildEvent::Unwanted(StoppingProgram::note())));
        thread::scope(|scope| {
            let watch = || self.watch(exited);
            let watching = thread::Builder::new().name("flow:program".to_owned()).spawn_scoped(scope, watch);
            if let Err(error) = watching {
                self.signal(Signal::KILL);
                return Err(error);
            }
            let Ok(ChildEvent::Unwanted(stopping)) = told.recv() else { return Ok(None) };
            self.signal(Signal::TERM);
            if matches!(told.recv_timeout(grace), Err(RecvTimeoutError::Timeout)) {
                self.signal(Signal::KILL);
            }
            Ok(Some(stopping))
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
        self.is_over = true;
        self.program.end()
    }

    fn signal(&self, signal: Signal) {
        // An error means that the group has no processes left.
        let _ = kill_process_group(self.id(), signal);
    }

    fn id(&self) -> Pid {
        self.program.id
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        if !self.is_over {
            let _ = self.end();
        }
    }
}
