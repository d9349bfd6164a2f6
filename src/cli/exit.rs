//! The end of a command: its exit code, and the errors that end it.

use std::path::Path;
use std::process::ExitCode;
use std::{fmt, io};

use crate::admission::{ServiceError, StateError};
use crate::dataflow::LoadError;
use crate::journal::JournalError;
use crate::printable::{PrintableLines, with_causes};
use crate::site::Site;

use super::customer::CustomerError;
use super::output;
use super::sample::SampleError;
use super::{graph, steps};

/// The meanings of the exit codes, for `--help`.
pub const HELP: &str = "\
Exit codes:
   0  done; every request has been answered, with the results of all steps that were to run, with or without reservations
   1  done, but with an error response, a result not delivered, a study not fetched, a file not read or not stored, or a replay that differs
   2  the command line is wrong, or names a dataflow, request, step or node that is not known
   3  there are problems in a dataflow file or a site's file: also a dataflow that it names and that is not there
  66  there is no input to work on; requests that an earlier process had not answered are answered first
  70  the engine broke, or the process could not join its cluster
  74  a file, folder or address could not be used: also a dataflow file that cannot be read";

/// The end of a command that did its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandExit {
    Done,
    /// A request had an error response, or a response could not be delivered.
    WithErrors,
    /// A finding that has been told already is an error of this kind.
    Failed(CommandErrorKind),
}

impl From<CommandExit> for ExitCode {
    fn from(exit: CommandExit) -> ExitCode {
        ExitCode::from(match exit {
            CommandExit::Done => 0,
            CommandExit::WithErrors => 1,
            CommandExit::Failed(kind) => kind.code(),
        })
    }
}

/// An error that ends a command before its work is done.
#[derive(Debug)]
pub struct CommandError {
    kind: CommandErrorKind,
    message: String,
    /// Lines that follow the message, for example the problems of a file. They are made by flow, and their
    /// line feeds are kept.
    details: String,
    hints: Vec<String>,
    /// A pipe was closed by its reader.
    is_broken_pipe: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandErrorKind {
    Usage,
    Problems,
    NoInput,
    Engine,
    InputOutput,
}

impl CommandErrorKind {
    const ALL: [CommandErrorKind; 5] = [
        CommandErrorKind::Usage,
        CommandErrorKind::Problems,
        CommandErrorKind::NoInput,
        CommandErrorKind::Engine,
        CommandErrorKind::InputOutput,
    ];

    /// The exit code.
    pub fn code(self) -> u8 {
        match self {
            CommandErrorKind::Usage => 2,
            CommandErrorKind::Problems => 3,
            CommandErrorKind::NoInput => 66,
            CommandErrorKind::Engine => 70,
            CommandErrorKind::InputOutput => 74,
        }
    }

    /// The kind of error that another process of flow ended with.
    pub fn of_code(code: i32) -> Option<CommandErrorKind> {
        CommandErrorKind::ALL.into_iter().find(|kind| i32::from(kind.code()) == code)
    }
}

impl CommandError {
    pub fn new(kind: CommandErrorKind, message: impl Into<String>) -> CommandError {
        let (details, hints, is_broken_pipe) = (String::new(), Vec::new(), false);
        CommandError { kind, message: message.into(), details, hints, is_broken_pipe }
    }

    /// For `map_err`: an error with all its causes.
    pub fn of<E: std::error::Error + 'static>(kind: CommandErrorKind) -> impl Fn(E) -> CommandError {
        move |error| {
            let is_broken_pipe = is_broken_pipe(&error);
            CommandError { is_broken_pipe, ..CommandError::new(kind, with_causes(&error)) }
        }
    }

    /// For `map_err`: what could not be done to a path, with what may be done about it.
    pub fn at(what: &str, path: &Path) -> impl Fn(io::Error) -> CommandError {
        let (what, path) = (what.to_owned(), path.to_owned());
        move |error| {
            let hint = match error.kind() {
                io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                    "a file is where a folder is to be: name another one"
                }
                io::ErrorKind::NotFound => {
                    "see whether the path is right, and whether a folder can be made there"
                }
                _ => "see whether its disk is full or broken, and whether you may write there",
            };
            let text = format!("could not {what} {}: {error}", path.display());
            CommandError::new(CommandErrorKind::InputOutput, text).hint(hint)
        }
    }

    /// Whether the reader of standard output has gone away: it wanted no more, which is no error.
    pub fn is_closed_output(&self) -> bool {
        self.is_broken_pipe && output::is_closed()
    }

    pub fn hint(mut self, hint: &str) -> CommandError {
        self.hints.push(hint.to_owned());
        self
    }

    /// Adds lines that follow the message.
    pub fn details(mut self, details: impl fmt::Display) -> CommandError {
        self.details = details.to_string();
        self
    }

    pub fn message(&self) -> &str {
        &self.message
    }

    /// The error as it is shown.
    pub fn lines(&self) -> PrintableLines {
        let lines = PrintableLines::of(format_args!("flow: {}", self.message)).lines_of(&self.details);
        self.hints.iter().fold(lines, |lines, hint| lines.line(format_args!("  hint: {hint}")))
    }
}

/// Whether an error, or what caused it, is that of a pipe that its reader has closed.
fn is_broken_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    let is_one = error.downcast_ref::<io::Error>().is_some_and(|it| it.kind() == io::ErrorKind::BrokenPipe);
    is_one || error.source().is_some_and(is_broken_pipe)
}

impl From<CommandError> for ExitCode {
    fn from(failure: CommandError) -> ExitCode {
        ExitCode::from(failure.kind.code())
    }
}

impl From<LoadError> for CommandError {
    fn from(error: LoadError) -> CommandError {
        let hint = error.hint().map(str::to_owned);
        let failure = match error {
            LoadError::Problems(problems) => {
                CommandError::new(CommandErrorKind::Problems, "the dataflow has problems").details(problems)
            }
            LoadError::Unknown { .. } => CommandError::of(CommandErrorKind::Usage)(error),
            LoadError::Read { .. } => CommandError::of(CommandErrorKind::InputOutput)(error),
        };
        hint.iter().fold(failure, |failure, hint| failure.hint(hint))
    }
}

/// The error of a dataflow that a site's file names: it is told at that place.
pub fn of_site(error: LoadError, dataflow: &str, site: &Site) -> CommandError {
    let problems = match &error {
        LoadError::Problems(_) => None,
        LoadError::Unknown { .. } | LoadError::Read { .. } => site.dataflow_problem(dataflow, &error),
    };
    match problems {
        None => error.into(),
        Some(problems) => {
            CommandError::new(CommandErrorKind::Problems, "the site's file has problems").details(problems)
        }
    }
}

impl From<StateError> for CommandError {
    fn from(error: StateError) -> CommandError {
        let failure = CommandError::of(CommandErrorKind::InputOutput);
        match error {
            StateError::Held { .. } => failure(error)
                .hint("end it, or give this one a --state of its own; `flow pull` lets it fetch studies of an archive"),
            StateError::Unusable { .. } => {
                CommandError::new(CommandErrorKind::InputOutput, error.to_string())
            }
        }
    }
}

impl From<ServiceError> for CommandError {
    fn from(error: ServiceError) -> CommandError {
        match error {
            ServiceError::State(error) => error.into(),
            ServiceError::Journal(error) => error.into(),
            ServiceError::Store(error) => CommandError::of(CommandErrorKind::InputOutput)(error),
            ServiceError::Program(error) => error.into(),
            ServiceError::Engine(error) => CommandError::of(CommandErrorKind::Engine)(error),
        }
    }
}

impl From<JournalError> for CommandError {
    fn from(error: JournalError) -> CommandError {
        let hint = match &error {
            JournalError::Damaged { .. } => {
                "nothing was changed. Keep the folder to look into it; studies that were received lie in its \
                 inbox, and `flow run --input STATE/inbox --state OTHER` runs them"
            }
            JournalError::Format { .. } => {
                "use the flow that wrote it, or give this one a --state of its own"
            }
            JournalError::New { .. } => "flow is starting on this state, or ended as it did: ask again",
            JournalError::Full | JournalError::Low { .. } | JournalError::Failed { .. } => {
                "see whether its disk is full or broken, and whether flow may write there; then start again"
            }
        };
        CommandError::of(CommandErrorKind::InputOutput)(error).hint(hint)
    }
}

impl From<graph::GraphError> for CommandError {
    fn from(error: graph::GraphError) -> CommandError {
        match error {
            graph::GraphError::Load(error) => error.into(),
            graph::GraphError::Customer(error) => error.into(),
            graph::GraphError::NoOverlay(_) => CommandError::of(CommandErrorKind::Usage)(error)
                .hint("an overlay has the keys `customer` and `dataflow`"),
            graph::GraphError::Write(_) => CommandError::of(CommandErrorKind::InputOutput)(error),
        }
    }
}

impl From<CustomerError> for CommandError {
    fn from(error: CustomerError) -> CommandError {
        CommandError::new(CommandErrorKind::Usage, error.to_string()).hint(&error.hint)
    }
}

impl From<steps::StepsError> for CommandError {
    fn from(error: steps::StepsError) -> CommandError {
        match &error {
            steps::StepsError::Unknown { hint, .. } => {
                let failure = CommandError::new(CommandErrorKind::Usage, error.to_string());
                hint.iter().fold(failure, |failure, hint| failure.hint(hint))
            }
            steps::StepsError::Write(_) => CommandError::of(CommandErrorKind::InputOutput)(error),
        }
    }
}

impl From<SampleError> for CommandError {
    fn from(error: SampleError) -> CommandError {
        let is_there = matches!(error, SampleError::Exists(_));
        let failure = CommandError::of(CommandErrorKind::InputOutput)(error);
        if is_there { failure.hint("name another folder, or remove it") } else { failure }
    }
}

impl From<io::Error> for CommandError {
    fn from(error: io::Error) -> CommandError {
        CommandError::of(CommandErrorKind::InputOutput)(error)
    }
}
