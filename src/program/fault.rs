//! The faults of programs that are kept alive.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use crate::step::{Fault, FaultKind};

use super::folder::{ProgramFolderError, last_words};

/// The reason why a process did not answer as the protocol says.
#[derive(Debug)]
pub enum ProcessFailure {
    /// The process could not be started.
    NotStarted(io::Error),
    /// The process ended.
    Ended(ExitStatus),
    /// The process ended in the middle of its answer.
    Cut { status: ExitStatus, reason: String },
    /// The line that came is not an answer.
    Garbage { line: Vec<u8>, reason: String },
    /// The line that came is longer than a line may be.
    TooLong { bytes_max: u64 },
    /// The declaration of the steps did not come in time.
    Silent,
    /// The files of the program have changed since its steps were declared.
    Changed,
    /// The run was cancelled, or took longer than its `timeout`.
    Cancelled,
    /// The process could not be reached.
    Lost(io::Error),
    /// The private folder of the process could not be used.
    Folder(ProgramFolderError),
}

impl From<ProgramFolderError> for ProcessFailure {
    fn from(error: ProgramFolderError) -> ProcessFailure {
        ProcessFailure::Folder(error)
    }
}

/// The fault of a program that does not come to declare its steps. Its reason has the last line of standard error: all of
/// them are shown below it.
pub fn undeclared(program: &str, failure: ProcessFailure, log: Vec<u8>) -> Fault {
    let last = log.trim_ascii_end().rsplit(|byte| *byte == b'\n').next().unwrap_or_default().to_vec();
    let fault = fault(program, failure, last).with_log(log);
    match fault.remedy == EXPLAIN {
        true => Fault { remedy: "Follow the message of the program.".to_owned(), ..fault },
        false => fault,
    }
}

const EXPLAIN: &str = "Follow the message of the program; `flow explain` shows all of it.";

/// The fault for a failure of a program, with all that it wrote to standard error.
pub fn fault(program: &str, failure: ProcessFailure, log: Vec<u8>) -> Fault {
    let said = last_words(&log);
    let said = if said.is_empty() { String::new() } else { format!("; standard error: {said}") };
    let (kind, reason, remedy) = match failure {
        ProcessFailure::NotStarted(error) => {
            let kind = match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => FaultKind::Broken,
                _ => FaultKind::Transient,
            };
            let reason = format!("the program {program} could not be started: {error}");
            (kind, reason, "Install it where flow runs, or give its absolute path in the dataflow file.")
        }
        ProcessFailure::Ended(status) => {
            (FaultKind::Broken, format!("the program {program} ended with {}{said}", how(status)), EXPLAIN)
        }
        ProcessFailure::Cut { status, reason } => {
            let how = how(status);
            let reason = format!("the program {program} ended with {how} within its answer ({reason}){said}");
            (FaultKind::Broken, reason, EXPLAIN)
        }
        ProcessFailure::Garbage { line, reason: reason_of_line } => {
            let line = last_words(&line[..line.len().min(QUOTED_MOST)]);
            let reason = format!(
                "the program {program} answered with what is no answer ({reason_of_line}): {line}{said}"
            );
            (FaultKind::Broken, reason, garbage_remedy(&reason_of_line))
        }
        ProcessFailure::TooLong { bytes_max } => {
            let most = bytes_max >> 20;
            let reason = format!("the program {program} answered with a line of more than {most} MiB{said}");
            let remedy = "Give large values as arrays or files, and the items of a stream in several lines.";
            (FaultKind::Broken, reason, remedy)
        }
        ProcessFailure::Silent => {
            let reason = format!("the program {program} did not declare its steps in time{said}");
            (
                FaultKind::Broken,
                reason,
                "Load models at the first call, or raise `start_time` of the program.",
            )
        }
        ProcessFailure::Changed => {
            let reason = format!("the program {program} has changed since the dataflow was read");
            let remedy = "Reload flow (SIGHUP) or start it again, so that the change becomes a new version.";
            (FaultKind::Broken, reason, remedy)
        }
        ProcessFailure::Cancelled => return Fault::cancelled(),
        ProcessFailure::Lost(error) => {
            (FaultKind::Transient, format!("the program {program} cannot be reached: {error}{said}"), EXPLAIN)
        }
        ProcessFailure::Folder(error) => return of_folder(&error).with_log(log),
    };
    Fault::of(kind, reason, remedy).with_log(log)
}

/// The remedy for a line that is no answer.
fn garbage_remedy(reason: &str) -> &'static str {
    match reason {
        // JSON, but more than flow reads.
        deep if deep.contains("recursion limit") => "Give JSON that is nested at most 120 deep.",
        large if large.contains("number out of range") => {
            "Give numbers of more than 308 digits as texts: JSON has no greater ones here."
        }
        _ => "Print messages to standard error; standard output is for answers.",
    }
}

/// How a process ended.
fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, signal) => format!("signal {}", signal.unwrap_or_default()),
    }
}

const QUOTED_MOST: usize = 200;

/// The fault of a private folder.
pub fn of_folder(error: &ProgramFolderError) -> Fault {
    let (kind, remedy) = match error {
        ProgramFolderError::Access { .. } => (
            FaultKind::Storage,
            "Make room on the disk of --state, and run the request again with `flow retry`.",
        ),
        ProgramFolderError::TooLarge(_) | ProgramFolderError::TooMany => (
            FaultKind::Data,
            "Make the step give less, or raise `output` of the program in the dataflow file.",
        ),
        ProgramFolderError::Strange(_) | ProgramFolderError::Name(_) | ProgramFolderError::Replaced(_) => {
            (FaultKind::Data, "Make the step write only plain files with UTF-8 names to out/.")
        }
    };
    Fault::of(kind, error.to_string(), remedy)
}

/// A fault of a program that does not do as it declared.
pub fn wrong(reason: String) -> Fault {
    let remedy = "Correct the step: the book's page about the protocol says what an answer is.";
    Fault::of(FaultKind::Broken, reason, remedy)
}

#[cfg(test)]
mod tests {
    use crate::program::step_answer::StepAnswer;

    use super::*;

    #[test]
    fn json_that_is_more_than_flow_reads_has_a_remedy_of_its_own() {
        let remedy = |value: &str| {
            let line = format!("{{\"values\": [{value}]}}");
            StepAnswer::read(line.as_bytes(), 1).err().map(|reason| garbage_remedy(&reason))
        };
        let deep = |count: usize| "[".repeat(count) + &"]".repeat(count);
        assert_eq!(remedy(&deep(120)), None);
        assert!(remedy(&deep(130)).is_some_and(|remedy| remedy.contains("120 deep")));
        assert!(remedy(&"9".repeat(400)).is_some_and(|remedy| remedy.contains("308 digits")));
        assert!(remedy("hello").is_some_and(|remedy| remedy.contains("standard error")));
    }
}
