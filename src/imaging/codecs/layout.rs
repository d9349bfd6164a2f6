//! The header's description of its pixels (PS3.3 C.7.6.3), checked, so that memory may be allocated by a
//! [`PixelLayout`].

use dicom_dictionary_std::tags;

use super::{DecodeError, syntax_name};
use crate::imaging::elements::HeaderElements;

/// The largest native value: its length has 32 bits, and the largest number means "undefined".
const BYTES_MOST: u64 = u32::MAX as u64 - 1;

/// Decoded bytes that any compressed image may have; beyond them each compressed byte allows a fixed number
/// more. A blank image takes a few hundred bytes of JPEG 2000, but no large real image shrinks to a
/// thousandth.
const BYTES_FREE: u64 = 64 << 20;
const RATIO_MOST: u64 = 1024;

/// Shape and coding of all frames of an object. Its total size is at most [`BYTES_MOST`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PixelLayout {
    pub transfer_syntax_uid: String,
    pub photometric_interpretation: String,
    pub columns: usize,
    pub rows: usize,
    pub frames: usize,
    /// 1 or 3.
    pub samples_per_pixel: usize,
    /// 1, 8, 16 or 32.
    pub bits_allocated: u32,
    /// From 1 to `bits_allocated`.
    pub bits_stored: u32,
    /// The number of lowest bits of a sample that carry data: Bits Stored, or all of them where High Bit
    /// places the data elsewhere, as earlier editions of the standard allowed.
    pub bits_kept: u32,
    pub signed: bool,
    pub order: PlanarOrder,
}

/// Planar Configuration: the order of the samples of several colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanarOrder {
    ByPixel,
    ByPlane,
}

impl PixelLayout {
    /// # Errors
    /// If there is no image, or one that is not supported or larger than DICOM can encode.
    pub fn read(transfer_syntax_uid: &str, elements: &HeaderElements) -> Result<PixelLayout, DecodeError> {
        let short = |tag| elements.short(tag);
        let [rows, columns] = [tags::ROWS, tags::COLUMNS].map(|tag| usize::from(short(tag).unwrap_or(0)));
        let bits_allocated = u32::from(short(tags::BITS_ALLOCATED).unwrap_or(0));
        let bits_stored = short(tags::BITS_STORED).map_or(bits_allocated, u32::from);
        let bits_stored = bits_stored.clamp(1, bits_allocated.max(1));
        let at_the_bottom = short(tags::HIGH_BIT).is_none_or(|high| u32::from(high) + 1 == bits_stored);
        let frames = elements.integer(tags::NUMBER_OF_FRAMES).unwrap_or(1).max(1);
        let samples_per_pixel = usize::from(short(tags::SAMPLES_PER_PIXEL).unwrap_or(1));
        let by_plane = samples_per_pixel > 1 && short(tags::PLANAR_CONFIGURATION) == Some(1);
        let layout = PixelLayout {
            transfer_syntax_uid: transfer_syntax_uid.to_owned(),
            photometric_interpretation: elements.text(tags::PHOTOMETRIC_INTERPRETATION),
            columns,
            rows,
            frames: frames as usize,
            samples_per_pixel,
            bits_allocated,
            bits_stored,
            bits_kept: if at_the_bottom { bits_stored } else { bits_allocated },
            signed: short(tags::PIXEL_REPRESENTATION) == Some(1),
            order: if by_plane { PlanarOrder::ByPlane } else { PlanarOrder::ByPixel },
        };
        layout.checked()
    }

    fn checked(self) -> Result<PixelLayout, DecodeError> {
        let [samples, bits] = [self.samples_per_pixel, self.bits_allocated as usize];
        if self.rows == 0 || self.columns == 0 {
            return Err(DecodeError::NoPixels);
        }
        if ![1, 3].contains(&samples) || ![1, 8, 16, 32].contains(&bits) || (samples == 3 && bits == 1) {
            let what = format!("{samples} samples per pixel of {bits} bits");
            return Err(DecodeError::Unsupported(what));
        }
        // Factors are at most 2^16, 2^16, 3 and 2^5, so the product fits 64 bits.
        let frame_bits = self.frame_samples() as u64 * u64::from(self.bits_allocated);
        let bits = frame_bits.checked_mul(self.frames as u64);
        match bits {
            Some(bits) if bits.div_ceil(8) <= BYTES_MOST => Ok(self),
            _ => Err(DecodeError::Unsupported(format!(
                "{} frames of {frame_bits} bits: DICOM holds {BYTES_MOST} bytes uncompressed",
                self.frames
            ))),
        }
    }

    /// # Errors
    /// If so few compressed bytes cannot be an image of this size. Checked before memory is allocated.
    pub fn check_ratio(&self, compressed: usize) -> Result<(), DecodeError> {
        let decoded = (self.frame_bytes() * self.frames) as u64;
        if decoded <= BYTES_FREE.saturating_add((compressed as u64).saturating_mul(RATIO_MOST)) {
            return Ok(());
        }
        Err(DecodeError::damaged(format!("{compressed} bytes cannot hold {decoded} bytes of pixels")))
    }

    pub fn frame_pixels(&self) -> usize {
        self.rows * self.columns
    }

    pub fn frame_samples(&self) -> usize {
        self.frame_pixels() * self.samples_per_pixel
    }

    /// Bytes of one frame by itself, including a partly filled last byte.
    pub fn frame_bytes(&self) -> usize {
        (self.frame_samples() * self.bits_allocated as usize).div_ceil(8)
    }

    /// Bytes of all frames; frames of single bits follow each other without a gap.
    pub fn bytes(&self) -> usize {
        (self.frame_samples() * self.bits_allocated as usize * self.frames).div_ceil(8)
    }

    pub fn bytes_per_sample(&self) -> usize {
        self.bits_allocated.div_ceil(8) as usize
    }

    pub fn syntax_name(&self) -> String {
        syntax_name(&self.transfer_syntax_uid)
    }
}
