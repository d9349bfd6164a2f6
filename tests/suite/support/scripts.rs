//! Peers written with pynetdicom, for what no finished program does.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;

use super::peers::{DEADLINE, until};

/// A script that is running; ended when dropped.
pub struct Script {
    child: Child,
    lines: Receiver<io::Result<String>>,
}

impl Script {
    /// Prints that the test skips where Python lacks one of the modules.
    pub fn start(modules: &str, program: &str, arguments: &[impl AsRef<OsStr>]) -> Option<Script> {
        has(modules)?;
        let mut command = Command::new("python3");
        command.args(["-u", "-c", program]).args(arguments);
        Some(Script::run(&mut command))
    }

    /// A program in another language, where it is known to be there.
    pub fn run(command: &mut Command) -> Script {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the program was there a moment ago");
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        let (sender, lines) = mpsc::channel();
        // Ends with the script's output, or where nobody reads it any more.
        thread::spawn(move || output.lines().try_for_each(|line| sender.send(line)));
        Script { child, lines }
    }

    /// The next line it prints.
    ///
    /// # Panics
    /// If it ends before, or is silent for too long.
    pub fn line(&mut self) -> String {
        self.next().expect("the script prints another line")
    }

    /// The next line, or none at the end of the output.
    fn next(&mut self) -> Option<String> {
        match self.lines.recv_timeout(DEADLINE) {
            Ok(line) => Some(line.expect("it is text")),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("the script is silent and does not end"),
        }
    }

    /// Writes a line to it.
    pub fn say(&mut self, line: &str) {
        let input = self.child.stdin.as_mut().expect("it is piped");
        writeln!(input, "{line}").expect("the script is listening");
    }

    /// What it prints until it ends, which must be well.
    pub fn rest(mut self) -> String {
        let lines: Vec<String> = std::iter::from_fn(|| self.next()).collect();
        let text = lines.join("\n");
        let status = until("the script ends", || self.child.try_wait().expect("it can be waited for"));
        assert!(status.success(), "the script ends with {status}: {text}");
        text
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether Python has these modules; says if not. With `FLOW_REQUIRE_PEERS=1` it has to have them.
pub fn has(modules: &str) -> Option<()> {
    let tried = Command::new("python3").args(["-c", &format!("import {modules}")]).output();
    if tried.is_ok_and(|output| output.status.success()) {
        return Some(());
    }
    assert!(std::env::var_os("FLOW_REQUIRE_PEERS").is_none(), "python3 with {modules} is not installed");
    println!("skipped: python3 with {modules} is not installed");
    None
}
