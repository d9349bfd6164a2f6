//! An encrypted connection between two processes: frames in both directions, and a beat where there are none.
//!
//! A frame is its length, the length of its first part, a first part in JSON, and a second one of plain bytes. Who
//! hears nothing for a while takes the peer as lost: a process that hangs, a cable that is pulled.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::tls::TlsSession;

/// The silence after which a peer is taken as lost.
pub const SILENCE_MAX: Duration = Duration::from_millis(2_500);

/// The longest time between two frames that a process sends.
const BEAT: Duration = Duration::from_millis(400);

/// The most bytes of a frame.
const FRAME_MAX: usize = 1 << 30;

/// The bytes that are read from the wire at once.
const READ_BYTES: usize = 64 << 10;

pub struct ProcessLink {
    socket: TcpStream,
    session: Arc<Mutex<TlsSession>>,
    wire: Vec<u8>,
    /// Decrypted bytes that are no whole frame yet.
    plain: Vec<u8>,
    /// The beginning of the next frame in `plain`.
    begun: usize,
}

/// A frame with the head that goes before it. Clones share its bytes.
#[derive(Clone)]
pub struct EncodedFrame(pub(super) Arc<[u8]>);

/// A sender of frames, from any thread. They wait in memory, which the number of requests in work bounds.
#[derive(Clone)]
pub struct LinkSender {
    frames: Sender<EncodedFrame>,
    socket: Arc<TcpStream>,
}

impl ProcessLink {
    pub fn new(socket: TcpStream, mut session: TlsSession) -> io::Result<ProcessLink> {
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(SILENCE_MAX))?;
        socket.set_write_timeout(Some(SILENCE_MAX))?;
        // The first bytes of the peer may have come together with the end of its handshake.
        let mut plain = Vec::new();
        session.open(&[], &mut plain)?;
        let session = Arc::new(Mutex::new(session));
        Ok(ProcessLink { socket, session, wire: vec![0; READ_BYTES], plain, begun: 0 })
    }

    /// Sends a frame from this thread; only before the sender is started.
    ///
    /// # Errors
    /// The peer does not take it.
    pub fn send<T: Serialize>(&mut self, frame: &T) -> io::Result<()> {
        let sealed = lock(&self.session).seal(&EncodedFrame::of(frame, &[])?.0)?;
        (&self.socket).write_all(&sealed)
    }

    /// Receives a frame before a time, as the first one of a connection.
    ///
    /// # Errors
    /// The peer is silent or gone, or sends what is no such frame.
    pub fn receive_until<T: DeserializeOwned>(&mut self, until: Instant) -> io::Result<T> {
        loop {
            if let Some(frame) = self.next()? {
                return Ok(frame.0);
            }
            if Instant::now() >= until {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.read()?;
        }
    }

    /// Receives a frame.
    ///
    /// # Errors
    /// The peer is silent or gone, or sends what is no such frame.
    pub fn receive<T: DeserializeOwned>(&mut self) -> io::Result<(T, Vec<u8>)> {
        loop {
            if let Some(frame) = self.next()? {
                return Ok(frame);
            }
            self.read()?;
        }
    }

    fn read(&mut self) -> io::Result<()> {
        let count = match self.socket.read(&mut self.wire) {
            Ok(0) => {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "its end of the connection is closed",
                ));
            }
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                let text = format!("nothing has come from it for {} s", SILENCE_MAX.as_secs_f64());
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            Err(error) => return Err(error),
        };
        self.plain.drain(..std::mem::take(&mut self.begun));
        lock(&self.session).open(&self.wire[..count], &mut self.plain)
    }

    /// The next frame that has arrived whole.
    fn next<T: DeserializeOwned>(&mut self) -> io::Result<Option<(T, Vec<u8>)>> {
        let Some((frame, content, length)) = decode(&self.plain[self.begun..])? else { return Ok(None) };
        self.begun += length;
        Ok(Some((frame, content)))
    }

    /// Starts the thread that sends frames, and a beat where there are none.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn sender<T: Serialize>(&self, beat: &T) -> io::Result<(LinkSender, JoinHandle<()>)> {
        let (frames, taken) = channel();
        let socket = Arc::new(self.socket.try_clone()?);
        let (beat, session, to) =
            (EncodedFrame::of(beat, &[])?, Arc::clone(&self.session), Arc::clone(&socket));
        let thread = std::thread::Builder::new().name("flow:link".to_owned());
        let thread = thread.spawn(move || {
            // A peer that does not take frames is noticed by the thread that reads, too.
            let _ = send_all(&taken, &beat, &session, &to);
            let _ = to.shutdown(Shutdown::Both);
        })?;
        Ok((LinkSender { frames, socket }, thread))
    }
}

fn send_all(
    frames: &Receiver<EncodedFrame>,
    beat: &EncodedFrame,
    session: &Mutex<TlsSession>,
    mut socket: &TcpStream,
) -> io::Result<()> {
    loop {
        let mut plain = match frames.recv_timeout(BEAT) {
            Ok(frame) => frame.0.to_vec(),
            Err(RecvTimeoutError::Timeout) => beat.0.to_vec(),
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        };
        while plain.len() < READ_BYTES {
            let Ok(frame) = frames.try_recv() else { break };
            plain.extend_from_slice(&frame.0);
        }
        let sealed = lock(session).seal(&plain)?;
        socket.write_all(&sealed)?;
    }
}

impl LinkSender {
    /// Sends a frame with plain bytes. A failure means that the connection has ended, which the thread that reads
    /// notices.
    pub fn send<T: Serialize>(&self, frame: &T, content: &[u8]) -> io::Result<()> {
        self.send_encoded(EncodedFrame::of(frame, content)?)
    }

    /// Sends a frame that may have been sent before, over another connection.
    pub fn send_encoded(&self, frame: EncodedFrame) -> io::Result<()> {
        self.frames.send(frame).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    /// Ends the connection at once.
    pub fn cut(&self) {
        // It may have ended already.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

/// The frame at the beginning of decrypted bytes, its plain bytes, and how many bytes it takes; nothing if it has not
/// arrived whole.
pub(super) fn decode<T: DeserializeOwned>(plain: &[u8]) -> io::Result<Option<(T, Vec<u8>, usize)>> {
    let Some((head, rest)) = plain.split_first_chunk::<8>() else { return Ok(None) };
    let [length, first] = [&head[..4], &head[4..]]
        .map(|bytes| u32::from_be_bytes(bytes.try_into().expect("four bytes")) as usize);
    if length > FRAME_MAX || first > length {
        return Err(io::Error::other("a frame is too long"));
    }
    let Some(frame) = rest.get(..length) else { return Ok(None) };
    let read = serde_json::from_slice(&frame[..first])?;
    Ok(Some((read, frame[first..].to_vec(), 8 + length)))
}

impl EncodedFrame {
    /// # Errors
    /// The frame is too long.
    pub fn of<T: Serialize>(frame: &T, content: &[u8]) -> io::Result<EncodedFrame> {
        let mut bytes = vec![0; 8];
        serde_json::to_writer(&mut bytes, frame)?;
        let first = bytes.len() - 8;
        bytes.extend_from_slice(content);
        let length = bytes.len() - 8;
        if length > FRAME_MAX {
            return Err(io::Error::other("a frame is too long"));
        }
        bytes[..4].copy_from_slice(&(length as u32).to_be_bytes());
        bytes[4..8].copy_from_slice(&(first as u32).to_be_bytes());
        Ok(EncodedFrame(bytes.into()))
    }

    /// Its bytes on the wire, before they are encrypted.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

fn lock(session: &Mutex<TlsSession>) -> MutexGuard<'_, TlsSession> {
    session.lock().unwrap_or_else(PoisonError::into_inner)
}
