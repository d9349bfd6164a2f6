//! What a JPEG 2000 stream (ISO/IEC 15444-1 annex A) has to be before it is decoded: of the header's size,
//! whole, and with no more parts than its bytes can hold. OpenJPEG takes memory by what a stream says of
//! itself, and makes an image of what it finds, grey where nothing is.

use crate::imaging::codecs::Layout;
use crate::imaging::codecs::stream::{END_OF_IMAGE, Shape, StreamError, byte, short};

/// Tiles take some kilobytes each, however small they are. Real images have up to some hundreds.
const TILES_MOST: usize = 4096;

/// Code-blocks take a hundred bytes each; common ones have 1024 or 4096 samples.
const BLOCK_BITS_LEAST: u32 = 6;

const CODING_STYLE: u8 = 0x52;
const COMPONENT_CODING_STYLE: u8 = 0x53;
const START_OF_TILE: u8 = 0x90;
const START_OF_DATA: u8 = 0x93;

pub fn check(layout: &Layout, stream: &[u8]) -> Result<(), StreamError> {
    let tiles = Tiles::read(layout, stream)?;
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

/// The size of the largest tile, and how many there are.
struct Tiles {
    size: [usize; 2],
    count: usize,
}

impl Tiles {
    /// SOC and SIZ (A.5.1): Lsiz at 4, Rsiz, Xsiz, Ysiz, XOsiz, YOsiz, XTsiz, YTsiz, XTOsiz, YTOsiz, Csiz at
    /// 40, then for each component Ssiz, XRsiz, YRsiz.
    fn read(layout: &Layout, stream: &[u8]) -> Result<Tiles, StreamError> {
        if !stream.starts_with(&[0xFF, 0x4F, 0xFF, 0x51]) {
            return Err(StreamError::Unknown);
        }
        let word = |at: usize| word(stream, at);
        let [right, bottom, left, top] = [word(8)?, word(12)?, word(16)?, word(20)?];
        let [columns, rows] = [right.checked_sub(left), bottom.checked_sub(top)];
        let [columns, rows] = [columns, rows].map(|size| size.ok_or(StreamError::Wrong("size")));
        let [columns, rows] = [columns?, rows?];
        let precision = u32::from(byte(stream, 42)? & 0x7F) + 1;
        Shape { columns, rows, components: short(stream, 40)?, precision }.check(layout)?;
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
        Ok(Tiles { size: [size[0].min(columns), size[1].min(rows)], count })
    }

    /// Every layer of every precinct is a packet, of a byte at least (B.9, B.10). At `style` is Scod or Scoc,
    /// whose first bit says that sizes of precincts are given (A.6.1); at `levels` are the number of
    /// decompositions, the code-blocks' sizes, their style, the transformation, then those of precincts.
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

/// Where a part of a tile ends (A.4.2): Psot, 6 bytes behind the marker, is its length, or 0 if it goes on to
/// the end of the stream.
fn tile_end_of(stream: &[u8], at: usize, end: Option<usize>) -> Result<usize, StreamError> {
    match word(stream, at + 6)? {
        0 => end.ok_or(StreamError::CutOff),
        1..14 => Err(StreamError::Wrong("tile")),
        length => Ok(at + length),
    }
}

/// Where the marker EOC stands, if the stream ends with it but for padding.
fn end(stream: &[u8]) -> Option<usize> {
    let last = stream.iter().rposition(|byte| *byte != 0)?;
    stream[..=last].strip_suffix(&[0xFF, END_OF_IMAGE]).map(<[u8]>::len)
}

fn word(stream: &[u8], at: usize) -> Result<usize, StreamError> {
    Ok(short(stream, at)? << 16 | short(stream, at + 2)?)
}
