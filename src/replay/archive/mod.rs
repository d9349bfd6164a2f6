//! The archive format: a recording and its bytes in one tar file.
//!
//! ```text
//! manifest.json        first: the format's version and the recording
//! items/DIGEST         the request's items
//! response/NAME        the files of the response
//! files/DIGEST         other files that steps gave, and those with long names
//! values/DIGEST        other values that steps gave, CBOR
//! ```
//!
//! The same recording gives the same bytes. The format is POSIX ustar; of the extensions, only GNU sizes
//! above 8 GiB are written, and none is read, since extensions make archives dangerous. Reading verifies
//! everything: only files in the manifest are extracted, with the announced size and digest, and below
//! one folder.

mod pack;
mod unpack;

use serde::{Deserialize, Serialize};

pub use pack::{PackError, pack};
pub use unpack::{UnpackError, UnpackedArchive, unpack};

const MANIFEST: &str = "manifest.json";

/// The version of the format.
const FORMAT: u32 = 1;

/// Limit of the size of the manifest, in bytes. A forged archive may declare more.
const MANIFEST_BYTES_MAX: u64 = 256 << 20;

#[derive(Serialize, Deserialize)]
struct ArchiveManifest<R> {
    format: u32,
    recording: R,
}

/// The part of the manifest that all versions of the format share.
#[derive(Deserialize)]
struct ArchiveFormat {
    format: u32,
}
