//! JPEG-LS (ISO/IEC 14495-1, ITU-T T.87), lossless and near-lossless: one or three components in any
//! interleave mode, with preset parameters. Mapping tables, restarts and point transforms, which DICOM
//! encoders do not write, are rejected.

mod bits;
mod context;
mod line;
mod parameters;

use super::samples::fit;
use super::stream::{
    MarkerSegment, MarkerSegments, RESTART_INTERVAL, START_OF_SCAN, StreamError, StreamShape, byte, short,
};
use super::{DecodeError, PixelLayout};
use bits::JpegLsBits;
use line::{LineDecoder, SampleLine};
use parameters::{PresetParameters, ScanParameters};

const START_OF_FRAME: u8 = 0xF7;
const PRESET_PARAMETERS: u8 = 0xF8;
const COLOUR_TRANSFORM: u8 = 0xE8;

/// Decodes one frame into `place`.
pub fn decode(layout: &PixelLayout, stream: &[u8], place: &mut [u8]) -> Result<(), DecodeError> {
    let mut decoder = JpegLsDecoder { layout, frame: None, preset: PresetParameters::default() };
    let mut segments = MarkerSegments::open(stream)?;
    while let Some(segment) = segments.next()? {
        decoder.take(&segment, &mut segments, place)?;
    }
    let frame = decoder.frame.ok_or(StreamError::CutOff)?;
    if frame.components.iter().any(|component| !component.seen) {
        return Err(StreamError::CutOff.into());
    }
    if layout.signed {
        fit(place, layout.bits_allocated, frame.precision, true);
    }
    Ok(())
}

struct JpegLsDecoder<'a> {
    layout: &'a PixelLayout,
    frame: Option<JpegLsFrame>,
    preset: PresetParameters,
}

struct JpegLsFrame {
    precision: u32,
    components: Vec<JpegLsComponent>,
}

struct JpegLsComponent {
    id: u8,
    seen: bool,
}

/// The interleave mode: how the components of a scan alternate.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ScanInterleave {
    None,
    Line,
    Sample,
}

impl JpegLsDecoder<'_> {
    fn take(
        &mut self,
        segment: &MarkerSegment,
        segments: &mut MarkerSegments,
        place: &mut [u8],
    ) -> Result<(), StreamError> {
        match segment.marker {
            START_OF_FRAME => self.begin(segment.bytes),
            PRESET_PARAMETERS => {
                self.preset = PresetParameters::read(segment.bytes)?;
                Ok(())
            }
            RESTART_INTERVAL if segment.bytes.iter().any(|byte| *byte != 0) => {
                Err(StreamError::Unsupported("JPEG-LS with restarts"))
            }
            COLOUR_TRANSFORM if segment.bytes.starts_with(b"mrfx") && byte(segment.bytes, 4)? != 0 => {
                Err(StreamError::Unsupported("JPEG-LS with a colour transform of HP"))
            }
            START_OF_SCAN => {
                // After 0xFF a byte of data begins with a zero bit.
                let data = segments.data(|byte| byte >= 0x80);
                self.scan(segment.bytes, data, place)
            }
            _ => Ok(()),
        }
    }

    /// Reads the frame header. A second one is rejected, so that a component comes once and decoding time is
    /// bounded by the image's size.
    fn begin(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        if self.frame.is_some() {
            return Err(StreamError::Wrong("second frame"));
        }
        let precision = u32::from(byte(bytes, 0)?);
        let [rows, columns] = [short(bytes, 1)?, short(bytes, 3)?];
        let count = usize::from(byte(bytes, 5)?);
        StreamShape { columns, rows, components: count, precision }.check(self.layout)?;
        if precision > 16 {
            return Err(StreamError::Wrong("precision"));
        }
        let components = bytes.get(6..6 + 3 * count).ok_or(StreamError::CutOff)?.as_chunks::<3>().0;
        let components = components.iter().map(|[id, ..]| JpegLsComponent { id: *id, seen: false }).collect();
        self.frame = Some(JpegLsFrame { precision, components });
        Ok(())
    }

    fn scan(&mut self, bytes: &[u8], data: &[u8], place: &mut [u8]) -> Result<(), StreamError> {
        let frame = self.frame.as_mut().ok_or(StreamError::Wrong("scan"))?;
        let count = usize::from(byte(bytes, 0)?);
        let selectors = bytes.get(1..1 + 2 * count).ok_or(StreamError::CutOff)?.as_chunks::<2>().0;
        let places =
            selectors.iter().map(|[id, table]| frame.select(*id, *table)).collect::<Result<Vec<_>, _>>()?;
        let [near, interleave, shift] =
            [byte(bytes, 1 + 2 * count)?, byte(bytes, 2 + 2 * count)?, byte(bytes, 3 + 2 * count)?];
        if shift != 0 {
            return Err(StreamError::Unsupported("JPEG-LS with a point transform"));
        }
        let interleave = match (interleave, count) {
            (_, 1) | (0, _) => ScanInterleave::None,
            (1, _) => ScanInterleave::Line,
            (2, 3) => ScanInterleave::Sample,
            _ => return Err(StreamError::Wrong("interleave")),
        };
        if count == 0 || interleave == ScanInterleave::None && count > 1 {
            return Err(StreamError::Wrong("scan"));
        }
        let parameters = ScanParameters::new(frame.precision, i32::from(near), &self.preset)?;
        lines(self.layout, &parameters, interleave, &places, data, place)
    }
}

impl JpegLsFrame {
    /// The index of a component; each may come once.
    fn select(&mut self, id: u8, mapping_table: u8) -> Result<usize, StreamError> {
        if mapping_table != 0 {
            return Err(StreamError::Unsupported("JPEG-LS with mapping tables"));
        }
        let place = self.components.iter().position(|component| component.id == id && !component.seen);
        let place = place.ok_or(StreamError::Wrong("scan"))?;
        self.components[place].seen = true;
        Ok(place)
    }
}

fn lines(
    layout: &PixelLayout,
    parameters: &ScanParameters,
    interleave: ScanInterleave,
    places: &[usize],
    data: &[u8],
    place: &mut [u8],
) -> Result<(), StreamError> {
    let mut lines: Vec<SampleLine> = places.iter().map(|_| SampleLine::new(layout.columns)).collect();
    let mut decoder = LineDecoder::new(parameters, JpegLsBits::new(data));
    for row in place.chunks_exact_mut(layout.frame_bytes() / layout.rows) {
        lines.iter_mut().for_each(SampleLine::next);
        match (interleave, &mut lines[..]) {
            (ScanInterleave::Sample, [one, two, three]) => decoder.triplets([one, two, three])?,
            _ => lines.iter_mut().try_for_each(|line| decoder.line(line))?,
        }
        places.iter().zip(&lines).for_each(|(component, line)| line.write(layout, *component, row));
    }
    Ok(())
}

/// 4 × 4 samples of 8 bits, from T.87 H.3.
#[cfg(test)]
pub const STANDARDS_EXAMPLE: &str = "ffd8fff7000b080004000401011100ffda0008010100000000c000006c80208e01\
    c00000574000006ee6000001bc18000005d800009160ffd9";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::codecs::testing::{coloured, hex, layout, refused_mutations};
    use dicom_dictionary_std::uids;

    fn decoded(layout: &PixelLayout, stream: &[u8]) -> Result<Vec<u8>, DecodeError> {
        let mut place = vec![0; layout.frame_bytes()];
        decode(layout, stream, &mut place).map(|()| place)
    }

    #[test]
    fn the_standards_example() {
        let layout = PixelLayout { columns: 4, rows: 4, bits_allocated: 8, ..layout(uids::JPEGLS_LOSSLESS) };
        let expected = [0, 0, 90, 74, 68, 50, 43, 205, 64, 145, 145, 145, 100, 145, 145, 145];
        assert_eq!(decoded(&layout, &hex(STANDARDS_EXAMPLE)).unwrap(), expected);
    }

    /// Streams written and read by CharLS, with differences of at most 2, interleaved by line and by sample.
    #[test]
    fn colours_alternate_by_line_or_by_sample() {
        let layout = coloured(uids::JPEGLS_NEAR_LOSSLESS, "RGB");
        let by_line = hex(
            "ffd8fff70011080003000403011100021100031100ffda000c030100020003000201003a000000b61d008f401a45440ea0117f\
             ec060cffd9",
        );
        let expected = [
            10, 20, 30, 10, 20, 29, 10, 20, 28, 200, 0, 7, 10, 20, 30, 10, 20, 35, 255, 255, 254, 0, 0, 0,
            10, 20, 30, 10, 20, 30, 10, 20, 29, 10, 20, 30,
        ];
        assert_eq!(decoded(&layout, &by_line).unwrap(), expected);
        let expected = [
            10, 20, 30, 10, 20, 30, 10, 20, 30, 200, 0, 9, 10, 20, 30, 10, 20, 35, 255, 255, 255, 0, 0, 0,
            10, 20, 30, 9, 19, 30, 9, 20, 30, 10, 20, 31,
        ];
        assert_eq!(decoded(&layout, &hex(BY_SAMPLE)).unwrap(), expected);
    }

    const BY_SAMPLE: &str = "ffd8fff70011080003000403011100021100031100ffda000c0301000200030002020010425780000\
        02d804035498c1004832da599406c67ffd9";

    /// 12 samples of 16 bits, written by another encoder.
    fn grey() -> (PixelLayout, Vec<u8>, Vec<u8>) {
        let samples: Vec<u16> = (0..12).map(|index| index * 5500).collect();
        let mut stream = Vec::new();
        jpegls::encode(&samples, 4, 3, &mut stream).unwrap();
        let layout = PixelLayout { bits_stored: 16, bits_kept: 16, ..layout(uids::JPEGLS_LOSSLESS) };
        (layout, stream, samples.into_iter().flat_map(u16::to_le_bytes).collect())
    }

    #[test]
    fn a_byte_may_fill_up_before_the_end() {
        let (layout, stream, samples) = grey();
        assert_eq!(decoded(&layout, &stream).unwrap(), samples);
        let filled = [&stream[..stream.len() - 2], &[0xFF, 0xFF, 0xD9, 0]].concat();
        assert_eq!(decoded(&layout, &filled).unwrap(), samples);
    }

    #[test]
    fn another_size_than_the_headers_is_refused() {
        let (layout, stream, _) = grey();
        let refused = decoded(&PixelLayout { rows: 400, columns: 4000, ..layout }, &stream).unwrap_err();
        let expected = "4 columns and 3 rows, the header says 4000 and 400";
        assert!(refused.to_string().contains(expected), "{refused}");
    }

    #[test]
    fn a_frame_and_its_components_come_once() {
        let layout = PixelLayout { columns: 4, rows: 4, bits_allocated: 8, ..layout(uids::JPEGLS_LOSSLESS) };
        let stream = hex(STANDARDS_EXAMPLE);
        let (start, end) = (2, stream.len() - 2);
        let twice = |from: usize| [&stream[..end], &stream[from..]].concat();
        assert!(decoded(&layout, &twice(start)).unwrap_err().to_string().contains("a wrong second frame"));
        assert!(decoded(&layout, &twice(start + 13)).unwrap_err().to_string().contains("a wrong scan"));
    }

    #[test]
    fn mutations_do_no_harm() {
        let (layout, stream, _) = grey();
        let refused = refused_mutations(&layout, &stream);
        assert!(refused > 50, "{refused}");
        let refused = refused_mutations(&coloured(uids::JPEGLS_NEAR_LOSSLESS, "RGB"), &hex(BY_SAMPLE));
        assert!(refused > 50, "{refused}");
    }
}
