//! A TCP socket whose read timeout bounds a whole TLS record instead of each byte.
//!
//! Data can be decrypted only when the whole record has arrived. Without this bound, a peer that sends one
//! byte now and then would never time out and never finish a record or a handshake.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

#[derive(Debug)]
pub struct TlsSocket {
    pub tcp: TcpStream,
    /// The time of the first read of the current record or handshake.
    begun: Option<Instant>,
    /// The configured read timeout, while a shorter one is set on the socket.
    usual: Option<Duration>,
}

impl TlsSocket {
    pub fn new(tcp: TcpStream) -> TlsSocket {
        TlsSocket { tcp, begun: None, usual: None }
    }

    /// Ends the current record or handshake: the next read gets the full timeout again.
    pub fn done(&mut self) -> io::Result<()> {
        self.begun = None;
        match self.usual.take() {
            Some(usual) => self.tcp.set_read_timeout(Some(usual)),
            None => Ok(()),
        }
    }

    fn wait_no_longer(&mut self, begun: Instant) -> io::Result<()> {
        if self.usual.is_none() {
            self.usual = self.tcp.read_timeout()?;
        }
        let Some(usual) = self.usual else { return Ok(()) };
        let left = usual.saturating_sub(begun.elapsed());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.tcp.set_read_timeout(Some(left))
    }
}

impl Read for TlsSocket {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self.begun {
            None => self.begun = Some(Instant::now()),
            Some(begun) => self.wait_no_longer(begun)?,
        }
        self.tcp.read(bytes)
    }
}

impl Write for TlsSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.tcp.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tcp.flush()
    }
}
