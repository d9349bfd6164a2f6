//! Recorded runs of the requests in work: finished runs are not run again, and runs that end are
//! noted in the journal.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use crate::dataflow::response::files_at;
use crate::dataflow::{DataflowNode, failed_kind};
use crate::journal::{
    BatchPlace, Journal, JournalEntry, JournalError, OutputRecord, RequestHistory, RunPlace, RunRecord,
    ValuePlace, small_files,
};
use crate::step::{
    Artifact, CallAnswers, CallBatch, Digest, Fault, FaultKind, Outcome, Payload, QuestionKey, Request,
    ResponseFile, ResponseFiles, StepInputs, StepOutputs,
};
use crate::store::{Store, StoreError};

use super::answered_questions::{AnsweredQuestions, KeptRun, recorded_answers};
use super::fault_logs;
use super::remote_request::{RemoteRequestKey, RunNotRecorded, RunRecorder};

/// The requests in work whose runs this process records. Those that another process accepted are not among
/// them.
pub struct RequestMemories {
    journal: Arc<Journal>,
    store: Arc<Store>,
    /// The recorder in the first process, where another one keeps the journal.
    elsewhere: Option<Arc<dyn RunRecorder>>,
    /// The index of this process, if it is one of several.
    process: Option<usize>,
    open: Mutex<HashMap<MemoryKey, Arc<RequestMemory>>>,
    /// The requests under way; `changed` is notified when one has left.
    under_way: Mutex<BTreeSet<i64>>,
    changed: Condvar,
}

/// The key of a request in work: the same one may run through several dataflows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MemoryKey {
    pub request: Digest,
    /// The digest of the dataflow.
    pub version: Digest,
}

/// The recorded runs of one request.
pub(super) struct RequestMemory {
    pub(super) number: i64,
    pub(super) runs: BTreeMap<Digest, KeptRun>,
    /// Answers of earlier processes, and of before a retry.
    pub(super) answered: AnsweredQuestions,
    /// Runs that ended in other processes since, while their reports are taken.
    pub(super) elsewhere: Mutex<BTreeMap<Digest, KeptRun>>,
    /// The steps of it that this process runs for another.
    pub(super) steps: Mutex<usize>,
    /// The request's items by their content, made when the first run is recalled.
    items: OnceLock<HashMap<Digest, usize>>,
}

/// One run, as the journal knows it.
pub struct RecordedRun<'a> {
    pub memory: MemoryKey,
    pub node: &'a DataflowNode,
    pub request: &'a Request,
    pub item: Option<usize>,
    pub inputs: &'a StepInputs,
    pub key: Digest,
}

/// The largest value that is kept in the journal itself, in bytes; larger ones are in the store.
pub const BYTES_HERE_MAX: usize = 8 << 10;

/// The largest answers that are kept in the journal itself, in bytes: a file for each would take longer.
const ANSWERS_HERE_MAX: usize = 256 << 10;

/// The error of recording answers.
#[derive(Debug, thiserror::Error)]
pub enum AnswerRecordError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Elsewhere(#[from] RunNotRecorded),
}

impl RequestMemories {
    pub fn new(
        journal: Arc<Journal>,
        store: Arc<Store>,
        elsewhere: Option<Arc<dyn RunRecorder>>,
        process: Option<usize>,
    ) -> RequestMemories {
        RequestMemories {
            journal,
            store,
            elsewhere,
            process,
            open: Mutex::default(),
            under_way: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Begins to remember a request, with what is known from before.
    pub fn open(&self, memory: MemoryKey, number: i64, history: Option<&RequestHistory>) {
        let runs = history.map(RequestHistory::runs).unwrap_or_default();
        let runs = runs.into_iter().map(|(key, (run, content))| (key, (run.clone(), content.to_vec())));
        let answered = history.map(AnsweredQuestions::of).unwrap_or_default();
        let remembered = RequestMemory { answered, ..RequestMemory::new(number, runs.collect()) };
        self.lock().insert(memory, Arc::new(remembered));
    }

    /// Begins to remember a request that another process accepted.
    pub fn open_for_other(&self, key: &RemoteRequestKey, runs: Vec<KeptRun>) {
        let memory = key.memory();
        let runs = runs.into_iter().map(|(record, content)| (record.key, (record, content)));
        self.lock().insert(memory, Arc::new(RequestMemory::new(key.number, runs.collect())));
    }

    /// The recorded runs of a request, for a process that is to run it.
    pub fn runs_of(&self, memory: MemoryKey) -> Vec<KeptRun> {
        let Some(memory) = self.of(memory) else { return Vec::new() };
        let elsewhere = memory.elsewhere.lock().expect(NO_PANIC);
        memory.runs.values().chain(elsewhere.values()).cloned().collect()
    }

    /// The number of runs of a request that ended in other processes.
    pub fn ended_elsewhere(&self, memory: MemoryKey) -> usize {
        self.of(memory).map_or(0, |memory| memory.elsewhere.lock().expect(NO_PANIC).len())
    }

    /// Records that a request is begun again, because the process that ran it was lost.
    pub fn taken_up(&self, number: i64) {
        self.journal.note(number, JournalEntry::TakenUp, Vec::new());
        self.journal.expedite(number, JournalEntry::Began);
    }

    /// Records a run that ended in another process, unless its request is answered.
    ///
    /// # Errors
    /// If the journal cannot be used.
    pub fn note_of_other(
        &self,
        key: &RemoteRequestKey,
        record: RunRecord,
        content: Vec<u8>,
    ) -> Result<(), JournalError> {
        let memory = self.of(key.memory());
        if let Some(memory) = memory.filter(|memory| memory.number == key.number) {
            let kept = (record.clone(), content.clone());
            let before = memory.elsewhere.lock().expect(NO_PANIC).insert(record.key, kept);
            let before = before.or_else(|| memory.runs.get(&record.key).cloned());
            // A note that is sent again is not recorded again; a further attempt after a fault is.
            if before.is_none_or(|(before, _)| before.outcome != Outcome::Done && before != record) {
                self.journal.note(key.number, JournalEntry::Run(record), content);
            }
            return Ok(());
        }
        // It is not taken up yet, after a start of this process, or it is answered.
        self.journal.note_if_open(key.request, key.number, JournalEntry::Run(record), content)
    }

    /// Waits until all that was recorded so far is on the disk.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn flush(&self) -> Result<(), JournalError> {
        self.journal.flush()
    }

    pub(super) fn keeps(&self) -> bool {
        self.journal.keeps() || self.elsewhere.is_some()
    }

    pub fn close(&self, memory: MemoryKey) {
        self.lock().remove(&memory);
    }

    /// Waits until this request is not under way, and then marks it as such. Two runs of it at once would
    /// write to the same folder of values.
    pub fn enter(&self, number: i64) {
        let under_way = self.under_way.lock().expect(NO_PANIC);
        let mut under_way =
            self.changed.wait_while(under_way, |under_way| under_way.contains(&number)).expect(NO_PANIC);
        under_way.insert(number);
    }

    pub fn leave(&self, number: i64) {
        self.under_way.lock().expect(NO_PANIC).remove(&number);
        self.changed.notify_all();
    }

    /// This process, as the place of a run; `None` if flow is alone.
    pub fn place(&self) -> Option<RunPlace> {
        self.process.map(RunPlace::of)
    }

    pub fn remembers(&self, memory: MemoryKey) -> bool {
        self.keeps() && self.lock().contains_key(&memory)
    }

    /// Notes that a request has taken a lane.
    pub fn began(&self, memory: MemoryKey) {
        if let Some(memory) = self.of(memory) {
            // Written before the steps run, so that the journal shows which requests were in work if the
            // process dies.
            self.journal.expedite(memory.number, JournalEntry::Began);
        }
    }

    /// The recorded result of a run, if there is one and all of its files are still in the store.
    pub fn recall(&self, run: &RecordedRun) -> Option<Result<StepOutputs, Fault>> {
        let memory = self.of(run.memory)?;
        let recorded = memory.recorded(run.key)?;
        let (record, content) = &*recorded;
        match &record.outcome {
            // Steps that a stream connects have run as one, and what failed of them may succeed now.
            Outcome::Done if record.lacking.is_some_and(|kind| kind != FaultKind::Data) => None,
            Outcome::Done => self.outputs(run, &memory, &record.outputs, content).map(Ok),
            // The same data cause the same fault again. Other faults, as a timeout, may not come again.
            Outcome::Failed(fault) if fault.kind == FaultKind::Data => Some(Err(fault.clone())),
            Outcome::Failed(_) | Outcome::Skipped { .. } => None,
        }
    }

    /// Stores the outputs of a run where that saves work later, and notes in the journal how the run ended.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn note(
        &self,
        run: &RecordedRun,
        result: Result<&StepOutputs, &Fault>,
        took: Duration,
        batches: Vec<BatchPlace>,
    ) -> Result<(), StoreError> {
        let Some(memory) = self.of(run.memory) else { return Ok(()) };
        let recomputed = run.node.step.declaration.recomputed;
        let (mut record, content) = self.record(run, result, took, recomputed)?;
        record.inputs = run.input_digests();
        record.batches = batches;
        match &self.elsewhere {
            Some(recorder) => recorder.note(&run.memory.at(memory.number), record, content),
            None => self.journal.note(memory.number, JournalEntry::Run(record), content),
        }
        Ok(())
    }

    /// Stores the outputs of a run, unless they are `recomputed` where they are needed again. Gives the record, still
    /// without the digests of the inputs, and its content.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn record(
        &self,
        run: &RecordedRun,
        result: Result<&StepOutputs, &Fault>,
        took: Duration,
        recomputed: bool,
    ) -> Result<KeptRun, StoreError> {
        let mut content = Vec::new();
        let (outcome, outputs) = match result {
            Ok(outputs) => (Outcome::Done, self.keep(run, outputs, recomputed, &mut content)?),
            Err(fault) => {
                (Outcome::Failed(fault.clone()), fault_logs::keep(&self.store, run.request, fault)?)
            }
        };
        let logs = result.map_or(Ok(Vec::new()), |outputs| {
            fault_logs::keep_of_members(&self.store, run.request, outputs)
        })?;
        let record = RunRecord {
            step: run.node.name.to_string(),
            item: run.item,
            key: run.key,
            version: run.node.step.declaration.version,
            inputs: BTreeMap::new(),
            outcome,
            outputs,
            lacking: result.ok().and_then(failed_kind),
            took_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            place: self.place(),
            batches: Vec::new(),
            logs,
        };
        Ok((record, content))
    }

    /// The recorded answers to a batch of a call.
    pub fn recall_answers(&self, memory: MemoryKey, batch: &CallBatch) -> Option<Vec<u8>> {
        if !self.keeps() {
            return None;
        }
        let remembered = self.of(memory)?;
        let recorded = remembered.recorded(batch.key)?;
        let (record, content) = &*recorded;
        recorded_answers(record, content, memory.request, &self.store)
    }

    /// The recorded answers to questions about single items; nothing if there are none at all.
    pub fn recall_each(&self, memory: MemoryKey, questions: &[QuestionKey]) -> Vec<Option<Vec<u8>>> {
        match self.of(memory).filter(|_| self.keeps()) {
            Some(known) => known.answered.recall(questions, &known.runs, memory.request, &self.store),
            None => Vec::new(),
        }
    }

    /// Records the answers to a batch of a call. When this returns, they are on the disk.
    ///
    /// # Errors
    /// If they cannot be recorded.
    pub fn note_answers(
        &self,
        memory: MemoryKey,
        batch: &CallBatch,
        answers: &[u8],
        failed: Option<&Fault>,
    ) -> Result<(), AnswerRecordError> {
        let Some(remembered) = self.of(memory).filter(|_| self.keeps()) else { return Ok(()) };
        let digest = Digest::of(answers);
        let is_apart = self.elsewhere.as_ref().is_some_and(|recorder| !recorder.shares_store());
        let (kept, content) = if is_apart || answers.len() <= ANSWERS_HERE_MAX {
            (ValuePlace::Here { bytes: answers.len() }, answers.to_vec())
        } else {
            self.store.put(memory.request, digest, answers)?;
            (ValuePlace::Stored { form: digest }, Vec::new())
        };
        let record = RunRecord {
            step: batch.step.clone(),
            item: None,
            key: batch.key,
            version: batch.version,
            inputs: [("items".to_owned(), batch.items), ("attempt".to_owned(), batch.attempt)].into(),
            outcome: failed.map_or(Outcome::Done, |fault| Outcome::Failed(fault.clone())),
            outputs: vec![OutputRecord { name: CallAnswers::OUTPUT.to_owned(), digest, kept }],
            lacking: None,
            took_us: 0,
            place: None,
            batches: Vec::new(),
            logs: Vec::new(),
        };
        if let Some(recorder) = &self.elsewhere {
            return Ok(recorder.note_durably(&memory.at(remembered.number), record, content)?);
        }
        self.journal.note(remembered.number, JournalEntry::Run(record), content);
        Ok(self.journal.flush()?)
    }

    fn keep(
        &self,
        run: &RecordedRun,
        outputs: &StepOutputs,
        recomputed: bool,
        content: &mut Vec<u8>,
    ) -> Result<Vec<OutputRecord>, StoreError> {
        let record = |(name, value): (&'static str, &crate::step::Value)| {
            let kept = match value.kind() {
                _ if recomputed => ValuePlace::No,
                ResponseFiles::TYPE => {
                    let files = files_at(value);
                    for file in files {
                        if small_files::fits(file.bytes.len() as u64, content) {
                            content.extend_from_slice(&file.bytes);
                        } else if !self.store.has_on_disk(run.request.id, file.digest()) {
                            // Files of the response are stored already. The others are stored here.
                            self.store.put_work(run.request.id, file.digest(), &file.bytes)?;
                        }
                    }
                    ValuePlace::Files { artifacts: files.iter().map(ResponseFile::artifact).collect() }
                }
                _ => self.keep_form(run.request, value.to_form(), content)?,
            };
            Ok(OutputRecord { name: name.to_owned(), digest: value.digest(), kept })
        };
        outputs.iter().map(record).collect()
    }

    fn keep_form(
        &self,
        request: &Request,
        (bytes, form): (Vec<u8>, Digest),
        content: &mut Vec<u8>,
    ) -> Result<ValuePlace, StoreError> {
        if bytes.len() <= BYTES_HERE_MAX {
            content.extend_from_slice(&bytes);
            return Ok(ValuePlace::Here { bytes: bytes.len() });
        }
        self.store.put_work(request.id, form, &bytes)?;
        Ok(ValuePlace::Stored { form })
    }

    fn outputs(
        &self,
        run: &RecordedRun,
        memory: &RequestMemory,
        records: &[OutputRecord],
        content: &[u8],
    ) -> Option<StepOutputs> {
        let mut content = content;
        let path_of = |digest| memory.path_of(run.request, digest);
        let mut outputs = StepOutputs::default();
        for record in records {
            let declared = &run.node.step.declaration.outputs;
            let declared = declared.iter().find(|output| output.name == record.name)?;
            let bytes = match &record.kept {
                ValuePlace::No => return None,
                ValuePlace::Here { bytes } => content.split_off(..*bytes)?.to_vec(),
                ValuePlace::Stored { form } => self.store.get(run.request.id, *form)?,
                ValuePlace::Files { artifacts } => {
                    outputs = outputs.with(declared.name, self.files(run.request, artifacts, &mut content)?);
                    continue;
                }
            };
            outputs.push(declared.name, (declared.read)(&bytes, &path_of).ok()?);
        }
        Some(outputs)
    }

    fn files(&self, request: &Request, artifacts: &[Artifact], content: &mut &[u8]) -> Option<ResponseFiles> {
        let here: HashMap<Digest, &[u8]> = small_files::take(artifacts, content)
            .into_iter()
            .map(|(artifact, bytes)| (artifact.digest, bytes))
            .collect();
        let file = |artifact: &Artifact| {
            let bytes = match here.get(&artifact.digest) {
                Some(bytes) => bytes.to_vec(),
                None => self.store.get(request.id, artifact.digest)?,
            };
            Some(ResponseFile::new(&artifact.name, artifact.media_type.clone(), bytes))
        };
        artifacts.iter().map(file).collect::<Option<Vec<ResponseFile>>>().map(ResponseFiles)
    }

    pub(super) fn of(&self, memory: MemoryKey) -> Option<Arc<RequestMemory>> {
        self.lock().get(&memory).cloned()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<MemoryKey, Arc<RequestMemory>>> {
        self.open.lock().expect(NO_PANIC)
    }
}

pub(super) const NO_PANIC: &str = "nothing panics while it holds the lock";

impl RecordedRun<'_> {
    /// The digest at each input.
    pub fn input_digests(&self) -> BTreeMap<String, Digest> {
        self.inputs.digests().into_iter().map(|(name, digest)| (name.to_owned(), digest)).collect()
    }
}

impl RemoteRequestKey {
    pub(super) fn memory(&self) -> MemoryKey {
        MemoryKey { request: self.request, version: self.version }
    }
}

impl MemoryKey {
    pub(super) fn at(self, number: i64) -> RemoteRequestKey {
        let MemoryKey { request, version } = self;
        RemoteRequestKey { number, request, version }
    }
}

impl RequestMemory {
    pub(super) fn new(number: i64, runs: BTreeMap<Digest, KeptRun>) -> RequestMemory {
        RequestMemory {
            number,
            runs,
            answered: AnsweredQuestions::default(),
            elsewhere: Mutex::default(),
            steps: Mutex::default(),
            items: OnceLock::new(),
        }
    }

    fn recorded(&self, key: Digest) -> Option<Cow<'_, KeptRun>> {
        let elsewhere = || self.elsewhere.lock().expect(NO_PANIC).get(&key).cloned().map(Cow::Owned);
        self.runs.get(&key).map(Cow::Borrowed).or_else(elsewhere)
    }

    pub fn path_of(&self, request: &Request, digest: Digest) -> Option<PathBuf> {
        let numbered = || request.items.iter().enumerate().map(|(number, item)| (item.digest, number));
        // Of two items with the same content, the index of the first.
        let items = self.items.get_or_init(|| numbered().rev().collect());
        request.items.get(*items.get(&digest)?)?.path().map(PathBuf::from)
    }
}
