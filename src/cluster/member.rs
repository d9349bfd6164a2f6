//! Another process than the first one: it runs requests that process 0 gives it.
//!
//! Its engine runs on whether or not process 0 is there. What has ended meanwhile, runs and responses, waits here until
//! process 0 has it. A request is done with once process 0 has taken its answer, or does not want it any more.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::dataflow::{Dataflow, Response, ResponseVerdict};
use crate::engine::{
    PendingDelivery, RemoteRequest, RemoteRequestKey, RequestQueue, ResponseSink, RunNotRecorded, RunRecorder,
};
use crate::journal::RunRecord;
use crate::step::Digest;

use super::frames::{AnnouncedVersion, OrderFrame, ReportFrame};
use super::handshake::{self, ClusterAgreement, HandshakeError, HelloMessage};
use super::hosts::host_of;
use super::link::{LinkSender, ProcessLink};
use super::member_engine::MemberEngine;
use super::member_steps::MemberSteps;
use super::note_queue::NoteQueue;
use super::{ClusterError, ClusterSetup};

/// The interval between attempts to connect.
const RETRY: Duration = Duration::from_millis(150);

/// The longest interval, after process 0 has refused this one again and again.
const REFUSED_RETRY_MAX: Duration = Duration::from_secs(2);

/// The longest time that an attempt takes to connect.
const CONNECT_MAX: Duration = Duration::from_secs(1);

/// Handshakes that fail one after the other for want of trust, after which a process that never was there gives up. One
/// alone may be a bit that was changed on its way.
const DISTRUSTED_MAX: u32 = 3;

/// A process of a cluster that is not the first one.
pub struct ClusterMember {
    setup: ClusterSetup,
    hello: HelloMessage,
    state: Mutex<MemberState>,
    changed: Condvar,
    steps: Arc<MemberSteps>,
}

#[derive(Default)]
struct MemberState {
    link: Option<LinkSender>,
    requests: HashMap<RemoteRequestKey, MemberRequest>,
    notes: NoteQueue,
    /// The requests whose answers are sent over this connection, each once the notes up to this number were.
    due: Vec<(u64, RemoteRequestKey)>,
    /// The versions of dataflows of which it was said over this connection that steps cannot run here.
    declined: BTreeSet<Digest>,
}

/// A request that this process runs.
struct MemberRequest {
    ticket: u64,
    /// Set once process 0 does not want it any more, while its steps are ending.
    is_released: bool,
    answer: Option<Response>,
    /// The number of the last note before the answer.
    answered_after: u64,
    interim: Option<Response>,
}

impl ClusterMember {
    pub fn new(setup: ClusterSetup, agreement: &ClusterAgreement) -> ClusterMember {
        let hello = HelloMessage::new(setup.index, setup.instance, setup.workers, agreement);
        let hello = hello.with_memory(setup.memory).with_labels(setup.labels.clone()).joining(setup.joins);
        let steps = Arc::new(MemberSteps::new(setup.joins));
        let (state, changed) = (Mutex::default(), Condvar::new());
        ClusterMember { setup, hello, state, changed, steps }
    }

    /// Runs requests of process 0 until it says that all are answered. `read` reads a dataflow that process 0 tells of.
    /// Waits for process 0 as long as it is away, but for the first time only so long as `patience`.
    ///
    /// # Errors
    /// Process 0 is not there in time, is none of this cluster, or has other settings.
    pub fn serve(
        &self,
        queue: &RequestQueue,
        read: &(dyn Fn(&AnnouncedVersion) -> Option<Dataflow> + Sync),
        patience: Duration,
    ) -> Result<(), ClusterError> {
        let mut engine = MemberEngine::new(queue, read);
        let address = &self.setup.hosts.addresses()[0];
        let mut until = Some(Instant::now() + patience);
        loop {
            let (link, generation, noted) = self.connect(until, patience)?;
            match until.take() {
                Some(_) => tracing::info!(generation, "process 0 at {address} is there"),
                None => tracing::warn!(generation, "process 0 at {address} is there again"),
            }
            match self.follow(link, noted, &mut engine) {
                Ok(()) => {
                    self.release_all();
                    return Ok(());
                }
                Err(error) => {
                    let mut state = self.lock();
                    state.link.take().iter().for_each(LinkSender::cut);
                    self.steps.disconnect();
                    let requests = state.requests.len();
                    tracing::warn!(
                        generation,
                        why = %error,
                        "process 0 at {address} does not answer; waiting for it, {requests} requests go on"
                    );
                }
            }
        }
    }

    /// Connects to process 0; for ever, if there is no time. Gives the generation, and the last note that is on its disk.
    fn connect(
        &self,
        until: Option<Instant>,
        patience: Duration,
    ) -> Result<(ProcessLink, u64, u64), ClusterError> {
        let address = &self.setup.hosts.addresses()[0];
        let (mut distrusted, mut pause) = (0, RETRY);
        loop {
            let mut hello = self.hello.clone();
            (hello.held, hello.held_steps) = (self.held(), self.steps.held());
            let met = connect(address)
                .map_err(HandshakeError::Silent)
                .and_then(|socket| handshake::introduce(socket, host_of(address), &self.setup.keys, &hello));
            let is_late = until.is_some_and(|until| Instant::now() > until);
            match met {
                Ok(met) => return Ok(met),
                Err(HandshakeError::Silent(_)) if is_late => {
                    let waited_s = patience.as_secs();
                    return Err(ClusterError::Absent { peer: 0, address: address.clone(), waited_s });
                }
                Err(HandshakeError::Silent(_)) => (distrusted, pause) = (0, RETRY),
                Err(source @ HandshakeError::Disagreement(_)) => {
                    return Err(ClusterError::Handshake { address: address.clone(), source });
                }
                Err(source) => {
                    distrusted += u32::from(matches!(source, HandshakeError::Tls(_)));
                    if is_late || (until.is_some() && distrusted >= DISTRUSTED_MAX) {
                        return Err(ClusterError::Handshake { address: address.clone(), source });
                    }
                    tracing::warn!(%source, "process 0 at {address} did not take this process in");
                    pause = (2 * pause).min(REFUSED_RETRY_MAX);
                }
            }
            std::thread::sleep(pause);
        }
    }

    /// Follows the orders of process 0 until it ends the cluster.
    fn follow(&self, mut link: ProcessLink, noted: u64, engine: &mut MemberEngine) -> io::Result<()> {
        let (sender, thread) = link.sender(&ReportFrame::Beat)?;
        engine.connect();
        self.begin_reports(&sender, noted);
        let followed = loop {
            match link.receive::<OrderFrame>() {
                Ok((OrderFrame::End, _)) => break Ok(()),
                Ok((order, content)) => match self.obey(order, content, engine) {
                    Ok(()) => {}
                    Err(error) => break Err(error),
                },
                Err(error) => break Err(error),
            }
        };
        self.lock().link = None;
        self.steps.disconnect();
        sender.cut();
        drop(sender);
        // A thread that panicked has said so.
        let _ = thread.join();
        followed
    }

    /// Sends what process 0 does not have yet, in its order, and all that follows.
    fn begin_reports(&self, sender: &LinkSender, noted: u64) {
        let mut state = self.lock();
        state.link = Some(sender.clone());
        state.due.clear();
        state.declined.clear();
        state.notes.connect(noted);
        state.advance();
        self.steps.connect(sender);
        drop(state);
        self.changed.notify_all();
    }

    fn obey(&self, order: OrderFrame, content: Vec<u8>, engine: &mut MemberEngine) -> io::Result<()> {
        match order {
            OrderFrame::Run(order) => {
                let ticket = order.ticket;
                let ran = engine.request(*order, &content).and_then(|request| self.run(request, engine));
                if let Err(reason) = ran {
                    self.report(&ReportFrame::Unable { ticket, reason });
                }
            }
            OrderFrame::Resume { ticket, key, has_deadline } => {
                let gone = || Err("it does not have it any more".to_owned());
                if let Err(reason) = self.resume(&key, ticket, has_deadline).unwrap_or_else(gone) {
                    self.report(&ReportFrame::Unable { ticket, reason });
                }
            }
            OrderFrame::Cancel(key) => engine.canceller.cancel_version(key.request, key.version),
            OrderFrame::Release(key) => {
                let mut state = self.lock();
                let Some(request) = state.requests.get_mut(&key) else { return Ok(()) };
                request.is_released = true;
                let is_over = request.answer.is_some();
                if is_over {
                    state.requests.remove(&key);
                }
                drop(state);
                self.changed.notify_all();
                if !is_over {
                    engine.canceller.cancel_version(key.request, key.version);
                }
            }
            OrderFrame::Taken { ticket } => {
                self.lock().requests.retain(|_, one| one.ticket != ticket || one.answer.is_none());
            }
            OrderFrame::Noted { number } => {
                let mut state = self.lock();
                state.notes.acknowledge(number);
                state.advance();
                drop(state);
                self.changed.notify_all();
            }
            OrderFrame::Step(order) => {
                let (ticket, version) = (order.ticket, order.key.request.version);
                let step = engine.step(*order, &content);
                if let Err(reason) = step.and_then(|step| self.steps.run(step, &engine.runner)) {
                    if self.lock().declined.insert(version) {
                        tracing::warn!("a step cannot run here: {reason}; another process gets it");
                    }
                    self.report(&ReportFrame::StepUnable { ticket, reason });
                }
            }
            OrderFrame::CancelStep { ticket } => {
                self.steps.cancel(ticket);
                self.changed.notify_all();
            }
            OrderFrame::StepTaken { ticket } => self.steps.taken(ticket),
            OrderFrame::LeftOut { reason } => tracing::warn!("this process {reason}"),
            OrderFrame::Fetch(request) => self.steps.send_chunk(&request, &engine.runner),
            OrderFrame::Chunk(reply) => self.steps.take_chunk(reply, content),
            OrderFrame::Beat => {
                self.steps.tidy(&engine.runner);
                self.changed.notify_all();
            }
            OrderFrame::End => {}
        }
        Ok(())
    }

    /// Runs a request, or goes on with one that runs here already: process 0 has a new ticket for it.
    ///
    /// # Errors
    /// Its steps are still ending here, after it was not wanted any more.
    fn run(&self, request: RemoteRequest, engine: &MemberEngine) -> Result<(), String> {
        let (key, ticket) = (request.key, request.ticket);
        if let Some(resumed) = self.resume(&key, ticket, request.deadline.is_some()) {
            return resumed;
        }
        self.lock().requests.insert(key, MemberRequest::new(ticket));
        engine.submitter.run_for_other(request);
        Ok(())
    }

    /// Goes on with a request that runs here already; `None` if it does not.
    ///
    /// # Errors
    /// Its steps are still ending here, after it was not wanted any more.
    fn resume(&self, key: &RemoteRequestKey, ticket: u64, has_deadline: bool) -> Option<Result<(), String>> {
        let mut state = self.lock();
        let MemberState { link, requests, due, .. } = &mut *state;
        let known = requests.get_mut(key)?;
        if known.is_released {
            return Some(Err("its steps are still ending here".to_owned()));
        }
        known.ticket = ticket;
        if let (Some(link), Some(interim), true) = (link, &known.interim, has_deadline) {
            // If the connection ends, it is sent over the next one.
            let _ = link.send(&interim_frame(ticket, interim), &[]);
        }
        if known.answer.is_some() {
            due.push((known.answered_after, *key));
            state.advance();
        }
        Some(Ok(()))
    }

    /// Takes a final response in.
    fn answer(&self, key: &RemoteRequestKey, response: &Response) {
        let mut state = self.lock();
        let MemberState { requests, notes, due, .. } = &mut *state;
        let Some(request) = requests.get_mut(key) else { return };
        if request.is_released {
            requests.remove(key);
            return;
        }
        (request.answer, request.answered_after) = (Some(response.clone()), notes.last());
        due.push((notes.last(), *key));
        state.advance();
    }

    fn interim(&self, key: &RemoteRequestKey, response: &Response) {
        let mut state = self.lock();
        let MemberState { link, requests, .. } = &mut *state;
        if let Some(request) = requests.get_mut(key) {
            request.interim = Some(response.clone());
            link.iter().for_each(|link| _ = link.send(&interim_frame(request.ticket, response), &[]));
        }
    }

    /// Has a run recorded by process 0; `None` if its request is not wanted any more.
    fn add_note(
        &self,
        key: &RemoteRequestKey,
        record: RunRecord,
        content: &[u8],
        is_awaited: bool,
    ) -> Option<u64> {
        let mut state = self.lock();
        if !self.is_wanted(&state, key) {
            return None;
        }
        let added = state.notes.add(key, record, content, is_awaited);
        state.advance();
        added.inspect_err(|error| tracing::error!(%error, "a run is not recorded by process 0")).ok()
    }

    /// Whether this process runs a request, or a step of it, for process 0.
    fn is_wanted(&self, state: &MemberState, key: &RemoteRequestKey) -> bool {
        state.requests.get(key).is_some_and(|request| !request.is_released) || self.steps.is_of(key)
    }

    fn report(&self, frame: &ReportFrame) {
        // Without a connection, process 0 gives the request elsewhere.
        self.lock().link.iter().for_each(|link| _ = link.send(frame, &[]));
    }

    /// The requests that are not done with.
    fn held(&self) -> Vec<RemoteRequestKey> {
        let state = self.lock();
        state.requests.iter().filter(|(_, one)| !one.is_released).map(|(key, _)| *key).collect()
    }

    /// Lets all waits end: nothing is recorded any more.
    fn release_all(&self) {
        self.lock().requests.values_mut().for_each(|request| request.is_released = true);
        self.steps.end();
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, MemberState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemberRequest {
    fn new(ticket: u64) -> MemberRequest {
        MemberRequest { ticket, is_released: false, answer: None, answered_after: 0, interim: None }
    }
}

impl MemberState {
    /// Sends the notes and the answers whose turn it is. If the connection ends, they are sent over the next one.
    fn advance(&mut self) {
        let MemberState { link, requests, notes, due, .. } = self;
        let Some(link) = link else { return };
        notes.due().into_iter().for_each(|frame| _ = link.send_encoded(frame));
        for (_, key) in due.extract_if(.., |(number, _)| notes.has_sent(*number)) {
            let request =
                requests.get(&key).and_then(|request| Some((request.ticket, request.answer.as_ref()?)));
            if let Some((ticket, answer)) = request {
                let _ = link.send(&answer_frame(ticket, answer), &[]);
            }
        }
    }
}

impl RunRecorder for ClusterMember {
    fn process(&self) -> usize {
        self.setup.index
    }

    fn shares_store(&self) -> bool {
        !self.setup.joins
    }

    fn note(&self, key: &RemoteRequestKey, record: RunRecord, content: Vec<u8>) {
        self.add_note(key, record, &content, false);
    }

    fn note_durably(
        &self,
        key: &RemoteRequestKey,
        record: RunRecord,
        content: Vec<u8>,
    ) -> Result<(), RunNotRecorded> {
        let number = self.add_note(key, record, &content, true).ok_or(RunNotRecorded)?;
        let waits = |state: &mut MemberState| state.notes.has(number) && self.is_wanted(state, key);
        let waited = self.changed.wait_while(self.lock(), waits);
        let state = waited.unwrap_or_else(PoisonError::into_inner);
        if state.notes.has(number) { Err(RunNotRecorded) } else { Ok(()) }
    }
}

/// Responses go back to process 0, which delivers them.
impl ResponseSink for ClusterMember {
    fn deliver(&self, pending_delivery: PendingDelivery) {
        let response = Arc::clone(pending_delivery.response());
        let is_it = |key: &&RemoteRequestKey| {
            key.request == pending_delivery.request().id && key.version == response.version
        };
        let key = self.lock().requests.keys().find(is_it).copied();
        // The engine is done with the request before it may be given again.
        pending_delivery.settle(Ok(()));
        match (key, response.verdict) {
            (Some(key), ResponseVerdict::Unfinished) => self.interim(&key, &response),
            (Some(key), _) => self.answer(&key, &response),
            (None, _) => {}
        }
    }
}

fn answer_frame(ticket: u64, response: &Response) -> ReportFrame {
    ReportFrame::Answer { ticket, response: Box::new(response.clone()) }
}

fn interim_frame(ticket: u64, response: &Response) -> ReportFrame {
    ReportFrame::Interim { ticket, response: Box::new(response.clone()) }
}

fn connect(address: &str) -> io::Result<TcpStream> {
    let mut failed = io::Error::from(io::ErrorKind::NotFound);
    for one in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&one, CONNECT_MAX) {
            Ok(socket) => return Ok(socket),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}
