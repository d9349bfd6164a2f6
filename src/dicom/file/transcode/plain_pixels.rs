//! Pixels that have been decoded.

use crate::imaging;

/// Pixels that are not compressed, and what the header has to say of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlainPixels {
    /// `OB` or `OW`.
    pub vr: [u8; 2],
    /// Little endian.
    pub bytes: Vec<u8>,
    pub photometric_interpretation: String,
}

/// Decodes the pixels of a file (PS3.10).
pub type Decode = fn(&[u8]) -> Result<PlainPixels, String>;

/// Decodes whatever there is a decoder for.
///
/// # Errors
/// If there is none, or the file is damaged.
pub fn plain_pixels(file: &[u8]) -> Result<PlainPixels, String> {
    let decoded = imaging::decoded(file).map_err(|error| error.to_string())?;
    let vr = decoded.vr();
    let photometric_interpretation = decoded.photometric_interpretation;
    Ok(PlainPixels { vr, bytes: decoded.bytes, photometric_interpretation })
}
