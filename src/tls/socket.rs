//! A socket whose read timeout bounds a whole record, not each byte of it.
//!
//! What is encrypted can be read only when its record is there as a whole, and a handshake is many of
//! them: a peer that sends a byte now and then would never be silent for long, and never be done.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

#[derive(Debug)]
pub struct Socket {
    pub tcp: TcpStream,
    /// When the first read of what is under way was.
    begun: Option<Instant>,
    /// The read timeout, while a shorter one is set.
    usual: Option<Duration>,
}

impl Socket {
    pub fn new(tcp: TcpStream) -> Socket {
        Socket { tcp, begun: None, usual: None }
    }

    /// What was to be read is there, or will not be: what comes next has its own time.
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

impl Read for Socket {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self.begun {
            None => self.begun = Some(Instant::now()),
            Some(begun) => self.wait_no_longer(begun)?,
        }
        self.tcp.read(bytes)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.tcp.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tcp.flush()
    }
}
