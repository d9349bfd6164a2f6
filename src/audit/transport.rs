//! How messages get to the receiver.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs, UdpSocket};
use std::time::Duration;

/// Makes a connection to the receiver, anew whenever one has broken.
pub type Connect = Box<dyn Fn() -> io::Result<Box<dyn Write + Send>> + Send>;

pub enum Transport {
    /// One message a datagram (RFC 5426). The receiver's address, `host:port`. Nobody is told of a
    /// datagram that is lost.
    Udp(String),
    /// Each message after its length (RFC 6587 over TCP, RFC 5425 over TLS).
    Stream(Connect),
}

/// More do not fit into a datagram.
const UDP_BYTES_MAX: usize = 65_507;

const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// For shaking hands; messages are not answered.
const READ_TIME_MAX: Duration = Duration::from_secs(5);
const WRITE_TIME_MAX: Duration = Duration::from_secs(5);

/// Over UDP to `host:port`; 514 is usual.
pub fn udp(address: impl Into<String>) -> Transport {
    Transport::Udp(address.into())
}

/// Over TCP to `host:port`, without encryption; 601 is usual.
pub fn tcp(address: impl Into<String>) -> Transport {
    let address = address.into();
    Transport::Stream(Box::new(move || {
        let tcp = dial(&address)?;
        Ok(awake(tcp.try_clone()?, tcp))
    }))
}

impl Transport {
    pub(super) fn open(&self) -> io::Result<Open> {
        match self {
            Transport::Udp(address) => {
                let address = address.to_socket_addrs()?.next().ok_or(ErrorKind::NotFound)?;
                let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(any)?;
                socket.connect(address)?;
                Ok(Open::Udp(socket))
            }
            Transport::Stream(connect) => Ok(Open::Stream(connect()?)),
        }
    }

    /// Whether a message can be sent at all.
    pub(super) fn takes(&self, message: &str) -> bool {
        match self {
            Transport::Udp(_) => message.len() <= UDP_BYTES_MAX,
            Transport::Stream(_) => true,
        }
    }
}

/// A way to the receiver that is open, as far as is known.
pub(super) enum Open {
    Udp(UdpSocket),
    Stream(Box<dyn Write + Send>),
}

impl Open {
    /// # Errors
    /// If the receiver is away. It may have got a part of the message.
    pub fn send(&mut self, message: &str) -> io::Result<()> {
        match self {
            Open::Udp(socket) => socket.send(message.as_bytes()).map(drop),
            Open::Stream(stream) => {
                // At once, so that it is not written in two small packets.
                stream.write_all(format!("{} {message}", message.len()).as_bytes())?;
                stream.flush()
            }
        }
    }
}

/// Opens a TCP connection to `host:port` for messages, or for TLS under them.
///
/// # Errors
/// If none of the host's addresses answers in time.
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

/// A stream that looks, before it writes, whether the other end has closed it: otherwise the first
/// message after that would be lost without an error. `tcp` is the connection under it.
pub fn awake(stream: impl Read + Write + Send + 'static, tcp: TcpStream) -> Box<dyn Write + Send> {
    Box::new(Awake { stream, tcp })
}

struct Awake<S> {
    stream: S,
    tcp: TcpStream,
}

impl<S: Read> Awake<S> {
    fn look(&mut self) -> io::Result<()> {
        self.tcp.set_nonblocking(true)?;
        let read = self.stream.read(&mut [0; 256]);
        self.tcp.set_nonblocking(false)?;
        match read {
            Ok(0) => Err(ErrorKind::ConnectionReset.into()),
            // A receiver has nothing to say; whatever it says is read and forgotten.
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl<S: Read + Write> Write for Awake<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.look()?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
