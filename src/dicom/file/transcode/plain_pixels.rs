//! Decoded pixels.

use crate::imaging;

/// Uncompressed pixels, with the header elements that describe them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlainPixels {
    /// The VR of Pixel Data: `OB` or `OW`.
    pub vr: [u8; 2],
    /// Little endian.
    pub bytes: Vec<u8>,
    pub photometric_interpretation: String,
}

/// Decodes the pixels of a file (PS3.10).
pub type Decode = fn(&[u8]) -> Result<PlainPixels, String>;

/// Decodes the pixels of a file in any transfer syntax with a known decoder.
///
/// # Errors
/// If there is no decoder, or the file is damaged.
pub fn plain_pixels(file: &[u8]) -> Result<PlainPixels, String> {
    let decoded = imaging::decoded(file).map_err(|error| error.to_string())?;
    let vr = decoded.vr();
    let photometric_interpretation = decoded.photometric_interpretation;
    Ok(PlainPixels { vr, bytes: decoded.bytes, photometric_interpretation })
}
