//! The ledger, the status page and the alarms of `flow run`.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::admission::DataflowSelector;
use crate::alarm::{AlarmSetup, AlarmThread};
use crate::dataflow::Dataflow;
use crate::dicom::{self, WaitingStudy};
use crate::engine::{EngineEvent, EventObserver};
use crate::journal::{Journal, JournalReader, general};
use crate::ledger::{
    DestinationSummary, Ledger, LedgerNotice, LedgerSettings, StepWiring, WiringLookup, reason_code,
};
use crate::monitor::{CompleteStudy, MonitorApi, MonitorServer, MonitorToken, ReceivingStudy, ReplayBoard};
use crate::outbox::{LocalDestinationState, LocalDestinations, OutboxEvent};
use crate::step::StepTable;
use crate::tls::{CertificateNames, TlsError, TlsServer};
use crate::trace::TraceExporter;

use super::bind::bind;
use super::exit::{CommandError, CommandErrorKind};
use super::output;
use super::progress::ProgressDisplay;
use super::replay::replay_function;
use super::site::SiteSettings;

type NoticeFunction = Arc<dyn Fn(LedgerNotice) + Send + Sync>;

/// The ledger, the status page and the alarms, while requests run. Where none of the latter is wanted there is none.
#[derive(Default)]
pub struct RunMonitor {
    /// Threads that end before the ledger.
    _server: Option<MonitorServer>,
    _alarms: Option<AlarmThread>,
    _ledger: Option<Ledger>,
    traces: Option<TraceExporter>,
    notify: Option<NoticeFunction>,
    local: LocalPlaces,
}

/// The destinations on this machine, once the outbox is there.
type LocalPlaces = Arc<OnceLock<LocalDestinations>>;

/// What the status page of a run needs.
pub struct MonitorSetup<'a> {
    pub page: Option<SocketAddr>,
    pub journal: &'a Journal,
    pub dataflows: &'a DataflowSelector,
    pub state: &'a Path,
    pub free_bytes_min: u64,
    pub table: &'a StepTable,
    pub site: &'a SiteSettings,
}

impl RunMonitor {
    /// Starts the ledger, and opens the status page and looks for alarms, if that is wanted.
    pub fn start(setup: &MonitorSetup, progress: &ProgressDisplay) -> Result<RunMonitor, CommandError> {
        let alarms = setup.site.alarms().filter(|alarms| alarms.is_wanted());
        let page = setup.page.or(setup.site.page().address);
        let failed = CommandError::of(CommandErrorKind::InputOutput);
        let collector = setup.site.traces().and_then(|traces| traces.url.as_deref());
        let traces = collector.map(|url| TraceExporter::start(setup.state, url)).transpose();
        let traces = traces.map_err(&failed)?;
        if page.is_none() && alarms.is_none() {
            return Ok(RunMonitor { traces, ..RunMonitor::default() });
        }
        let listener = page.map(bind).transpose()?;
        let state = setup.state.to_owned();
        let wirings = wirings(&state, setup.table.clone());
        let settings = LedgerSettings {
            state: state.clone(),
            wirings,
            declared: setup.site.views().to_vec(),
            apart: LedgerSettings::APART,
        };
        let ledger = Ledger::start(setup.journal, settings).map_err(&failed)?;
        let local = LocalPlaces::default();
        let serve = |listener| serve(listener, setup, &ledger, &local, progress);
        let server = listener.map(serve).transpose()?;
        let alarms = alarms.map(|settings| {
            let (settings, mirror) = (settings.clone(), Arc::clone(ledger.mirror()));
            AlarmThread::start(AlarmSetup { settings, state, mirror })
        });
        let alarms = alarms.transpose().map_err(CommandError::of(CommandErrorKind::InputOutput))?;
        let notify: NoticeFunction = Arc::new(ledger.notices());
        Ok(RunMonitor {
            _server: server,
            _alarms: alarms,
            _ledger: Some(ledger),
            traces,
            notify: Some(notify),
            local,
        })
    }

    /// Shows these destinations on the page, too.
    pub fn show_local(&self, destinations: LocalDestinations) {
        // They are shown once.
        let _ = self.local.set(destinations);
    }

    /// An observer of the engine that tells the ledger what happens, too.
    pub fn observer(&self, progress: Arc<dyn EventObserver>) -> Arc<dyn EventObserver> {
        match &self.notify {
            Some(notify) => Arc::new(NotedEvents { progress, notify: Arc::clone(notify) }),
            None => progress,
        }
    }

    /// A function that tells the ledger and the traces of deliveries.
    pub fn deliveries(&self) -> impl Fn(&OutboxEvent) + Send + Sync + 'static + use<> {
        let notify = self.notify.clone();
        let traces = self.traces.as_ref().map(TraceExporter::queue);
        move |event| match (event, &notify, &traces) {
            (OutboxEvent::Delayed { request, delivery, wait }, Some(notify), _) => {
                let (request, destination) = (request.id, delivery.destination.clone());
                notify(LedgerNotice::NextTry { request, destination, at_ms: after(*wait) });
            }
            (OutboxEvent::Answered { response, .. }, _, Some(traces)) => traces.note(response),
            _ => {}
        }
    }
}

fn serve(
    listener: TcpListener,
    setup: &MonitorSetup,
    ledger: &Ledger,
    local: &LocalPlaces,
    progress: &ProgressDisplay,
) -> Result<MonitorServer, CommandError> {
    let failed = CommandError::of(CommandErrorKind::InputOutput);
    let (state, settings) = (setup.state.to_owned(), setup.site.page());
    let token_file = settings.token.clone().unwrap_or_else(|| state.join(MonitorToken::FILE));
    let token = MonitorToken::at(&token_file).map_err(|error| {
        let hint = error.hint();
        CommandError::of(CommandErrorKind::InputOutput)(error).hint(hint)
    })?;
    let encrypted = settings.identity.as_ref().map(|identity| {
        let tls = TlsServer::open(identity, None)?;
        Ok((tls, identity.names()?))
    });
    let encrypted: Option<(TlsServer, CertificateNames)> =
        encrypted.transpose().map_err(CommandError::of::<TlsError>(CommandErrorKind::InputOutput))?;
    let (tls, certificate_names) = encrypted.unzip();
    // Others may read the log of a service.
    let entry = match output::is_terminal() {
        true => format!("?token={}", token.in_address()),
        false => format!("  (its token is in {})", token_file.display()),
    };
    let scheme = if tls.is_some() { "https" } else { "http" };
    let api = MonitorApi {
        mirror: Arc::clone(ledger.mirror()),
        token,
        free_bytes_min: setup.free_bytes_min,
        overview: Mutex::default(),
        started_ms: after(Duration::ZERO),
        names: settings.names,
        wirings: Mutex::new(wirings(&state, setup.table.clone())),
        receiving: receiving(&state),
        local: shown_local(local),
        complete_study: complete_study(&state),
        dataflows: setup.dataflows.clone(),
        replays: ReplayBoard::new(replay_function(&state, setup.table.clone())),
        certificate_names,
        state,
    };
    let server = MonitorServer::start(listener, api, tls.as_ref()).map_err(&failed)?;
    progress.say_line(format_args!("page      {scheme}://{}/{entry}", server.address()));
    Ok(server)
}

/// The studies that are being received. What cannot be read is no study.
fn receiving(state: &Path) -> Box<dyn Fn() -> Vec<ReceivingStudy> + Send + Sync> {
    let state = state.to_owned();
    Box::new(move || {
        let study = |one: WaitingStudy| ReceivingStudy {
            study_instance_uid: one.study_instance_uid,
            instances: one.instances,
        };
        waiting(&state).unwrap_or_default().into_iter().map(study).collect()
    })
}

/// The destinations on this machine. A page names no patient: reasons are in general words.
fn shown_local(local: &LocalPlaces) -> Box<dyn Fn() -> Vec<DestinationSummary> + Send + Sync> {
    let local = Arc::clone(local);
    let shown = |state: LocalDestinationState| {
        let down = state.trouble.as_deref().map(general);
        DestinationSummary {
            name: state.name,
            queued: count(state.queued),
            down_code: down.as_deref().and_then(reason_code),
            down,
            down_since_ms: state.trouble_since.map(milliseconds),
            delivered: count(state.delivered),
            not_delivered: count(state.not_delivered),
        }
    };
    Box::new(move || {
        local.get().map(LocalDestinations::states).unwrap_or_default().into_iter().map(shown).collect()
    })
}

fn count(number: usize) -> isize {
    number.try_into().unwrap_or(isize::MAX)
}

/// Declares that a study is complete, as `flow complete` does.
fn complete_study(state: &Path) -> Box<CompleteStudy> {
    let state = state.to_owned();
    Box::new(move |study, who| {
        let mut waiting = waiting(&state)?.into_iter();
        let found = waiting.find(|one| one.study_instance_uid == study);
        found.map(|one| one.complete(who)).transpose().map(|done| done.is_some())
    })
}

fn waiting(state: &Path) -> io::Result<Vec<WaitingStudy>> {
    let claims = JournalReader::open(state).and_then(|reader| reader.claims()).map_err(io::Error::other)?;
    dicom::waiting(&state.join("inbox"), &claims.into_iter().map(PathBuf::from).collect())
}

/// The wirings of the dataflows that the journal remembers.
pub fn wirings(state: &Path, table: StepTable) -> WiringLookup {
    let state = state.to_owned();
    Box::new(move |version| {
        let (name, text) = JournalReader::open(&state).ok()?.dataflow(version).ok()??;
        // The steps of another program may not be known here.
        Dataflow::parse(&name, &text, &table).ok().as_ref().map(StepWiring::of)
    })
}

/// Events of the engine, shown and noted.
struct NotedEvents {
    progress: Arc<dyn EventObserver>,
    notify: NoticeFunction,
}

impl EventObserver for NotedEvents {
    fn observe(&self, event: &EngineEvent) {
        self.progress.observe(event);
        match event {
            EngineEvent::Started { request, step } => {
                (self.notify)(LedgerNotice::Started { request: request.id, step: (*step).to_owned() });
            }
            EngineEvent::Ended { request, step, .. } => {
                (self.notify)(LedgerNotice::Ended { request: request.id, step: (*step).to_owned() });
            }
            EngineEvent::Retrying { request, step, delay, .. } => {
                let (request, step) = (request.id, (*step).to_owned());
                (self.notify)(LedgerNotice::RetryAt { request, step, at_ms: after(*delay) });
            }
            EngineEvent::Accepted { .. }
            | EngineEvent::Overdue { .. }
            | EngineEvent::Answered { .. }
            | EngineEvent::Undelivered { .. } => {}
        }
    }
}

/// The time after a wait, in milliseconds of Unix time.
fn after(wait: Duration) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    milliseconds(now.saturating_add(wait))
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
