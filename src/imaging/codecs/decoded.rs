//! A file's pixels as Explicit VR Little Endian writes them, for sending in that transfer syntax.

use std::borrow::Cow;

use super::codec::PixelCodec;
use super::samples::{bit, close_gaps, fit};
use super::{DecodeError, PixelLayout, decode, native, photometric_interpretation};
use crate::imaging::elements::{Part10File, PixelData, is_native};

/// All frames of an object, uncompressed, with the attributes of the header that change with them.
///
/// The Transfer Syntax UID, Photometric Interpretation and Planar Configuration (0) change, and the offset
/// tables are removed. All other attributes stay, including Lossy Image Compression, which records the past.
/// Bits above Bits Stored are cleared, and with them overlays of the retired kind that were kept there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodedPixels {
    /// Samples of 8, 16 or 32 bits, little endian, the samples of a pixel side by side, row by row from the
    /// top, frame by frame. Single bits are packed, the first one lowest, without a gap between frames. No
    /// padding is added: a writer appends a zero byte to a value of odd length.
    pub bytes: Vec<u8>,
    pub frames: usize,
    pub rows: usize,
    pub columns: usize,
    /// 1 or 3.
    pub samples_per_pixel: usize,
    /// 1, 8, 16 or 32.
    pub bits_allocated: u32,
    pub bits_stored: u32,
    /// Set where samples are two's complement.
    pub signed: bool,
    /// The new value of (0028,0004): `RGB` where decoding changed the colour space, `YBR_FULL` where
    /// subsampled colours were brought to full width, otherwise the file's own value.
    pub photometric_interpretation: String,
}

impl DecodedPixels {
    /// The value representation: `OB` or `OW`, chosen by bits allocated.
    pub fn vr(&self) -> [u8; 2] {
        if self.bits_allocated > 8 { *b"OW" } else { *b"OB" }
    }

    /// The samples of a frame; of single bits a byte each.
    ///
    /// # Panics
    /// If there is no such frame.
    pub fn frame(&self, index: usize) -> Cow<'_, [u8]> {
        let samples = self.rows * self.columns * self.samples_per_pixel;
        if self.bits_allocated == 1 {
            return Cow::Owned(
                (0..samples).map(|at| bit(&self.bytes, index * samples + at).into()).collect(),
            );
        }
        let size = samples * self.bits_allocated as usize / 8;
        Cow::Borrowed(&self.bytes[index * size..][..size])
    }
}

/// Decodes all frames of a file, in parallel.
///
/// The header's sizes are checked against the bytes present before memory is allocated. A file decodes to at
/// most 64 MiB plus 1 024 bytes for each compressed byte, and to at most 4 GiB.
///
/// # Errors
/// If the file has no pixels, is damaged, or there is no decoder for it.
pub fn decoded(file: &[u8]) -> Result<DecodedPixels, DecodeError> {
    let file = Part10File::open(file).map_err(|_| DecodeError::NotDicom)?;
    let elements = file.elements();
    let pixels = elements.pixels.ok_or_else(|| DecodeError::missing(&elements))?;
    let layout = PixelLayout::read(&file.transfer_syntax_uid, &elements)?;
    let (bytes, photometric_interpretation) = match pixels {
        PixelData::Native(native) if is_native(&layout.transfer_syntax_uid) => {
            (native::decode(&layout, native)?, native::photometric_interpretation(&layout))
        }
        PixelData::Native(_) => return Err(DecodeError::not_encapsulated(&layout.transfer_syntax_uid)),
        PixelData::Encapsulated(items) => {
            (whole(&layout, decode(&layout, &elements, items)?)?, photometric_interpretation(&layout))
        }
    };
    Ok(DecodedPixels {
        bytes,
        photometric_interpretation: photometric_interpretation.to_owned(),
        frames: layout.frames,
        rows: layout.rows,
        columns: layout.columns,
        samples_per_pixel: layout.samples_per_pixel,
        bits_allocated: layout.bits_allocated,
        bits_stored: layout.bits_stored,
        signed: layout.signed,
    })
}

/// Joins the frames as they are written, and clears the bits above the stored ones.
fn whole(layout: &PixelLayout, mut frames: Vec<u8>) -> Result<Vec<u8>, DecodeError> {
    if layout.bits_allocated == 1 {
        return Ok(close_gaps(&frames, layout.frame_samples()));
    }
    if !PixelCodec::of(layout)?.says_precision() {
        fit(&mut frames, layout.bits_allocated, layout.bits_kept, layout.signed);
    }
    Ok(frames)
}
