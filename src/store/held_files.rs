//! Small files of responses that are under way, in memory.

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
    /// By request.
    files: HashMap<Digest, Vec<HeldFile>>,
    bytes: usize,
}

#[derive(Debug)]
struct HeldFile {
    owner: Digest,
    digest: Digest,
    bytes: Arc<[u8]>,
}

impl HeldFiles {
    /// Holds a file; `false` if it is not small, or too many are held.
    pub fn hold(&self, request: Digest, owner: Digest, digest: Digest, bytes: &Arc<[u8]>) -> bool {
        let mut state = self.lock();
        if bytes.len() as u64 > SMALL_FILE_BYTES_MAX || state.bytes + bytes.len() > BYTES_MAX {
            return false;
        }
        let files = state.files.entry(request).or_default();
        if !files.iter().any(|file| file.owner == owner && file.digest == digest) {
            files.push(HeldFile { owner, digest, bytes: Arc::clone(bytes) });
            state.bytes += bytes.len();
        }
        true
    }

    pub fn get(&self, request: Digest, digest: Digest) -> Option<Arc<[u8]>> {
        let state = self.lock();
        let file = state.files.get(&request)?.iter().find(|file| file.digest == digest)?;
        Some(Arc::clone(&file.bytes))
    }

    /// Lets go of an owner's files of a request.
    pub fn release(&self, request: Digest, owner: Digest) {
        let mut state = self.lock();
        let Some(files) = state.files.remove(&request) else { return };
        let (released, others): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| file.owner == owner);
        state.bytes -= released.iter().map(|file| file.bytes.len()).sum::<usize>();
        if !others.is_empty() {
            state.files.insert(request, others);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HeldState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
