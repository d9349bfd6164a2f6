//! A file in a watched folder that has not been taken yet.

use std::time::Instant;

use super::place::FileStamp;

pub(super) struct SeenFile {
    pub mark: FileStamp,
    /// The time at which its name was first seen.
    pub since: Instant,
    /// The time at which it was first seen in its present state.
    pub changed: Instant,
    /// The time at which it is to be taken, if it does not change before.
    pub due: Option<Instant>,
    pub round: u64,
    pub state: SeenState,
    /// The study that was told that it lacks this file, which was cut off when it was to be taken; empty if the
    /// file does not name its study.
    pub lacking: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SeenState {
    /// It may still be written.
    Settling,
    /// Its data set is cut off, and it has not changed since that was seen.
    CutOff,
    /// It cannot be taken for a reason outside of it, and is tried again.
    Waiting,
    /// It has been taken or refused, and could not be removed.
    Done,
    /// A copy that still goes on after the longest time for which studies wait for one.
    Endless,
}

impl SeenFile {
    pub fn new(mark: FileStamp, now: Instant, settled: Instant) -> SeenFile {
        let (due, state) = (Some(settled), SeenState::Settling);
        SeenFile { mark, since: now, changed: now, due, round: 0, state, lacking: None }
    }

    /// Notes that the file has changed.
    pub fn change(&mut self, mark: FileStamp, now: Instant, settled: Instant) {
        let (since, round, lacking) = (self.since, self.round, self.lacking.take());
        *self = SeenFile { since, round, lacking, ..SeenFile::new(mark, now, settled) };
    }
}
