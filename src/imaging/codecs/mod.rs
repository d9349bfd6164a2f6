//! Pixels of any transfer syntax (PS3.5 section 8 and annex A) to little-endian samples.
//!
//! | transfer syntaxes | decoded by |
//! |---|---|
//! | native, encapsulated uncompressed, deflated frames | [`native`], flate2 |
//! | RLE | [`rle`] |
//! | JPEG baseline, extended of 8 and 12 bits, lossless | [`jpeg`] |
//! | JPEG-LS | [`jpeg_ls`] |
//! | JPEG 2000, HTJ2K | openjp2, through [`jpeg2000`] |
//!
//! Input may be malicious. Sizes come from the header and are checked in [`PixelLayout`]; a code stream must have
//! the same size, and each frame is decoded into memory allocated before. The decoders here do not panic;
//! openjp2's panics are caught, because it was not written for malicious input.

mod decoded;
mod fragments;
mod jpeg;
mod jpeg2000;
mod jpeg_ls;
mod layout;
mod native;
mod rle;
mod samples;
mod stream;

pub use decoded::{DecodedPixels, decoded};
pub use layout::{PixelLayout, PlanarOrder};

use std::io::Read;

use dicom_dictionary_std::uids;
use dicom_encoding::transfer_syntax::TransferSyntaxIndex;
use dicom_transfer_syntax_registry::TransferSyntaxRegistry;
use rayon::prelude::*;

use super::elements::{ElementDamage, HeaderElements, is_native};

/// Why pixels cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("the file is not DICOM")]
    NotDicom,
    #[error("the file has no pixel data")]
    NoPixels,
    #[error(transparent)]
    Broken(ElementDamage),
    #[error("the pixel data is cut off: {needed} bytes are needed, {declared} declared, {present} there")]
    CutOff { needed: usize, declared: usize, present: usize },
    #[error("{0}")]
    Damaged(String),
    /// The pixels' kind is not supported, whatever the file.
    #[error("there is no decoder for {0}")]
    Unsupported(String),
}

impl DecodeError {
    /// The error for a file without pixels: it never had any, or they are lost to damage.
    pub fn missing(elements: &HeaderElements) -> DecodeError {
        elements.damage.clone().map_or(DecodeError::NoPixels, DecodeError::Broken)
    }

    pub fn not_encapsulated(transfer_syntax_uid: &str) -> DecodeError {
        let name = syntax_name(transfer_syntax_uid);
        DecodeError::Damaged(format!("the pixels are not encapsulated, though the transfer syntax is {name}"))
    }

    fn not_compressed(layout: &PixelLayout) -> DecodeError {
        let name = layout.syntax_name();
        DecodeError::damaged(format!("they are encapsulated, though the transfer syntax is {name}"))
    }

    pub fn damaged(reason: impl ToString) -> DecodeError {
        DecodeError::Damaged(format!("the compressed pixels are damaged: {}", reason.to_string()))
    }

    fn in_frame(self, number: usize, frames: usize) -> DecodeError {
        match self {
            DecodeError::Damaged(reason) if frames > 1 => {
                DecodeError::Damaged(format!("{reason} (frame {number} of {frames})"))
            }
            other => other,
        }
    }

    pub fn remedy(&self) -> &'static str {
        match self {
            DecodeError::Unsupported(_) => {
                "Send the study uncompressed (Explicit VR Little Endian) or as JPEG 2000 or RLE lossless."
            }
            _ => "Send this slice again from its source.",
        }
    }
}

/// Decodes encapsulated frames in parallel: [`PixelLayout::frame_bytes`] for each, one after the other.
///
/// Samples of a code stream have the precision of the stream and the sign of the header. Samples of RLE and
/// of uncompressed frames keep all bits as written, also those above Bits Stored.
///
/// # Errors
/// If the fragments or a code stream are damaged, or the transfer syntax has no decoder.
pub fn decode(layout: &PixelLayout, elements: &HeaderElements, items: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let codec = PixelCodec::of(layout)?;
    layout.check_ratio(items.len())?;
    let frames = fragments::frames(layout, elements, items)?;
    let mut decoded = vec![0; layout.frame_bytes() * layout.frames];
    let places = decoded.par_chunks_mut(layout.frame_bytes());
    let results: Vec<Result<(), DecodeError>> =
        frames.par_iter().zip(places).map(|(frame, place)| codec.decode(layout, frame, place)).collect();
    // The error of the first damaged frame is returned, whatever the order of decoding.
    for (number, result) in (1..).zip(results) {
        result.map_err(|error| error.in_frame(number, layout.frames))?;
    }
    Ok(decoded)
}

/// Decodes one encapsulated frame, numbered from 0.
///
/// # Errors
/// As [`decode`] has them.
///
/// # Panics
/// If the layout has no such frame.
pub fn decode_frame(
    layout: &PixelLayout,
    elements: &HeaderElements,
    items: &[u8],
    index: usize,
) -> Result<Vec<u8>, DecodeError> {
    let codec = PixelCodec::of(layout)?;
    layout.check_ratio(items.len())?;
    let frames = fragments::frames(layout, elements, items)?;
    let mut decoded = vec![0; layout.frame_bytes()];
    let result = codec.decode(layout, &frames[index], &mut decoded);
    result.map_err(|error| error.in_frame(index + 1, layout.frames))?;
    Ok(decoded)
}

/// The photometric interpretation after decoding: lossy JPEG becomes RGB as in DCMTK, JPEG 2000 by its own
/// colour transformation; no other one changes.
pub fn photometric_interpretation(layout: &PixelLayout) -> &str {
    let is = layout.photometric_interpretation.as_str();
    match PixelCodec::of(layout) {
        Ok(PixelCodec::Jpeg) if jpeg::becomes_rgb(layout) => "RGB",
        Ok(PixelCodec::Jpeg2000) if ["YBR_ICT", "YBR_RCT"].contains(&is) => "RGB",
        _ => is,
    }
}

/// Whether undamaged pixels in a transfer syntax can be decoded.
pub fn can_decode(transfer_syntax_uid: &str) -> bool {
    is_native(transfer_syntax_uid) || PixelCodec::of_syntax(transfer_syntax_uid).is_some()
}

/// The name of a transfer syntax, or its UID if the name is not known.
pub fn syntax_name(transfer_syntax_uid: &str) -> String {
    let known = TransferSyntaxRegistry.get(transfer_syntax_uid);
    known.map_or(transfer_syntax_uid, |syntax| syntax.name()).to_owned()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PixelCodec {
    Uncompressed,
    Deflated,
    Rle,
    Jpeg,
    JpegLs,
    Jpeg2000,
}

impl PixelCodec {
    fn of(layout: &PixelLayout) -> Result<PixelCodec, DecodeError> {
        let uid = layout.transfer_syntax_uid.as_str();
        let codec = PixelCodec::of_syntax(uid).ok_or_else(|| match is_native(uid) {
            true => DecodeError::not_compressed(layout),
            false => DecodeError::Unsupported(format!("the transfer syntax {}", layout.syntax_name())),
        })?;
        if layout.bits_allocated == 1 && !matches!(codec, PixelCodec::Uncompressed | PixelCodec::Deflated) {
            return Err(DecodeError::Unsupported(format!("single bits in {}", layout.syntax_name())));
        }
        Ok(codec)
    }

    fn of_syntax(uid: &str) -> Option<PixelCodec> {
        Some(match uid {
            uids::ENCAPSULATED_UNCOMPRESSED_EXPLICIT_VR_LITTLE_ENDIAN => PixelCodec::Uncompressed,
            uids::DEFLATED_IMAGE_FRAME_COMPRESSION => PixelCodec::Deflated,
            uids::RLE_LOSSLESS => PixelCodec::Rle,
            uids::JPEG_BASELINE8_BIT | uids::JPEG_EXTENDED12_BIT => PixelCodec::Jpeg,
            uids::JPEG_LOSSLESS | uids::JPEG_LOSSLESS_SV1 => PixelCodec::Jpeg,
            uids::JPEGLS_LOSSLESS | uids::JPEGLS_NEAR_LOSSLESS => PixelCodec::JpegLs,
            uids::JPEG2000_LOSSLESS | uids::JPEG2000 => PixelCodec::Jpeg2000,
            uids::HTJ2K_LOSSLESS | uids::HTJ2K_LOSSLESS_RPCL | uids::HTJ2K => PixelCodec::Jpeg2000,
            _ => return None,
        })
    }

    /// Decodes a frame into `place`.
    fn decode(self, layout: &PixelLayout, frame: &[u8], place: &mut [u8]) -> Result<(), DecodeError> {
        match self {
            PixelCodec::Uncompressed => copy(frame, place).map(|()| samples::by_pixel(layout, place)),
            PixelCodec::Deflated => inflate(frame, place).map(|()| samples::by_pixel(layout, place)),
            PixelCodec::Rle => {
                let [size, colours] = [layout.bytes_per_sample(), layout.samples_per_pixel];
                rle::unpack(frame, size, colours, place).map_err(DecodeError::damaged)
            }
            PixelCodec::Jpeg => jpeg::decode(layout, frame, place),
            PixelCodec::JpegLs => jpeg_ls::decode(layout, frame, place),
            PixelCodec::Jpeg2000 => jpeg2000::decode(layout, frame, place),
        }
    }

    /// Whether a sample has no more bits than its code stream declares.
    fn says_precision(self) -> bool {
        matches!(self, PixelCodec::Jpeg | PixelCodec::JpegLs | PixelCodec::Jpeg2000)
    }
}

fn copy(frame: &[u8], place: &mut [u8]) -> Result<(), DecodeError> {
    let [needed, present] = [place.len(), frame.len()];
    let bytes = frame.get(..needed).ok_or(DecodeError::CutOff { needed, declared: present, present })?;
    place.copy_from_slice(bytes);
    Ok(())
}

fn inflate(frame: &[u8], place: &mut [u8]) -> Result<(), DecodeError> {
    flate2::read::DeflateDecoder::new(frame).read_exact(place).map_err(DecodeError::damaged)
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
