//! Small objects and streams for the tests of decoders.

use dicom_core::Tag;
use dicom_dictionary_std::tags;

use super::{PixelLayout, PlanarOrder};
use crate::imaging::sample::{element, file};

/// A layout of one frame of 4 × 3 samples of 16 bits, 12 of them stored.
pub fn layout(transfer_syntax_uid: &str) -> PixelLayout {
    PixelLayout {
        transfer_syntax_uid: transfer_syntax_uid.to_owned(),
        photometric_interpretation: "MONOCHROME2".to_owned(),
        columns: 4,
        rows: 3,
        frames: 1,
        samples_per_pixel: 1,
        bits_allocated: 16,
        bits_stored: 12,
        bits_kept: 12,
        signed: false,
        order: PlanarOrder::ByPixel,
    }
}

/// A layout of one frame of 4 × 3 pixels of three bytes.
pub fn coloured(transfer_syntax_uid: &str, photometric_interpretation: &str) -> PixelLayout {
    PixelLayout {
        samples_per_pixel: 3,
        bits_allocated: 8,
        bits_stored: 8,
        bits_kept: 8,
        photometric_interpretation: photometric_interpretation.to_owned(),
        ..layout(transfer_syntax_uid)
    }
}

/// A file with native pixels of this layout.
pub fn native_file(layout: &PixelLayout, pixels: &[u8]) -> Vec<u8> {
    whole(layout, &[], &element(tags::PIXEL_DATA, "OW", pixels))
}

/// A file with encapsulated pixels of this layout: the offset table, then fragments.
pub fn encapsulated_file(layout: &PixelLayout, items: &[&[u8]]) -> Vec<u8> {
    encapsulated_file_with(layout, &[], items)
}

/// The same file with an Extended Offset Table.
pub fn encapsulated_file_with(layout: &PixelLayout, extended: &[u64], items: &[&[u8]]) -> Vec<u8> {
    let item =
        |bytes: &&[u8]| [&[0xFE, 0xFF, 0x00, 0xE0], &(bytes.len() as u32).to_le_bytes(), *bytes].concat();
    let head = [0xE0, 0x7F, 0x10, 0x00, b'O', b'B', 0, 0, 0xFF, 0xFF, 0xFF, 0xFF];
    let end = [0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0];
    let items: Vec<u8> = items.iter().flat_map(item).collect();
    let table: Vec<u8> = extended.iter().flat_map(|offset| offset.to_le_bytes()).collect();
    let table =
        if extended.is_empty() { Vec::new() } else { element(tags::EXTENDED_OFFSET_TABLE, "UN", &table) };
    whole(layout, &table, &[&head[..], &items, &end].concat())
}

fn whole(layout: &PixelLayout, before: &[u8], pixels: &[u8]) -> Vec<u8> {
    let short = |tag: Tag, value: usize| element(tag, "US", &(value as u16).to_le_bytes());
    let data = [
        short(tags::SAMPLES_PER_PIXEL, layout.samples_per_pixel),
        element(tags::PHOTOMETRIC_INTERPRETATION, "CS", layout.photometric_interpretation.as_bytes()),
        short(tags::PLANAR_CONFIGURATION, (layout.order == PlanarOrder::ByPlane).into()),
        element(tags::NUMBER_OF_FRAMES, "IS", layout.frames.to_string().as_bytes()),
        short(tags::ROWS, layout.rows),
        short(tags::COLUMNS, layout.columns),
        short(tags::BITS_ALLOCATED, layout.bits_allocated as usize),
        short(tags::BITS_STORED, layout.bits_stored as usize),
        short(tags::HIGH_BIT, layout.bits_kept as usize - 1),
        short(tags::PIXEL_REPRESENTATION, layout.signed.into()),
        before.to_vec(),
        pixels.to_vec(),
    ];
    file(&layout.transfer_syntax_uid, &data.concat())
}

pub fn hex(digits: &str) -> Vec<u8> {
    let byte =
        |pair: &[u8; 2]| u8::from_str_radix(str::from_utf8(pair).expect("ASCII"), 16).expect("hex digits");
    digits.as_bytes().as_chunks().0.iter().map(byte).collect()
}

/// A marker segment of a code stream.
pub fn segment(marker: u8, bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u16 + 2).to_be_bytes();
    [&[0xFF, marker], &length[..], bytes].concat()
}

/// All variants of a stream with one byte set to some values, every prefix, and some seeded changes of two
/// bytes.
pub fn mutations(good: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let changed = move |at: usize, byte: u8| {
        let mut bad = good.to_vec();
        bad[at] = byte;
        bad
    };
    let single = move |at: usize| [0, 1, 0x7F, 0x80, 0xFE, 0xFF].map(|byte| changed(at, byte));
    let mut seed = 1_u32;
    let mut next = move |below: usize| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as usize % below
    };
    let double = move |_| {
        let mut bad = changed(next(good.len()), next(256) as u8);
        bad[next(good.len())] ^= 1 << next(8);
        bad
    };
    let cut = (0..good.len()).map(|end| good[..end].to_vec());
    (0..good.len()).flat_map(single).chain(cut).chain((0..300).map(double))
}

/// Decodes all mutations of a frame into memory of the right size; returns the number of rejected ones.
pub fn refused_mutations(layout: &PixelLayout, good: &[u8]) -> usize {
    let codec = super::codec::PixelCodec::of(layout).expect("there is a decoder");
    let mut place = vec![0; layout.frame_bytes()];
    codec.decode(layout, good, &mut place).expect("it is good");
    mutations(good).filter(|bad| codec.decode(layout, bad, &mut place).is_err()).count()
}
