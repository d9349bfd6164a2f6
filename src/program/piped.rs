//! A trusted program that gets a secret on its standard input: never on its command line or in its environment.
//!
//! The program is killed when the run is cancelled, takes too long, or flow ends.

use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};

use crate::step::CancelToken;

use super::child::PATH;

/// A program with its arguments and its standard input.
pub struct PipedProgram<'a> {
    /// A name that is looked up in `/usr/local/bin`, `/usr/bin` and `/bin`.
    pub program: &'a str,
    pub arguments: &'a [&'a str],
    pub folder: &'a Path,
    pub input: &'a [u8],
}

/// The end of a program.
pub struct PipedEnd {
    pub succeeded: bool,
    /// The beginning of its standard output.
    pub output: Vec<u8>,
    /// The beginning of its standard error.
    pub errors: Vec<u8>,
}

/// The longest output that is kept, in bytes.
const OUTPUT_BYTES_MAX: u64 = 1 << 16;

/// The time between two looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(20);

impl PipedProgram<'_> {
    /// Runs it to its end; `None` if the token was set.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn run(&self, token: &CancelToken) -> io::Result<Option<PipedEnd>> {
        let mut command = Command::new(self.program);
        command.args(self.arguments).current_dir(self.folder).env_clear().env("PATH", PATH).env("LANG", "C");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let parent = getpid();
        let prepare = move || {
            // PDEATHSIG refers to the thread that started the child; that thread waits for it.
            set_parent_process_death_signal(Some(Signal::KILL))?;
            // Flow may have died since the fork.
            if getppid() == Some(parent) { Ok(()) } else { Err(io::ErrorKind::NotConnected.into()) }
        };
        // SAFETY: the code between fork and exec only makes system calls.
        unsafe { command.pre_exec(prepare) };
        let mut child = command.spawn()?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        std::thread::scope(|scope| {
            let output = scope.spawn(|| beginning(stdout));
            let errors = scope.spawn(|| beginning(stderr));
            // A program that does not read has failed for a reason that it says.
            let _ = stdin.map(|mut stdin| stdin.write_all(self.input));
            let mut wait = Duration::from_millis(1);
            let status = loop {
                if let Some(status) = child.try_wait()? {
                    break Some(status);
                }
                if token.is_cancelled() {
                    child.kill()?;
                    child.wait()?;
                    break None;
                }
                std::thread::sleep(wait);
                wait = (wait * 2).min(LOOK);
            };
            let (output, errors) = (output.join().unwrap_or_default(), errors.join().unwrap_or_default());
            Ok(status.map(|status| PipedEnd { succeeded: status.success(), output, errors }))
        })
    }
}

/// The beginning of what a program writes; all of it is read, so that it does not wait.
fn beginning(from: Option<impl Read>) -> Vec<u8> {
    let (mut bytes, Some(mut from)) = (Vec::new(), from) else { return Vec::new() };
    let _ = from.by_ref().take(OUTPUT_BYTES_MAX).read_to_end(&mut bytes);
    let _ = io::copy(&mut from, &mut io::sink());
    bytes
}
