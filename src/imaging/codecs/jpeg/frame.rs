//! The frame, scan and table segments of a JPEG stream (ISO/IEC 10918-1 annex B).

use super::huffman::HuffmanTable;
use crate::imaging::codecs::PixelLayout;
use crate::imaging::codecs::stream::{MarkerSegment, StreamError, StreamShape, byte, short};

/// The coding process of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JpegProcess {
    /// Sequential DCT: baseline and extended.
    Sequential,
    Lossless,
}

/// The frame header; its size has been checked against the layout.
pub struct JpegFrame {
    pub process: JpegProcess,
    pub precision: u32,
    pub columns: usize,
    pub rows: usize,
    pub components: Vec<JpegComponent>,
}

pub struct JpegComponent {
    id: u8,
    /// Sampling factors: samples in an MCU across and down, from 1 to 4.
    pub across: usize,
    pub down: usize,
    pub quantization: usize,
}

impl JpegFrame {
    pub fn read(process: JpegProcess, layout: &PixelLayout, bytes: &[u8]) -> Result<JpegFrame, StreamError> {
        let precision = u32::from(byte(bytes, 0)?);
        let [rows, columns] = [short(bytes, 1)?, short(bytes, 3)?];
        let count = usize::from(byte(bytes, 5)?);
        StreamShape { columns, rows, components: count, precision }.check(layout)?;
        if process == JpegProcess::Sequential && ![8, 12].contains(&precision) || precision > 16 {
            return Err(StreamError::Wrong("precision"));
        }
        let components = bytes.get(6..6 + 3 * count).ok_or(StreamError::CutOff)?;
        let components =
            components.as_chunks().0.iter().map(JpegComponent::read).collect::<Result<_, _>>()?;
        Ok(JpegFrame { process, precision, columns, rows, components })
    }

    /// The largest sampling factors of all components.
    pub fn mcu(&self) -> [usize; 2] {
        let most =
            |factor: fn(&JpegComponent) -> usize| self.components.iter().map(factor).max().unwrap_or(1);
        [most(|component| component.across), most(|component| component.down)]
    }
}

impl JpegComponent {
    fn read([id, factors, quantization]: &[u8; 3]) -> Result<JpegComponent, StreamError> {
        let [across, down] = [factors >> 4, factors & 15].map(usize::from);
        if !(1..=4).contains(&across) || !(1..=4).contains(&down) || *quantization > 3 {
            return Err(StreamError::Wrong("component"));
        }
        Ok(JpegComponent { id: *id, across, down, quantization: usize::from(*quantization) })
    }
}

/// The scan header.
pub struct JpegScan {
    /// Each component of the scan: its index in the frame, and its DC and AC tables.
    pub components: Vec<(usize, usize, usize)>,
    /// The predictor of a lossless scan (table H.1).
    pub predictor: u8,
    /// The point transform: the number of bits by which samples were shifted right.
    pub shift: u32,
}

impl JpegScan {
    pub fn read(frame: &JpegFrame, bytes: &[u8]) -> Result<JpegScan, StreamError> {
        let count = usize::from(byte(bytes, 0)?);
        let selectors = bytes.get(1..1 + 2 * count).ok_or(StreamError::CutOff)?;
        let select = |[id, tables]: &[u8; 2]| {
            let place = frame.components.iter().position(|component| component.id == *id);
            let place = place.ok_or(StreamError::Wrong("scan"))?;
            Ok((place, usize::from(tables >> 4), usize::from(tables & 15)))
        };
        let components: Vec<(usize, usize, usize)> =
            selectors.as_chunks().0.iter().map(select).collect::<Result<_, _>>()?;
        let rises = components.is_sorted_by(|a, b| a.0 < b.0);
        if components.is_empty() || !rises || components.iter().any(|(_, dc, ac)| *dc > 3 || *ac > 3) {
            return Err(StreamError::Wrong("scan"));
        }
        let [predictor, shift] = [byte(bytes, 1 + 2 * count)?, byte(bytes, 3 + 2 * count)? & 15];
        Ok(JpegScan { components, predictor, shift: u32::from(shift) })
    }
}

/// The tables in force for the next scan.
#[derive(Default)]
pub struct JpegTables {
    pub dc: [Option<HuffmanTable>; 4],
    pub ac: [Option<HuffmanTable>; 4],
    /// The quantization tables, in zigzag order.
    pub quantization: [Option<[u16; 64]>; 4],
    /// The restart interval in MCUs; 0 for none.
    pub restart: usize,
}

impl JpegTables {
    pub fn read_huffman(&mut self, segment: &MarkerSegment) -> Result<(), StreamError> {
        let mut rest = segment.bytes;
        while let [place, bytes @ ..] = rest {
            let (table, after) = HuffmanTable::read(bytes)?;
            let class = if place >> 4 == 0 { &mut self.dc } else { &mut self.ac };
            *class.get_mut(usize::from(place & 15)).ok_or(StreamError::Wrong("Huffman table"))? = Some(table);
            rest = after;
        }
        Ok(())
    }

    pub fn read_quantization(&mut self, segment: &MarkerSegment) -> Result<(), StreamError> {
        let mut rest = segment.bytes;
        while let [place, bytes @ ..] = rest {
            let (table, after) = if place >> 4 == 0 {
                let (table, after) = bytes.split_first_chunk::<64>().ok_or(StreamError::CutOff)?;
                (table.map(u16::from), after)
            } else {
                let (table, after) = bytes.split_first_chunk::<128>().ok_or(StreamError::CutOff)?;
                (std::array::from_fn(|at| u16::from_be_bytes([table[2 * at], table[2 * at + 1]])), after)
            };
            let place = self.quantization.get_mut(usize::from(place & 15));
            *place.ok_or(StreamError::Wrong("quantization table"))? = Some(table);
            rest = after;
        }
        Ok(())
    }
}

/// The table that a scan refers to.
pub fn table<T>(tables: &[Option<T>; 4], place: usize) -> Result<&T, StreamError> {
    tables[place].as_ref().ok_or(StreamError::Wrong("reference to a table"))
}
