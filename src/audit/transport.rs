//! Transports to the receiver of syslog messages: UDP, TCP and TLS.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs, UdpSocket};
use std::time::Duration;

/// Opens a connection to the receiver; called again whenever a connection has broken.
pub type ConnectFunction = Box<dyn Fn() -> io::Result<Box<dyn Write + Send>> + Send>;

pub enum AuditTransport {
    /// One message per datagram (RFC 5426), to `host:port`. The loss of a datagram is not noticed.
    Udp(String),
    /// Messages with octet counting (RFC 6587 over TCP, RFC 5425 over TLS).
    Stream(ConnectFunction),
}

/// Largest payload of a UDP datagram over IPv4, in bytes.
const UDP_BYTES_MAX: usize = 65_507;

const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// Read timeout, for TLS handshakes only: messages are not answered.
const READ_TIME_MAX: Duration = Duration::from_secs(5);
const WRITE_TIME_MAX: Duration = Duration::from_secs(5);

/// A transport over UDP to `host:port`; the usual port is 514.
pub fn udp(address: impl Into<String>) -> AuditTransport {
    AuditTransport::Udp(address.into())
}

/// A transport over TCP to `host:port`, without encryption; the usual port is 601.
pub fn tcp(address: impl Into<String>) -> AuditTransport {
    let address = address.into();
    AuditTransport::Stream(Box::new(move || {
        let tcp = dial(&address)?;
        Ok(awake(tcp.try_clone()?, tcp))
    }))
}

impl AuditTransport {
    pub(super) fn open(&self) -> io::Result<OpenTransport> {
        match self {
            AuditTransport::Udp(address) => {
                let address = address.to_socket_addrs()?.next().ok_or(ErrorKind::NotFound)?;
                let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(any)?;
                socket.connect(address)?;
                Ok(OpenTransport::Udp(socket))
            }
            AuditTransport::Stream(connect) => Ok(OpenTransport::Stream(connect()?)),
        }
    }

    /// Whether a message that is sent without an error has reached the receiver's machine.
    pub(super) fn is_connected(&self) -> bool {
        matches!(self, AuditTransport::Stream(_))
    }

    /// Whether a message is short enough for this transport.
    pub(super) fn takes(&self, message: &str) -> bool {
        match self {
            AuditTransport::Udp(_) => message.len() <= UDP_BYTES_MAX,
            AuditTransport::Stream(_) => true,
        }
    }
}

/// An open socket. The peer may have closed it without our knowing.
pub(super) enum OpenTransport {
    Udp(UdpSocket),
    Stream(Box<dyn Write + Send>),
}

impl OpenTransport {
    /// # Errors
    /// The receiver is unreachable. A part of the message may have arrived.
    pub fn send(&mut self, message: &str) -> io::Result<()> {
        match self {
            OpenTransport::Udp(socket) => socket.send(message.as_bytes()).map(drop),
            OpenTransport::Stream(stream) => {
                // One write for length and message, so that they do not become two small packets.
                stream.write_all(format!("{} {message}", message.len()).as_bytes())?;
                stream.flush()
            }
        }
    }
}

/// Opens a TCP connection to `host:port` for messages, or for TLS under them.
///
/// # Errors
/// None of the host's addresses answers in time.
pub fn dial(address: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::from(ErrorKind::NotFound);
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_TIME_MAX) {
            Ok(stream) => {
                stream.set_read_timeout(Some(READ_TIME_MAX))?;
                stream.set_write_timeout(Some(WRITE_TIME_MAX))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A stream that checks before each write whether the peer has closed the connection. Without the check,
/// the first message after that would be lost without an error. `tcp` is the connection under `stream`.
pub fn awake(stream: impl Read + Write + Send + 'static, tcp: TcpStream) -> Box<dyn Write + Send> {
    Box::new(CheckedStream { stream, tcp })
}

struct CheckedStream<S> {
    stream: S,
    tcp: TcpStream,
}

impl<S: Read> CheckedStream<S> {
    fn look(&mut self) -> io::Result<()> {
        self.tcp.set_nonblocking(true)?;
        let read = self.stream.read(&mut [0; 256]);
        self.tcp.set_nonblocking(false)?;
        match read {
            Ok(0) => Err(ErrorKind::ConnectionReset.into()),
            // Syslog receivers send no data; anything that arrives is discarded.
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl<S: Read + Write> Write for CheckedStream<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.look()?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
