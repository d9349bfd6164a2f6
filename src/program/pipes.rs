//! The pipes of a process: messages to it, and from it lines with the bytes behind them.
//!
//! A thread that waits here looks now and then whether that is still wanted. While a message is written, what the process
//! writes is read, so that neither waits for the other.

use std::io::{self, Write};
use std::process::{ChildStdin, ChildStdout};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionbio};

/// The longest line together with the bytes behind it. What is larger goes into files.
pub const MESSAGE_MAX: usize = 64 << 20;

/// The bytes that are read at a time.
const READ_SIZE: usize = 1 << 16;

pub struct ProcessPipes {
    stdin: ChildStdin,
    stdout: ChildStdout,
    /// Bytes that were read and nobody has taken yet.
    read: Vec<u8>,
}

/// Why there is nothing to read, or nobody who reads.
#[derive(Debug)]
pub enum PipeEnd {
    /// The process has closed its output, or has ended.
    Closed,
    TooLong,
    /// Nobody waits any longer.
    Unwanted,
    Lost(io::Error),
}

/// The knowledge with which a wait begins.
pub struct PipeLook {
    /// The time until the next look.
    pub wait: Duration,
    /// Whether the process has ended: nothing comes that is not there already.
    pub has_ended: bool,
}

/// Says whether to wait, and how long.
pub type PipeLooker<'a> = dyn FnMut() -> Result<PipeLook, PipeEnd> + 'a;

impl ProcessPipes {
    /// # Errors
    /// They cannot be made such that nobody waits in them.
    pub fn new(stdin: ChildStdin, stdout: ChildStdout) -> io::Result<ProcessPipes> {
        ioctl_fionbio(&stdin, true)?;
        ioctl_fionbio(&stdout, true)?;
        Ok(ProcessPipes { stdin, stdout, read: Vec::new() })
    }

    /// Writes a message.
    ///
    /// # Errors
    /// The reason why it was not taken.
    pub fn write(&mut self, message: &[u8], look: &mut PipeLooker) -> Result<(), PipeEnd> {
        let mut rest = message;
        while !rest.is_empty() {
            match self.stdin.write(rest) {
                Ok(0) => return Err(PipeEnd::Lost(io::ErrorKind::WriteZero.into())),
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.wait_for_either(look)? {
                        self.fill()?;
                    }
                }
                Err(error) => return Err(PipeEnd::Lost(error)),
            }
        }
        Ok(())
    }

    /// A line that has come already; `None` if there is no whole one.
    ///
    /// # Errors
    /// The reason why none can come.
    pub fn line_at_once(&mut self) -> Result<Option<Vec<u8>>, PipeEnd> {
        let ended = loop {
            match self.fill() {
                Ok(true) => {}
                Ok(false) => break Ok(None),
                Err(end) => break Err(end),
            }
        };
        match memchr::memchr(b'\n', &self.read) {
            Some(end) => Ok(Some(self.take(end + 1))),
            None => ended,
        }
    }

    /// The next line, with its end.
    ///
    /// # Errors
    /// The reason why none comes.
    pub fn line(&mut self, look: &mut PipeLooker) -> Result<Vec<u8>, PipeEnd> {
        let mut looked_at = 0;
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.read[looked_at..]) {
                let len = looked_at + end + 1;
                return if len <= MESSAGE_MAX { Ok(self.take(len)) } else { Err(PipeEnd::TooLong) };
            }
            looked_at = self.read.len();
            self.wait(look)?;
            self.fill()?;
        }
    }

    /// The next bytes, so many; `None` if not all of them have come, and none more for the time of `stall`.
    ///
    /// # Errors
    /// The reason why they do not come.
    pub fn bytes(
        &mut self,
        count: usize,
        stall: Duration,
        look: &mut PipeLooker,
    ) -> Result<Option<Vec<u8>>, PipeEnd> {
        let mut last = Instant::now();
        while self.read.len() < count {
            let mut is_stalled = false;
            let waited = self.wait(&mut || {
                let left = stall.saturating_sub(last.elapsed());
                is_stalled = left.is_zero();
                let look = if is_stalled { Err(PipeEnd::Unwanted) } else { look() };
                look.map(|look| PipeLook { wait: look.wait.min(left), ..look })
            });
            if is_stalled {
                return Ok(None);
            }
            waited?;
            if self.fill()? {
                last = Instant::now();
            }
        }
        Ok(Some(self.take(count)))
    }

    /// The bytes that have come of what has not ended.
    pub fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.read)
    }

    /// The first of the bytes that were read. The buffer stays as long as little is taken from it.
    fn take(&mut self, count: usize) -> Vec<u8> {
        if count < READ_SIZE {
            let taken = self.read[..count].to_vec();
            self.read.drain(..count);
            return taken;
        }
        let rest = self.read.split_off(count);
        std::mem::replace(&mut self.read, rest)
    }

    /// Reads what is there; `false` if there is nothing yet.
    fn fill(&mut self) -> Result<bool, PipeEnd> {
        if self.read.len() >= MESSAGE_MAX {
            return Err(PipeEnd::TooLong);
        }
        self.read.reserve(READ_SIZE);
        loop {
            match rustix::io::read(&self.stdout, spare_capacity(&mut self.read)) {
                Ok(0) => return Err(PipeEnd::Closed),
                Ok(_) => return Ok(true),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(false),
                Err(error) => return Err(PipeEnd::Lost(error.into())),
            }
        }
    }

    /// Waits until there is something to read.
    fn wait(&self, look: &mut PipeLooker) -> Result<(), PipeEnd> {
        wait_for(&mut [PollFd::new(&self.stdout, PollFlags::IN)], look)
    }

    /// Waits until the process takes more or has written something; says whether it has written.
    fn wait_for_either(&self, look: &mut PipeLooker) -> Result<bool, PipeEnd> {
        let mut pipes = [PollFd::new(&self.stdin, PollFlags::OUT), PollFd::new(&self.stdout, PollFlags::IN)];
        wait_for(&mut pipes, look)?;
        Ok(!pipes[1].revents().is_empty())
    }
}

fn wait_for(pipes: &mut [PollFd], look: &mut PipeLooker) -> Result<(), PipeEnd> {
    loop {
        let PipeLook { wait, has_ended } = look()?;
        let wait = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() };
        match poll(pipes, Some(&wait)) {
            Ok(0) if has_ended => return Err(PipeEnd::Closed),
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(PipeEnd::Lost(error.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn bytes_that_do_not_come_are_not_waited_for_without_end() {
        let mut shell = Command::new("sh");
        shell.args(["-c", "printf columns; read line"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = shell.spawn().unwrap();
        let (stdin, stdout) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let mut pipes = ProcessPipes::new(stdin, stdout).unwrap();
        let mut look = || Ok(PipeLook { wait: Duration::from_secs(60), has_ended: false });
        let long = Duration::from_secs(60);
        assert_eq!(pipes.bytes(3, long, &mut look).unwrap(), Some(b"col".to_vec()));
        let whole = pipes.bytes(5, Duration::from_millis(20), &mut look).unwrap();
        assert_eq!((whole, pipes.rest()), (None, b"umns".to_vec()));
        pipes.write(b"\n", &mut look).unwrap();
        assert!(matches!(pipes.bytes(5, long, &mut look), Err(PipeEnd::Closed)));
        process.wait().unwrap();
    }
}
