//! One life of flow: from its start to its end, by itself or by force.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::peers::DEADLINE;

/// A running flow. It is killed when dropped.
pub struct Life {
    child: Child,
    lines: Receiver<String>,
    said: String,
}

/// How a life ended, and what was said in it.
pub struct Ended {
    pub status: ExitStatus,
    pub said: String,
}

impl Life {
    pub fn start(command: &mut Command) -> Life {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("flow starts");
        let errors = BufReader::new(child.stderr.take().expect("it is piped"));
        let (give, lines) = mpsc::channel();
        thread::spawn(move || errors.lines().map_while(Result::ok).try_for_each(|line| give.send(line)));
        Life { child, lines, said: String::new() }
    }

    /// Its number.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Where it listens, or nothing if it ended before it did.
    pub fn listening(&mut self) -> Option<SocketAddr> {
        self.listening_until(Instant::now() + DEADLINE).unwrap_or_else(|| self.stuck("it does not listen"))
    }

    /// As `listening`; `None` if the time has come first.
    pub fn listening_until(&mut self, end: Instant) -> Option<Option<SocketAddr>> {
        loop {
            match self.next_line(end) {
                Ok(line) => {
                    let told = crate::support::without_time(&line).strip_prefix("listening at ");
                    if let Some(address) = told.and_then(|rest| rest.split(' ').next()) {
                        return Some(Some(address.parse().expect("it tells its address")));
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return Some(None),
                Err(RecvTimeoutError::Timeout) => return None,
            }
        }
    }

    /// Waits until it ends, or until what it has said so far will do.
    pub fn lives_until(&mut self, done: impl Fn(&str) -> bool) {
        let end = Instant::now() + DEADLINE;
        while !done(&self.said) {
            match self.next_line(Instant::now() + Duration::from_millis(10)) {
                Err(RecvTimeoutError::Disconnected) => return,
                _ if Instant::now() > end => self.stuck("nothing more comes of it"),
                _ => {}
            }
        }
    }

    /// Whether it has not ended yet.
    pub fn lives_on(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_none()
    }

    /// Kills it at an instant, unless it has ended by then.
    pub fn killed_at(mut self, end: Instant) -> Ended {
        while self.next_line(end).is_ok() {}
        self.child.kill().expect("it was not waited for");
        self.wait()
    }

    /// Asks it to end (SIGTERM).
    pub fn stopped(self) -> Ended {
        let process = self.process().to_string();
        let asked = Command::new("kill").args(["-TERM", &process]).status().expect("there is a kill");
        assert!(asked.success(), "flow had ended before it was asked to:\n{}", self.wait().said);
        self.wait()
    }

    /// Waits until it ends.
    pub fn wait(mut self) -> Ended {
        let end = Instant::now() + DEADLINE;
        loop {
            match self.next_line(end) {
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => self.stuck("it does not end"),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let status = self.child.wait().expect("it is our child");
        let ended = Ended { status, said: std::mem::take(&mut self.said) };
        assert!(!ended.said.contains("panicked at"), "flow has panicked:\n{}", ended.said);
        ended
    }

    fn next_line(&mut self, end: Instant) -> Result<String, RecvTimeoutError> {
        let line = self.lines.recv_timeout(end.saturating_duration_since(Instant::now()))?;
        self.said += &line;
        self.said.push('\n');
        Ok(line)
    }

    fn stuck(&self, what: &str) -> ! {
        panic!("{what} within {} s:\n{}", DEADLINE.as_secs(), self.said)
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        // Nearly always it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    pub fn was_killed(&self) -> bool {
        const SIGKILL: i32 = 9;
        self.status.signal() == Some(SIGKILL)
    }

    /// It did what it was to do, perhaps with error responses among the answers.
    pub fn assert_well(&self) {
        assert!(matches!(self.status.code(), Some(0 | 1)), "{:?}:\n{}", self.status, self.said);
    }
}

/// An instant within the next `most` milliseconds.
pub fn instant(dice: &mut crate::support::random::Dice, most: usize) -> Instant {
    Instant::now() + Duration::from_millis(dice.below(most) as u64)
}
