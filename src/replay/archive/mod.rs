//! A recording and its bytes in one tar file, which any tool opens.
//!
//! ```text
//! manifest.json        first: the format's version and the recording
//! items/DIGEST         the request's items
//! response/NAME        the files of the response
//! files/DIGEST         other files that steps gave, and those with long names
//! values/DIGEST        other values that steps gave, CBOR
//! ```
//!
//! The same recording gives the same bytes. No extension of the format (POSIX ustar) is used but sizes above
//! 8 GiB as GNU writes them, and none is read: they are what makes other archives dangerous. What is read is believed only as far as it can be checked:
//! nothing but what the manifest announces is taken, of that size and digest, and below one folder.

mod pack;
mod unpack;

use serde::{Deserialize, Serialize};

pub use pack::{PackError, pack};
pub use unpack::{UnpackError, Unpacked, unpack};

const MANIFEST: &str = "manifest.json";

/// Raised when the form changes.
const FORMAT: u32 = 1;

/// The manifest of the largest request has less; a forged one may say that it has more.
const MANIFEST_BYTES_MAX: u64 = 256 << 20;

#[derive(Serialize, Deserialize)]
struct Manifest<R> {
    format: u32,
    recording: R,
}

/// What any format's manifest has.
#[derive(Deserialize)]
struct Format {
    format: u32,
}
