//! Scans of sequential DCT (ISO/IEC 10918-1 F.2): decodes blocks of coefficients to planes of samples.

use super::bits::JpegBits;
use super::dct::inverse;
use super::frame::{JpegFrame, JpegScan, JpegTables, table};
use super::huffman::HuffmanTable;
use super::plane::{JpegPlane, restarts};
use crate::imaging::codecs::stream::StreamError;

/// The index in natural order of each coefficient in zigzag order (figure A.6).
const NATURAL: [usize; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7,
    14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39,
    46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// The part of a scan that belongs to a component.
struct ScanPart<'a> {
    plane: usize,
    dc: &'a HuffmanTable,
    ac: &'a HuffmanTable,
    quantization: &'a [u16; 64],
    /// Blocks in an MCU across and down.
    blocks: [usize; 2],
    predicted: i16,
}

/// Decodes a scan into the planes of its components.
pub fn decode(
    frame: &JpegFrame,
    scan: &JpegScan,
    tables: &JpegTables,
    data: &[u8],
    planes: &mut [JpegPlane],
) -> Result<(), StreamError> {
    let mut parts = parts(frame, scan, tables)?;
    let [across, down] = mcus(frame, scan);
    let mut intervals = restarts(data, tables.restart);
    let mut bits = JpegBits::new(&[]);
    for mcu in 0..across * down {
        if mcu == 0 || tables.restart > 0 && mcu.is_multiple_of(tables.restart) {
            bits = JpegBits::new(intervals.next().ok_or(StreamError::CutOff)?);
            parts.iter_mut().for_each(|part| part.predicted = 0);
        }
        let [x, y] = [mcu % across, mcu / across];
        for part in &mut parts {
            for block in 0..part.blocks[0] * part.blocks[1] {
                let coefficients = part.coefficients(&mut bits)?;
                let x = x * part.blocks[0] + block % part.blocks[0];
                let y = y * part.blocks[1] + block / part.blocks[0];
                planes[part.plane].set_block(x, y, &inverse(&coefficients, frame.precision));
            }
        }
    }
    Ok(())
}

fn parts<'a>(
    frame: &JpegFrame,
    scan: &JpegScan,
    tables: &'a JpegTables,
) -> Result<Vec<ScanPart<'a>>, StreamError> {
    let part = |(place, dc, ac): &(usize, usize, usize)| {
        let component = &frame.components[*place];
        Ok(ScanPart {
            plane: *place,
            dc: table(&tables.dc, *dc)?,
            ac: table(&tables.ac, *ac)?,
            quantization: table(&tables.quantization, component.quantization)?,
            blocks: if scan.components.len() == 1 { [1, 1] } else { [component.across, component.down] },
            predicted: 0,
        })
    };
    scan.components.iter().map(part).collect()
}

/// The number of MCUs in a scan; in a scan of one component each block is an MCU (A.2.2).
fn mcus(frame: &JpegFrame, scan: &JpegScan) -> [usize; 2] {
    let [most_across, most_down] = frame.mcu();
    let [across, down] = match scan.components[..] {
        [(only, ..)] => [frame.components[only].across, frame.components[only].down],
        _ => [1, 1],
    };
    [
        (frame.columns * across).div_ceil(most_across).div_ceil(8),
        (frame.rows * down).div_ceil(most_down).div_ceil(8),
    ]
}

impl ScanPart<'_> {
    /// The next block in natural order, each coefficient multiplied by its quantization (F.2.2.1 and
    /// F.2.2.2).
    fn coefficients(&mut self, bits: &mut JpegBits) -> Result<[i64; 64], StreamError> {
        let mut coefficients = [0; 64];
        bits.fill();
        let size = u32::from(self.dc.symbol(bits)?.min(16));
        // The reference decoder, DCMTK, keeps 16 bits too.
        self.predicted = self.predicted.wrapping_add(bits.signed(size)? as i16);
        coefficients[0] = i64::from(self.predicted) * i64::from(self.quantization[0]);
        let mut at = 1;
        while at < 64 {
            bits.fill();
            let symbol = self.ac.symbol(bits)?;
            let (run, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
            match (run, size) {
                (15, 0) => at += 16,
                (_, 0) => break,
                _ => {
                    at += run;
                    let value = i64::from(bits.signed(size)?);
                    let place = NATURAL.get(at).ok_or(StreamError::Wrong("block"))?;
                    coefficients[*place] = value * i64::from(self.quantization[at]);
                    at += 1;
                }
            }
        }
        Ok(coefficients)
    }
}
