//! Deflated data sets (PS3.5 annex A.5).

use std::io::Read;

use flate2::read::DeflateDecoder;

/// A reader of the inflated bytes, at most so many: a bomb has no end.
pub fn inflating<'a>(deflated: impl Read + 'a, bytes_max: u64) -> impl Read + 'a {
    DeflateDecoder::new(deflated).take(bytes_max)
}
