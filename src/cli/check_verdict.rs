//! The verdict of `flow check` on a file.

use super::exit::{CommandErrorKind, CommandExit};

/// The worst verdict over all checked files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CheckVerdict {
    Sound,
    Problems,
    /// A name is neither that of a file nor that of a dataflow which flow carries.
    Unknown,
    /// There is no study to try the rules on.
    NoInput,
    /// A file is there, and cannot be read.
    Unreadable,
}

impl From<CheckVerdict> for CommandExit {
    fn from(verdict: CheckVerdict) -> CommandExit {
        match verdict {
            CheckVerdict::Sound => CommandExit::Done,
            CheckVerdict::Problems => CommandExit::Failed(CommandErrorKind::Problems),
            CheckVerdict::Unknown => CommandExit::Failed(CommandErrorKind::Usage),
            CheckVerdict::NoInput => CommandExit::Failed(CommandErrorKind::NoInput),
            CheckVerdict::Unreadable => CommandExit::Failed(CommandErrorKind::InputOutput),
        }
    }
}
