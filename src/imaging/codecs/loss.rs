//! Loss that a code stream tells of itself, whatever the attributes say.
//!
//! JPEG 2000 with the 9-7 transformation (ISO/IEC 15444-1 A.6.1, table A.20) rounds; JPEG-LS with NEAR over 0 (ISO/IEC
//! 14495-1 C.2.3) is off by up to that. A stream of the 5-3 transformation that was cut short cannot be told.

use super::codec::PixelCodec;
use super::stream::{MarkerSegments, byte, short};

const CODING_STYLE: u8 = 0x52;
const START_OF_DATA: u8 = 0x93;
const START_OF_TILE: u8 = 0x90;
const START_OF_SCAN: u8 = 0xDA;
const ITEM_HEAD_BYTES: usize = 8;

/// Whether the first code stream of encapsulated pixels was compressed with loss, as far as it tells. `items` are the
/// items of the pixel data, or their beginning.
pub fn stream_loses(transfer_syntax_uid: &str, items: &[u8]) -> bool {
    let Some(stream) = first_stream(items) else { return false };
    match PixelCodec::of_syntax(transfer_syntax_uid) {
        Some(PixelCodec::Jpeg2000) => transformation(stream) == Some(0),
        Some(PixelCodec::JpegLs) => near(stream).is_some_and(|near| near > 0),
        _ => false,
    }
}

/// The bytes of the first fragment that are there, after the table of frames.
fn first_stream(items: &[u8]) -> Option<&[u8]> {
    let length = u32::from_le_bytes(*items.get(4..)?.first_chunk()?);
    items.get(ITEM_HEAD_BYTES.checked_add(length as usize)?..)?.get(ITEM_HEAD_BYTES..)
}

/// The wavelet transformation of a JPEG 2000 stream: 0 is 9-7.
fn transformation(stream: &[u8]) -> Option<u8> {
    let mut at = 2;
    while let [0xFF, marker, ..] = stream.get(at..)? {
        match *marker {
            CODING_STYLE => return byte(stream, at + 13).ok(),
            START_OF_TILE | START_OF_DATA => return None,
            _ => at += 2 + short(stream, at + 2).ok()?,
        }
    }
    None
}

/// The greatest error of a JPEG-LS stream: NEAR of its first scan.
fn near(stream: &[u8]) -> Option<u8> {
    let mut segments = MarkerSegments::open(stream).ok()?;
    while let Some(segment) = segments.next().ok()? {
        if segment.marker == START_OF_SCAN {
            let components = usize::from(*segment.bytes.first()?);
            return segment.bytes.get(1 + 2 * components).copied();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use dicom_dictionary_std::uids;

    use super::*;

    /// Pixel data with an empty table of frames and one fragment.
    fn items(stream: &[u8]) -> Vec<u8> {
        let head = [0xFE, 0xFF, 0x00, 0xE0];
        let length = (stream.len() as u32).to_le_bytes();
        [&head[..], &[0; 4], &head[..], &length[..], stream].concat()
    }

    #[test]
    fn the_transformation_of_jpeg_2000_tells() {
        let stream = |transformation: u8| {
            let size = [&[0xFF, 0x4F, 0xFF, 0x51, 0x00, 0x04, 0, 0][..]].concat();
            let style = [0xFF, 0x52, 0x00, 0x0C, 0, 0, 0, 1, 0, 5, 4, 4, 0, transformation];
            items(&[&size[..], &style[..]].concat())
        };
        for syntax in [uids::JPEG2000, uids::HTJ2K] {
            assert!(stream_loses(syntax, &stream(0)) && !stream_loses(syntax, &stream(1)));
        }
        assert!(!stream_loses(uids::EXPLICIT_VR_LITTLE_ENDIAN, &stream(0)));
        let cut = stream(0);
        (0..cut.len()).for_each(|end| assert!(!stream_loses(uids::JPEG2000, &cut[..end])));
    }

    #[test]
    fn near_of_jpeg_ls_tells() {
        let stream = |near: u8| {
            let frame = [0xFF, 0xD8, 0xFF, 0xF7, 0x00, 0x04, 0, 0];
            let scan = [0xFF, 0xDA, 0x00, 0x08, 1, 1, 0, near, 0, 0];
            items(&[&frame[..], &scan[..]].concat())
        };
        assert!(stream_loses(uids::JPEGLS_LOSSLESS, &stream(8)));
        assert!(!stream_loses(uids::JPEGLS_LOSSLESS, &stream(0)));
        assert!(!stream_loses(uids::JPEGLS_LOSSLESS, &[0xFE, 0xFF, 0, 0xE0, 0xFF, 0xFF, 0xFF, 0xFF]));
    }
}
