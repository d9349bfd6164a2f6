//! A session of Engine.IO (protocol version 4): a client over long polling, over WebSocket, or on the way from one to
//! the other.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::Notify;

use super::context::{EntryRefusal, JoinedDevice, ServerContext};
use super::device::DeviceWork;
use super::intake::{TakeOutcome, now_s};
use super::limits::{ConnectionCounts, ConnectionPlace, MessageRate, RateVerdict};
use super::message::MessageRefusal;
use super::outgoing::Outgoing;
use super::socket_io::{ConnectAuth, SocketPacket, connect_error, connected, disconnected, emitted, packet};
use super::web_socket::too_many;

/// The sessions of a server.
pub struct EngineSessions {
    sessions: Mutex<HashMap<String, Arc<EngineSession>>>,
    random: File,
    counts: Arc<ConnectionCounts>,
}

/// A session.
pub struct EngineSession {
    pub id: String,
    state: Mutex<SessionState>,
    wake: Notify,
    /// Held by the one request that polls.
    pub polling: tokio::sync::Mutex<()>,
    _place: ConnectionPlace,
}

struct SessionState {
    transport: EngineTransport,
    /// Packets that go before those of the device.
    control: VecDeque<String>,
    joined: Option<Arc<JoinedDevice>>,
    opened: Instant,
    heard: Instant,
    pinged: Instant,
    rate: MessageRate,
    /// Whether a WebSocket is taking the session over.
    is_upgrading: bool,
    is_closed: bool,
}

/// The transport that packets go out by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineTransport {
    Polling,
    /// The client is changing to WebSocket: packets wait.
    Upgrading,
    WebSocket,
}

/// Whether a session goes on after a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEnd {
    GoesOn,
    Ends,
}

/// The time between two pings, and the time for their answers.
pub const PING: Duration = Duration::from_secs(25);
pub const PING_ANSWER: Duration = Duration::from_secs(20);

/// The Engine.IO packets without content.
pub const NOOP: &str = "6";
const CLOSE: &str = "1";
const PING_PACKET: &str = "2";

/// The beginning of a packet with an event, which is counted as a message.
const EVENT: &str = "42";

/// The packets that wait beside those of a device: more are a client that does not read.
const CONTROL_MAX: usize = 600;

impl EngineSessions {
    /// # Errors
    /// If the system has no random numbers.
    pub fn new(max: usize, per_address_max: usize) -> io::Result<EngineSessions> {
        let counts = Arc::new(ConnectionCounts::new("Engine.IO sessions", max, per_address_max));
        Ok(EngineSessions { sessions: Mutex::default(), random: File::open("/dev/urandom")?, counts })
    }

    /// A new session of a client at an address; `None` if there are too many. One connection can open any number of them,
    /// so that they are counted apart from connections.
    pub fn open(
        &self,
        transport: EngineTransport,
        rate: usize,
        address: IpAddr,
    ) -> Option<Arc<EngineSession>> {
        let place = self.counts.open(address)?;
        let mut bytes = [0; 16];
        (&self.random).read_exact(&mut bytes).ok()?;
        let id: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let now = Instant::now();
        let state = SessionState {
            transport,
            control: VecDeque::new(),
            joined: None,
            opened: now,
            heard: now,
            pinged: now,
            rate: MessageRate::new(rate, now),
            is_upgrading: false,
            is_closed: false,
        };
        let (wake, polling) = (Notify::new(), tokio::sync::Mutex::new(()));
        let state = Mutex::new(state);
        let session = Arc::new(EngineSession { id: id.clone(), state, wake, polling, _place: place });
        self.lock().insert(id, Arc::clone(&session));
        Some(session)
    }

    pub fn get(&self, id: &str) -> Option<Arc<EngineSession>> {
        self.lock().get(id).cloned()
    }

    pub fn close(&self, session: &EngineSession) {
        self.lock().remove(&session.id);
        session.close();
    }

    /// Pings the sessions that are due, and ends those of which nothing is heard, or whose tokens have expired.
    pub fn beat(&self, hello: Duration) {
        let now = Instant::now();
        let all: Vec<Arc<EngineSession>> = self.lock().values().cloned().collect();
        for session in all {
            if session.has_expired() {
                // Clients that are told so do not connect again with the same token.
                session.put(disconnected());
                self.close(&session);
            } else if session.is_over(now, hello) {
                self.close(&session);
            } else {
                session.ping(now);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<EngineSession>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EngineSession {
    /// The next packet for a transport, `None` once the session has ended. Nothing is lost when this is given up.
    pub async fn next(&self, transport: EngineTransport, context: &ServerContext) -> Option<String> {
        loop {
            let joined = {
                let mut state = self.lock();
                if state.transport != transport {
                    return Some(NOOP.to_owned());
                }
                if let Some(packet) = state.control.pop_front() {
                    return Some(packet);
                }
                if state.is_closed {
                    return None;
                }
                state.joined.clone()
            };
            let Some(joined) = joined else {
                self.wake.notified().await;
                continue;
            };
            let device = &joined.device;
            match device.take() {
                DeviceWork::Send(outgoing) => return Some(packet(&outgoing, Some(&device.member))),
                DeviceWork::Read { conversation, after, known } => {
                    context.read(device, conversation, after, known);
                }
                DeviceWork::End => return None,
                DeviceWork::Nothing => tokio::select! {
                    () = device.woken() => {}
                    () = self.wake.notified() => {}
                },
            }
        }
    }

    /// A further packet, if there is one that need not be waited for.
    pub fn next_ready(&self) -> Option<String> {
        let mut state = self.lock();
        if let Some(packet) = state.control.pop_front() {
            return Some(packet);
        }
        let joined = state.joined.as_ref()?;
        let outgoing = joined.device.take_ready()?;
        Some(packet(&outgoing, Some(&joined.device.member)))
    }

    /// Whether a WebSocket may take the session over, which is polled. Only one may, until the transport has changed.
    pub fn begin_upgrade(&self) -> bool {
        let mut state = self.lock();
        let may = state.transport == EngineTransport::Polling && !state.is_upgrading;
        state.is_upgrading |= may;
        may
    }

    /// Changes the transport.
    pub fn change(&self, transport: EngineTransport) {
        let mut state = self.lock();
        state.transport = transport;
        state.is_upgrading = transport == EngineTransport::Upgrading;
        drop(state);
        self.wake.notify_waiters();
        self.wake.notify_one();
    }

    /// Counts a frame that is no message: also of these there can be too many.
    pub fn count_frame(&self) -> SessionEnd {
        match self.lock().rate.count(Instant::now()) {
            RateVerdict::Flood => SessionEnd::Ends,
            RateVerdict::Fits | RateVerdict::TooMany => SessionEnd::GoesOn,
        }
    }

    /// Takes a packet of the client.
    pub async fn receive(&self, text: &str, context: &ServerContext) -> SessionEnd {
        self.lock().heard = Instant::now();
        if !text.starts_with(EVENT) && self.count_frame() == SessionEnd::Ends {
            return SessionEnd::Ends;
        }
        match text.as_bytes().first() {
            Some(b'3' | b'6') => SessionEnd::GoesOn,
            Some(b'4') => match SocketPacket::read(&text[1..]) {
                Some(packet) => self.receive_packet(packet, context).await,
                None => SessionEnd::Ends,
            },
            _ => SessionEnd::Ends,
        }
    }

    async fn receive_packet(&self, packet: SocketPacket, context: &ServerContext) -> SessionEnd {
        match packet {
            SocketPacket::Connect { namespace, .. } if namespace != "/" => {
                self.put(connect_error(&namespace, "Invalid namespace"));
                SessionEnd::GoesOn
            }
            SocketPacket::Connect { auth, .. } => self.connect(auth, context).await,
            SocketPacket::Disconnect => {
                self.lock().joined = None;
                SessionEnd::GoesOn
            }
            SocketPacket::Event { name, arguments, ack } => self.emit(&name, arguments, ack, context).await,
            SocketPacket::Halved { id, ack } => self.refuse_halved(id.as_deref(), ack),
            SocketPacket::Acknowledgement => SessionEnd::GoesOn,
        }
    }

    async fn connect(&self, auth: Value, context: &ServerContext) -> SessionEnd {
        let auth = serde_json::from_value::<ConnectAuth>(auth);
        let entered = match auth {
            Ok(ConnectAuth { token, seen }) => context.enter(&token, seen).await,
            Err(_) => {
                Err(EntryRefusal::Invalid("auth is {token: …, seen: {CONVERSATION: NUMBER}}".to_owned()))
            }
        };
        match entered {
            Ok((joined, welcome)) => {
                self.put(connected(&self.id));
                self.put(emitted("welcome", &welcome.object()));
                self.lock().joined = Some(Arc::new(joined));
                self.wake.notify_one();
            }
            Err(EntryRefusal::Invalid(reason)) => self.put(connect_error("/", &reason)),
            // After a `connect_error`, clients do not connect again by themselves.
            Err(EntryRefusal::Unready | EntryRefusal::Ending) => return SessionEnd::Ends,
        }
        SessionEnd::GoesOn
    }

    async fn emit(
        &self,
        name: &str,
        arguments: Vec<Value>,
        ack: Option<u64>,
        context: &ServerContext,
    ) -> SessionEnd {
        let verdict = self.lock().rate.count(Instant::now());
        let joined = self.lock().joined.clone();
        let Some(joined) = joined.filter(|joined| !joined.device.is_over()) else { return SessionEnd::Ends };
        let message = arguments.into_iter().next().unwrap_or_default();
        let refuse = |refusal: MessageRefusal| joined.device.reply(Outgoing::Refused { refusal, ack });
        match verdict {
            RateVerdict::Flood => return SessionEnd::Ends,
            RateVerdict::TooMany => refuse(too_many(message["id"].as_str())),
            RateVerdict::Fits if name == "send" => {
                joined.device.has_room().await;
                if context.intake.send(&joined.device, message, ack) == TakeOutcome::Ended {
                    return SessionEnd::Ends;
                }
            }
            RateVerdict::Fits => {
                let refusal = MessageRefusal::new(None, "there is no such event");
                refuse(refusal.remedy("emit \"send\" with {id, conversation, type, content}"));
            }
        }
        SessionEnd::GoesOn
    }

    /// Refuses an event with half of a surrogate pair, as programs make it that cut texts between the halves.
    fn refuse_halved(&self, id: Option<&str>, ack: Option<u64>) -> SessionEnd {
        let verdict = self.lock().rate.count(Instant::now());
        let joined = self.lock().joined.clone();
        let Some(joined) = joined.filter(|joined| !joined.device.is_over()) else { return SessionEnd::Ends };
        if verdict == RateVerdict::Flood {
            return SessionEnd::Ends;
        }
        let refusal = MessageRefusal::new(id, "a text has half of a surrogate pair, which is no character");
        let refusal = refusal.remedy("cut texts between characters");
        joined.device.reply(Outgoing::Refused { refusal, ack });
        SessionEnd::GoesOn
    }

    fn put(&self, packet: String) {
        let mut state = self.lock();
        match state.control.len() {
            ..CONTROL_MAX => state.control.push_back(packet),
            _ => state.is_closed = true,
        }
        drop(state);
        self.wake.notify_one();
    }

    fn ping(&self, now: Instant) {
        let mut state = self.lock();
        if state.transport != EngineTransport::Upgrading && now.duration_since(state.pinged) >= PING {
            state.pinged = now;
            drop(state);
            self.put(PING_PACKET.to_owned());
        }
    }

    fn is_over(&self, now: Instant, hello: Duration) -> bool {
        let state = self.lock();
        let is_silent = now.duration_since(state.heard) > PING + PING_ANSWER;
        let is_late = state.joined.is_none() && now.duration_since(state.opened) > hello;
        let takes_nothing = state.joined.as_ref().is_some_and(|joined| joined.device.is_over());
        state.is_closed || is_silent || is_late || takes_nothing
    }

    fn has_expired(&self) -> bool {
        let state = self.lock();
        state.joined.as_ref().is_some_and(|joined| joined.device.member.expires_s < now_s())
    }

    fn close(&self) {
        let mut state = self.lock();
        state.joined = None;
        state.control.push_back(CLOSE.to_owned());
        state.is_closed = true;
        drop(state);
        self.wake.notify_waiters();
        self.wake.notify_one();
    }

    /// Notes that the client is there.
    pub fn hear(&self) {
        self.lock().heard = Instant::now();
    }

    fn lock(&self) -> MutexGuard<'_, SessionState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first packet of a session.
pub fn open_packet(session: &EngineSession, upgrades: &[&str], frame_bytes_max: usize) -> String {
    let open = json!({
        "sid": session.id,
        "upgrades": upgrades,
        "pingInterval": PING.as_millis(),
        "pingTimeout": PING_ANSWER.as_millis(),
        "maxPayload": frame_bytes_max,
    });
    format!("0{open}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sessions() -> EngineSessions {
        EngineSessions::new(10, 3).unwrap()
    }

    fn open(sessions: &EngineSessions, last: u8) -> Option<Arc<EngineSession>> {
        sessions.open(EngineTransport::Polling, 20, IpAddr::from([10, 0, 0, last]))
    }

    #[test]
    fn one_address_does_not_take_all_sessions() {
        let sessions = sessions();
        let opened: Vec<Arc<EngineSession>> = (0..100).filter_map(|_| open(&sessions, 1)).collect();
        assert_eq!(opened.len(), 3);
        assert!(open(&sessions, 2).is_some());
        opened.iter().for_each(|session| sessions.close(session));
        drop(opened);
        assert!(open(&sessions, 1).is_some(), "sessions count until they end");
    }

    #[test]
    fn one_web_socket_takes_a_session_over() {
        let sessions = sessions();
        let session = open(&sessions, 1).unwrap();
        assert!(session.begin_upgrade());
        assert!(!session.begin_upgrade(), "before the first probe");
        session.change(EngineTransport::Upgrading);
        assert!(!session.begin_upgrade());
        session.change(EngineTransport::Polling);
        assert!(session.begin_upgrade(), "the first one was broken off");
        session.change(EngineTransport::WebSocket);
        assert!(!session.begin_upgrade());
    }

    #[test]
    fn frames_that_are_no_messages_are_counted() {
        let sessions = sessions();
        let session = open(&sessions, 1).unwrap();
        assert!((0..2_000).any(|_| session.count_frame() == SessionEnd::Ends));
    }
}
