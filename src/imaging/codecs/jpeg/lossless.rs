//! Scans of lossless JPEG (ISO/IEC 10918-1 annex H): differences from a prediction by neighbours.

use super::bits::JpegBits;
use super::frame::{JpegFrame, JpegScan, JpegTables, table};
use super::huffman::HuffmanTable;
use super::plane::{JpegPlane, restarts};
use crate::imaging::codecs::stream::StreamError;

/// Decodes a scan into the planes of its components.
pub fn decode(
    frame: &JpegFrame,
    scan: &JpegScan,
    tables: &JpegTables,
    data: &[u8],
    planes: &mut [JpegPlane],
) -> Result<(), StreamError> {
    if frame.components.iter().any(|component| [component.across, component.down] != frame.mcu()) {
        return Err(StreamError::Unsupported("lossless JPEG with colours of different size"));
    }
    if !(1..=7).contains(&scan.predictor) || scan.shift >= frame.precision {
        return Err(StreamError::Wrong("scan"));
    }
    // A restart within a row would start prediction anew there; H.1.1 requires whole rows.
    if !tables.restart.is_multiple_of(frame.columns) {
        return Err(StreamError::Wrong("restart interval"));
    }
    let part = |(place, dc, _): &(usize, usize, usize)| Ok((*place, table(&tables.dc, *dc)?));
    let parts: Vec<(usize, &HuffmanTable)> = scan.components.iter().map(part).collect::<Result<_, _>>()?;
    let rows_between = tables.restart / frame.columns;
    let mut intervals = restarts(data, tables.restart);
    let mut bits = JpegBits::new(&[]);
    for y in 0..frame.rows {
        let fresh = y == 0 || rows_between > 0 && y.is_multiple_of(rows_between);
        if fresh {
            bits = JpegBits::new(intervals.next().ok_or(StreamError::CutOff)?);
        }
        let first = fresh.then_some(1 << (frame.precision - scan.shift - 1));
        row(&parts, scan.predictor, first, y, &mut bits, planes)?;
    }
    planes_of(&parts, planes).for_each(|plane| plane.shift(scan.shift));
    Ok(())
}

/// A component's row while it is decoded.
struct LosslessRow<'a> {
    huffman: &'a HuffmanTable,
    samples: &'a mut [u16],
    /// The row above; empty where prediction starts anew.
    above: &'a [u16],
}

fn row(
    parts: &[(usize, &HuffmanTable)],
    predictor: u8,
    first: Option<u16>,
    y: usize,
    bits: &mut JpegBits,
    planes: &mut [JpegPlane],
) -> Result<(), StreamError> {
    let mut rows: Vec<LosslessRow> = planes_of(parts, planes)
        .zip(parts)
        .map(|(plane, (_, huffman))| {
            let (samples, above) = plane.row_and_above(y);
            LosslessRow { huffman, samples, above: if first.is_some() { &[] } else { above } }
        })
        .collect();
    let columns = rows.first().map_or(0, |row| row.samples.len());
    for x in 0..columns {
        for row in &mut rows {
            let predicted = match (x, first) {
                (0, Some(first)) => first,
                (0, None) => row.above[0],
                (_, Some(_)) => row.samples[x - 1],
                (_, None) => predict(predictor, row.samples[x - 1], row.above[x], row.above[x - 1]),
            };
            row.samples[x] = predicted.wrapping_add(difference(row.huffman, bits)?);
        }
    }
    Ok(())
}

fn planes_of<'a>(
    parts: &[(usize, &HuffmanTable)],
    planes: &'a mut [JpegPlane],
) -> impl Iterator<Item = &'a mut JpegPlane> {
    let places: Vec<usize> = parts.iter().map(|(place, _)| *place).collect();
    planes.iter_mut().enumerate().filter(move |(place, _)| places.contains(place)).map(|(_, plane)| plane)
}

/// The prediction by the left, upper and upper left neighbour (table H.1); only its lowest 16 bits count.
#[inline]
fn predict(predictor: u8, left: u16, above: u16, corner: u16) -> u16 {
    let [a, b, c] = [left, above, corner].map(i32::from);
    let predicted = match predictor {
        1 => a,
        2 => b,
        3 => c,
        4 => a + b - c,
        5 => a + ((b - c) >> 1),
        6 => b + ((a - c) >> 1),
        _ => (a + b) >> 1,
    };
    predicted as u16
}

/// A difference modulo 2^16. Category 16 has the single value 32 768, without further bits (H.1.2.2).
#[inline]
fn difference(huffman: &HuffmanTable, bits: &mut JpegBits) -> Result<u16, StreamError> {
    bits.fill();
    match huffman.symbol(bits)? {
        16 => Ok(1 << 15),
        size @ 0..16 => Ok(bits.signed(size.into())? as u16),
        _ => Err(StreamError::Wrong("Huffman code")),
    }
}
