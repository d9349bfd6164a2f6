//! JPEG (ISO/IEC 10918-1) with Huffman codes: sequential DCT of 8 and 12 bits, and lossless.
//!
//! Samples equal DCMTK's: accurate integer DCT, interpolation of subsampled colours, and YCbCr to RGB by the
//! Independent JPEG Group's tables where the header declares YCbCr. Progressive, hierarchical and arithmetic
//! coding, which DICOM has retired, are rejected.

mod bits;
mod colour;
mod dct;
mod frame;
mod huffman;
mod lossless;
mod plane;
mod sequential;
mod widen;

use dicom_dictionary_std::uids;

use super::samples::{fit, write};
use super::stream::{MarkerSegment, MarkerSegments, RESTART_INTERVAL, START_OF_SCAN, StreamError, short};
use super::{DecodeError, PixelLayout};
use frame::{JpegFrame, JpegProcess, JpegScan, JpegTables};
use plane::JpegPlane;

const HUFFMAN_TABLES: u8 = 0xC4;
const QUANTIZATION_TABLES: u8 = 0xDB;

/// Whether YCbCr colours are converted to RGB: in lossy JPEG, as DCMTK does. In lossless JPEG they stay,
/// because the conversion would lose precision.
pub fn becomes_rgb(layout: &PixelLayout) -> bool {
    let lossy = [uids::JPEG_BASELINE8_BIT, uids::JPEG_EXTENDED12_BIT];
    lossy.contains(&layout.transfer_syntax_uid.as_str())
        && layout.samples_per_pixel == 3
        && layout.photometric_interpretation.starts_with("YBR_")
}

/// Decodes one frame into `place`.
pub fn decode(layout: &PixelLayout, stream: &[u8], place: &mut [u8]) -> Result<(), DecodeError> {
    let mut decoder = JpegDecoder { layout, tables: JpegTables::default(), image: None };
    let mut segments = MarkerSegments::open(stream)?;
    while let Some(segment) = segments.next()? {
        decoder.take(&segment, &mut segments)?;
    }
    let (frame, planes) = decoder.image.ok_or(StreamError::CutOff)?;
    if planes.iter().any(|plane| !plane.seen) {
        return Err(StreamError::CutOff.into());
    }
    let row_bytes = layout.frame_bytes() / layout.rows;
    for (y, row) in place.chunks_exact_mut(row_bytes).enumerate() {
        write_row(layout, &frame, &planes, y, row);
    }
    if layout.signed {
        fit(place, layout.bits_allocated, frame.precision, true);
    }
    Ok(())
}

struct JpegDecoder<'a> {
    layout: &'a PixelLayout,
    tables: JpegTables,
    image: Option<(JpegFrame, Vec<JpegPlane>)>,
}

impl JpegDecoder<'_> {
    fn take(&mut self, segment: &MarkerSegment, segments: &mut MarkerSegments) -> Result<(), StreamError> {
        match segment.marker {
            HUFFMAN_TABLES => self.tables.read_huffman(segment),
            QUANTIZATION_TABLES => self.tables.read_quantization(segment),
            RESTART_INTERVAL => short(segment.bytes, 0).map(|restart| self.tables.restart = restart),
            0xC0 | 0xC1 => self.begin(JpegProcess::Sequential, segment),
            0xC3 => self.begin(JpegProcess::Lossless, segment),
            0xC2 => Err(StreamError::Unsupported("progressive JPEG")),
            0xC5..=0xC7 | 0xCD..=0xCF => Err(StreamError::Unsupported("hierarchical JPEG")),
            0xC9..=0xCB => Err(StreamError::Unsupported("JPEG with arithmetic coding")),
            START_OF_SCAN => {
                let is_marker = |byte: u8| byte != 0 && !(0xD0..=0xD7).contains(&byte);
                self.scan(segment, segments.data(is_marker))
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self, process: JpegProcess, segment: &MarkerSegment) -> Result<(), StreamError> {
        if self.image.is_some() {
            return Err(StreamError::Wrong("second frame"));
        }
        let frame = JpegFrame::read(process, self.layout, segment.bytes)?;
        let most = frame.mcu();
        let uneven = frame.components.iter().any(|component| {
            !most[0].is_multiple_of(component.across) || !most[1].is_multiple_of(component.down)
        });
        if uneven {
            return Err(StreamError::Unsupported("JPEG with colours of an odd part of the size"));
        }
        let planes = frame.components.iter().map(|component| JpegPlane::new(&frame, component)).collect();
        self.image = Some((frame, planes));
        Ok(())
    }

    /// Decodes a scan. A component may come in one scan only, so that decoding time is bounded by the image's
    /// size.
    fn scan(&mut self, segment: &MarkerSegment, data: &[u8]) -> Result<(), StreamError> {
        let (frame, planes) = self.image.as_mut().ok_or(StreamError::Wrong("scan"))?;
        let scan = JpegScan::read(frame, segment.bytes)?;
        for (place, ..) in &scan.components {
            if std::mem::replace(&mut planes[*place].seen, true) {
                return Err(StreamError::Wrong("scan"));
            }
        }
        match frame.process {
            JpegProcess::Sequential => sequential::decode(frame, &scan, &self.tables, data, planes),
            JpegProcess::Lossless => lossless::decode(frame, &scan, &self.tables, data, planes),
        }
    }
}

fn write_row(layout: &PixelLayout, frame: &JpegFrame, planes: &[JpegPlane], y: usize, row: &mut [u8]) {
    let size = layout.bytes_per_sample();
    match planes {
        [one, two, three] => {
            let [one, two, three] = [one, two, three].map(|plane| plane.image_row(y));
            let pixels = one.iter().zip(&*two).zip(&*three).map(|((one, two), three)| [*one, *two, *three]);
            if becomes_rgb(layout) {
                write(row, size, pixels.flat_map(|pixel| colour::rgb(pixel, frame.precision)).map(u32::from));
            } else {
                write(row, size, pixels.flatten().map(u32::from));
            }
        }
        planes => {
            let samples = planes.iter().map(|plane| plane.image_row(y));
            samples.for_each(|samples| write(row, size, samples.iter().map(|sample| u32::from(*sample))));
        }
    }
}

#[cfg(test)]
mod tests;
