//! A session of Engine.IO (protocol version 4): a client over long polling, over WebSocket, or on the way from one to
//! the other.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::Notify;

use super::context::{JoinedDevice, ServerContext};
use super::device::DeviceWork;
use super::intake::{TakeOutcome, now_s};
use super::limits::{MessageRate, RateVerdict};
use super::message::MessageRefusal;
use super::outgoing::Outgoing;
use super::socket_io::{ConnectAuth, SocketPacket, connect_error, connected, disconnected, emitted, packet};
use super::web_socket::too_many;

/// The sessions of a server.
pub struct EngineSessions {
    sessions: Mutex<HashMap<String, Arc<EngineSession>>>,
    random: File,
    max: usize,
}

/// A session.
pub struct EngineSession {
    pub id: String,
    state: Mutex<SessionState>,
    wake: Notify,
    /// Held by the one request that polls.
    pub polling: tokio::sync::Mutex<()>,
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

/// The packets that wait beside those of a device: more are a client that does not read.
const CONTROL_MAX: usize = 600;

impl EngineSessions {
    /// # Errors
    /// If the system has no random numbers.
    pub fn new(max: usize) -> io::Result<EngineSessions> {
        Ok(EngineSessions { sessions: Mutex::default(), random: File::open("/dev/urandom")?, max })
    }

    /// A new session; `None` if there are too many.
    pub fn open(&self, transport: EngineTransport, rate: usize) -> Option<Arc<EngineSession>> {
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
            is_closed: false,
        };
        let (wake, polling) = (Notify::new(), tokio::sync::Mutex::new(()));
        let session = Arc::new(EngineSession { id: id.clone(), state: Mutex::new(state), wake, polling });
        let mut sessions = self.lock();
        if sessions.len() >= self.max {
            return None;
        }
        sessions.insert(id, Arc::clone(&session));
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
                    context.read(device, conversation, after, known).await;
                }
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

    /// Changes the transport.
    pub fn change(&self, transport: EngineTransport) {
        self.lock().transport = transport;
        self.wake.notify_waiters();
        self.wake.notify_one();
    }

    pub fn transport(&self) -> EngineTransport {
        self.lock().transport
    }

    /// Takes a packet of the client.
    pub async fn receive(&self, text: &str, context: &ServerContext) -> SessionEnd {
        self.lock().heard = Instant::now();
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
            SocketPacket::Connect { auth, .. } => {
                self.connect(auth, context).await;
                SessionEnd::GoesOn
            }
            SocketPacket::Disconnect => {
                self.lock().joined = None;
                SessionEnd::GoesOn
            }
            SocketPacket::Event { name, arguments, ack } => self.emit(&name, arguments, ack, context).await,
            SocketPacket::Acknowledgement => SessionEnd::GoesOn,
        }
    }

    async fn connect(&self, auth: Value, context: &ServerContext) {
        let auth = serde_json::from_value::<ConnectAuth>(auth);
        let entered = match auth {
            Ok(ConnectAuth { token, seen }) => context.enter(&token, seen).await,
            Err(_) => Err("auth is {token: …, seen: {CONVERSATION: NUMBER}}".to_owned()),
        };
        match entered {
            Ok((joined, welcome)) => {
                self.put(connected(&self.id));
                self.put(emitted("welcome", &welcome.object()));
                self.lock().joined = Some(Arc::new(joined));
                self.wake.notify_one();
            }
            Err(reason) => self.put(connect_error("/", &reason)),
        }
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
        let Some(joined) = joined else { return SessionEnd::Ends };
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
        state.is_closed || is_silent || is_late
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
