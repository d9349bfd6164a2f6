//! How a command ends: its exit code, and the errors that end it.

use std::process::ExitCode;
use std::{fmt, io};

use crate::admission::{ServiceError, StateError};
use crate::dataflow::LoadError;
use crate::journal::JournalError;

use super::sample::SampleError;
use super::{check, graph, steps};

/// What the exit codes mean, for `--help`.
pub const HELP: &str = "\
Exit codes:
   0  done; every request has been answered, with the results of all steps that were to run
   1  done, but with an error response, a result not delivered, a study not fetched, a file not read or not stored, or a replay that differs
   2  the command line is wrong
   3  there are problems in a dataflow file or a site's file
  66  there is no input to work on
  70  the engine broke, or a process of the cluster was lost
  74  a file, folder or address could not be used";

/// The end of a command that did its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Done,
    /// A request had an error response, or a response could not be delivered.
    WithErrors,
    /// What was to be checked could not be read.
    Unreadable,
    /// What was checked has problems.
    Problems,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Done => 0,
            Exit::WithErrors => 1,
            Exit::Unreadable => 2,
            Exit::Problems => 3,
        })
    }
}

impl From<check::Verdict> for Exit {
    fn from(verdict: check::Verdict) -> Exit {
        match verdict {
            check::Verdict::Sound => Exit::Done,
            check::Verdict::Unreadable => Exit::Unreadable,
            check::Verdict::Problems => Exit::Problems,
        }
    }
}

/// What ends a command before its work is done.
#[derive(Debug)]
pub struct Failure {
    kind: Kind,
    message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Usage,
    Problems,
    NoInput,
    Engine,
    InputOutput,
}

impl Failure {
    pub fn new(kind: Kind, message: impl Into<String>) -> Failure {
        Failure { kind, message: message.into() }
    }

    /// For `map_err`: an error with all its causes.
    pub fn of<E: std::error::Error + 'static>(kind: Kind) -> impl Fn(E) -> Failure {
        move |error| Failure::new(kind, with_causes(&error))
    }

    pub fn hint(mut self, hint: &str) -> Failure {
        self.message += &format!("\n  hint: {hint}");
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Failure> for ExitCode {
    fn from(failure: Failure) -> ExitCode {
        ExitCode::from(match failure.kind {
            Kind::Usage => 2,
            Kind::Problems => 3,
            Kind::NoInput => 66,
            Kind::Engine => 70,
            Kind::InputOutput => 74,
        })
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Failure {
        let hint = error.hint().map(str::to_owned);
        let failure = match error {
            LoadError::Problems(problems) => {
                Failure::new(Kind::Problems, format!("the dataflow has problems\n{problems}"))
            }
            LoadError::Unknown { .. } | LoadError::Read { .. } => Failure::of(Kind::Usage)(error),
        };
        hint.iter().fold(failure, |failure, hint| failure.hint(hint))
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Failure {
        let failure = Failure::of(Kind::InputOutput);
        match error {
            StateError::Held { .. } => failure(error).hint("end it, or give this one a --state of its own"),
            StateError::Unusable { .. } => Failure::new(Kind::InputOutput, error.to_string()),
        }
    }
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Failure {
        match error {
            ServiceError::State(error) => error.into(),
            ServiceError::Journal(error) => error.into(),
            ServiceError::Store(error) => Failure::of(Kind::InputOutput)(error),
            ServiceError::Program(error) => error.into(),
            ServiceError::Engine(error) => Failure::of(Kind::Engine)(error),
        }
    }
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Failure {
        let hint = match &error {
            JournalError::Damaged { .. } => {
                "nothing was changed. Keep the folder to look into it; studies that were received lie in its \
                 inbox, and `flow run --input STATE/inbox --state OTHER` runs them"
            }
            JournalError::Format { .. } => {
                "use the flow that wrote it, or give this one a --state of its own"
            }
            JournalError::Full | JournalError::Low { .. } | JournalError::Failed { .. } => {
                "see whether its disk is full or broken, and whether flow may write there; then start again"
            }
        };
        Failure::of(Kind::InputOutput)(error).hint(hint)
    }
}

impl From<graph::Error> for Failure {
    fn from(error: graph::Error) -> Failure {
        match error {
            graph::Error::Load(error) => error.into(),
            graph::Error::Write(_) => Failure::of(Kind::InputOutput)(error),
        }
    }
}

impl From<steps::Error> for Failure {
    fn from(error: steps::Error) -> Failure {
        match &error {
            steps::Error::Unknown { hint, .. } => {
                let failure = Failure::new(Kind::Usage, error.to_string());
                hint.iter().fold(failure, |failure, hint| failure.hint(hint))
            }
            steps::Error::Write(_) => Failure::of(Kind::InputOutput)(error),
        }
    }
}

impl From<SampleError> for Failure {
    fn from(error: SampleError) -> Failure {
        Failure::of(Kind::InputOutput)(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::of(Kind::InputOutput)(error)
    }
}

/// An error with all its causes on one line.
pub fn with_causes<E: std::error::Error + 'static>(error: &E) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| {
        let cause = cause.to_string();
        // Some errors say their cause themselves.
        if text.ends_with(&cause) { text } else { format!("{text}: {cause}") }
    })
}
