//! The notes of a process for process 0: the ends of runs, in their order, until process 0 has them on its disk.
//!
//! A long queue goes over a connection in pieces. Each piece is acknowledged before the next one is sent, and process 0
//! says at the beginning of a connection which notes it has. So also connections that carry less than the whole queue
//! bring it further. The first piece is small; each acknowledgement doubles the next.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::engine::RemoteRequestKey;
use crate::journal::RunRecord;

use super::frames::{ReportFrame, RunNote};
use super::link::EncodedFrame;

/// The bytes that a connection carries at first without an acknowledgement. One note goes in any case.
const PIECE_MIN: usize = 2 << 10;

/// The most bytes that it carries so.
const PIECE_MAX: usize = 4 << 20;

pub struct NoteQueue {
    /// The notes that process 0 does not have on its disk, by number.
    notes: BTreeMap<u64, EncodedFrame>,
    so_far: u64,
    /// The number of the last note that was sent over the present connection, or need not be.
    sent: u64,
    /// The bytes of the notes that were sent and not acknowledged.
    in_flight: usize,
    piece: usize,
}

impl Default for NoteQueue {
    fn default() -> NoteQueue {
        NoteQueue { notes: BTreeMap::new(), so_far: 0, sent: 0, in_flight: 0, piece: PIECE_MIN }
    }
}

impl NoteQueue {
    /// Adds a note. Returns its number.
    ///
    /// # Errors
    /// The note is too long for a frame.
    pub fn add(
        &mut self,
        key: &RemoteRequestKey,
        record: RunRecord,
        content: &[u8],
        is_awaited: bool,
    ) -> std::io::Result<u64> {
        let number = self.so_far + 1;
        let note = RunNote { number, key: *key, record, is_awaited };
        self.push(&ReportFrame::Note(Box::new(note)), content)?;
        Ok(number)
    }

    fn push<T: Serialize>(&mut self, frame: &T, content: &[u8]) -> std::io::Result<()> {
        let frame = EncodedFrame::of(frame, content)?;
        self.so_far += 1;
        self.notes.insert(self.so_far, frame);
        Ok(())
    }

    /// Begins a connection over which nothing was sent yet, to a process 0 that has the notes up to this number.
    pub fn connect(&mut self, noted: u64) {
        self.notes = self.notes.split_off(&(noted + 1));
        (self.sent, self.in_flight, self.piece) = (noted, 0, PIECE_MIN);
    }

    /// Lets the notes up to this number go: process 0 has them on its disk.
    pub fn acknowledge(&mut self, number: u64) {
        let left = self.notes.split_off(&(number + 1));
        let taken: usize = std::mem::replace(&mut self.notes, left).values().map(EncodedFrame::len).sum();
        self.sent = self.sent.max(number);
        self.in_flight = self.in_flight.saturating_sub(taken);
        self.piece = self.piece.saturating_mul(2).min(PIECE_MAX);
    }

    /// The notes to send now, which count as sent from now on.
    pub fn due(&mut self) -> Vec<EncodedFrame> {
        let mut due = Vec::new();
        for (number, frame) in self.notes.range(self.sent + 1..) {
            if self.in_flight > 0 && self.in_flight + frame.len() > self.piece {
                break;
            }
            self.in_flight += frame.len();
            self.sent = *number;
            due.push(frame.clone());
        }
        due
    }

    /// The number of the last note so far.
    pub fn last(&self) -> u64 {
        self.so_far
    }

    /// Whether all notes up to this number were sent over the present connection.
    pub fn has_sent(&self, number: u64) -> bool {
        self.sent >= number
    }

    /// Whether process 0 does not have a note yet.
    pub fn has(&self, number: u64) -> bool {
        self.notes.contains_key(&number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTES: u64 = 100;

    /// A queue of notes of a kilobyte each.
    fn queue() -> NoteQueue {
        let mut queue = NoteQueue::default();
        (0..NOTES).for_each(|_| queue.push(&"note", &[0; 1_000]).unwrap());
        queue
    }

    #[test]
    fn a_long_queue_is_sent_in_pieces_that_grow_with_each_acknowledgement() {
        let mut queue = queue();
        let mut pieces = Vec::new();
        loop {
            let due = queue.due();
            if due.is_empty() {
                break;
            }
            assert!(queue.due().is_empty(), "the next piece waits for an acknowledgement");
            pieces.push(due.len());
            queue.acknowledge(pieces.iter().sum::<usize>() as u64);
        }
        assert_eq!(pieces, [2, 4, 8, 16, 32, 38]);
        assert!(queue.has_sent(NOTES) && !queue.has(NOTES));
    }

    #[test]
    fn a_new_connection_goes_on_after_what_is_noted_and_sends_the_rest_again() {
        let mut queue = queue();
        assert_eq!(queue.due().len(), 2);
        queue.connect(1);
        assert!(!queue.has(1) && queue.has(2) && queue.has_sent(1) && !queue.has_sent(2));
        assert_eq!(queue.due().len(), 2);
        assert!(queue.has_sent(3));
        // Process 0 was started again and knows nothing of the notes.
        queue.acknowledge(3);
        queue.connect(0);
        assert!(!queue.has(3) && queue.has(4));
        assert_eq!(queue.due().len(), 2);
        assert!(queue.has_sent(5));
    }

    #[test]
    fn a_note_that_is_longer_than_a_piece_goes_alone() {
        let mut queue = NoteQueue::default();
        (0..2).for_each(|_| queue.push(&"note", &[0; 3 * PIECE_MIN]).unwrap());
        assert_eq!(queue.due().len(), 1);
        queue.acknowledge(1);
        assert_eq!(queue.due().len(), 1);
    }
}
