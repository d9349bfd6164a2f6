//! The verdict of `flow check` on a file.

use super::exit::CommandExit;

/// The worst verdict over all checked files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CheckVerdict {
    Sound,
    Problems,
    Unreadable,
}

impl From<CheckVerdict> for CommandExit {
    fn from(verdict: CheckVerdict) -> CommandExit {
        match verdict {
            CheckVerdict::Sound => CommandExit::Done,
            CheckVerdict::Unreadable => CommandExit::Unreadable,
            CheckVerdict::Problems => CommandExit::Problems,
        }
    }
}
