//! The processes of one program of steps. A call takes an idle one, or starts one; one that failed is not used again.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

use crate::dataflow::ProgramSource;
use crate::step::{Call, CancelToken, Digest, Fault, PlaceWait, StepDeclaration, StepOutputs};

use super::call_folder::CallFolders;
use super::fault::{self, ProcessFailure, wrong};
use super::hello::ProgramHello;
use super::item_results::ItemResults;
use super::kept_code::KeptCode;
use super::message::{MessageForm, ProgramMessage, SentItems};
use super::plain_item::PlainItem;
use super::process::{ProcessOrder, StepProcess};
use super::program_code::{CodeFile, KeptPlace, ProgramCode};
use super::step_answer::StepAnswer;
use super::step_call::{self, SentBatch};

pub struct ProgramPool {
    /// The program in messages.
    name: String,
    source: ProgramSource,
    files: ProgramCode,
    order: Arc<ProcessOrder>,
    /// The digest of the program's code, as it was declared.
    code: Digest,
    /// The files as they were declared; `None` if they are too large to be kept.
    kept: Option<KeptCode>,
    /// Told once that the files have changed.
    told: Once,
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
    /// All processes, idle ones included, but for those of streams and of answers of deadlines.
    count: usize,
    /// Idle processes beyond `processes`, for further streams and such answers.
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
        let files = ProgramCode::of(source);
        let (name, order) = (files.name(source), Arc::new(files.order(source)));
        let failed = |failure, log| fault::fault(&name, failure, log);
        let unreadable = |error| unreadable(&name, &error);
        let before = files.own(source, &[], None).map_err(unreadable)?;
        let started = || StepProcess::start(&order, CallFolders::new()?);
        let mut process = started().map_err(|failure| failed(failure, Vec::new()))?;
        let greeting = greet(source, &files, None, &mut process, &CancelToken::default())
            .map_err(|failure| fault::undeclared(&name, failure, process.folders.errors()))?;
        let after = files.own(source, &[], None).map_err(unreadable)?;
        let kept = KeptCode::read(files.folder(), &greeting.files).map_err(unreadable)?;
        if before != after || kept.as_ref().is_some_and(|kept| kept.differs(&greeting.files)) {
            return Err(failed(ProcessFailure::Changed, Vec::new()));
        }
        // It is started again at the first call: a check need not keep a model.
        drop(process);
        let Greeting { hello, code, .. } = greeting;
        let (form, chains) = (hello.form(), hello.chains);
        let (source, state, freed, told) = (source.clone(), Mutex::default(), Condvar::new(), Once::new());
        Ok((hello, ProgramPool { name, source, files, order, code, kept, told, form, chains, state, freed }))
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
        let place = self.take_place(call)?;
        let (mut process, answer) = self.asked(place.idle, step, call, batch)?;
        let result = read(answer, &process);
        match place.slot {
            Some(slot) if process.folders.end().is_ok() => slot.keep(process),
            Some(_) => {}
            None => self.take_back(process),
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

    /// Asks a process, or another one if that has ended while it was idle, or its folder cannot be used.
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
                Err(ProcessFailure::Ended(_) | ProcessFailure::Folder(_)) => {}
                Err(failure) => return Err(failed(failure, &process)),
            }
        }
        let mut process = self.start(call.token)?;
        match ask(&mut process, step, call, batch) {
            Ok(answer) => Ok((process, answer)),
            Err(failure) => Err(failed(failure, &process)),
        }
    }

    /// Starts a process of the program as it was declared: from its files or, if those have changed, from what was kept.
    fn start(&self, token: &CancelToken) -> Result<StepProcess, Fault> {
        let has_changed = || self.kept.as_ref().is_some_and(KeptCode::has_changed);
        if !has_changed() {
            match self.start_from(None, token) {
                // They have changed meanwhile.
                Err(_) if has_changed() => {}
                started => return started,
            }
        }
        self.told.call_once(|| {
            tracing::warn!(
                "{} has changed since its dataflow was read: requests go on with it as it was; a reload (SIGHUP) takes \
                 up the change for requests from then on",
                self.name
            );
        });
        self.start_from(self.kept.as_ref(), token)
    }

    fn start_from(&self, kept: Option<&KeptCode>, token: &CancelToken) -> Result<StepProcess, Fault> {
        let failed = |failure, log| fault::fault(&self.name, failure, log);
        let start = || {
            let folders = CallFolders::new()?;
            let Some(kept) = kept else { return Ok((StepProcess::start(&self.order, folders)?, None)) };
            let place = kept.lay_out(&folders.code(), &self.order.grants).map_err(ProcessFailure::Lost)?;
            let order = Arc::new(self.files.order_at(&self.source, &self.order.grants, &place));
            Ok((StepProcess::start(&order, folders)?, Some(place)))
        };
        let (mut process, place) = start().map_err(|failure| failed(failure, Vec::new()))?;
        match greet(&self.source, &self.files, place.as_ref(), &mut process, token) {
            Ok(greeting) if greeting.code == self.code => Ok(process),
            Ok(_) => Err(failed(ProcessFailure::Changed, Vec::new())),
            Err(failure) => Err(failed(failure, process.folders.errors())),
        }
    }

    /// Waits for a process. The answer of a deadline does not wait: what has all processes may be what hangs.
    fn take_place(&self, call: &Call) -> Result<PoolPlace<'_>, Fault> {
        let mut waits: Option<PoolWait> = None;
        let mut state = self.lock();
        loop {
            call.token.check()?;
            if let Some(process) = state.idle.pop() {
                return Ok(PoolPlace {
                    idle: Some(process),
                    slot: Some(PoolSlot { pool: self, kept: false }),
                });
            }
            if state.count < self.source.processes {
                state.count += 1;
                let idle = state.for_streams.pop();
                return Ok(PoolPlace { idle, slot: Some(PoolSlot { pool: self, kept: false }) });
            }
            if call.identity.is_of_deadline() {
                return Ok(PoolPlace { idle: state.for_streams.pop(), slot: None });
            }
            let wait = waits.get_or_insert_with(|| PoolWait::of(call));
            wait.tell(&self.name);
            let waited = self.freed.wait_timeout(state, LOOK_TIME);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Takes a process that is beside those of `processes` back for other calls, if there is room.
    fn take_back(&self, mut process: StepProcess) {
        if process.folders.end().is_err() {
            return;
        }
        let mut state = self.lock();
        if state.count < self.source.processes {
            state.count += 1;
            state.idle.push(process);
            drop(state);
            self.freed.notify_one();
        } else if state.for_streams.len() < FOR_STREAMS_MAX {
            state.for_streams.push(process);
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
        self.process.take().into_iter().for_each(|process| self.pool.take_back(process));
    }
}

/// A call that waits for a process.
struct PoolWait {
    began: Instant,
    is_told: bool,
    _wait: PlaceWait,
}

impl PoolWait {
    fn of(call: &Call) -> PoolWait {
        let began = Instant::now();
        PoolWait { began, is_told: false, _wait: call.token.wait_for_place(move || began.elapsed()) }
    }

    /// Warns once of a long wait: of a step that hangs, nothing else would say why others do not begin.
    fn tell(&mut self, program: &str) {
        if !self.is_told && self.began.elapsed() > PATIENCE {
            self.is_told = true;
            tracing::warn!(
                "a step has waited for a process of the program {program} for a minute: if one hangs, give its step a \
                 `timeout`"
            );
        }
    }
}

/// The time after which a warning is logged.
const PATIENCE: Duration = Duration::from_secs(60);

/// The right to one process.
struct PoolPlace<'a> {
    idle: Option<StepProcess>,
    /// Its place among those of `processes`; `None` for one beside them.
    slot: Option<PoolSlot<'a>>,
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

/// The declaration of a process that was started.
struct Greeting {
    hello: ProgramHello,
    /// The digest of its code.
    code: Digest,
    /// The files of its code.
    files: Vec<CodeFile>,
}

/// Has a process declare its steps. `place` is that of its files, if it was started from kept ones.
fn greet(
    source: &ProgramSource,
    code: &ProgramCode,
    place: Option<&KeptPlace>,
    process: &mut StepProcess,
    token: &CancelToken,
) -> Result<Greeting, ProcessFailure> {
    let line = process.hello(source.start_time, token)?;
    let hello = ProgramHello::read(&line).map_err(|reason| ProcessFailure::Garbage { line, reason })?;
    process.form = hello.form();
    let files = code.own(source, &hello.files, place).map_err(ProcessFailure::Lost)?;
    let code = code.digest(source, &hello.version, &files);
    Ok(Greeting { hello, code, files })
}

fn unreadable(name: &str, error: &std::io::Error) -> Fault {
    Fault::new(
        format!("the files of the program {name} cannot be read: {error}"),
        "See whether flow may read them.",
    )
}
