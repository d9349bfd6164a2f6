//! Checks of a JPEG 2000 stream (ISO/IEC 15444-1 annex A) before it is decoded: its size is the header's, it
//! is complete, and it has no more parts than its bytes can hold. OpenJPEG allocates memory by the stream's
//! own declarations, and fills missing parts of an image with grey.

use crate::imaging::codecs::PixelLayout;
use crate::imaging::codecs::stream::{END_OF_IMAGE, StreamError, StreamShape, byte, short};

/// The most tiles. OpenJPEG allocates some kilobytes for each, however small; real images have at most some
/// hundreds.
const TILES_MOST: usize = 4096;

/// The smallest code-block: 2^6 samples. OpenJPEG allocates a hundred bytes for each; common ones have 1024
/// or 4096 samples.
const BLOCK_BITS_LEAST: u32 = 6;

const CODING_STYLE: u8 = 0x52;
const COMPONENT_CODING_STYLE: u8 = 0x53;
const START_OF_TILE: u8 = 0x90;
const START_OF_DATA: u8 = 0x93;

pub fn check(layout: &PixelLayout, stream: &[u8]) -> Result<(), StreamError> {
    let tiles = TileLayout::read(layout, stream)?;
    let end = end(stream);
    let mut seen = vec![false; tiles.count];
    let mut tile_end = 0;
    let mut layers = 1;
    let mut at = 2;
    while let Some([0xFF, marker, ..]) = stream.get(at..) {
        match *marker {
            END_OF_IMAGE if !seen.contains(&false) => return Ok(()),
            END_OF_IMAGE => break,
            START_OF_DATA if tile_end <= at => return Err(StreamError::Wrong("tile")),
            START_OF_DATA => {
                at = tile_end;
                continue;
            }
            START_OF_TILE => {
                *seen.get_mut(short(stream, at + 4)?).ok_or(StreamError::Wrong("tile"))? = true;
                tile_end = tile_end_of(stream, at, end)?;
            }
            CODING_STYLE => {
                layers = short(stream, at + 6)?;
                tiles.check_packets(stream, [at + 4, at + 9], layers)?;
            }
            COMPONENT_CODING_STYLE => tiles.check_packets(stream, [at + 5, at + 6], layers)?,
            _ => {}
        }
        at += 2 + short(stream, at + 2)?;
    }
    Err(StreamError::CutOff)
}

/// The size of the largest tile, and the number of tiles.
struct TileLayout {
    size: [usize; 2],
    count: usize,
}

impl TileLayout {
    /// Reads SOC and SIZ (A.5.1): Lsiz at 4, Rsiz, Xsiz, Ysiz, XOsiz, YOsiz, XTsiz, YTsiz, XTOsiz, YTOsiz,
    /// Csiz at 40, then for each component Ssiz, XRsiz, YRsiz.
    fn read(layout: &PixelLayout, stream: &[u8]) -> Result<TileLayout, StreamError> {
        if !stream.starts_with(&[0xFF, 0x4F, 0xFF, 0x51]) {
            return Err(StreamError::Unknown);
        }
        let word = |at: usize| word(stream, at);
        let [right, bottom, left, top] = [word(8)?, word(12)?, word(16)?, word(20)?];
        let [columns, rows] = [right.checked_sub(left), bottom.checked_sub(top)];
        let [columns, rows] = [columns, rows].map(|size| size.ok_or(StreamError::Wrong("size")));
        let [columns, rows] = [columns?, rows?];
        let precision = u32::from(byte(stream, 42)? & 0x7F) + 1;
        StreamShape { columns, rows, components: short(stream, 40)?, precision }.check(layout)?;
        let size = [word(24)?, word(28)?];
        let start = [word(32)?, word(36)?];
        if size.contains(&0) {
            return Err(StreamError::Wrong("size"));
        }
        let across = right.saturating_sub(start[0]).div_ceil(size[0]);
        let down = bottom.saturating_sub(start[1]).div_ceil(size[1]);
        let count = across.saturating_mul(down);
        if count > TILES_MOST {
            return Err(StreamError::Wrong("number of tiles"));
        }
        Ok(TileLayout { size: [size[0].min(columns), size[1].min(rows)], count })
    }

    /// Checks the number of packets: each layer of each precinct is one, of at least a byte (B.9, B.10). Scod
    /// or Scoc stands at `style`; its first bit says that precinct sizes are given (A.6.1). The number of
    /// decompositions stands at `levels`, then the code-blocks' sizes, their style, the transformation and
    /// the precinct sizes.
    fn check_packets(
        &self,
        stream: &[u8],
        [style, levels]: [usize; 2],
        layers: usize,
    ) -> Result<(), StreamError> {
        let [count, width, height] = [0, 1, 2].map(|place| byte(stream, levels + place));
        if u32::from(width? & 15) + u32::from(height? & 15) + 4 < BLOCK_BITS_LEAST {
            return Err(StreamError::Unsupported("JPEG 2000 in code-blocks of under 64 samples"));
        }
        let count = usize::from(count?);
        if count > 32 {
            return Err(StreamError::Wrong("number of resolutions"));
        }
        let given = byte(stream, style)? & 1 == 1;
        let mut packets = 0;
        for resolution in 0..=count {
            let sizes = if given { byte(stream, levels + 5 + resolution)? } else { 0xFF };
            let parts = |size: usize, bits: u8| (size >> (count - resolution) >> bits).max(1);
            packets += parts(self.size[0], sizes & 15) * parts(self.size[1], sizes >> 4) * layers;
        }
        if packets > stream.len() { Err(StreamError::Wrong("number of packets")) } else { Ok(()) }
    }
}

/// The end of a tile-part (A.4.2): Psot, 6 bytes after the marker, is its length, or 0 if the tile-part
/// extends to the end of the stream.
fn tile_end_of(stream: &[u8], at: usize, end: Option<usize>) -> Result<usize, StreamError> {
    match word(stream, at + 6)? {
        0 => end.ok_or(StreamError::CutOff),
        1..14 => Err(StreamError::Wrong("tile")),
        length => Ok(at + length),
    }
}

/// The position of the EOC marker, if only padding follows it.
fn end(stream: &[u8]) -> Option<usize> {
    let last = stream.iter().rposition(|byte| *byte != 0)?;
    stream[..=last].strip_suffix(&[0xFF, END_OF_IMAGE]).map(<[u8]>::len)
}

fn word(stream: &[u8], at: usize) -> Result<usize, StreamError> {
    Ok(short(stream, at)? << 16 | short(stream, at + 2)?)
}
