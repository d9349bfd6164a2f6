//! The decoder of each transfer syntax, and decoding of encapsulated frames.

use std::io::Read;

use dicom_dictionary_std::uids;
use rayon::prelude::*;

use crate::imaging::elements::{HeaderElements, is_native};

use super::decode_error::DecodeError;
use super::layout::PixelLayout;
use super::{fragments, jpeg, jpeg_ls, jpeg2000, rle, samples};

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

/// Whether samples in a transfer syntax have the precision of a code stream, which may be another than Bits Stored.
pub fn says_precision(transfer_syntax_uid: &str) -> bool {
    PixelCodec::of_syntax(transfer_syntax_uid).is_some_and(PixelCodec::says_precision)
}

/// The decoders, by the kind of their code stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PixelCodec {
    Uncompressed,
    Deflated,
    Rle,
    Jpeg,
    JpegLs,
    Jpeg2000,
}

impl PixelCodec {
    pub fn of(layout: &PixelLayout) -> Result<PixelCodec, DecodeError> {
        let uid = layout.transfer_syntax_uid.as_str();
        let codec = PixelCodec::of_syntax(uid).ok_or_else(|| match is_native(uid) {
            true => not_compressed(layout),
            false => DecodeError::no_decoder(uid),
        })?;
        if layout.bits_allocated == 1 && !matches!(codec, PixelCodec::Uncompressed | PixelCodec::Deflated) {
            return Err(DecodeError::Unsupported(format!("single bits in {}", layout.syntax_name())));
        }
        Ok(codec)
    }

    /// The decoder of a transfer syntax; `None` if there is none.
    pub fn of_syntax(uid: &str) -> Option<PixelCodec> {
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
    pub fn decode(self, layout: &PixelLayout, frame: &[u8], place: &mut [u8]) -> Result<(), DecodeError> {
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
    pub fn says_precision(self) -> bool {
        matches!(self, PixelCodec::Jpeg | PixelCodec::JpegLs | PixelCodec::Jpeg2000)
    }
}

/// The error for encapsulated pixels in a native transfer syntax.
fn not_compressed(layout: &PixelLayout) -> DecodeError {
    let name = layout.syntax_name();
    DecodeError::damaged(format!("they are encapsulated, though the transfer syntax is {name}"))
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
