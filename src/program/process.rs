//! One process of a program of steps, kept alive between calls.
//!
//! A thread of its own starts the process, reads its lines, and reaps it: the kernel kills the child when the thread
//! that started it ends. A call writes one line and waits for one line. A process that did anything else is not used
//! again.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::process::{ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::step::CancelToken;

use super::call_folder::CallFolders;
use super::child::{self, PATH, ProgramLimits, ProgramProcess};
use super::fault::ProcessFailure;
use super::sandbox::Sandbox;
use super::sandbox_grants::ProgramGrants;
use super::step_call::StepAnswer;

/// The program to start, and its limits.
pub struct ProcessOrder {
    pub program: String,
    pub arguments: Vec<String>,
    pub grants: ProgramGrants,
    pub limits: ProgramLimits,
    /// A file that is written into the folder of the process: its name and text.
    pub helper: Option<(&'static str, &'static str)>,
}

pub struct StepProcess {
    pub folders: CallFolders,
    stdin: Option<ChildStdin>,
    events: Receiver<ProcessEvent>,
    tell: SyncSender<ProcessEvent>,
    killer: Arc<ProcessKiller>,
    keeper: Option<JoinHandle<()>>,
    /// The number of the last line that it was sent.
    lines: u64,
}

enum ProcessEvent {
    Line(Vec<u8>),
    Ended(io::Result<ExitStatus>),
    Cancelled,
}

/// The longest line, in bytes. What is larger goes into files.
const LINE_MAX: u64 = 64 << 20;
const EVENTS_WAITING: usize = 4;
/// How often a call looks whether it was cancelled.
const CANCEL_INTERVAL: Duration = Duration::from_millis(50);
/// The time after which the end of the keeper is looked for again.
const LOOK_TIME: Duration = Duration::from_millis(5);
/// The time in which a process that has closed its output ends by itself.
const END_TIME: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };

impl StepProcess {
    /// Starts a process. It has not said anything yet.
    ///
    /// # Errors
    /// The process cannot be started.
    pub fn start(order: &Arc<ProcessOrder>) -> Result<StepProcess, ProcessFailure> {
        let folders = CallFolders::new()?;
        let command = command(order, &folders).map_err(ProcessFailure::NotStarted)?;
        let sandbox = sandbox(order, &folders).map_err(ProcessFailure::NotStarted)?;
        let (tell, events) = sync_channel(EVENTS_WAITING);
        let (started, starts) = sync_channel(1);
        let (order, told) = (Arc::clone(order), tell.clone());
        let keeper = Builder::new().name("flow:steps".to_owned()).spawn(move || {
            match child::spawn(command, sandbox, &order.limits) {
                Ok(program) => keep(program, &started, &told),
                Err(error) => _ = started.send(Err(error)),
            }
        });
        let keeper = keeper.map_err(ProcessFailure::NotStarted)?;
        let begun = starts.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()));
        let (stdin, killer) = begun.map_err(ProcessFailure::NotStarted)?;
        Ok(StepProcess { folders, stdin: Some(stdin), events, tell, killer, keeper: Some(keeper), lines: 0 })
    }

    /// The first line, which declares the steps.
    ///
    /// # Errors
    /// The process ended, or was silent for too long.
    pub fn hello(&self, start_time: Duration, token: &CancelToken) -> Result<Vec<u8>, ProcessFailure> {
        self.wake_by(token);
        match self.events.recv_timeout(start_time) {
            Ok(event) => line_of(event, token),
            Err(RecvTimeoutError::Timeout) => Err(ProcessFailure::Silent),
            Err(RecvTimeoutError::Disconnected) => Err(ProcessFailure::Cancelled),
        }
    }

    /// Sends a line, a JSON map, with its number, and waits for the answer.
    ///
    /// # Errors
    /// The process ended or sent garbage, or the token was set. The process cannot be used again.
    pub fn ask(&mut self, line: &[u8], token: &CancelToken) -> Result<StepAnswer, ProcessFailure> {
        self.lines += 1;
        let head = format!("{{\"call\":{},", self.lines);
        let line = [head.as_bytes(), line.strip_prefix(b"{").unwrap_or(line)].concat();
        let answer = self.exchange(&line, token)?;
        StepAnswer::read(&answer, self.lines)
            .map_err(|reason| ProcessFailure::Garbage { line: answer, reason })
    }

    fn exchange(&mut self, line: &[u8], token: &CancelToken) -> Result<Vec<u8>, ProcessFailure> {
        // A line that nobody asked for.
        if let Ok(event) = self.events.try_recv() {
            let line = line_of(event, token)?;
            return Err(ProcessFailure::Garbage { line, reason: "nothing was asked".to_owned() });
        }
        self.wake_by(token);
        let stdin = self.stdin.as_mut().expect("it is open as long as the process is used");
        let written =
            stdin.write_all(line).and_then(|()| stdin.write_all(b"\n")).and_then(|()| stdin.flush());
        match (self.event(token), written) {
            (Ok(event), Ok(())) => line_of(event, token),
            // A process that ended took nothing: its end says more.
            (Ok(event @ ProcessEvent::Ended(_)), Err(_)) => line_of(event, token).map(|_| Vec::new()),
            (_, Err(error)) if !token.is_cancelled() => Err(ProcessFailure::Lost(error)),
            _ => Err(ProcessFailure::Cancelled),
        }
    }

    /// The next event. Another process that the same run uses may have taken the place at the token, so that it is looked
    /// at now and then.
    fn event(&self, token: &CancelToken) -> Result<ProcessEvent, RecvTimeoutError> {
        loop {
            match self.events.recv_timeout(CANCEL_INTERVAL) {
                Err(RecvTimeoutError::Timeout) if token.is_cancelled() => self.killer.kill(),
                Err(RecvTimeoutError::Timeout) => {}
                other => return other,
            }
        }
    }

    /// Kills the process when the token is set.
    fn wake_by(&self, token: &CancelToken) {
        let (tell, killer) = (self.tell.clone(), Arc::clone(&self.killer));
        token.on_cancel(move || {
            // With a full channel nobody waits.
            let _ = tell.try_send(ProcessEvent::Cancelled);
            killer.kill();
        });
    }
}

impl Drop for StepProcess {
    fn drop(&mut self) {
        drop(self.stdin.take());
        self.killer.kill();
        // The keeper may wait until its last event is taken, or has sent it to a call that took it.
        while !self.keeper.as_ref().is_none_or(JoinHandle::is_finished) {
            let _ = self.events.recv_timeout(LOOK_TIME);
        }
        // An error means that it panicked, which was told already.
        let _ = self.keeper.take().map(JoinHandle::join);
    }
}

fn line_of(event: ProcessEvent, token: &CancelToken) -> Result<Vec<u8>, ProcessFailure> {
    match event {
        _ if token.is_cancelled() => Err(ProcessFailure::Cancelled),
        ProcessEvent::Line(line) if line.last() == Some(&b'\n') => Ok(line),
        ProcessEvent::Line(line) if line.len() as u64 == LINE_MAX => {
            Err(ProcessFailure::TooLong { bytes_max: LINE_MAX })
        }
        ProcessEvent::Line(line) => {
            Err(ProcessFailure::Garbage { line, reason: "the line does not end".to_owned() })
        }
        ProcessEvent::Ended(Ok(status)) => Err(ProcessFailure::Ended(status)),
        ProcessEvent::Ended(Err(error)) => Err(ProcessFailure::Lost(error)),
        ProcessEvent::Cancelled => Err(ProcessFailure::Cancelled),
    }
}

fn command(order: &ProcessOrder, folders: &CallFolders) -> io::Result<Command> {
    let folder = folders.work();
    if let Some((name, text)) = order.helper {
        std::fs::write(folder.join(name), text)?;
    }
    let mut command = Command::new(&order.program);
    command.args(&order.arguments).current_dir(folder);
    command.env_clear().env("PATH", PATH).env("LANG", "C.UTF-8").env("HOME", folder).env("TMPDIR", folder);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(folders.stderr().try_clone()?);
    Ok(command)
}

fn sandbox(order: &ProcessOrder, folders: &CallFolders) -> io::Result<Sandbox> {
    let ProgramGrants { reads, lists, writes, network, root } = &order.grants;
    let reads = reads.iter().cloned().chain([folders.inputs().to_owned()]).collect();
    let (lists, writes, root) = (lists.clone(), writes.clone(), root.clone());
    let grants = ProgramGrants { reads, lists, writes, network: *network, root };
    Sandbox::new(&order.program, folders.work(), &grants)
}

/// The right to kill a process group as long as its number cannot be another's.
struct ProcessKiller {
    id: Pid,
    is_over: Mutex<bool>,
}

impl ProcessKiller {
    fn kill(&self) {
        let is_over = self.is_over.lock().unwrap_or_else(PoisonError::into_inner);
        if !*is_over {
            // An error means that the group has no processes left.
            let _ = kill_process_group(self.id, Signal::KILL);
        }
    }

    /// Kills the program with all processes that it has started, and reaps it.
    fn end(&self, program: &ProgramProcess) -> io::Result<ExitStatus> {
        let mut is_over = self.is_over.lock().unwrap_or_else(PoisonError::into_inner);
        *is_over = true;
        program.end()
    }
}

type StartReceipt = io::Result<(ChildStdin, Arc<ProcessKiller>)>;

/// Reads the lines of a process until it closes its output, and ends it.
fn keep(mut program: ProgramProcess, started: &SyncSender<StartReceipt>, tell: &SyncSender<ProcessEvent>) {
    let killer = Arc::new(ProcessKiller { id: program.id, is_over: Mutex::new(false) });
    let (stdin, stdout) = (program.stdin.take(), program.stdout.take());
    let (stdin, stdout) = stdin.zip(stdout).expect("both are pipes");
    let _ = started.send(Ok((stdin, Arc::clone(&killer))));
    read_lines(
        ProgramOutput { pipe: stdout, process: pidfd_open(killer.id, PidfdFlags::empty()).ok() },
        tell,
    );
    wait_for_end(killer.id);
    let status = killer.end(&program);
    // Without a receiver nobody asks any more.
    let _ = tell.send(ProcessEvent::Ended(status));
}

/// The output of a program. It ends with the program, though a process that the program has started holds the pipe.
struct ProgramOutput {
    pipe: ChildStdout,
    /// Becomes readable when the program has ended; `None` if the kernel has no such file for it.
    process: Option<OwnedFd>,
}

impl Read for ProgramOutput {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(process) = &self.process {
            let mut ready = [PollFd::new(&self.pipe, PollFlags::IN), PollFd::new(process, PollFlags::IN)];
            while matches!(poll(&mut ready, None), Err(Errno::INTR)) {}
            if ready[0].revents().is_empty() && !ready[1].revents().is_empty() {
                return Ok(0);
            }
        }
        self.pipe.read(buffer)
    }
}

fn read_lines(output: ProgramOutput, tell: &SyncSender<ProcessEvent>) {
    let mut reader = BufReader::new(output);
    loop {
        let mut line = Vec::new();
        let read = reader.by_ref().take(LINE_MAX).read_until(b'\n', &mut line);
        let is_whole = line.last() == Some(&b'\n');
        let goes_on = matches!(read, Ok(bytes) if bytes > 0);
        if !goes_on || tell.send(ProcessEvent::Line(line)).is_err() || !is_whole {
            return;
        }
    }
}

/// Waits a moment for a process to end by itself, so that its exit code is its own.
fn wait_for_end(id: Pid) {
    let Ok(process) = pidfd_open(id, PidfdFlags::empty()) else { return };
    let mut ends = [PollFd::new(&process, PollFlags::IN)];
    // Whatever this gives, the process is ended next.
    let _ = poll(&mut ends, Some(&END_TIME));
}
