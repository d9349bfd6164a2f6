//! Small files of responses that are being delivered, held in memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::step::Digest;

/// The most bytes of a file that is held in memory.
pub const SMALL_FILE_BYTES_MAX: u64 = 8 << 10;

/// The most bytes of all files that are held.
const BYTES_MAX: usize = 64 << 20;

#[derive(Debug, Default)]
pub struct HeldFiles(Mutex<HeldState>);

#[derive(Debug, Default)]
struct HeldState {
    requests: HashMap<Digest, HeldRequestFiles>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct HeldRequestFiles {
    /// The number of times that the request is under way: it may go through several dataflows.
    under_way: usize,
    files: HashMap<Digest, Arc<[u8]>>,
}

impl HeldFiles {
    /// Begins to hold files of a request.
    pub fn begin(&self, request: Digest) {
        self.lock().requests.entry(request).or_default().under_way += 1;
    }

    /// Holds a file; `false` if its request is not under way, it is not small, or too much is held.
    pub fn hold(&self, request: Digest, digest: Digest, bytes: &Arc<[u8]>) -> bool {
        let mut state = self.lock();
        let total = state.bytes + bytes.len();
        let has_room = bytes.len() as u64 <= SMALL_FILE_BYTES_MAX && total <= BYTES_MAX;
        let Some(held) = state.requests.get_mut(&request).filter(|_| has_room) else { return false };
        if held.files.insert(digest, Arc::clone(bytes)).is_none() {
            state.bytes = total;
        }
        true
    }

    pub fn get(&self, request: Digest, digest: Digest) -> Option<Arc<[u8]>> {
        self.lock().requests.get(&request)?.files.get(&digest).cloned()
    }

    /// Drops a request's files once it is no longer under way.
    pub fn end(&self, request: Digest) {
        let mut state = self.lock();
        let Some(held) = state.requests.get_mut(&request) else { return };
        held.under_way -= 1;
        if held.under_way == 0 {
            let bytes: usize = held.files.values().map(|bytes| bytes.len()).sum();
            state.bytes -= bytes;
            state.requests.remove(&request);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HeldState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_held_as_long_as_its_request_is_under_way() {
        let (held, request) = (HeldFiles::default(), Digest::of(b"request"));
        let (digest, bytes): (Digest, Arc<[u8]>) = (Digest::of(b"a"), b"a"[..].into());
        assert!(!held.hold(request, digest, &bytes), "it is not under way");
        held.begin(request);
        held.begin(request);
        assert!(held.hold(request, digest, &bytes) && held.hold(request, digest, &bytes));
        held.end(request);
        assert_eq!(held.get(request, digest).as_deref(), Some(&b"a"[..]), "another one still wants it");
        held.end(request);
        assert_eq!(held.get(request, digest), None);
        assert_eq!(held.lock().bytes, 0);
    }

    #[test]
    fn neither_large_files_nor_too_many_are_held() {
        let (held, request) = (HeldFiles::default(), Digest::of(b"request"));
        held.begin(request);
        let large: Arc<[u8]> = vec![0; SMALL_FILE_BYTES_MAX as usize + 1].into();
        assert!(!held.hold(request, Digest::of(b"large"), &large));
        let small: Arc<[u8]> = vec![0; SMALL_FILE_BYTES_MAX as usize].into();
        let count = (0..u64::MAX)
            .take_while(|number| held.hold(request, Digest::of(&number.to_le_bytes()), &small))
            .count();
        assert_eq!(count, BYTES_MAX / small.len());
    }
}
