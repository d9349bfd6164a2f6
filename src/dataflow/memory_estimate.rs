//! An estimate of the memory that a request takes.

use crate::step::Request;

/// An estimate of the memory that one request takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MemoryEstimate {
    /// Bytes for every request.
    pub(crate) fixed: u64,
    /// Bytes for each byte of the request's decoded items.
    pub(crate) per_decoded_byte: f64,
}

impl MemoryEstimate {
    /// The default: one decoded copy of the items, and 64 MiB.
    pub(super) const ONE_COPY: MemoryEstimate = MemoryEstimate { fixed: 64 << 20, per_decoded_byte: 1.0 };

    /// The largest number of bytes of decoded items whose request takes no more than this much memory; `None` if none does.
    pub fn decoded_max(&self, memory: u64) -> Option<u64> {
        let left = memory.checked_sub(self.fixed)?;
        if self.per_decoded_byte == 0.0 {
            return Some(u64::MAX);
        }
        // A float saturates when it becomes an integer.
        Some((left as f64 / self.per_decoded_byte).floor() as u64)
    }

    /// The bytes for every request, and those for each byte of its decoded items.
    pub fn parts(&self) -> (u64, f64) {
        (self.fixed, self.per_decoded_byte)
    }

    /// The estimate for a request, in bytes.
    pub fn estimate(&self, request: &Request) -> u64 {
        // A float holds sizes up to 2^53 exactly, and saturates when it becomes an integer.
        let decoded = (request.decoded() as f64 * self.per_decoded_byte).ceil() as u64;
        self.fixed.saturating_add(decoded)
    }
}
