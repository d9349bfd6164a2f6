//! One life of a flow: from its start to its end, by itself or by force.

use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::cli::exit::CommandError;

/// The folders of the lives of one round.
pub struct LifeFolders {
    pub folder: PathBuf,
}

/// The lines of a log that are shown.
const LINES_SHOWN: usize = 10;

impl LifeFolders {
    pub fn make(folder: &Path) -> Result<LifeFolders, CommandError> {
        fs::create_dir_all(folder)?;
        Ok(LifeFolders { folder: folder.to_owned() })
    }

    pub fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    pub fn output(&self) -> PathBuf {
        self.folder.join("output")
    }

    /// The file with what all lives said.
    pub fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// The end of the log.
    pub fn last_lines(&self) -> String {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let shown = &lines[lines.len().saturating_sub(LINES_SHOWN)..];
        shown.iter().map(|line| format!("  {}\n", crate::printable::escaped(line))).collect()
    }
}

/// How a life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifeEnd {
    /// All is answered, perhaps with error responses.
    Well,
    Killed,
    /// The process did not end in time, and was killed then.
    Stuck,
    /// With another exit code; `None` for a signal.
    Badly(Option<i32>),
}

impl LifeEnd {
    /// The exit code of one that ended badly.
    pub fn code(&self) -> Option<i32> {
        match self {
            LifeEnd::Badly(code) => *code,
            LifeEnd::Well | LifeEnd::Killed | LifeEnd::Stuck => None,
        }
    }
}

impl fmt::Display for LifeEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LifeEnd::Well => f.write_str("ended well"),
            LifeEnd::Killed => f.write_str("was killed"),
            LifeEnd::Stuck => f.write_str("did not end"),
            LifeEnd::Badly(Some(code)) => write!(f, "ended with exit code {code}"),
            LifeEnd::Badly(None) => f.write_str("was ended by a signal"),
        }
    }
}

/// A running flow. It is killed when dropped.
pub struct FlowLife(Child);

/// The time between two looks whether it has ended.
const LOOK: Duration = Duration::from_millis(2);

impl FlowLife {
    /// Starts this program as `flow run`, with its steps.
    pub fn start(
        folders: &LifeFolders,
        dataflow: Option<&str>,
        flag: &str,
        paths: &[PathBuf],
    ) -> Result<FlowLife, CommandError> {
        let log = File::options().append(true).create(true).open(folders.log())?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("run").args(dataflow).arg("--state").arg(folders.state());
        command.arg("--output").arg(folders.output()).args(["--retry", "0.01"]);
        if !paths.is_empty() {
            command.arg(flag).args(paths);
        }
        // Commands that are called without --state are to find the user's flow, and not this one.
        command.env("XDG_STATE_HOME", std::path::absolute(&folders.folder)?.join("noted"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        Ok(FlowLife(command.spawn()?))
    }

    /// Waits until it ends.
    pub fn wait(mut self) -> Result<LifeEnd, CommandError> {
        Ok(end_of(self.0.wait()?))
    }

    /// Kills it after a time, unless it has ended by then.
    pub fn killed_after(mut self, time: Duration) -> Result<LifeEnd, CommandError> {
        match self.ended_within(time)? {
            Some(end) => Ok(end),
            None => {
                self.0.kill()?;
                // It may have ended a moment before.
                Ok(match end_of(self.0.wait()?) {
                    LifeEnd::Badly(None) => LifeEnd::Killed,
                    end => end,
                })
            }
        }
    }

    /// Waits until it ends, but no longer than this.
    pub fn left_in_peace(mut self, most: Duration) -> Result<LifeEnd, CommandError> {
        Ok(self.ended_within(most)?.unwrap_or(LifeEnd::Stuck))
    }

    fn ended_within(&mut self, time: Duration) -> Result<Option<LifeEnd>, CommandError> {
        let end = Instant::now() + time;
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(Some(end_of(status)));
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            thread::sleep(left.min(LOOK));
        }
    }
}

fn end_of(status: ExitStatus) -> LifeEnd {
    match status.code() {
        Some(0 | 1) => LifeEnd::Well,
        code => LifeEnd::Badly(code),
    }
}

impl Drop for FlowLife {
    fn drop(&mut self) {
        // Nearly always it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
