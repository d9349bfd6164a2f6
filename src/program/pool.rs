//! The processes of one program of steps. A call takes an idle one, or starts one; one that failed is not used again.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::dataflow::ProgramSource;
use crate::step::{Call, CancelToken, Digest, Digester, Fault, StepDeclaration, StepOutputs};

use super::child::ProgramLimits;
use super::fault::{self, ProcessFailure, wrong};
use super::hello::ProgramHello;
use super::item_results::ItemResults;
use super::message::{MessageForm, ProgramMessage, SentItems};
use super::plain_item::PlainItem;
use super::process::{ProcessOrder, StepProcess};
use super::sandbox_grants::{NetworkAccess, ProgramGrants};
use super::step_answer::StepAnswer;
use super::step_call::{self, SentBatch};
use super::{PYTHON_COLUMN, PYTHON_HELPER, PYTHON_SERVER};

pub struct ProgramPool {
    /// The program in messages.
    name: String,
    source: ProgramSource,
    order: Arc<ProcessOrder>,
    /// The digest of the program's code, as it was declared.
    code: Digest,
    /// The way in which items travel, as it was declared.
    form: MessageForm,
    /// Whether a call may go through several steps, as it was declared.
    chains: bool,
    state: Mutex<PoolProcesses>,
    freed: Condvar,
}

#[derive(Default)]
struct PoolProcesses {
    idle: Vec<StepProcess>,
    /// All processes, idle ones included, but for those of streams.
    count: usize,
    /// Idle processes beyond `processes`, for further streams.
    for_streams: Vec<StepProcess>,
}

/// The processes that are kept for further streams: one for a step that makes one and one for a step that takes it, so
/// that short streams need not wait for an interpreter to start.
const FOR_STREAMS_MAX: usize = 2;

/// The time after which a call that waits for a process looks whether it was cancelled.
const LOOK_TIME: Duration = Duration::from_millis(20);

impl ProgramPool {
    /// Has the program declare its steps, and gives the declaration with the pool.
    ///
    /// # Errors
    /// The program cannot be started, or declares nothing that can be used.
    pub fn open(source: &ProgramSource) -> Result<(ProgramHello, ProgramPool), Fault> {
        let (name, order) = (name(source), Arc::new(order(source)));
        let failed = |failure, log| fault::fault(&name, failure, log);
        let before =
            Digest::of_parts(own_files(source, &[]).map_err(|error| unreadable(&name, &error))?.slices());
        let mut process = StepProcess::start(&order).map_err(|failure| failed(failure, Vec::new()))?;
        let (hello, code) = greet(source, &mut process, &CancelToken::default())
            .map_err(|failure| failed(failure, process.folders.errors()))?;
        let after =
            Digest::of_parts(own_files(source, &[]).map_err(|error| unreadable(&name, &error))?.slices());
        if before != after {
            return Err(failed(ProcessFailure::Changed, Vec::new()));
        }
        // It is started again at the first call: a check need not keep a model.
        drop(process);
        let (form, chains) = (hello.form(), hello.chains);
        let (source, state, freed) = (source.clone(), Mutex::default(), Condvar::new());
        Ok((hello, ProgramPool { name, source, order, code, form, chains, state, freed }))
    }

    pub fn code(&self) -> Digest {
        self.code
    }

    /// The way in which items travel to the program.
    pub fn form(&self) -> MessageForm {
        self.form
    }

    /// Whether items may go through several of its steps at once. They may not if others could see how often a step has
    /// run: one that ends the process in a chain runs again.
    pub fn chains_steps(&self) -> bool {
        self.chains && !self.source.network && self.source.writes.is_empty()
    }

    /// Runs a step.
    ///
    /// # Errors
    /// The fault of the step, or of its program.
    pub fn call(&self, step: &StepDeclaration, call: &Call) -> Result<StepOutputs, Fault> {
        self.with_process(step, call, None, |answer, process| {
            answer.outputs(step, &process.folders, self.source.output)
        })
    }

    /// Runs a step on a batch of values.
    ///
    /// # Errors
    /// The fault of the whole batch.
    pub fn call_batch<B: PlainItem>(
        &self,
        step: &StepDeclaration,
        call: &Call,
        batch: &SentItems,
    ) -> Result<ItemResults<B>, Fault> {
        let batch = SentBatch { items: batch, next: &[] };
        self.with_process(step, call, Some(batch), |answer, process| answer.results(process.folders.errors()))
    }

    /// Runs a step and further ones on a batch of values. Gives the answer, and what was written to standard error.
    ///
    /// # Errors
    /// The fault of the program.
    pub fn call_chain(
        &self,
        step: &StepDeclaration,
        call: &Call,
        batch: SentBatch,
    ) -> Result<(StepAnswer, Vec<u8>), Fault> {
        self.with_process(step, call, Some(batch), |answer, process| Ok((answer, process.folders.errors())))
    }

    fn with_process<T>(
        &self,
        step: &StepDeclaration,
        call: &Call,
        batch: Option<SentBatch>,
        read: impl FnOnce(StepAnswer, &StepProcess) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let place = self.take_place(call.token)?;
        let (mut process, answer) = self.asked(place.idle, step, call, batch)?;
        let result = read(answer, &process);
        if process.folders.end().is_ok() {
            place.slot.keep(process);
        }
        result
    }

    /// Begins a call that makes or takes a stream, in a process that it keeps.
    ///
    /// # Errors
    /// The fault of the program, if it cannot be asked.
    pub fn begin_stream(
        self: &Arc<ProgramPool>,
        step: &StepDeclaration,
        call: &Call,
    ) -> Result<(StreamProcess, StepAnswer), Fault> {
        let idle = {
            let mut state = self.lock();
            state.for_streams.pop().or_else(|| {
                let idle = state.idle.pop();
                state.count -= usize::from(idle.is_some());
                idle
            })
        };
        self.freed.notify_one();
        let (process, answer) = self.asked(idle, step, call, None)?;
        Ok((StreamProcess { pool: Arc::clone(self), process: Some(process) }, answer))
    }

    /// Asks a process, or another one if that has ended while it was idle.
    fn asked(
        &self,
        idle: Option<StepProcess>,
        step: &StepDeclaration,
        call: &Call,
        batch: Option<SentBatch>,
    ) -> Result<(StepProcess, StepAnswer), Fault> {
        let failed =
            |failure, process: &StepProcess| fault::fault(&self.name, failure, process.folders.errors());
        if let Some(mut process) = idle {
            match ask(&mut process, step, call, batch) {
                Ok(answer) => return Ok((process, answer)),
                Err(ProcessFailure::Ended(_)) => {}
                Err(failure) => return Err(failed(failure, &process)),
            }
        }
        let mut process = self.start(call.token)?;
        match ask(&mut process, step, call, batch) {
            Ok(answer) => Ok((process, answer)),
            Err(failure) => Err(failed(failure, &process)),
        }
    }

    fn start(&self, token: &CancelToken) -> Result<StepProcess, Fault> {
        let failed = |failure, log| fault::fault(&self.name, failure, log);
        let mut process = StepProcess::start(&self.order).map_err(|failure| failed(failure, Vec::new()))?;
        match greet(&self.source, &mut process, token) {
            Ok((_, code)) if code == self.code => Ok(process),
            Ok(_) => Err(failed(ProcessFailure::Changed, Vec::new())),
            Err(failure) => Err(failed(failure, process.folders.errors())),
        }
    }

    fn take_place(&self, token: &CancelToken) -> Result<PoolPlace<'_>, Fault> {
        let mut state = self.lock();
        loop {
            token.check()?;
            if let Some(process) = state.idle.pop() {
                return Ok(PoolPlace { idle: Some(process), slot: PoolSlot { pool: self, kept: false } });
            }
            if state.count < self.source.processes {
                state.count += 1;
                let idle = state.for_streams.pop();
                return Ok(PoolPlace { idle, slot: PoolSlot { pool: self, kept: false } });
            }
            let waited = self.freed.wait_timeout(state, LOOK_TIME);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, PoolProcesses> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A process that a stream keeps. It counts among those of the pool again when it is given back.
pub struct StreamProcess {
    pool: Arc<ProgramPool>,
    process: Option<StepProcess>,
}

impl StreamProcess {
    /// Sends a message. The answer is waited for when it is needed.
    ///
    /// # Errors
    /// The fault of the program. It cannot be asked again.
    pub fn send(&mut self, message: &ProgramMessage, token: &CancelToken) -> Result<(), Fault> {
        self.with(|process| process.send(message, token))
    }

    /// Waits for the answer to what was sent.
    ///
    /// # Errors
    /// The fault of the program. It cannot be asked again.
    pub fn receive(&mut self, token: &CancelToken) -> Result<StepAnswer, Fault> {
        self.with(|process| process.receive(token))
    }

    fn with<T>(
        &mut self,
        ask: impl FnOnce(&mut StepProcess) -> Result<T, ProcessFailure>,
    ) -> Result<T, Fault> {
        let Some(process) = &mut self.process else {
            return Err(wrong("its stream has ended".to_owned()));
        };
        match ask(process) {
            Ok(asked) => Ok(asked),
            Err(failure) => {
                let fault = fault::fault(&self.pool.name, failure, process.folders.errors());
                self.process = None;
                Err(fault)
            }
        }
    }

    /// All that the process has written to standard error.
    pub fn errors(&self) -> Vec<u8> {
        self.process.as_ref().map(|process| process.folders.errors()).unwrap_or_default()
    }

    /// The outputs of an answer that ends the call; `None` if it asks for items.
    ///
    /// # Errors
    /// The fault of the step.
    pub fn outputs(&self, answer: StepAnswer, step: &StepDeclaration) -> Result<Option<StepOutputs>, Fault> {
        let Some(process) = self.process.as_ref().filter(|_| !answer.asks()) else { return Ok(None) };
        answer.outputs(step, &process.folders, self.pool.source.output).map(Some)
    }

    /// Gives the process back for other calls: its stream has ended.
    pub fn give_back(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        if process.folders.end().is_err() {
            return;
        }
        let mut state = self.pool.lock();
        if state.count < self.pool.source.processes {
            state.count += 1;
            state.idle.push(process);
            drop(state);
            self.pool.freed.notify_one();
        } else if state.for_streams.len() < FOR_STREAMS_MAX {
            state.for_streams.push(process);
        }
    }
}

/// The right to one process.
struct PoolPlace<'a> {
    idle: Option<StepProcess>,
    slot: PoolSlot<'a>,
}

struct PoolSlot<'a> {
    pool: &'a ProgramPool,
    kept: bool,
}

impl PoolSlot<'_> {
    fn keep(mut self, process: StepProcess) {
        self.kept = true;
        self.pool.lock().idle.push(process);
    }
}

impl Drop for PoolSlot<'_> {
    fn drop(&mut self) {
        if !self.kept {
            self.pool.lock().count -= 1;
        }
        self.pool.freed.notify_one();
    }
}

fn ask(
    process: &mut StepProcess,
    step: &StepDeclaration,
    call: &Call,
    batch: Option<SentBatch>,
) -> Result<StepAnswer, ProcessFailure> {
    process.folders.begin(step)?;
    let message = step_call::message(step, call, batch, &process.folders)?;
    process.ask(&message, call.token)
}

/// The declaration of a process that was started, and the digest of its code.
fn greet(
    source: &ProgramSource,
    process: &mut StepProcess,
    token: &CancelToken,
) -> Result<(ProgramHello, Digest), ProcessFailure> {
    let line = process.hello(source.start_time, token)?;
    let hello = ProgramHello::read(&line).map_err(|reason| ProcessFailure::Garbage { line, reason })?;
    process.form = hello.form();
    let files = own_files(source, &hello.files).map_err(ProcessFailure::Lost)?;
    let mut parts = vec![hello.version.as_bytes()];
    parts.extend(files.slices());
    if is_python(source) {
        parts.extend(PYTHON_FILES.iter().map(|(_, text)| text.as_bytes()));
    }
    let code = Digest::of_parts(parts);
    Ok((hello, code))
}

/// Names and digests of files.
struct FileDigests(Vec<(String, Digest)>);

impl FileDigests {
    fn slices(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().flat_map(|(name, digest)| [name.as_bytes(), digest.as_bytes().as_slice()])
    }
}

/// The files of the command, those that may be read, and further ones. Their names are relative to the first file's
/// folder: a program that is moved as a whole is the same.
fn own_files(source: &ProgramSource, further: &[String]) -> std::io::Result<FileDigests> {
    let folder = folder(source);
    let in_command = source.command.iter().map(PathBuf::from).filter(|path| path.is_absolute());
    let further = further.iter().map(|name| folder.clone().unwrap_or_default().join(name));
    let mut paths: Vec<PathBuf> =
        in_command.chain(source.reads.iter().cloned()).chain(further).filter(|path| path.is_file()).collect();
    paths.sort();
    paths.dedup();
    let digest = |path: PathBuf| {
        let below = folder.as_ref().and_then(|folder| path.strip_prefix(folder).ok());
        let name = below.unwrap_or(&path).to_string_lossy().into_owned();
        let mut digester = Digester::default();
        std::io::copy(&mut std::fs::File::open(&path)?, &mut digester)?;
        Ok((name, digester.digest()))
    };
    let mut digests = paths.into_iter().map(digest).collect::<std::io::Result<Vec<_>>>()?;
    let words = source.command.iter().filter(|word| !Path::new(word).is_absolute());
    digests.extend(words.map(|word| (word.clone(), Digest::of(b"word"))));
    Ok(FileDigests(digests))
}

/// The first file of the command that is no program of the system.
fn script(source: &ProgramSource) -> Option<&Path> {
    let words = source.command.iter().map(Path::new);
    let mut files = words.enumerate().filter(|(_, word)| word.is_absolute() && word.is_file());
    let first = files.next()?;
    // With an interpreter by its path, the script comes next.
    Some(if first.0 == 0 { files.next().map_or(first.1, |(_, next)| next) } else { first.1 })
}

fn folder(source: &ProgramSource) -> Option<PathBuf> {
    script(source).and_then(Path::parent).map(Path::to_owned)
}

fn is_python(source: &ProgramSource) -> bool {
    let name = Path::new(&source.command[0]).file_name().unwrap_or_default().to_string_lossy().into_owned();
    name.starts_with("python") && source.command.get(1).is_some_and(|script| script.ends_with(".py"))
}

fn name(source: &ProgramSource) -> String {
    let script = script(source).and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    script.unwrap_or_else(|| source.command.join(" "))
}

fn unreadable(name: &str, error: &std::io::Error) -> Fault {
    Fault::new(
        format!("the files of the program {name} cannot be read: {error}"),
        "See whether flow may read them.",
    )
}

fn order(source: &ProgramSource) -> ProcessOrder {
    let mut words = source.command.iter().cloned();
    let program = words.next().unwrap_or_default();
    let (options, helpers) = match is_python(source) {
        true => (["-s", "-B", "flow_serve.py"].map(str::to_owned).to_vec(), PYTHON_FILES),
        false => (Vec::new(), [].as_slice()),
    };
    let (siblings, lists) = script(source).map(siblings).unwrap_or_default();
    let in_command = source.command.iter().skip(1).map(PathBuf::from).filter(|path| path.is_absolute());
    ProcessOrder {
        arguments: options.into_iter().chain(words).collect(),
        program,
        grants: ProgramGrants {
            reads: in_command.chain(siblings).chain(source.reads.iter().cloned()).collect(),
            lists,
            writes: source.writes.clone(),
            network: if source.network { NetworkAccess::All } else { NetworkAccess::None },
            root: None,
        },
        limits: ProgramLimits { memory_bytes: source.memory, file_bytes: source.output },
        helpers,
    }
}

/// The files that a process of steps in Python has in its folder.
const PYTHON_FILES: &[(&str, &str)] =
    &[("flow_step.py", PYTHON_HELPER), ("flow_column.py", PYTHON_COLUMN), ("flow_serve.py", PYTHON_SERVER)];

/// What a script may read beside itself: files with its ending, packages of Python and Node, and the list of the
/// folder. Results and journals that lie beside it are not among them.
fn siblings(script: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let folder = script.parent().unwrap_or(Path::new("/"));
    let is_own = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default();
        let same = path.extension().is_some() && path.extension() == script.extension() && path.is_file();
        same || path.join("__init__.py").is_file() || name == "node_modules" || name == "package.json"
    };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    (entries.filter(is_own).collect(), vec![folder.to_owned()])
}
