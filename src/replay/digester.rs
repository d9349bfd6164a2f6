//! The digest of recorded bytes.

use crate::dicom_file::content::ContentDigester;
use crate::step::{Digest, Digester};

/// Computes the digests that recorded bytes may be known by: the bytes' own and, of DICOM instances, that of
/// their content.
#[derive(Default)]
pub struct RecordedDigester {
    bytes: Digester,
    content: ContentDigester,
}

impl RecordedDigester {
    pub fn update(&mut self, bytes: &[u8]) {
        self.bytes.update(bytes);
        self.content.update(bytes);
    }

    /// Whether all bytes so far are those with this digest.
    pub fn is(self, digest: Digest) -> bool {
        self.bytes.digest() == digest || self.content.finish().digest == digest
    }
}
