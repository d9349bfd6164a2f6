//! Values on their way between processes that do not share a store: whoever needs one asks for it chunk by chunk, so
//! that no more than a chunk waits in memory for the wire.

use std::collections::HashMap;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::engine::{StepValue, ValuePiece};
use crate::step::Digest;

/// The bytes of a chunk before it is compressed.
pub const CHUNK_BYTES: usize = 1 << 20;

/// The level of compression that keeps up with a fast network.
const LEVEL: i32 = 1;

/// The question for a chunk of a value of a step.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChunkRequest {
    /// The number under which it is answered.
    pub number: u64,
    /// The ticket of the step.
    pub ticket: u64,
    pub value: StepValue,
    pub offset: u64,
}

/// The answer, whose bytes follow.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChunkReply {
    pub number: u64,
    /// The bytes of the whole value; `None` if it is not there.
    pub total: Option<u64>,
    /// The digest of the whole value, with the first chunk of an item.
    pub digest: Option<Digest>,
    /// Whether the chunk is compressed.
    pub is_packed: bool,
}

/// The questions of one connection that wait for their answers.
#[derive(Default)]
pub struct ChunkExchange(Mutex<ChunkState>);

#[derive(Default)]
struct ChunkState {
    number: u64,
    waiting: HashMap<u64, Sender<(ChunkReply, Vec<u8>)>>,
}

impl ChunkExchange {
    /// Fetches a value. `ask` sends a question, and returns whether it is on its way. `None` if the value is not there,
    /// is damaged, or the connection ends.
    pub fn fetch(
        &self,
        ticket: u64,
        value: StepValue,
        ask: impl Fn(&ChunkRequest) -> bool,
    ) -> Option<Vec<u8>> {
        let (mut bytes, mut of_item): (Vec<u8>, Option<Digest>) = (Vec::new(), None);
        loop {
            let (sender, reply) = channel();
            let number = {
                let mut state = self.lock();
                state.number += 1;
                let number = state.number;
                state.waiting.insert(number, sender);
                number
            };
            let offset = bytes.len() as u64;
            if !ask(&ChunkRequest { number, ticket, value, offset }) {
                self.lock().waiting.remove(&number);
                return None;
            }
            let (ChunkReply { total, digest, is_packed, .. }, content) = reply.recv().ok()?;
            of_item = of_item.or(digest);
            let total = usize::try_from(total?).ok()?;
            let chunk = if is_packed { zstd::bulk::decompress(&content, CHUNK_BYTES).ok()? } else { content };
            let is_whole = bytes.len() + chunk.len() >= total;
            if chunk.is_empty() && !is_whole {
                return None;
            }
            bytes.extend(chunk);
            if is_whole {
                let digest = match value {
                    StepValue::Stored(digest) => digest,
                    StepValue::Item(_) => of_item?,
                };
                return (Digest::of(&bytes) == digest).then_some(bytes);
            }
        }
    }

    /// Takes an answer; one that nobody waits for is dropped.
    pub fn take(&self, reply: ChunkReply, content: Vec<u8>) {
        if let Some(sender) = self.lock().waiting.remove(&reply.number) {
            let _ = sender.send((reply, content));
        }
    }

    /// Ends all waits: the connection has ended.
    pub fn cut(&self) {
        self.lock().waiting.clear();
    }

    fn lock(&self) -> MutexGuard<'_, ChunkState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The answer to a question, with its bytes, compressed where that pays.
pub fn answer(number: u64, piece: Option<ValuePiece>) -> (ChunkReply, Vec<u8>) {
    let Some(ValuePiece { total, digest, bytes }) = piece else {
        return (ChunkReply { number, total: None, digest: None, is_packed: false }, Vec::new());
    };
    let packed = zstd::bulk::compress(&bytes, LEVEL).ok();
    let packed = packed.filter(|packed| packed.len() < bytes.len() - bytes.len() / 8);
    let is_packed = packed.is_some();
    (ChunkReply { number, total: Some(total), digest, is_packed }, packed.unwrap_or(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetched(bytes: &[u8], value: StepValue, damaged: bool) -> Option<Vec<u8>> {
        let exchange = ChunkExchange::default();
        let ask = |request: &ChunkRequest| {
            let offset = request.offset as usize;
            let mut chunk = bytes[offset..bytes.len().min(offset + CHUNK_BYTES)].to_vec();
            if damaged && offset > 0 {
                chunk[0] ^= 1;
            }
            let digest = matches!(value, StepValue::Item(_)) && offset == 0;
            let digest = digest.then(|| Digest::of(bytes));
            let piece = ValuePiece { total: bytes.len() as u64, digest, bytes: chunk };
            let (reply, content) = answer(request.number, Some(piece));
            exchange.take(reply, content);
            true
        };
        exchange.fetch(1, value, ask)
    }

    #[test]
    fn a_value_comes_whole_and_unchanged_or_not_at_all() {
        let noise: Vec<u8> = (0..2 * CHUNK_BYTES + 5).map(|at| (at * at / 7) as u8).collect();
        for bytes in [&[][..], b"small", &vec![0; 3 * CHUNK_BYTES], &noise] {
            for value in [StepValue::Stored(Digest::of(bytes)), StepValue::Item(0)] {
                assert_eq!(fetched(bytes, value, false).as_deref(), Some(bytes));
            }
        }
        // One bit of one byte, so that the length is right.
        for value in [StepValue::Stored(Digest::of(&noise)), StepValue::Item(0)] {
            assert_eq!(fetched(&noise, value, true), None);
        }
    }

    #[test]
    fn what_repeats_is_compressed_and_noise_is_not() {
        let packed = |bytes: &[u8]| {
            answer(1, Some(ValuePiece { total: 0, digest: None, bytes: bytes.to_vec() })).0.is_packed
        };
        assert!(packed(&[7; 10_000]));
        let mut state = 1_u64;
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        });
        assert!(!packed(&noise.take(10_000).collect::<Vec<u8>>()));
    }

    #[test]
    fn a_connection_that_ends_ends_the_waits() {
        let exchange = ChunkExchange::default();
        let ask = |_: &ChunkRequest| {
            exchange.cut();
            true
        };
        assert_eq!(exchange.fetch(1, StepValue::Item(0), ask), None);
    }
}
