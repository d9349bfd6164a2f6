//! The ledger and the status page of `flow run`.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::dataflow::Dataflow;
use crate::engine::{EngineEvent, EventObserver};
use crate::journal::{Journal, JournalReader};
use crate::ledger::{Ledger, LedgerNotice, LedgerSettings, StepWiring, WiringLookup};
use crate::monitor::{MonitorApi, MonitorServer, MonitorToken};
use crate::outbox::OutboxEvent;
use crate::step::StepTable;

use super::bind::bind;
use super::exit::{CommandError, CommandErrorKind};
use super::output;
use super::progress::ProgressDisplay;

type NoticeFunction = Arc<dyn Fn(LedgerNotice) + Send + Sync>;

/// The ledger and the status page, while requests run. Without `--page` there are none.
pub struct RunMonitor {
    /// Ends before the ledger.
    _server: Option<MonitorServer>,
    _ledger: Option<Ledger>,
    notify: Option<NoticeFunction>,
}

/// What the status page of a run needs.
pub struct MonitorSetup<'a> {
    pub page: Option<SocketAddr>,
    pub journal: &'a Journal,
    pub state: &'a Path,
    pub free_bytes_min: u64,
    pub table: &'a StepTable,
}

impl RunMonitor {
    /// Starts the ledger and opens the status page, if that is wanted.
    pub fn start(setup: &MonitorSetup, progress: &ProgressDisplay) -> Result<RunMonitor, CommandError> {
        let Some(page) = setup.page else {
            return Ok(RunMonitor { _server: None, _ledger: None, notify: None });
        };
        let failed = CommandError::of(CommandErrorKind::InputOutput);
        let listener = bind(page)?;
        let state = setup.state.to_owned();
        let wirings = wirings(&state, setup.table.clone());
        let settings = LedgerSettings { state: state.clone(), wirings, apart: LedgerSettings::APART };
        let ledger = Ledger::start(setup.journal, settings).map_err(&failed)?;
        let token = MonitorToken::of_state(&state).map_err(&failed)?;
        // Others may read the log of a service.
        let entry = match output::is_terminal() {
            true => format!("?token={}", token.text()),
            false => format!("  (its token is in {})", state.join(MonitorToken::FILE).display()),
        };
        let (mirror, overview) = (Arc::clone(ledger.mirror()), Mutex::default());
        let api = MonitorApi { state, mirror, token, free_bytes_min: setup.free_bytes_min, overview };
        let server = MonitorServer::start(listener, api).map_err(&failed)?;
        progress.say_line(format_args!("page      http://{}/{entry}", server.address()));
        let notify: NoticeFunction = Arc::new(ledger.notices());
        Ok(RunMonitor { _server: Some(server), _ledger: Some(ledger), notify: Some(notify) })
    }

    /// An observer of the engine that tells the ledger what happens, too.
    pub fn observer(&self, progress: Arc<ProgressDisplay>) -> Arc<dyn EventObserver> {
        match &self.notify {
            Some(notify) => Arc::new(NotedEvents { progress, notify: Arc::clone(notify) }),
            None => progress,
        }
    }

    /// A function that tells the ledger of deliveries.
    pub fn deliveries(&self) -> impl Fn(&OutboxEvent) + Send + Sync + 'static + use<> {
        let notify = self.notify.clone();
        move |event| {
            if let (Some(notify), OutboxEvent::Delayed { request, delivery, wait }) = (&notify, event) {
                let (request, destination) = (request.id, delivery.destination.clone());
                notify(LedgerNotice::NextTry { request, destination, at_ms: after(*wait) });
            }
        }
    }
}

/// The wirings of the dataflows that the journal remembers.
fn wirings(state: &Path, table: StepTable) -> WiringLookup {
    let state = state.to_owned();
    Box::new(move |version| {
        let (name, text) = JournalReader::open(&state).ok()?.dataflow(version).ok()??;
        // The steps of another program may not be known here.
        Dataflow::parse(&name, &text, &table).ok().as_ref().map(StepWiring::of)
    })
}

/// Events of the engine, shown and noted.
struct NotedEvents {
    progress: Arc<ProgressDisplay>,
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
    i64::try_from(now.saturating_add(wait).as_millis()).unwrap_or(i64::MAX)
}
