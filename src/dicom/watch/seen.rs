//! A file of a watched folder that is there and has not been taken yet.

use std::time::Instant;

use super::place::FileStamp;

pub(super) struct SeenFile {
    pub mark: FileStamp,
    /// When it was first seen as it is now.
    pub changed: Instant,
    /// When it may be taken, if it has not changed until then.
    pub due: Option<Instant>,
    pub round: u64,
    pub state: SeenState,
    /// It was cut off when it was last to be taken, and its study has been told.
    pub was_cut_off: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SeenState {
    /// It may still be being written.
    Settling,
    /// Its data set is cut off, and it has not changed since that was seen.
    CutOff,
    /// It cannot be taken for a reason outside it, and is tried again.
    Waiting,
    /// It has been dealt with, and could not be removed.
    Done,
}

impl SeenFile {
    pub fn new(mark: FileStamp, now: Instant, settled: Instant) -> SeenFile {
        let (due, state) = (Some(settled), SeenState::Settling);
        SeenFile { mark, changed: now, due, round: 0, state, was_cut_off: false }
    }

    /// Notes that the file has changed.
    pub fn change(&mut self, mark: FileStamp, now: Instant, settled: Instant) {
        let (round, was_cut_off) = (self.round, self.was_cut_off);
        *self = SeenFile { round, was_cut_off, ..SeenFile::new(mark, now, settled) };
    }
}
