//! A directory as a destination of the engine: a response moves its token on. Tokens whose responses come close
//! together share the syncs of the disk.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::admission::StopSignal;
use crate::engine::{PendingDelivery, ResponseSink, UndeliveredResponse};
use crate::printable::with_causes;
use crate::step::{Fault, FaultKind};
use crate::tokens::{
    ClaimedToken, FinishedToken, PlacedToken, StageToken, TokenEnd, TokenEntry, TokenError, TokenEvent,
    TokenPlace, WorkPlace, finish_tokens, reason_slug,
};

use super::source::STAGE;
use super::steps::list_tokens::TOKENS_FILE;
use super::steps::upload_book::STORED;
use super::work::{StageWork, WorkCounts};

/// The sink of a row. It moves tokens until it is dropped.
pub struct StageSink {
    stages: BTreeMap<String, Arc<StageFinish>>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

/// The responses of one stage that are to be carried out.
struct StageFinish {
    work: Arc<StageWork>,
    /// All stages, to wake the one that a token goes to.
    all: Vec<Arc<StageWork>>,
    state: Mutex<FinishState>,
    changed: Condvar,
    /// After it, a disk that takes nothing is not waited for.
    stop: Arc<StopSignal>,
}

#[derive(Default)]
struct FinishState {
    pending: Vec<PendingDelivery>,
    /// When a passing fault was said last.
    told: Option<Instant>,
    in_work: usize,
    is_closed: bool,
}

/// Tokens that share a sync, at most.
const GROUP_MAX: usize = 1024;

/// The time before a disk that took nothing is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// The time between two passing faults that are said; each is in the log of its token.
const TELLING: Duration = Duration::from_secs(10);

/// A token that a passing fault has held up for so many times in a row is parked.
const WAITS_MAX: u32 = 12;

/// The wait after a passing fault, in seconds: it doubles up to the longest.
const WAIT_FIRST_S: u64 = 15;
const WAIT_MAX_S: u64 = 3_600;

impl StageSink {
    /// The sink of these stages, with a thread for each. After the stop, tokens that the disk does not take stay claimed
    /// until their leases lapse.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn start(works: &[Arc<StageWork>], stop: &Arc<StopSignal>) -> std::io::Result<StageSink> {
        let mut sink = StageSink { stages: BTreeMap::new(), threads: Vec::new() };
        for work in works {
            let (work, stop) = (Arc::clone(work), Arc::clone(stop));
            let (name, all) = (work.stage.name.clone(), works.to_vec());
            let (state, changed) = (Mutex::default(), Condvar::new());
            let finish = Arc::new(StageFinish { work, all, state, changed, stop });
            let thread = std::thread::Builder::new().name(format!("flow:finish-{name}"));
            sink.stages.insert(name, Arc::clone(&finish));
            sink.threads.push(thread.spawn(move || finish.run())?);
        }
        Ok(sink)
    }
}

impl ResponseSink for StageSink {
    fn deliver(&self, pending: PendingDelivery) {
        let stage = pending.request().attribute(STAGE).to_owned();
        if let Some(finish) = self.stages.get(&stage) {
            finish.lock().pending.push(pending);
            finish.changed.notify_all();
        }
    }

    fn drain(&self) {
        for finish in self.stages.values() {
            let busy = |state: &mut FinishState| !state.pending.is_empty() || state.in_work > 0;
            drop(finish.changed.wait_while(finish.lock(), busy).unwrap_or_else(PoisonError::into_inner));
        }
    }
}

impl Drop for StageSink {
    fn drop(&mut self) {
        for finish in self.stages.values() {
            finish.lock().is_closed = true;
            finish.changed.notify_all();
        }
        self.threads.drain(..).for_each(|thread| _ = thread.join());
    }
}

impl StageFinish {
    fn run(&self) {
        while let Some(group) = self.group() {
            let count = group.len();
            self.finish(group);
            self.lock().in_work -= count;
            self.changed.notify_all();
        }
    }

    /// The responses that have come meanwhile; `None` at the end.
    fn group(&self) -> Option<Vec<PendingDelivery>> {
        let empty = |state: &mut FinishState| state.pending.is_empty() && !state.is_closed;
        let waited = self.changed.wait_while(self.lock(), empty);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        let count = state.pending.len().min(GROUP_MAX);
        state.in_work += count;
        (count > 0).then(|| state.pending.drain(..count).collect())
    }

    fn finish(&self, group: Vec<PendingDelivery>) {
        // Tokens of a place that was lost meanwhile are not moved with those of the new one.
        let mut places: Vec<(Arc<WorkPlace>, Vec<FinishedToken>, Vec<PendingDelivery>)> = Vec::new();
        for pending in group {
            let Some((claimed, place)) = self.work.take(&pending.request().name) else {
                // It was taken over and claimed again meanwhile, and the other response has moved it.
                self.work.leave();
                continue;
            };
            let finished = self.finished(claimed, &pending);
            match places.iter_mut().find(|(known, ..)| Arc::ptr_eq(known, &place)) {
                Some((_, all, deliveries)) => {
                    all.push(finished);
                    deliveries.push(pending);
                }
                None => places.push((place, vec![finished], vec![pending])),
            }
        }
        for (place, finished, deliveries) in places {
            let moved = self.move_all(&place, finished);
            deliveries.iter().for_each(|_| self.work.leave());
            let settled = if moved { Ok(()) } else { Err(UndeliveredResponse) };
            deliveries.into_iter().for_each(|pending| pending.settle(settled));
        }
    }

    /// Moves tokens, again and again while the disk does not take them. Gives whether all have moved.
    fn move_all(&self, place: &Arc<WorkPlace>, finished: Vec<FinishedToken>) -> bool {
        let mut left = finished;
        loop {
            let error = match finish_tokens(place, left.clone(), &self.work.stage.data) {
                Ok(ends) => {
                    let mut refused = None;
                    let mut ends = ends.into_iter();
                    left.retain(|_| match ends.next() {
                        // A directory that cannot be written to, for example.
                        Some(Err(error)) if error.kind() != ErrorKind::NotFound => {
                            refused = Some(error);
                            true
                        }
                        end => {
                            end.into_iter().for_each(|end| self.moved(end));
                            false
                        }
                    });
                    match refused {
                        Some(error) => error,
                        None => return true,
                    }
                }
                Err(error) => error,
            };
            if error.kind() == ErrorKind::NotFound && !place.folder().exists() {
                tracing::warn!("{}: its tokens were taken over by another worker", with_causes(&error));
                if let Err(error) = self.work.renew(place) {
                    tracing::error!("{}", with_causes(&error));
                }
                return false;
            }
            if self.stop.is_requested() {
                tracing::error!("{}; the next start tries again", with_causes(&error));
                return false;
            }
            tracing::error!("{}; trying again", with_causes(&error));
            self.stop.wait(PAUSE);
        }
    }

    fn moved(&self, moved: Result<PlacedToken, TokenError>) {
        let mut counts = WorkCounts::default();
        match moved {
            Ok(PlacedToken { place: TokenPlace::Waiting(folder), .. }) => {
                counts.done = 1;
                let next = self.all.iter().filter(|work| work.stage.from.name() == folder);
                next.for_each(|work| work.wake());
            }
            Ok(PlacedToken { place: TokenPlace::Parked(_, reason), name }) => {
                counts.failed = 1;
                tracing::warn!("{name} is parked beside {}: {reason}", self.work.stage.from.name());
            }
            Ok(PlacedToken { place: TokenPlace::Postponed(..), .. }) => counts.postponed = 1,
            Err(error) => tracing::error!("{}", with_causes(&error)),
        }
        self.work.count(counts);
    }

    /// The end of the work on a token, as the response has it.
    fn finished(&self, claimed: ClaimedToken, pending: &PendingDelivery) -> FinishedToken {
        let stage = &self.work.stage;
        match answered(pending) {
            Ok(token) if token.look_again_s.is_some() => {
                let wait = token.look_again_s.unwrap_or_default();
                let text = format!("not ready: look again after {wait} s");
                self.postponed(claimed.with(token), &text, wait)
            }
            Ok(mut token) => {
                token.waits = 0;
                let known = &claimed.token.locations;
                let is_new =
                    |(what, file): &(&String, &crate::tokens::LocatedFile)| known.get(*what) != Some(file);
                let made = token.locations.iter().find(is_new).or(token.locations.get_key_value(STORED));
                let digest = made.map(|(_, file)| file.digest);
                let entry = TokenEntry::new(&stage.name, TokenEvent::Done, &stage.version, "").made(digest);
                let end = TokenEnd::Next(stage.to.name().to_owned());
                FinishedToken { claimed: claimed.with(token), entry, end }
            }
            Err(fault) => self.failed(claimed, &fault),
        }
    }

    fn failed(&self, claimed: ClaimedToken, fault: &Fault) -> FinishedToken {
        let stage = &self.work.stage;
        let text = format!("{} {}", fault.reason, fault.remedy);
        match fault.kind {
            FaultKind::Cancelled => {
                let entry = TokenEntry::new(&stage.name, TokenEvent::Waits, &stage.version, &text);
                FinishedToken { claimed, entry, end: TokenEnd::Back }
            }
            FaultKind::Transient | FaultKind::TimedOut | FaultKind::Storage
                if claimed.token.waits < WAITS_MAX =>
            {
                let wait = (WAIT_FIRST_S << claimed.token.waits.min(16)).min(WAIT_MAX_S);
                self.tell(&fault.reason);
                self.postponed(claimed, &text, wait)
            }
            FaultKind::Transient
            | FaultKind::TimedOut
            | FaultKind::Storage
            | FaultKind::Data
            | FaultKind::Broken => {
                let entry = TokenEntry::new(&stage.name, TokenEvent::Failed, &stage.version, &text);
                let end = TokenEnd::Park(reason_slug(&fault.reason));
                FinishedToken { claimed: claimed.waiting(0), entry, end }
            }
        }
    }

    /// Says why tokens wait; not for each of many.
    fn tell(&self, reason: &str) {
        let mut state = self.lock();
        if state.told.is_none_or(|told| told.elapsed() >= TELLING) {
            tracing::warn!("{}: {reason}; tokens wait, and are tried again", self.work.stage.name);
            state.told = Some(Instant::now());
        }
    }

    fn postponed(&self, claimed: ClaimedToken, text: &str, wait: u64) -> FinishedToken {
        let stage = &self.work.stage;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let entry = TokenEntry::new(&stage.name, TokenEvent::Waits, &stage.version, text);
        let waits = claimed.token.waits.saturating_add(1);
        FinishedToken { claimed: claimed.waiting(waits), entry, end: TokenEnd::Postpone(now + wait) }
    }

    fn lock(&self) -> MutexGuard<'_, FinishState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClaimedToken {
    fn with(self, token: StageToken) -> ClaimedToken {
        ClaimedToken { token, ..self }
    }

    fn waiting(mut self, waits: u32) -> ClaimedToken {
        self.token.waits = waits;
        self.token.look_again_s = None;
        self
    }
}

/// The token in the response, or the fault of its step.
fn answered(pending: &PendingDelivery) -> Result<StageToken, Fault> {
    let response = pending.response();
    let items = response.streams.iter().flat_map(|stream| &stream.faults).map(|item| &item.fault);
    if let Some(fault) = items.chain(response.faults().map(|(_, fault)| fault)).next() {
        return Err(fault.clone());
    }
    let lacking =
        || Fault::new("no answer: the stage gave no token", "Report this to the authors of the stage.");
    let file = response.files.iter().find(|file| file.name == TOKENS_FILE).ok_or_else(lacking)?;
    let bytes = pending.store().get(response.request, file.digest).ok_or_else(lacking)?;
    let tokens: Vec<StageToken> = serde_json::from_slice(&bytes).map_err(|_| lacking())?;
    tokens.into_iter().next().ok_or_else(lacking)
}
