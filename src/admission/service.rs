//! A state folder, its journal, sources and a sink, run together until all is answered.

use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::dataflow::Dataflow;
use crate::engine::{
    self, EngineControl, EngineError, EngineSettings, EventObserver, NullObserver, RequestQueue, ResponseSink,
};
use crate::journal::{Journal, JournalError, JournalReader, RequestRow, RetentionLimits};
use crate::step::{Digest, Digester, StepTable};
use crate::store::{Store, StoreError};

use super::left_requests::LeftRequests;
use super::operator::{UpkeepSettings, collect, maintain};
use super::pauses::{read_pauses, watch_pauses};
use super::{
    Admission, AdmissionObserver, DataflowSelector, DataflowUpdates, Intake, Source, SourceTable, StateError,
    StateFolder, StopSignal, UnobservedAdmission,
};

/// The place of a service's records, and how much of them is kept.
#[derive(Clone, Debug)]
pub struct ServiceSettings {
    /// The folder of the journal and of results; it is made if it is not there.
    pub state: PathBuf,
    /// The free bytes on the disk of `state` below which no request is accepted; 0 by default.
    pub free_bytes_min: u64,
    /// Answered requests that are remembered: all, by default.
    pub retention: RetentionLimits,
}

impl ServiceSettings {
    /// Settings for a state folder: everything is kept, and no free space is asked for.
    pub fn at(state: impl Into<PathBuf>) -> ServiceSettings {
        let retention = RetentionLimits { age_max: Duration::MAX, bytes_max: u64::MAX };
        ServiceSettings { state: state.into(), free_bytes_min: 0, retention }
    }
}

/// Accepts requests durably and answers each exactly once.
///
/// ```
/// use std::path::Path;
/// use flow::admission::{DataflowSelector, Service, ServiceSettings};
/// use flow::dataflow::Dataflow;
/// use flow::engine::{PendingDelivery, EngineSettings, ResponseSink};
/// # use flow::admission::{Admission, Intake, Source};
/// # use flow::step::{AttributeValues, ResponseFiles, ResponseFile, Item, StepOutputs, Request, Step, StepTable};
///
/// /// A source of one request; see [`flow::admission::Source`].
/// struct OneLetter;
/// # impl Source for OneLetter {
/// #     fn name(&self) -> &'static str { "letter" }
/// #     fn feed(&self, admission: &Admission) -> Intake {
/// #         let item = Item::inline("a", *b"a");
/// #         let attributes = [("source".to_owned(), AttributeValues::from("letter"))];
/// #         admission.accept_all([Request::new("a", attributes.into(), vec![item])])
/// #     }
/// # }
///
/// struct Printed;
///
/// impl ResponseSink for Printed {
///     fn deliver(&self, pending_delivery: PendingDelivery) {
///         println!("{}: {:?}", pending_delivery.request().name, pending_delivery.response().verdict);
///         pending_delivery.settle(Ok(()));
///     }
/// }
///
/// # let step = Step::new("hello", 1, "Greets.").gives::<ResponseFiles>("files");
/// # let step = step.runs(|_| Ok(StepOutputs::one("files", ResponseFiles(vec![ResponseFile::new("hello.txt", "text/plain", b"hello".to_vec())]))));
/// # let table = StepTable::default().with(step);
/// let text = "{dataflow: hello, steps: {hello: {step: hello}}, response: [hello]}";
/// let dataflow = Dataflow::parse("hello.yaml", text, &table)?;
///
/// # let folder = tempfile::tempdir()?;
/// # let state = folder.path().join("state");
/// let service = Service::open(ServiceSettings::at(state), DataflowSelector::only(dataflow))?;
/// service.run(OneLetter, &Printed)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Service {
    /// Folder and limits.
    pub settings: ServiceSettings,
    /// The record of requests.
    pub journal: Arc<Journal>,
    /// The dataflows of requests.
    pub dataflows: DataflowSelector,
    /// Sources whose requests may be in the journal. A source that is run is added for its run.
    pub sources: SourceTable,
    /// Dataflows and rules that take the place of those in force while it runs.
    pub updates: Arc<DataflowUpdates>,
    /// An observer of admission.
    pub observer: Arc<dyn AdmissionObserver>,
    /// The signal that ends its sources.
    pub stop: Arc<StopSignal>,
    _state: Option<StateFolder>,
}

/// Why a service cannot be opened or run. What has been accepted stays so.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The state folder cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The folder of results cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The journal cannot be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The file of this program cannot be read. Its digest is needed to tell which results it has made.
    #[error("could not read this program")]
    Program(#[source] io::Error),
    /// The engine cannot be started, or broke.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl Service {
    /// Takes a state folder for this process, and opens its journal.
    ///
    /// # Errors
    /// If the folder cannot be used or another process has it, or the journal is damaged.
    pub fn open(settings: ServiceSettings, dataflows: DataflowSelector) -> Result<Service, ServiceError> {
        let state = StateFolder::take(&settings.state)?;
        let store = Arc::new(Store::at(settings.state.join("store"))?);
        let journal = Journal::open(&settings.state, store, settings.free_bytes_min)?;
        for dataflow in dataflows.all() {
            journal.remember(dataflow.digest(), dataflow.name(), dataflow.text())?;
        }
        Ok(Service { _state: Some(state), ..Service::with_journal(settings, journal, dataflows) })
    }

    /// A service with a journal that the caller has opened, for example one that records nothing: for a
    /// benchmark, or for a process of a cluster that accepts no requests itself.
    pub fn with_journal(settings: ServiceSettings, journal: Journal, dataflows: DataflowSelector) -> Service {
        Service {
            settings,
            journal: Arc::new(journal),
            dataflows,
            sources: SourceTable::built_in(),
            updates: Arc::default(),
            observer: Arc::new(UnobservedAdmission),
            stop: Arc::default(),
            _state: None,
        }
    }

    /// Adds the earlier versions of dataflows that unanswered requests were accepted under, as the journal
    /// remembers them. One that no longer fits the steps of `table` is left out: the dataflow of its name
    /// that is there now takes its place.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn with_earlier_versions(self, table: &StepTable) -> Result<Service, ServiceError> {
        if !self.journal.keeps() {
            return Ok(self);
        }
        let reader = JournalReader::open(&self.settings.state)?;
        for (row, version) in self.of_earlier_versions()? {
            // An earlier row of this loop may have added it.
            if self.dataflows.has(version) {
                continue;
            }
            let Some((name, text)) = reader.dataflow(version)? else { continue };
            match Dataflow::parse(&name, &text, table) {
                Ok(dataflow) if dataflow.digest() == version => {
                    self.dataflows.add_version(dataflow);
                }
                Ok(_) | Err(_) => {
                    tracing::warn!(request = row.name, %version, "the dataflow version of a request no longer fits the steps; the current version runs it");
                }
            }
        }
        Ok(self)
    }

    /// The unanswered requests that were accepted under versions of dataflows that are not here.
    fn of_earlier_versions(&self) -> Result<Vec<(RequestRow, Digest)>, ServiceError> {
        if !self.journal.keeps() {
            return Ok(Vec::new());
        }
        let reader = JournalReader::open(&self.settings.state)?;
        let mut found = Vec::new();
        for row in self.journal.open_requests()? {
            let version = reader.history(row.number)?.version();
            found.extend(
                version.filter(|version| !self.dataflows.has(*version)).map(|version| (row, version)),
            );
        }
        Ok(found)
    }

    /// Runs a source with as many workers as there are cores, until no more requests come and every one is
    /// answered. What an earlier process accepted and did not answer is answered, too.
    ///
    /// # Errors
    /// If the journal cannot be used, or the engine not be started.
    pub fn run(
        &self,
        source: impl Source + 'static,
        sink: &dyn ResponseSink,
    ) -> Result<Intake, ServiceError> {
        let control = Arc::new(EngineControl::at(&self.settings.state));
        let settings = EngineSettings { control, ..EngineSettings::default() };
        self.run_all(vec![Arc::new(source)], sink, settings, Arc::new(NullObserver))
    }

    /// Runs several sources beside each other; the engine as large as `settings` say.
    ///
    /// # Errors
    /// As [`Service::run`].
    pub fn run_all(
        &self,
        sources: Vec<Arc<dyn Source>>,
        sink: &dyn ResponseSink,
        settings: EngineSettings,
        observer: Arc<dyn EventObserver>,
    ) -> Result<Intake, ServiceError> {
        let table = sources.iter().cloned().fold(self.sources.clone(), SourceTable::with);
        let program = program().map_err(ServiceError::Program)?;
        let left = LeftRequests::default();
        let feed = |queue: &RequestQueue| {
            let admission = Admission {
                journal: &self.journal,
                queue,
                dataflows: &self.dataflows,
                sources: &table,
                observer: &*self.observer,
                stop: &self.stop,
                program,
                left: &left,
            };
            let upkeep = UpkeepSettings { sink, retention: self.settings.retention, updates: &self.updates };
            feed(&sources, &admission, upkeep)
        };
        let intake = self.run_engine(feed, sink, settings, observer)??;
        sink.drain();
        // A step that never returns keeps the journal open, so that dropping it would not write the last
        // records.
        self.journal.flush()?;
        Ok(intake)
    }

    /// Runs the engine with requests from a function that submits them itself, for example those of another process.
    /// Nothing that an earlier process accepted is resumed. Returns what the function gave, once every request has its
    /// response.
    ///
    /// # Errors
    /// If the engine cannot be started.
    pub fn run_engine<T: Send>(
        &self,
        source: impl FnOnce(&RequestQueue) -> T + Send,
        sink: &dyn ResponseSink,
        settings: EngineSettings,
        observer: Arc<dyn EventObserver>,
    ) -> Result<T, ServiceError> {
        let journal = Arc::clone(&self.journal);
        let dataflows = self.dataflows.set();
        let (state, control, end) =
            (&self.settings.state, Arc::clone(&settings.control), StopSignal::default());
        // Before anything begins.
        if let Err(error) = read_pauses(state, &control.pauses) {
            tracing::error!(%error, "what is paused cannot be read");
        }
        let ended = std::thread::scope(|scope| {
            scope.spawn(|| watch_pauses(state, &control.pauses, &end));
            let ended = engine::run(dataflows, journal, settings, observer, source, sink);
            end.request();
            ended
        });
        Ok(ended?)
    }
}

/// Resumes the unanswered requests while the sources bring new ones.
fn feed(
    sources: &[Arc<dyn Source>],
    admission: &Admission,
    upkeep: UpkeepSettings,
) -> Result<Intake, JournalError> {
    let unanswered = admission.unanswered()?;
    admission.left.add(&unanswered);
    let end = StopSignal::default();
    let paused_waits = admission.queue.paused_waits();
    admission.stop.when_requested(move || paused_waits.end());
    let brought = std::thread::scope(|scope| {
        scope.spawn(|| maintain(scope, admission, upkeep, &end));
        scope.spawn(|| admission.hand_on_deferred(scope));
        let resuming = scope.spawn(|| admission.resume_all(&unanswered));
        let feeding: Vec<_> = sources.iter().map(|source| scope.spawn(|| source.feed(admission))).collect();
        // A source that panicked counts as `Intake::Partial`; the others go on.
        let brought = feeding.into_iter().map(|feeding| feeding.join().unwrap_or(Intake::Partial));
        let brought = brought.fold(Intake::Whole, Intake::and);
        let resumed = resuming.join();
        // Operator requests are served until the last request is answered.
        settle(admission);
        upkeep.sink.drain();
        end.request();
        admission.left.close();
        admission.queue.signal_room();
        resumed.unwrap_or(Ok(())).map(|()| brought)
    });
    collect(admission, upkeep.retention);
    brought
}

/// Waits until all requests are answered. Those that are paused wait for the next start if an end was asked for.
fn settle(admission: &Admission) {
    admission.wait_for_deferred();
    match admission.stop.is_requested() {
        true => admission.queue.settle_but_paused(),
        // It ends as the other when an end is asked for meanwhile.
        false => admission.queue.settle(),
    }
}

/// The digest of this program.
fn program() -> io::Result<Digest> {
    let mut file = std::fs::File::open(std::env::current_exe()?)?;
    let mut digester = Digester::default();
    // Large pieces are hashed on all cores: the program has tens of megabytes, and each start waits for this.
    let mut piece = vec![0; 4 << 20];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(digester.digest()),
            count => digester.update(&piece[..count]),
        }
    }
}
