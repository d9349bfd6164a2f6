//! Native pixel data (PS3.5 A.1 to A.3 and A.5), converted to little-endian samples, pixel by pixel.

use super::samples::{by_pixel, fit, swap};
use super::{DecodeError, PixelLayout};
use crate::imaging::elements::NativePixels;

/// In 4:2:2, two pixels are stored as Y Y Cb Cr (PS3.3 C.7.6.3.1.2).
const HALVED: &str = "YBR_FULL_422";

/// All frames, in the order and size of [`PixelLayout::bytes`].
///
/// # Errors
/// If bytes are missing.
pub fn decode(layout: &PixelLayout, native: NativePixels) -> Result<Vec<u8>, DecodeError> {
    let needed = layout.bytes();
    let halved = is_halved(layout, native.bytes.len());
    let stored = if halved { needed / 3 * 2 } else { needed };
    if native.bytes.len() < stored {
        return Err(DecodeError::CutOff {
            needed: stored,
            declared: native.declared,
            present: native.bytes.len(),
        });
    }
    let mut bytes = little_endian(layout, native, stored);
    if halved {
        bytes = bytes.as_chunks().0.iter().flat_map(|[a, b, cb, cr]| [*a, *cb, *cr, *b, *cb, *cr]).collect();
    } else {
        bytes.chunks_exact_mut(layout.frame_bytes()).for_each(|frame| by_pixel(layout, frame));
    }
    fit(&mut bytes, layout.bits_allocated, layout.bits_kept, layout.signed);
    Ok(bytes)
}

/// Whether colours are stored at half the width. Some files declare it and store all samples.
fn is_halved(layout: &PixelLayout, present: usize) -> bool {
    let declared = layout.photometric_interpretation == HALVED;
    declared
        && layout.samples_per_pixel == 3
        && layout.bits_allocated == 8
        && layout.columns.is_multiple_of(2)
        && present < layout.bytes()
}

/// The photometric interpretation of a native object's pixels after decoding.
pub fn photometric_interpretation(layout: &PixelLayout) -> &str {
    match layout.photometric_interpretation.as_str() {
        HALVED if layout.samples_per_pixel == 3 => "YBR_FULL",
        other => other,
    }
}

/// Converts from big endian, where the VR decides: words are swapped even if a sample is a byte or a bit.
fn little_endian(layout: &PixelLayout, native: NativePixels, stored: usize) -> Vec<u8> {
    let size = layout.bytes_per_sample();
    if !native.big_endian || (size == 1 && !native.words) {
        return native.bytes[..stored].to_vec();
    }
    let whole = stored.next_multiple_of(2).min(native.bytes.len());
    let mut bytes = native.bytes[..whole].to_vec();
    swap(&mut bytes, size.max(2));
    bytes.truncate(stored);
    bytes
}
