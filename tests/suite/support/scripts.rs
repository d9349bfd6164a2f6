//! Peers written with pynetdicom, for what no finished program does.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

/// A script that is running; ended when dropped.
pub struct Script {
    child: Child,
    says: Lines<BufReader<ChildStdout>>,
}

impl Script {
    /// Prints that the test skips where Python lacks one of the modules.
    pub fn start(modules: &str, program: &str, arguments: &[impl AsRef<OsStr>]) -> Option<Script> {
        has(modules)?;
        let mut command = Command::new("python3");
        let command = command.args(["-u", "-c", program]).args(arguments).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).spawn().expect("python3 was there a moment ago");
        let says = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        Some(Script { child, says })
    }

    /// The next line it prints.
    ///
    /// # Panics
    /// If it ends before.
    pub fn line(&mut self) -> String {
        self.says.next().expect("the script says something more").expect("it is text")
    }

    /// Writes a line to it.
    pub fn say(&mut self, line: &str) {
        let input = self.child.stdin.as_mut().expect("it is piped");
        writeln!(input, "{line}").expect("the script is listening");
    }

    /// What it prints until it ends, which must be well.
    pub fn rest(mut self) -> String {
        let lines: Result<Vec<String>, _> = self.says.by_ref().collect();
        let text = lines.expect("it is text").join("\n");
        let status = self.child.wait().expect("it can be waited for");
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
