//! One process of a program of steps, kept alive between calls.
//!
//! A thread of its own starts the process and reaps it: the kernel kills the child when the thread that started it
//! ends. A call writes one message and waits for one. A process that did anything else is not used again.

use std::io;
use std::process::{ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};

use crate::step::CancelToken;

use super::call_folder::CallFolders;
use super::child::{self, PATH, ProgramLimits, ProgramProcess};
use super::fault::ProcessFailure;
use super::message::{MessageForm, ProgramMessage};
use super::pipes::{MESSAGE_MAX, PipeEnd, PipeLook, ProcessPipes};
use super::sandbox::Sandbox;
use super::sandbox_grants::ProgramGrants;
use super::step_answer::StepAnswer;

/// The program to start, and its limits.
pub struct ProcessOrder {
    pub program: String,
    pub arguments: Vec<String>,
    pub grants: ProgramGrants,
    pub limits: ProgramLimits,
    /// The files that are written into the folder of the process: their names and texts.
    pub helpers: &'static [(&'static str, &'static str)],
}

pub struct StepProcess {
    pub folders: CallFolders,
    /// The way in which the process has declared that items travel.
    pub form: MessageForm,
    pipes: Option<ProcessPipes>,
    end: ProcessEnd,
    keeper: Option<JoinHandle<()>>,
    /// The number of the last line that it was sent.
    lines: u64,
}

/// The end of a process: the means to bring it about, and what became of it.
struct ProcessEnd {
    killer: Arc<ProcessKiller>,
    told: Receiver<io::Result<ExitStatus>>,
    /// The end that was told already.
    ended: Option<io::Result<ExitStatus>>,
}

/// How often a wait looks whether it was cancelled. Another process that the same run uses may have taken the place at
/// the token, so that this one is not killed at once.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// The time without a byte after which the rest of a column, whose length was said, is not waited for any longer.
const COLUMN_STALL: Duration = Duration::from_secs(60);
/// The time in which a process that has closed its output ends by itself.
const END_TIME: Duration = Duration::from_secs(2);

impl StepProcess {
    /// Starts a process in its folders. It has not said anything yet.
    ///
    /// # Errors
    /// The process cannot be started.
    pub fn start(order: &Arc<ProcessOrder>, folders: CallFolders) -> Result<StepProcess, ProcessFailure> {
        let command = command(order, &folders).map_err(ProcessFailure::NotStarted)?;
        let sandbox = sandbox(order, &folders).map_err(ProcessFailure::NotStarted)?;
        let (tell, told) = sync_channel(1);
        let (started, starts) = sync_channel(1);
        let order = Arc::clone(order);
        let keeper = Builder::new().name("flow:steps".to_owned()).spawn(move || {
            match child::spawn(command, sandbox, &order.limits) {
                Ok(program) => keep(program, &started, &tell),
                Err(error) => _ = started.send(Err(error)),
            }
        });
        let keeper = Some(keeper.map_err(ProcessFailure::NotStarted)?);
        let begun = starts.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()));
        let (stdin, stdout, killer) = begun.map_err(ProcessFailure::NotStarted)?;
        let end = ProcessEnd { killer, told, ended: None };
        let form = MessageForm::Lines;
        let mut process = StepProcess { folders, form, pipes: None, end, keeper, lines: 0 };
        process.pipes = Some(ProcessPipes::new(stdin, stdout).map_err(ProcessFailure::Lost)?);
        Ok(process)
    }

    /// The first line, which declares the steps.
    ///
    /// # Errors
    /// The process ended, or was silent for too long.
    pub fn hello(&mut self, start_time: Duration, token: &CancelToken) -> Result<Vec<u8>, ProcessFailure> {
        let (began, end) = (Instant::now(), &mut self.end);
        let look = &mut || {
            let left = start_time.checked_sub(began.elapsed()).ok_or(PipeEnd::Unwanted)?;
            end.look(token).map(|look| PipeLook { wait: look.wait.min(left), ..look })
        };
        let line = pipes(&mut self.pipes).line(look).map_err(|end| match end {
            PipeEnd::Unwanted if !token.is_cancelled() => ProcessFailure::Silent,
            end => self.failure(end, token),
        })?;
        self.folders.note_own()?;
        Ok(line)
    }

    /// Sends a message with its number.
    ///
    /// # Errors
    /// The process ended or sent garbage, or the token was set. The process cannot be used again.
    pub fn send(&mut self, message: &ProgramMessage, token: &CancelToken) -> Result<(), ProcessFailure> {
        match pipes(&mut self.pipes).line_at_once() {
            Ok(None) => {}
            Ok(Some(line)) => return Err(self.garbage(&line, "nothing was asked".to_owned())),
            Err(end) => return Err(self.failure(end, token)),
        }
        self.lines += 1;
        let written =
            pipes(&mut self.pipes).write(&message.numbered(self.lines), &mut || self.end.look(token));
        match written {
            Ok(()) => Ok(()),
            // A process that ended took nothing: its end says more.
            Err(PipeEnd::Lost(error)) => match self.end.within(END_TIME) {
                _ if token.is_cancelled() => Err(ProcessFailure::Cancelled),
                Some(Ok(status)) => Err(ProcessFailure::Ended(status)),
                Some(Err(_)) | None => Err(ProcessFailure::Lost(error)),
            },
            Err(end) => Err(self.failure(end, token)),
        }
    }

    /// Waits for the answer to what was sent last.
    ///
    /// # Errors
    /// The process ended or sent garbage, or the token was set. The process cannot be used again.
    pub fn receive(&mut self, token: &CancelToken) -> Result<StepAnswer, ProcessFailure> {
        let line = pipes(&mut self.pipes).line(&mut || self.end.look(token));
        let line = line.map_err(|end| self.failure(end, token))?;
        if token.is_cancelled() {
            return Err(ProcessFailure::Cancelled);
        }
        let mut answer = StepAnswer::read(&line, self.lines).map_err(|reason| self.garbage(&line, reason))?;
        answer.hide(self.folders.places());
        let Some(head) = answer.column() else { return Ok(answer) };
        if self.form != MessageForm::Columns {
            let reason = "it has a column, and the program did not declare that it gives them".to_owned();
            return Err(self.garbage(&line, reason));
        }
        if head.bytes > MESSAGE_MAX.saturating_sub(line.len()) {
            return Err(self.failure(PipeEnd::TooLong, token));
        }
        match pipes(&mut self.pipes).bytes(head.bytes, COLUMN_STALL, &mut || self.end.look(token)) {
            Ok(Some(bytes)) => Ok(answer.with_column(bytes)),
            Ok(None) => {
                let (come, all) = (pipes(&mut self.pipes).rest().len(), head.bytes);
                let stall = COLUMN_STALL.as_secs();
                let reason =
                    format!("its column has {come} of {all} bytes, and no more came within {stall} s");
                Err(self.garbage(&line, reason))
            }
            Err(PipeEnd::Closed) if !token.is_cancelled() => Err(self.cut(&line, "its column does not end")),
            Err(end) => Err(self.failure(end, token)),
        }
    }

    /// Sends a message and waits for the answer.
    ///
    /// # Errors
    /// The process ended or sent garbage, or the token was set. The process cannot be used again.
    pub fn ask(
        &mut self,
        message: &ProgramMessage,
        token: &CancelToken,
    ) -> Result<StepAnswer, ProcessFailure> {
        self.send(message, token)?;
        let answer = self.receive(token)?;
        match pipes(&mut self.pipes).rest() {
            line if line.is_empty() => Ok(answer),
            line => Err(self.garbage(&line, "it goes on behind its answer".to_owned())),
        }
    }

    /// The failure of a process of which no more comes in the middle of an answer.
    fn cut(&mut self, line: &[u8], reason: &str) -> ProcessFailure {
        match self.end.within(END_TIME) {
            Some(Ok(status)) => ProcessFailure::Cut { status, reason: reason.to_owned() },
            // It goes on, and has only closed its output.
            Some(Err(_)) | None => self.garbage(line, reason.to_owned()),
        }
    }

    fn garbage(&self, line: &[u8], reason: String) -> ProcessFailure {
        ProcessFailure::Garbage { line: self.folders.places().hidden(line), reason }
    }

    fn failure(&mut self, end: PipeEnd, token: &CancelToken) -> ProcessFailure {
        match end {
            _ if token.is_cancelled() => ProcessFailure::Cancelled,
            PipeEnd::Closed => match pipes(&mut self.pipes).rest() {
                line if line.is_empty() => self.end.now(),
                line => self.cut(&line, "the line does not end"),
            },
            PipeEnd::TooLong => ProcessFailure::TooLong { bytes_max: MESSAGE_MAX as u64 },
            PipeEnd::Unwanted => ProcessFailure::Cancelled,
            PipeEnd::Lost(error) => ProcessFailure::Lost(error),
        }
    }
}

/// The pipes of a process that is in use.
fn pipes(pipes: &mut Option<ProcessPipes>) -> &mut ProcessPipes {
    pipes.as_mut().expect("they are open as long as the process is used")
}

impl ProcessEnd {
    /// Looks whether the process is still wanted, and whether it has ended.
    fn look(&mut self, token: &CancelToken) -> Result<PipeLook, PipeEnd> {
        if token.is_cancelled() {
            self.killer.kill();
            return Err(PipeEnd::Unwanted);
        }
        self.ended = self.ended.take().or_else(|| self.told.try_recv().ok());
        let has_ended = self.ended.is_some();
        Ok(PipeLook { wait: if has_ended { Duration::ZERO } else { LOOK_INTERVAL }, has_ended })
    }

    /// The end of the process, if it comes in this time.
    fn within(&mut self, time: Duration) -> Option<io::Result<ExitStatus>> {
        self.ended.take().or_else(|| self.told.recv_timeout(time).ok())
    }

    /// The end of a process that has closed its output. It is killed if it does not end by itself.
    fn now(&mut self) -> ProcessFailure {
        let ended = self.within(END_TIME).or_else(|| {
            self.killer.kill();
            self.told.recv().ok()
        });
        match ended {
            Some(Ok(status)) => ProcessFailure::Ended(status),
            Some(Err(error)) => ProcessFailure::Lost(error),
            None => ProcessFailure::Lost(io::ErrorKind::BrokenPipe.into()),
        }
    }
}

impl Drop for StepProcess {
    fn drop(&mut self) {
        drop(self.pipes.take());
        self.end.killer.kill();
        // An error means that it panicked, which was told already.
        let _ = self.keeper.take().map(JoinHandle::join);
    }
}

fn command(order: &ProcessOrder, folders: &CallFolders) -> io::Result<Command> {
    let folder = folders.work();
    for (name, text) in order.helpers {
        std::fs::write(folder.join(name), text)?;
    }
    let mut command = Command::new(&order.program);
    command.args(&order.arguments).current_dir(folder);
    command.env_clear().env("PATH", PATH).env("LANG", "C.UTF-8");
    command.env("HOME", folders.temporary()).env("TMPDIR", folders.temporary());
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
    /// Kills the process, also if it has left its group.
    fn kill(&self) {
        let is_over = self.is_over.lock().unwrap_or_else(PoisonError::into_inner);
        if !*is_over {
            // An error means that it is gone already.
            let _ = kill_process_group(self.id, Signal::KILL);
            let _ = kill_process(self.id, Signal::KILL);
        }
    }

    /// Kills the program with all processes that it has started, and reaps it.
    fn end(&self, program: &ProgramProcess) -> io::Result<ExitStatus> {
        let mut is_over = self.is_over.lock().unwrap_or_else(PoisonError::into_inner);
        *is_over = true;
        program.end()
    }
}

type StartReceipt = io::Result<(ChildStdin, ChildStdout, Arc<ProcessKiller>)>;

/// Waits for the end of a process, and ends all that it has started: then nobody holds its pipes.
fn keep(
    mut program: ProgramProcess,
    started: &SyncSender<StartReceipt>,
    tell: &SyncSender<io::Result<ExitStatus>>,
) {
    let killer = Arc::new(ProcessKiller { id: program.id, is_over: Mutex::new(false) });
    let (stdin, stdout) = (program.stdin.take(), program.stdout.take());
    let (stdin, stdout) = stdin.zip(stdout).expect("both are pipes");
    let _ = started.send(Ok((stdin, stdout, Arc::clone(&killer))));
    // It is not reaped yet: until then its number cannot be another's.
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while matches!(waitid(WaitId::Pid(killer.id), options), Err(Errno::INTR)) {}
    let status = killer.end(&program);
    // Without a receiver nobody asks any more.
    let _ = tell.send(status);
}
