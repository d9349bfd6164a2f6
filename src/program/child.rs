//! A child process with limits, in a process group of its own. However it ends, all of the group are
//! dead afterwards.
//!
//! Two things stay out of reach: a process that leaves the group (`setsid`), and, when flow itself is
//! killed, the children of the child. The child is killed with flow by the kernel.

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

use crate::step::Token;

/// What is to be run, and how far it may go.
pub struct Order<'a> {
    /// A name to be found in `PATH`, or an absolute path.
    pub program: &'a str,
    pub arguments: &'a [String],
    /// Where it runs; its output is kept there, as `stdout` and `stderr`.
    pub folder: &'a Path,
    /// Address space of each of its processes.
    pub memory_bytes: u64,
    /// Size of each file that it writes.
    pub file_bytes: u64,
    /// The time it has to end by itself when it is asked to.
    pub grace: Duration,
}

pub enum End {
    Exited(ExitStatus),
    /// It was stopped because the token was set.
    Stopped,
}

/// Where programs are looked for.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Runs a program to its end, or until the token is set: then it is asked to end, and killed if it
/// has not done so in time.
///
/// # Errors
/// If it cannot be started.
pub fn run(order: &Order, token: &Token) -> io::Result<End> {
    let mut group = Group { child: start(order)?, is_over: false };
    let stopped = group.wait(order.grace, token)?;
    let status = group.end()?;
    Ok(if stopped { End::Stopped } else { End::Exited(status) })
}

fn start(order: &Order) -> io::Result<Child> {
    let output = |name: &str| File::create(order.folder.join(name)).map(Stdio::from);
    let mut command = Command::new(order.program);
    command.args(order.arguments).current_dir(order.folder);
    command.env_clear().env("PATH", PATH).env("LANG", "C");
    command.stdin(Stdio::null()).stdout(output("stdout")?).stderr(output("stderr")?);
    command.process_group(0);
    let limits = [
        limit(Resource::As, order.memory_bytes),
        limit(Resource::Fsize, order.file_bytes),
        limit(Resource::Core, 0),
    ];
    let parent = getpid();
    let prepare = move || {
        limits.into_iter().try_for_each(|(resource, limit)| setrlimit(resource, limit))?;
        // The kernel watches the thread that started the child: it is the one that waits for it.
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // Flow may be gone since the fork.
        if getppid() == Some(parent) { Ok(()) } else { Err(io::ErrorKind::NotConnected.into()) }
    };
    // SAFETY: what runs between fork and exec makes system calls only. It allocates nothing, takes no
    // lock, and touches no memory but its own copy of a few numbers.
    unsafe { command.pre_exec(prepare) };
    command.spawn()
}

/// A limit, no higher than what flow itself may set.
fn limit(resource: Resource, most: u64) -> (Resource, Rlimit) {
    let most = getrlimit(resource).maximum.map_or(most, |highest| highest.min(most));
    (resource, Rlimit { current: Some(most), maximum: Some(most) })
}

/// A child and all that it has started. Dropping it kills them.
struct Group {
    child: Child,
    /// The child has been waited for: its number may be another's.
    is_over: bool,
}

/// What happens while a child runs.
enum Happening {
    Exited,
    Unwanted,
}

impl Group {
    /// Waits until the child has exited. Whether it was stopped.
    fn wait(&self, grace: Duration, token: &Token) -> io::Result<bool> {
        let (tell, told) = channel();
        let exited = tell.clone();
        token.on_cancel(move || _ = tell.send(Happening::Unwanted));
        thread::scope(|scope| {
            let watch = || self.watch(exited);
            let watching = thread::Builder::new().name("flow:program".to_owned()).spawn_scoped(scope, watch);
            if let Err(error) = watching {
                self.signal(Signal::KILL);
                return Err(error);
            }
            let stopped = matches!(told.recv(), Ok(Happening::Unwanted));
            if stopped {
                self.signal(Signal::TERM);
                if matches!(told.recv_timeout(grace), Err(RecvTimeoutError::Timeout)) {
                    self.signal(Signal::KILL);
                }
            }
            Ok(stopped)
        })
    }

    /// Tells of the child's exit, and leaves it for `end` to take note of: until then the number of
    /// the group is not another's.
    fn watch(&self, exited: Sender<Happening>) {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while matches!(waitid(WaitId::Pid(self.id()), options), Err(Errno::INTR)) {}
        // Who has stopped it may have stopped listening too.
        let _ = exited.send(Happening::Exited);
    }

    /// Kills what is left of the group.
    fn end(&mut self) -> io::Result<ExitStatus> {
        self.signal(Signal::KILL);
        self.is_over = true;
        self.child.wait()
    }

    fn signal(&self, signal: Signal) {
        // A group that is gone needs none.
        let _ = kill_process_group(self.id(), signal);
    }

    fn id(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.is_over {
            let _ = self.end();
        }
    }
}
