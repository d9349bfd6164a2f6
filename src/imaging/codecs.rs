//! Encapsulated pixel data (PS3.5 A.4): one compressed frame to little-endian samples.
//!
//! RLE is unpacked here; JPEG, JPEG 2000 and HTJ2K by dicom-rs's pure Rust codecs; JPEG-LS by
//! `pure_jpegls`. None of those was written for hostile input, so a code stream is looked at first
//! (its size must be the header's: that bounds what a codec allocates), and a panic is caught.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use dicom_dictionary_std::uids;
use dicom_encoding::adapters::{PixelDataObject, RawPixelData};
use dicom_encoding::transfer_syntax::TransferSyntaxIndex;
use dicom_transfer_syntax_registry::TransferSyntaxRegistry;

use super::{Header, rle};

/// Why a frame cannot be decoded, as a fragment; `supported` is false where no file of its transfer
/// syntax can.
#[derive(Debug)]
pub struct Undecodable {
    pub reason: String,
    pub supported: bool,
}

/// Decodes a single-frame, single-sample image to `rows * columns` samples of `bits_allocated`.
///
/// # Errors
/// If the fragments or the code stream are damaged, or the transfer syntax has no decoder.
pub fn decode(header: &Header, encapsulated: &[u8]) -> Result<Vec<u8>, Undecodable> {
    let frame = frame(encapsulated).map_err(damaged)?;
    let pixels = usize::from(header.rows) * usize::from(header.columns);
    let bytes_per_sample = usize::from(header.bits_allocated / 8);
    let samples = match header.transfer_syntax_uid.as_str() {
        uids::RLE_LOSSLESS => rle::unpack(&frame, pixels, bytes_per_sample).map_err(damaged)?,
        uids::JPEG_EXTENDED12_BIT => return Err(unsupported(header)),
        _ => {
            check_size(header, &frame)?;
            caught(|| foreign(header, &frame))?
        }
    };
    let expected = pixels * bytes_per_sample;
    if samples.len() == expected {
        return Ok(samples);
    }
    Err(damaged(format!("the compressed pixels decode to {} bytes, not {expected}", samples.len())))
}

/// The name of a transfer syntax, or its UID where it has none.
pub fn syntax_name(transfer_syntax_uid: &str) -> String {
    let known = TransferSyntaxRegistry.get(transfer_syntax_uid);
    known.map_or(transfer_syntax_uid, |syntax| syntax.name()).to_owned()
}

fn foreign(header: &Header, frame: &[u8]) -> Result<Vec<u8>, Undecodable> {
    match header.transfer_syntax_uid.as_str() {
        uids::JPEGLS_LOSSLESS | uids::JPEGLS_NEAR_LOSSLESS => jpeg_ls(header, frame),
        _ => registered(header, frame),
    }
}

fn jpeg_ls(header: &Header, frame: &[u8]) -> Result<Vec<u8>, Undecodable> {
    let (width, height) = (header.columns.into(), header.rows.into());
    let (samples, ..) = jpegls::decode(&without_fill(frame), width, height).map_err(damaged)?;
    Ok(match header.bits_allocated {
        8 => samples.iter().map(|sample| *sample as u8).collect(),
        _ => samples.iter().flat_map(|sample| sample.to_le_bytes()).collect(),
    })
}

/// A marker may be preceded by any number of 0xFF (ISO/IEC 10918-1 B.1.1.2). CharLS, and so DCMTK, makes
/// streams even in length by one before the last marker, which `pure_jpegls` does not expect.
fn without_fill(frame: &[u8]) -> Cow<'_, [u8]> {
    let Some(end) = frame.iter().rposition(|byte| *byte == END_OF_IMAGE) else { return Cow::Borrowed(frame) };
    let fill = frame[..end].iter().rev().take_while(|byte| **byte == 0xFF).count();
    match fill {
        0 | 1 => Cow::Borrowed(frame),
        _ => Cow::Owned([&frame[..end - fill], &[0xFF, END_OF_IMAGE]].concat()),
    }
}

/// The second byte of the marker EOI.
const END_OF_IMAGE: u8 = 0xD9;

fn registered(header: &Header, frame: &[u8]) -> Result<Vec<u8>, Undecodable> {
    let syntax = TransferSyntaxRegistry.get(&header.transfer_syntax_uid);
    let reader = syntax.and_then(|syntax| syntax.pixel_data_reader()).ok_or_else(|| unsupported(header))?;
    let mut samples = Vec::new();
    reader.decode_frame(&OneFrame { header, frame }, 0, &mut samples).map_err(damaged)?;
    Ok(samples)
}

fn caught<T>(decode: impl FnOnce() -> Result<T, Undecodable>) -> Result<T, Undecodable> {
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|_| Err(damaged("the decoder gave up")))
}

fn damaged(reason: impl ToString) -> Undecodable {
    let reason = format!("the compressed pixels are damaged: {}", reason.to_string());
    Undecodable { reason, supported: true }
}

fn unsupported(header: &Header) -> Undecodable {
    let name = syntax_name(&header.transfer_syntax_uid);
    Undecodable { reason: format!("there is no decoder for the transfer syntax {name}"), supported: false }
}

/// Joins the fragments of the only frame; what precedes them is the offset table.
fn frame(encapsulated: &[u8]) -> Result<Cow<'_, [u8]>, String> {
    let mut rest = encapsulated;
    let mut fragments = Vec::new();
    while let Some((head, after)) = rest.split_first_chunk::<8>() {
        let [_, _, _, _, length @ ..] = *head;
        let length = u32::from_le_bytes(length) as usize;
        match head[..4] {
            [0xFE, 0xFF, 0x00, 0xE0] if length <= after.len() => {
                fragments.push(&after[..length]);
                rest = &after[length..];
            }
            [0xFE, 0xFF, 0x00, 0xE0] => {
                return Err(format!(
                    "fragment {} is cut off: {length} bytes declared, {} left",
                    fragments.len(),
                    after.len()
                ));
            }
            _ => break,
        }
    }
    match fragments.get(1..).unwrap_or_default() {
        [] => Err("there is no fragment with pixels".to_owned()),
        [only] => Ok(Cow::Borrowed(only)),
        several => Ok(Cow::Owned(several.concat())),
    }
}

/// The code stream's own size must be the header's: it is what a codec allocates by.
fn check_size(header: &Header, frame: &[u8]) -> Result<(), Undecodable> {
    let expected = [u32::from(header.columns), u32::from(header.rows), 1];
    match stream_size(frame) {
        Some(found) if found == expected => Ok(()),
        Some([columns, rows, components]) if [columns, rows] == expected[..2] => {
            Err(damaged(format!("they have {components} components, a CT image has one")))
        }
        Some([columns, rows, _]) => Err(damaged(format!(
            "they have {columns} columns and {rows} rows, the header says {} and {}",
            expected[0], expected[1]
        ))),
        None => Err(damaged("they begin with no known code stream")),
    }
}

/// Columns, rows and components as a JPEG, JPEG-LS or JPEG 2000 code stream declares them.
fn stream_size(stream: &[u8]) -> Option<[u32; 3]> {
    match stream {
        // JPEG 2000 (ISO/IEC 15444-1 A.5.1): SOC, SIZ, Lsiz, Rsiz, Xsiz, Ysiz, XOsiz, YOsiz; Csiz at 40.
        [0xFF, 0x4F, 0xFF, 0x51, ..] => {
            let word = |at: usize| Some(u32::from_be_bytes(*stream.get(at..)?.first_chunk()?));
            let components = u16::from_be_bytes(*stream.get(40..)?.first_chunk()?);
            let [columns, rows] = [word(8)?.checked_sub(word(16)?)?, word(12)?.checked_sub(word(20)?)?];
            Some([columns, rows, u32::from(components)])
        }
        [0xFF, 0xD8, segments @ ..] => jpeg_size(segments),
        _ => None,
    }
}

/// The frame header (ISO/IEC 10918-1 B.2.2) is the first SOF marker: segments before it are skipped.
fn jpeg_size(mut segments: &[u8]) -> Option<[u32; 3]> {
    loop {
        let [0xFF, marker, after @ ..] = segments else { return None };
        if *marker == 0xFF {
            segments = &segments[1..];
            continue;
        }
        let length = usize::from(u16::from_be_bytes(*after.first_chunk()?));
        // C4, C8 and CC are tables and extensions, F7 is JPEG-LS.
        if matches!(marker, 0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF | 0xF7) {
            let short = |at: usize| Some(u32::from(u16::from_be_bytes(*after.get(at..)?.first_chunk()?)));
            return Some([short(5)?, short(3)?, u32::from(*after.get(7)?)]);
        }
        segments = after.get(length..)?;
    }
}

/// What dicom-rs's codecs want to see of an image.
struct OneFrame<'a> {
    header: &'a Header,
    frame: &'a [u8],
}

impl PixelDataObject for OneFrame<'_> {
    fn transfer_syntax_uid(&self) -> &str {
        &self.header.transfer_syntax_uid
    }

    fn rows(&self) -> Option<u16> {
        Some(self.header.rows)
    }

    fn cols(&self) -> Option<u16> {
        Some(self.header.columns)
    }

    fn samples_per_pixel(&self) -> Option<u16> {
        Some(1)
    }

    fn bits_allocated(&self) -> Option<u16> {
        Some(self.header.bits_allocated)
    }

    fn bits_stored(&self) -> Option<u16> {
        Some(self.header.bits_stored)
    }

    fn photometric_interpretation(&self) -> Option<&str> {
        Some("MONOCHROME2")
    }

    fn number_of_frames(&self) -> Option<u32> {
        Some(1)
    }

    fn number_of_fragments(&self) -> Option<u32> {
        Some(1)
    }

    fn fragment(&self, fragment: usize) -> Option<Cow<'_, [u8]>> {
        (fragment == 0).then_some(Cow::Borrowed(self.frame))
    }

    fn offset_table(&self) -> Option<Cow<'_, [u32]>> {
        Some(Cow::Borrowed(&[]))
    }

    fn raw_pixel_data(&self) -> Option<RawPixelData> {
        let fragments = [self.frame.to_vec()].into_iter().collect();
        Some(RawPixelData { fragments, offset_table: [].into_iter().collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::sample;

    fn compressed(transfer_syntax_uid: &str) -> Header {
        Header { transfer_syntax_uid: transfer_syntax_uid.to_owned(), ..sample::header(0) }
    }

    /// Fragments as items after an empty offset table.
    fn items(fragments: &[&[u8]]) -> Vec<u8> {
        let item = |bytes: &&[u8]| {
            [&[0xFE, 0xFF, 0x00, 0xE0], (bytes.len() as u32).to_le_bytes().as_slice(), bytes].concat()
        };
        let end = [0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0];
        let all: Vec<Vec<u8>> =
            std::iter::once(item(&[].as_slice())).chain(fragments.iter().map(item)).collect();
        [all.concat(), end.to_vec()].concat()
    }

    /// An RLE frame of 12 samples of 0x0102.
    fn rle_frame() -> Vec<u8> {
        let words = [2_u32, 64, 66].into_iter().chain([0; 13]);
        let mut frame: Vec<u8> = words.flat_map(u32::to_le_bytes).collect();
        frame.extend([245, 1, 245, 2]);
        frame
    }

    /// A JPEG-LS stream of 4 × 3 samples, and the samples.
    fn jpeg_ls_frame() -> (Vec<u8>, Vec<u16>) {
        let samples: Vec<u16> = (0..12).map(|index| index * 300 % 4096).collect();
        let mut stream = Vec::new();
        jpegls::encode(&samples, 4, 3, &mut stream).unwrap();
        (stream, samples)
    }

    #[test]
    fn rle_in_one_or_several_fragments() {
        let (header, frame) = (compressed(uids::RLE_LOSSLESS), rle_frame());
        let expected = [2, 1].repeat(12);
        assert_eq!(decode(&header, &items(&[&frame])).unwrap(), expected);
        assert_eq!(decode(&header, &items(&[&frame[..65], &frame[65..]])).unwrap(), expected);
    }

    #[test]
    fn jpeg_ls_comes_back() {
        let (stream, samples) = jpeg_ls_frame();
        let decoded = decode(&compressed(uids::JPEGLS_LOSSLESS), &items(&[&stream])).unwrap();
        assert_eq!(decoded, samples.iter().flat_map(|sample| sample.to_le_bytes()).collect::<Vec<u8>>());
        let even = [&stream[..stream.len() - 2], &[0xFF, 0xFF, 0xD9, 0]].concat();
        assert_eq!(decode(&compressed(uids::JPEGLS_LOSSLESS), &items(&[&even])).unwrap(), decoded);
        let larger = Header { rows: 400, columns: 4000, ..compressed(uids::JPEGLS_LOSSLESS) };
        let refused = decode(&larger, &items(&[&stream])).unwrap_err();
        assert!(refused.reason.contains("4 columns and 3 rows, the header says 4000 and 400"), "{refused:?}");
    }

    #[test]
    fn damage_and_unknown_syntaxes_are_told_apart() {
        let cut = &items(&[&rle_frame()])[..60];
        let refused = decode(&compressed(uids::RLE_LOSSLESS), cut).unwrap_err();
        assert!(refused.supported && refused.reason.contains("fragment 1 is cut off"), "{refused:?}");
        let refused = decode(&compressed(uids::JPEG_EXTENDED12_BIT), &items(&[&[0xFF, 0xD8]])).unwrap_err();
        assert!(!refused.supported && refused.reason.contains("JPEG Extended"), "{refused:?}");
        let stream = [&[0xFF, 0x4F, 0xFF, 0x51, 0, 0, 0, 0], &[0; 40][..]].concat();
        let refused = decode(&compressed(uids::JPEG2000), &items(&[&stream])).unwrap_err();
        assert!(refused.reason.contains("0 columns and 0 rows"), "{refused:?}");
        // Four columns, three rows and as many components as there can be: 16 GB at 512 × 512.
        let size = [&[0, 0, 0, 4, 0, 0, 0, 3][..], &[0; 24], &[0x40, 0]].concat();
        let stream = [&[0xFF, 0x4F, 0xFF, 0x51, 0, 0, 0, 0], &size[..]].concat();
        let refused = decode(&compressed(uids::JPEG2000), &items(&[&stream])).unwrap_err();
        assert!(refused.reason.contains("16384 components"), "{refused:?}");
    }

    /// Every byte of the compressed streams set to other values: an error or the right size, no panic.
    #[test]
    fn mutations_do_no_harm() {
        let (jpeg_ls, _) = jpeg_ls_frame();
        for (syntax, stream) in [(uids::RLE_LOSSLESS, rle_frame()), (uids::JPEGLS_LOSSLESS, jpeg_ls)] {
            let header = compressed(syntax);
            let good = items(&[&stream]);
            let mut refused = 0;
            for at in 0..good.len() {
                for byte in [0, 1, 0x7F, 0x80, 0xFE, 0xFF] {
                    let mut bad = good.clone();
                    bad[at] = byte;
                    match decode(&header, &bad) {
                        Ok(samples) => assert_eq!(samples.len(), 24),
                        Err(_) => refused += 1,
                    }
                }
            }
            assert!(refused > 50, "{refused} mutations of {syntax} were refused");
        }
    }
}
