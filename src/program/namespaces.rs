//! A program in namespaces of its own: it sees only its own processes, and none of them outlives it.
//!
//! The first process of the namespace is `cat`, which reads from a pipe that flow holds open. When flow kills it, or
//! ends and so closes the pipe, the kernel kills all processes of the namespace. It is a program of its own so that
//! it keeps no memory of flow. The program is the second process, with the signals and the exit of any process.
//!
//! Both are children of flow itself: the process that `Command` starts only makes the namespaces and these two
//! siblings (`CLONE_PARENT`), tells their numbers, and ends.

use std::ffi::{CStr, c_void};
use std::fs::{self, File};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{ChildStdin, ChildStdout, Command};

use libc::{CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER, CLONE_PARENT, c_int};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, getegid, geteuid, kill_process, pidfd_open, waitpid,
};

use super::writable_places::WritablePlaces;

/// The namespaces to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamespacePlan {
    /// Whether a user namespace is made first, in which flow's user may make the others.
    pub has_own_user: bool,
    /// Whether `/proc` shows only the processes of the program.
    pub has_own_proc: bool,
    /// Whether all files but those of its writable places are read-only, their modes and times included.
    pub has_read_only_files: bool,
    /// Whether there is an empty network.
    pub has_own_network: bool,
}

/// A program that runs in namespaces.
pub struct NamespaceProgram {
    pub id: Pid,
    pub stdin: Option<ChildStdin>,
    pub stdout: Option<ChildStdout>,
    pub init: NamespaceInit,
}

/// The first process of a namespace. All others end with it.
pub struct NamespaceInit {
    id: Pid,
    /// Closed when flow ends.
    _lifeline: PipeWriter,
}

/// A restriction of the calling process, between fork and exec: it only makes system calls.
pub type ProcessRestriction = Box<dyn FnMut() -> io::Result<()> + Send + Sync>;

/// Where `cat` is.
const INIT_PROGRAMS: [&CStr; 2] = [c"/bin/cat", c"/usr/bin/cat"];
const INIT_STACK_BYTES: usize = 64 << 10;

/// The time in which the kernel ends all processes of a namespace. A process that waits for a disk takes longer.
const END_TIME: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// Starts a program in namespaces, in which these places can be written. The first process applies `restrict_init` to
/// itself, the program `restrict_program`.
///
/// # Errors
/// The namespaces cannot be made, or the program cannot be started.
pub fn spawn(
    mut command: Command,
    plan: NamespacePlan,
    mut writable: WritablePlaces,
    restrict_init: ProcessRestriction,
    mut restrict_program: ProcessRestriction,
) -> io::Result<NamespaceProgram> {
    let (lifeline_end, lifeline) = io::pipe()?;
    let (report, mut reporter) = io::pipe()?;
    let null = File::options().read(true).write(true).open("/dev/null")?;
    let ids = UserIds::of_flow();
    let mut stack = vec![0_u8; INIT_STACK_BYTES];
    let mut init = InitOrder {
        input: lifeline_end.as_raw_fd(),
        output: null.as_raw_fd(),
        has_own_proc: plan.has_own_proc,
        restrict: restrict_init,
        failure: None,
    };
    let prepare = move || {
        // They are open until here.
        let _ = (&lifeline_end, &null);
        unshare(plan, &ids)?;
        if plan.has_read_only_files {
            writable.keep()?;
        }
        let id = start_init(&mut init, &mut stack)?;
        reporter.write_all(&id.to_ne_bytes())?;
        if let Some(error) = init.failure.take() {
            return Err(error);
        }
        match fork_sibling()? {
            None => restrict_program(),
            Some(id) => {
                // If it cannot be told, flow takes the program for one that was not started.
                let told = reporter.write_all(&id.to_ne_bytes());
                // SAFETY: the process ends without running anything that flow registered.
                unsafe { libc::_exit(i32::from(told.is_err())) }
            }
        }
    };
    // SAFETY: the code between fork and exec makes system calls, and uses no memory but its own copy of what it
    // took along. It allocates nothing and takes no lock.
    unsafe { command.pre_exec(prepare) };
    let started = command.spawn();
    // The closure in it holds the writing end of the report.
    drop(command);
    let [init, program] = reported(report);
    let init = init.map(|id| NamespaceInit { id, _lifeline: lifeline });
    let started = started.and_then(|mut maker| {
        let (stdin, stdout) = (maker.stdin.take(), maker.stdout.take());
        maker.wait()?;
        Ok((stdin, stdout))
    });
    match (started, init, program) {
        (Ok((stdin, stdout)), Some(init), Some(id)) => Ok(NamespaceProgram { id, stdin, stdout, init }),
        (started, init, program) => {
            if let Some(init) = &init {
                init.kill();
                program.map(|id| waitpid(Some(id), WaitOptions::empty()));
                init.reap();
            }
            Err(started.err().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into()))
        }
    }
}

impl NamespaceInit {
    /// Kills all processes of the namespace. They have ended when `reap` returns.
    pub fn kill(&self) {
        // It has not been reaped: the number is not another's. An error means that it has ended.
        let _ = kill_process(self.id, Signal::KILL);
    }

    /// Waits until no process of the namespace is left. The program must have been reaped before.
    pub fn reap(&self) {
        if let Ok(process) = pidfd_open(self.id, PidfdFlags::empty()) {
            let mut end = [PollFd::new(&process, PollFlags::IN)];
            while matches!(poll(&mut end, Some(&END_TIME)), Err(Errno::INTR)) {}
        }
        if let Ok(None) = waitpid(Some(self.id), WaitOptions::NOHANG) {
            tracing::warn!("processes that a program left running do not end, though they were killed");
        }
    }
}

/// The numbers of the first process and of the program, as far as they were started.
fn reported(mut report: PipeReader) -> [Option<Pid>; 2] {
    let mut next = || {
        let mut bytes = [0; 4];
        report.read_exact(&mut bytes).ok().and_then(|()| Pid::from_raw(i32::from_ne_bytes(bytes)))
    };
    [next(), next()]
}

/// Flow's user and group, as lines that map them to themselves.
struct UserIds {
    user: String,
    group: String,
}

impl UserIds {
    fn of_flow() -> UserIds {
        let (user, group) = (geteuid().as_raw(), getegid().as_raw());
        UserIds { user: format!("{user} {user} 1\n"), group: format!("{group} {group} 1\n") }
    }
}

/// Moves this process, and its children to be, to new namespaces.
fn unshare(plan: NamespacePlan, ids: &UserIds) -> io::Result<()> {
    let user = if plan.has_own_user { CLONE_NEWUSER } else { 0 };
    let network = if plan.has_own_network { CLONE_NEWNET } else { 0 };
    // SAFETY: a process that has just been forked has one thread.
    checked(unsafe { libc::unshare(user | network | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC) })?;
    if plan.has_own_user {
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", &ids.user)?;
        fs::write("/proc/self/gid_map", &ids.group)?;
    }
    // What is mounted here is not seen outside; what is mounted outside later is seen here.
    mount(None, c"/", libc::MS_REC | libc::MS_SLAVE)
}

fn mount(kind: Option<&CStr>, place: &CStr, flags: libc::c_ulong) -> io::Result<()> {
    let kind = kind.map_or(std::ptr::null(), CStr::as_ptr);
    // SAFETY: the strings end with a zero and live through the call.
    checked(unsafe { libc::mount(kind, place.as_ptr(), kind, flags, std::ptr::null()) })
}

fn checked(result: c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Forks a child of flow. Gives its number, or nothing in the child.
fn fork_sibling() -> io::Result<Option<i32>> {
    let flags = libc::c_long::from(CLONE_PARENT | libc::SIGCHLD);
    // SAFETY: without a stack of its own and without shared memory, this is a fork. The child goes on to exec.
    let id = unsafe { libc::syscall(libc::SYS_clone, flags, 0_usize, 0_usize, 0_usize, 0_usize) };
    match i32::try_from(id) {
        Ok(0) => Ok(None),
        Ok(id) if id > 0 => Ok(Some(id)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// What the first process does before it becomes `cat`.
struct InitOrder {
    input: RawFd,
    output: RawFd,
    has_own_proc: bool,
    restrict: ProcessRestriction,
    /// The reason why it did not become `cat`.
    failure: Option<io::Error>,
}

/// Starts the first process of the namespace, and waits until it has become `cat` or ended. Gives its number.
fn start_init(order: &mut InitOrder, stack: &mut [u8]) -> io::Result<i32> {
    // Stacks grow down and are aligned to 16 bytes.
    let top = stack.as_mut_ptr_range().end;
    let top = top.wrapping_sub(top.addr() % 16);
    let flags = CLONE_PARENT | libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: this process stands still until the new one has its own memory or has ended, so that nothing is used
    // by both at a time; the stack is large enough for a few system calls.
    let id = unsafe { libc::clone(run_init, top.cast(), flags, std::ptr::from_mut(order).cast()) };
    if id > 0 { Ok(id) } else { Err(io::Error::last_os_error()) }
}

extern "C" fn run_init(order: *mut c_void) -> c_int {
    // SAFETY: `start_init` gives an order that nothing else uses meanwhile.
    let order = unsafe { &mut *order.cast::<InitOrder>() };
    order.failure = order.become_cat().err();
    // SAFETY: the process ends without running anything that flow registered.
    unsafe { libc::_exit(1) }
}

impl InitOrder {
    /// Returns only if it fails.
    fn become_cat(&mut self) -> io::Result<()> {
        for (from, to) in [(self.input, 0), (self.output, 1), (self.output, 2)] {
            // SAFETY: the numbers are those of open files, of which this process has its own table.
            if unsafe { libc::dup2(from, to) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        if self.has_own_proc {
            let flags = libc::MS_RDONLY | libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
            mount(Some(c"proc"), c"/proc", flags)?;
        }
        (self.restrict)()?;
        // SAFETY: no other thread of this process uses files or signals. Processes that lose their parent become
        // children of this one, and the kernel reaps them if it ignores their ends.
        unsafe {
            libc::signal(libc::SIGCHLD, libc::SIG_IGN);
            libc::syscall(libc::SYS_close_range, 3_usize, libc::c_uint::MAX, 0_usize);
        }
        let (arguments, environment) = ([c"cat".as_ptr(), std::ptr::null()], [std::ptr::null()]);
        for program in INIT_PROGRAMS {
            // SAFETY: the strings and lists end with a zero.
            unsafe { libc::execve(program.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
        }
        Err(io::Error::last_os_error())
    }
}
