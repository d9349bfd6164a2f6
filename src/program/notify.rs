//! A program that is told something: it gets bytes on its standard input, and its exit says whether it took them.

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// The time between two looks at the program.
const LOOK: Duration = Duration::from_millis(20);

/// Runs a program of the site with an input, and waits for its end. It has this process's environment and rights.
/// What it writes is dropped.
///
/// # Errors
/// If it cannot be started, ends with another code than 0, or takes longer; then it is killed with its children.
pub fn run_with_input(command: &[String], input: &[u8], time_max: Duration) -> io::Result<()> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no program is named"));
    };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.process_group(0).spawn()?;
    let (stdin, input) = (child.stdin.take(), input.to_vec());
    // A program that reads nothing must not hold up this thread.
    let writer = thread::Builder::new().name("flow:alarm-input".to_owned()).spawn(move || {
        // A program may end without having read everything.
        _ = stdin.map(|mut stdin| stdin.write_all(&input));
    })?;
    let end = Instant::now() + time_max;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if Instant::now() >= end {
            break None;
        }
        thread::sleep(LOOK);
    };
    if status.is_none() {
        // Its children hold its standard input, too. An error means that all have ended.
        let group = Pid::from_child(&child);
        let _ = kill_process_group(group, Signal::KILL);
        child.wait()?;
    }
    // A child of the program that has left its group may go on reading: it is not waited for.
    drop(writer);
    match status {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(io::Error::other(format!("it ended with {status}"))),
        None => Err(io::Error::other(format!("it took longer than {} s", time_max.as_secs()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, time_max: Duration) -> io::Result<()> {
        let command = ["sh", "-c", script].map(str::to_owned);
        run_with_input(&command, b"text\n", time_max)
    }

    #[test]
    fn a_program_gets_its_input_and_its_exit_is_told() {
        let minute = Duration::from_secs(60);
        shell("read line; test \"$line\" = text", minute).unwrap();
        let failed = shell("exit 3", minute).unwrap_err().to_string();
        assert!(failed.contains('3'), "{failed}");
        assert!(run_with_input(&["/no/such/program".to_owned()], b"", minute).is_err());
        let late = shell("sleep 60", Duration::from_millis(50)).unwrap_err().to_string();
        assert!(late.contains("longer"), "{late}");
    }
}
