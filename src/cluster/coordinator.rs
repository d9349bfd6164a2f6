//! Process 0: it listens for the others, gives them requests, and records what they report.
//!
//! Each connection has a generation, a number that no connection had before. A process that is lost keeps its requests
//! for a moment: if it is still there and connects again, it goes on with them under its new generation. Otherwise
//! they begin elsewhere.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::engine::{RemoteProcesses, RemoteReports, RemoteStepEnd};
use crate::journal::RunPlace;
use crate::printable::with_causes;
use crate::tls::{CertificateNames, SessionKeys};

use super::chunks::{self, CHUNK_BYTES, ChunkRequest};
use super::frames::{OrderFrame, ReportFrame, StepEndNote};
use super::handshake::{self, ClusterAgreement, HandshakeError, HelloMessage, WelcomeMessage};
use super::hosts::{HostList, host_of};
use super::link::{LinkSender, ProcessLink};
use super::member_entry::{MemberEntry, now_ms};
use super::refusals::RefusalLog;
use super::standing::StandingFile;
use super::{ClusterError, ClusterSetup};

/// The most handshakes at a time; further connections wait.
const HANDSHAKES_MAX: usize = 64;

/// The longest wait at the end for processes that have just been lost: they come back to be told of it.
const END_WAIT: Duration = Duration::from_secs(3);

/// The time in which notes of finished runs are gathered for one commit.
const NOTES_GATHERED: Duration = Duration::from_millis(50);

/// The coordinator of a cluster, from its start until all requests are answered.
pub struct ClusterCoordinator {
    shared: Arc<CoordinatorShared>,
    threads: Vec<JoinHandle<()>>,
    address: SocketAddr,
}

pub struct CoordinatorShared {
    pub(super) hosts: HostList,
    keys: SessionKeys,
    pub(super) hello: HelloMessage,
    pub(super) state: Mutex<CoordinatorState>,
    pub(super) changed: Condvar,
    pub(super) reports: OnceLock<RemoteReports>,
    /// Every request is answered: who connects is told.
    is_ending: AtomicBool,
    pub(super) is_ended: AtomicBool,
    handshakes: AtomicUsize,
    refusals: RefusalLog,
    pub(super) file: StandingFile,
    /// The start, in milliseconds of Unix time.
    pub(super) since_ms: i64,
}

pub struct CoordinatorState {
    pub(super) generation: u64,
    pub(super) members: Vec<MemberEntry>,
    /// A process that cannot work with this one.
    disagreement: Option<(String, String)>,
    /// Threads of connections.
    links: Vec<JoinHandle<()>>,
}

impl ClusterCoordinator {
    /// Listens for the other processes from now on.
    ///
    /// # Errors
    /// If the address cannot be used.
    pub fn start(
        setup: ClusterSetup,
        agreement: &ClusterAgreement,
        state: &Path,
    ) -> Result<ClusterCoordinator, ClusterError> {
        let ClusterSetup { hosts, keys, workers, labels, memory, .. } = setup;
        let address = hosts.addresses()[0].clone();
        let failed = |source| ClusterError::Listen { address: address.clone(), source };
        let listener = TcpListener::bind(&address).map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        let members = hosts.addresses().iter().skip(1).map(|address| MemberEntry::new(address.clone()));
        let members = members.collect();
        let hello = HelloMessage::new(0, 0, workers, agreement).with_memory(memory).with_labels(labels);
        let state_now = CoordinatorState { generation: 0, members, disagreement: None, links: Vec::new() };
        let shared = Arc::new(CoordinatorShared {
            hosts,
            keys,
            hello,
            state: Mutex::new(state_now),
            changed: Condvar::new(),
            reports: OnceLock::new(),
            is_ending: AtomicBool::new(false),
            is_ended: AtomicBool::new(false),
            handshakes: AtomicUsize::new(0),
            refusals: RefusalLog::default(),
            file: StandingFile::at(state),
            since_ms: now_ms(),
        });
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name(name.to_owned()).spawn(work).map_err(failed)
        };
        let (accepts, looks) = (Arc::clone(&shared), Arc::clone(&shared));
        let threads = vec![
            spawn("flow:cluster", Box::new(move || accepts.accept_all(&listener)))?,
            spawn("flow:cluster-look", Box::new(move || looks.look()))?,
        ];
        Ok(ClusterCoordinator { shared, threads, address: bound })
    }

    /// The connections, for the engine.
    pub fn processes(&self) -> Arc<dyn RemoteProcesses> {
        Arc::clone(&self.shared) as _
    }

    /// Waits until all processes are there, for at most this time. Returns the indices of those that are not.
    ///
    /// # Errors
    /// A process has other settings than this one.
    pub fn wait(&self, time: Duration) -> Result<Vec<usize>, ClusterError> {
        let absent = |state: &CoordinatorState| -> Vec<usize> {
            let members = state.members.iter().enumerate();
            members
                .filter(|(_, member)| !member.is_connected() && !member.is_joined)
                .map(|(index, _)| index + 1)
                .collect()
        };
        let state = self.shared.lock();
        let waits = |state: &mut CoordinatorState| state.disagreement.is_none() && !absent(state).is_empty();
        let waited = self.shared.changed.wait_timeout_while(state, time, waits);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match &state.disagreement {
            Some((address, difference)) => Err(ClusterError::Handshake {
                address: address.clone(),
                source: HandshakeError::Disagreement(difference.clone()),
            }),
            None => Ok(absent(&state)),
        }
    }

    /// Ends all other processes: every request is answered. Those that were lost just before are waited for.
    pub fn end(self) {
        let mut state = self.shared.lock();
        self.shared.is_ending.store(true, Ordering::Release);
        state.members.iter_mut().for_each(MemberEntry::dismiss);
        let is_awaited =
            |state: &mut CoordinatorState| state.members.iter().any(|member| member.may_return(END_WAIT));
        drop(self.shared.changed.wait_timeout_while(state, END_WAIT, is_awaited));
    }
}

impl Drop for ClusterCoordinator {
    fn drop(&mut self) {
        {
            let mut state = self.shared.lock();
            self.shared.is_ended.store(true, Ordering::Release);
            state.members.iter_mut().for_each(MemberEntry::close);
        }
        self.shared.changed.notify_all();
        // The thread that accepts looks whether it is to end with each connection.
        drop(TcpStream::connect(self.address));
        // A thread that panicked has said so.
        self.threads.drain(..).for_each(|thread| _ = thread.join());
        // A handshake that was under way may have added a connection meanwhile.
        loop {
            let links = std::mem::take(&mut self.shared.lock().links);
            if links.is_empty() {
                break;
            }
            links.into_iter().for_each(|thread| _ = thread.join());
        }
        self.shared.file.remove();
    }
}

impl CoordinatorShared {
    /// Meets all that connect. At the end, those that have connected by then are met, too: they have to be told.
    fn accept_all(self: &Arc<CoordinatorShared>, listener: &TcpListener) {
        let mut met_at_end = 0;
        while let Ok((socket, from)) = listener.accept() {
            if self.is_ended.load(Ordering::Acquire) {
                met_at_end += 1;
                if met_at_end > HANDSHAKES_MAX || listener.set_nonblocking(true).is_err() {
                    return;
                }
            }
            self.await_handshake_slot();
            let shared = Arc::clone(self);
            let thread = std::thread::Builder::new().name("flow:cluster-link".to_owned());
            let spawned = thread.spawn(move || shared.meet(socket, from));
            let mut state = self.lock();
            state.links.retain(|thread| !thread.is_finished());
            match spawned {
                Ok(thread) => state.links.push(thread),
                Err(error) => {
                    tracing::error!(%error, "could not start a thread for a process of the cluster")
                }
            }
        }
    }

    fn await_handshake_slot(&self) {
        let state = self.lock();
        let is_full = |_: &mut CoordinatorState| self.handshakes.load(Ordering::Acquire) >= HANDSHAKES_MAX;
        drop(self.changed.wait_while(state, is_full));
        self.handshakes.fetch_add(1, Ordering::AcqRel);
    }

    /// Meets whoever has connected, and serves it if it is a process of the cluster.
    fn meet(self: &Arc<CoordinatorShared>, socket: TcpStream, from: SocketAddr) {
        let met = handshake::welcome(socket, &self.keys, &self.hello)
            .and_then(|(link, hello, names)| self.join(link, hello, from, names.as_ref()));
        self.handshakes.fetch_sub(1, Ordering::AcqRel);
        self.changed.notify_all();
        match met {
            Ok((link, served)) => self.serve(link, &served),
            Err(HandshakeError::Disagreement(difference)) => {
                self.refusals.tell(from, &difference);
                self.lock().disagreement.get_or_insert((from.to_string(), difference));
                self.changed.notify_all();
            }
            // Also the connection that wakes the thread that accepts.
            Err(_) if self.is_ended.load(Ordering::Acquire) => {}
            Err(error) => self.refusals.tell(from, &with_causes(&error)),
        }
    }

    /// Takes a process in under a new generation.
    fn join(
        &self,
        mut link: ProcessLink,
        hello: HelloMessage,
        from: SocketAddr,
        names: Option<&CertificateNames>,
    ) -> Result<(ProcessLink, ServedMember), HandshakeError> {
        let refuse = |link: &mut ProcessLink, reason: String| {
            link.send(&WelcomeMessage::Refused(reason.clone()))?;
            Err(HandshakeError::Refused(reason))
        };
        let is_host = (1..self.hosts.addresses().len()).contains(&hello.process);
        if !hello.joins && !is_host {
            return refuse(&mut link, format!("there is no process {}", hello.process));
        }
        let mut state = self.lock();
        let [is_ending, is_ended] =
            [&self.is_ending, &self.is_ended].map(|flag| flag.load(Ordering::Acquire));
        if is_ended && !is_ending {
            drop(state);
            return refuse(&mut link, "process 0 stops".to_owned());
        }
        let process = if hello.joins { state.joined(hello.instance, from) } else { hello.process };
        let address = state.members[process - 1].address.clone();
        if !hello.joins && self.keys.has_names() && !names.is_some_and(|names| names.have(host_of(&address)))
        {
            drop(state);
            let _ =
                refuse(&mut link, format!("the certificate does not name the host {}", host_of(&address)));
            return Err(HandshakeError::Name(host_of(&address).to_owned()));
        }
        let generation = state.generation + 1;
        let member = &mut state.members[process - 1];
        if member.is_other(hello.instance) {
            drop(state);
            return refuse(&mut link, format!("process {process} is connected already"));
        }
        let (instance, noted) = (hello.instance, member.noted(hello.instance));
        link.send(&WelcomeMessage::Joined { generation, noted })?;
        let (sender, thread) = link.sender(&OrderFrame::Beat)?;
        let outage = member.join(sender.clone(), generation, &hello);
        if is_ending {
            member.dismiss();
        }
        if is_ended {
            member.close();
        }
        state.generation = generation;
        state.links.push(thread);
        drop(state);
        self.changed.notify_all();
        match outage.map(|outage| outage.as_secs_f64()) {
            Some(outage) => {
                tracing::warn!(
                    generation,
                    "process {process} at {address} is there again after {outage:.1} s"
                )
            }
            None => tracing::info!(generation, "process {process} at {address} is there"),
        }
        self.note_change();
        Ok((link, ServedMember { process, instance, generation, sender }))
    }

    fn serve(self: &Arc<CoordinatorShared>, mut link: ProcessLink, served: &ServedMember) {
        let (note, noted) = channel();
        let ended = std::thread::scope(|scope| {
            scope.spawn(move || self.acknowledge(&noted, served));
            let ended = self.hear(&mut link, served, &note);
            drop(note);
            ended
        });
        let mut state = self.lock();
        // What is still to be sent at the end, as that it is the end, is written before the connection closes.
        if !self.is_ended.load(Ordering::Acquire) {
            served.sender.cut();
        }
        let member = &mut state.members[served.process - 1];
        if member.lose(served.generation) && !self.is_ended.load(Ordering::Acquire) {
            let why = ended.err().map(|error| error.to_string()).unwrap_or_default();
            tracing::warn!(
                generation = served.generation,
                why,
                "process {} at {} does not answer",
                served.process,
                member.address
            );
        }
        drop(state);
        self.changed.notify_all();
    }

    fn hear(
        &self,
        link: &mut ProcessLink,
        served: &ServedMember,
        note: &Sender<(u64, bool)>,
    ) -> io::Result<()> {
        loop {
            let (frame, content) = link.receive::<ReportFrame>()?;
            let mut state = self.lock();
            let member = &mut state.members[served.process - 1];
            // A newer connection of the process has taken its place.
            if !member.hear(served.generation) {
                return Ok(());
            }
            drop(state);
            if matches!(frame, ReportFrame::Beat) {
                continue;
            }
            let Some(reports) = self.reports() else { return Ok(()) };
            match frame {
                ReportFrame::Note(one) => {
                    let one = *one;
                    reports.note(&one.key, one.record, content).map_err(io::Error::other)?;
                    // The thread that acknowledges ends after this one.
                    let _ = note.send((one.number, one.is_awaited));
                }
                ReportFrame::Answer { ticket, response } => {
                    reports.answered(ticket, *response);
                    served.sender.send(&OrderFrame::Taken { ticket }, &[])?;
                }
                ReportFrame::Interim { ticket, response } => reports.interim(ticket, *response),
                ReportFrame::Unable { ticket, reason } => {
                    tracing::warn!("process {} cannot run a request: {reason}", served.process);
                    reports.refused(ticket);
                }
                ReportFrame::StepEnded(end) => {
                    let StepEndNote { ticket, mut record, again } = *end;
                    // One that joined does not know its index.
                    let process = served.process;
                    let place = record.place.unwrap_or(RunPlace::of(process));
                    record.place = Some(RunPlace { process, ..place });
                    reports.step_ended(ticket, RemoteStepEnd { record, content, again });
                }
                ReportFrame::Fetch(ChunkRequest { number, ticket, value, offset }) => {
                    let piece = reports.piece(ticket, value, offset, CHUNK_BYTES);
                    let (reply, bytes) = chunks::answer(number, piece);
                    served.sender.send(&OrderFrame::Chunk(reply), &bytes)?;
                }
                ReportFrame::Chunk(reply) => {
                    let exchange = self.lock().members[served.process - 1].exchange();
                    exchange.take(reply, content);
                }
                ReportFrame::StepUnable { ticket, reason } => {
                    if self.lock().members[served.process - 1].refuse_step(ticket, &reason) {
                        tracing::warn!("process {} cannot run steps: {reason}", served.process);
                    }
                    reports.step_refused(ticket);
                }
                ReportFrame::Beat => {}
            }
        }
    }

    /// Takes the way into the engine.
    pub(super) fn begin(&self, reports: RemoteReports) {
        // Called once.
        let _ = self.reports.set(reports);
        self.changed.notify_all();
    }

    /// Tells the process which of its notes are on the disk.
    fn acknowledge(&self, noted: &Receiver<(u64, bool)>, served: &ServedMember) {
        while let Ok((mut number, mut is_awaited)) = noted.recv() {
            let until = Instant::now() + NOTES_GATHERED;
            loop {
                let left =
                    if is_awaited { Duration::ZERO } else { until.saturating_duration_since(Instant::now()) };
                match noted.recv_timeout(left) {
                    Ok((next, awaited)) => (number, is_awaited) = (next, is_awaited || awaited),
                    Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
                }
            }
            let Some(reports) = self.reports() else { return };
            match reports.flush() {
                Ok(()) => {
                    // It counts for the next connection, also if this one has ended.
                    self.lock().members[served.process - 1].note(served.instance, number);
                    let _ = served.sender.send(&OrderFrame::Noted { number }, &[]);
                }
                Err(error) => tracing::warn!(%error, "the runs of another process are not recorded yet"),
            }
        }
    }

    /// The way into the engine, once it runs; `None` if the cluster has ended before.
    fn reports(&self) -> Option<&RemoteReports> {
        let is_waiting =
            |_: &mut CoordinatorState| self.reports.get().is_none() && !self.is_ended.load(Ordering::Acquire);
        drop(self.changed.wait_while(self.lock(), is_waiting));
        self.reports.get()
    }

    pub(super) fn note_change(&self) {
        self.reports.get().iter().for_each(|reports| reports.changed());
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, CoordinatorState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that is served.
struct ServedMember {
    process: usize,
    instance: u64,
    generation: u64,
    sender: LinkSender,
}
