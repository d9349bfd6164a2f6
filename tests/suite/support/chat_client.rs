//! A client of the chat: plain WebSocket, or Socket.IO over a WebSocket. One thread, and a deadline for everything.
//!
//! Limits: of Socket.IO neither polling nor binary data nor other namespaces. The clients that people use are tested
//! beside it; this one can do what those never would.

use std::fmt;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest;
use tungstenite::{Error, Message, WebSocket};

/// Everything here takes milliseconds, or seconds on a busy machine; what takes so long has failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// The two forms in which the server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChatForm {
    Plain,
    SocketIo,
}

/// What the server says: the name of a message, and what it has.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    pub name: String,
    pub value: Value,
}

/// Why no more comes over a connection.
#[derive(Debug)]
pub struct ConnectionEnd(pub String);

/// A connection.
pub struct ChatClient {
    socket: WebSocket<TcpStream>,
    form: ChatForm,
    /// The number of the next acknowledgement that is asked for.
    asked: u64,
}

impl fmt::Display for ConnectionEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Error> for ConnectionEnd {
    fn from(error: Error) -> ConnectionEnd {
        ConnectionEnd(error.to_string())
    }
}

impl ChatClient {
    /// Connects, and does not say yet who it is.
    pub fn connect(
        address: SocketAddr,
        form: ChatForm,
        origin: Option<&str>,
    ) -> Result<ChatClient, ConnectionEnd> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(Error::Io)?;
        ChatClient::over(stream, &address.to_string(), form, origin)
    }

    /// Connects over a stream that is there.
    pub fn over(
        stream: TcpStream,
        host: &str,
        form: ChatForm,
        origin: Option<&str>,
    ) -> Result<ChatClient, ConnectionEnd> {
        stream.set_nodelay(true).map_err(Error::Io)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(Error::Io)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(Error::Io)?;
        let path = match form {
            ChatForm::Plain => "ws",
            ChatForm::SocketIo => "socket.io/?EIO=4&transport=websocket",
        };
        let mut request = format!("ws://{host}/{path}").into_client_request()?;
        if let Some(origin) = origin {
            let origin = origin.parse().expect("an origin is a header's value");
            request.headers_mut().insert("origin", origin);
        }
        let shaken = tungstenite::client(request, stream).map_err(|error| match error {
            tungstenite::HandshakeError::Failure(error) => ConnectionEnd::from(error),
            tungstenite::HandshakeError::Interrupted(_) => {
                ConnectionEnd("no answer to the upgrade".to_owned())
            }
        });
        let mut client = ChatClient { socket: shaken?.0, form, asked: 0 };
        if form == ChatForm::SocketIo {
            client.expect_packet("0")?;
        }
        Ok(client)
    }

    /// Says who it is, and what it has seen of each conversation; gives the welcome.
    pub fn hello(&mut self, token: &str, seen: &Value) -> Result<Value, ConnectionEnd> {
        let hello = json!({ "token": token, "seen": seen });
        match self.form {
            ChatForm::Plain => self.text(json!({ "hello": hello }).to_string())?,
            ChatForm::SocketIo => {
                self.text(format!("40{hello}"))?;
                self.expect_packet("40")?;
            }
        }
        match self.next_until(Instant::now() + PATIENCE)? {
            Some(said) if said.name == "welcome" => Ok(said.value),
            other => Err(ConnectionEnd(format!("no welcome, but {other:?}"))),
        }
    }

    /// Sends a message: `id`, `conversation`, `type`, `content`.
    pub fn send(&mut self, message: &Value) -> Result<(), ConnectionEnd> {
        let text = match self.form {
            ChatForm::Plain => json!({ "send": message }).to_string(),
            ChatForm::SocketIo => {
                self.asked += 1;
                format!("42{}{}", self.asked, json!(["send", message]))
            }
        };
        self.text(text)
    }

    /// Sends a frame as it is.
    pub fn text(&mut self, text: String) -> Result<(), ConnectionEnd> {
        Ok(self.socket.send(Message::text(text))?)
    }

    /// Sends bytes in place of text.
    pub fn bytes(&mut self, bytes: Vec<u8>) -> Result<(), ConnectionEnd> {
        Ok(self.socket.send(Message::binary(bytes))?)
    }

    /// Sends a pong that nobody has asked for.
    pub fn pong(&mut self) -> Result<(), ConnectionEnd> {
        Ok(self.socket.send(Message::Pong(Vec::new().into()))?)
    }

    /// What the server says next; `None` when the time has come before that.
    pub fn next_until(&mut self, end: Instant) -> Result<Option<Said>, ConnectionEnd> {
        while let Some(text) = self.frame(end)? {
            match self.form {
                ChatForm::Plain => return Ok(Some(plain(&text)?)),
                ChatForm::SocketIo if text == "2" => self.text("3".to_owned())?,
                ChatForm::SocketIo => return Ok(Some(packet(&text)?)),
            }
        }
        Ok(None)
    }

    /// What the server says next, within a time that is enough.
    pub fn next(&mut self) -> Result<Said, ConnectionEnd> {
        let said = self.next_until(Instant::now() + PATIENCE)?;
        said.ok_or_else(|| ConnectionEnd("the server says nothing more".to_owned()))
    }

    /// Reads until the server has closed the connection; what it said before.
    pub fn closed(&mut self) -> Vec<Said> {
        let (mut all, end) = (Vec::new(), Instant::now() + PATIENCE);
        loop {
            match self.next_until(end) {
                Ok(Some(said)) => all.push(said),
                Ok(None) => panic!("the server has not closed the connection; it said {all:?}"),
                Err(_) => return all,
            }
        }
    }

    /// The next text frame.
    fn frame(&mut self, end: Instant) -> Result<Option<String>, ConnectionEnd> {
        loop {
            match self.read_at_once() {
                Ok(Message::Text(text)) => return Ok(Some(text.as_str().to_owned())),
                Ok(Message::Close(why)) => return Err(ConnectionEnd(format!("closed: {why:?}"))),
                Ok(_) => {}
                Err(Error::Io(error)) if is_late(error.kind()) => {
                    if !self.wait_until(end)? {
                        return Ok(None);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Reads what is there.
    fn read_at_once(&mut self) -> Result<Message, Error> {
        self.socket.get_ref().set_nonblocking(true)?;
        let read = self.socket.read();
        self.socket.get_ref().set_nonblocking(false)?;
        read
    }

    /// Waits until there is something to read; gives `false` when the time has come before that. A timeout of the
    /// socket would be rounded up to as much as 32 ms, and many clients would wake up at one moment.
    fn wait_until(&self, end: Instant) -> Result<bool, ConnectionEnd> {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        let time = Timespec::try_from(left).map_err(|error| ConnectionEnd(error.to_string()))?;
        match poll(&mut [PollFd::new(self.socket.get_ref(), PollFlags::IN)], Some(&time)) {
            Ok(_) | Err(Errno::INTR) => Ok(true),
            Err(error) => Err(ConnectionEnd(error.to_string())),
        }
    }

    /// Reads a packet of Socket.IO that has to begin so.
    fn expect_packet(&mut self, begin: &str) -> Result<(), ConnectionEnd> {
        match self.frame(Instant::now() + PATIENCE)? {
            Some(text) if text.starts_with(begin) => Ok(()),
            other => Err(ConnectionEnd(format!("no packet {begin}, but {other:?}"))),
        }
    }
}

fn is_late(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// `{"NAME": VALUE}`.
fn plain(text: &str) -> Result<Said, ConnectionEnd> {
    let strange = || ConnectionEnd(format!("not a message of the server: {text}"));
    let Ok(Value::Object(object)) = serde_json::from_str(text) else { return Err(strange()) };
    let (name, value) = object.into_iter().next().ok_or_else(strange)?;
    Ok(Said { name, value })
}

/// `42["NAME",VALUE]`, or the acknowledgement `43NUMBER[{"NAME":VALUE}]` (Socket.IO protocol 5).
fn packet(text: &str) -> Result<Said, ConnectionEnd> {
    let strange = || ConnectionEnd(format!("not a message of the server: {text}"));
    let (kind, rest) = text.split_at_checked(2).ok_or_else(strange)?;
    let body = rest.trim_start_matches(|digit: char| digit.is_ascii_digit());
    let Ok(mut body) = serde_json::from_str::<Vec<Value>>(body) else { return Err(strange()) };
    match kind {
        "42" if body.len() == 2 => {
            let name = body[0].as_str().ok_or_else(strange)?.to_owned();
            Ok(Said { name, value: body.swap_remove(1) })
        }
        "43" if body.len() == 1 => plain(&body[0].to_string()),
        _ => Err(strange()),
    }
}
