//! Operations on samples in bytes: bits, byte order, and the order of colours.

use super::{PixelLayout, PlanarOrder};

/// Keeps the lowest `bits` of every sample: higher bits are cleared, or repeat the sign of a signed sample
/// (PS3.5 8.1.1).
pub fn fit(bytes: &mut [u8], bits_allocated: u32, bits: u32, signed: bool) {
    let Some(unused) = bits_allocated.checked_sub(bits).filter(|unused| *unused > 0) else { return };
    match (bits_allocated, signed) {
        (8, false) => each(bytes, |[byte]| [byte << unused >> unused]),
        (8, true) => each(bytes, |[byte]| [((byte << unused) as i8 >> unused) as u8]),
        (16, false) => each(bytes, |pair| (u16::from_le_bytes(pair) << unused >> unused).to_le_bytes()),
        (16, true) => each(bytes, |pair| (i16::from_le_bytes(pair) << unused >> unused).to_le_bytes()),
        (32, false) => each(bytes, |word| (u32::from_le_bytes(word) << unused >> unused).to_le_bytes()),
        (32, true) => each(bytes, |word| (i32::from_le_bytes(word) << unused >> unused).to_le_bytes()),
        _ => {}
    }
}

/// Reverses the bytes of every number of `size` bytes; an incomplete number at the end stays.
pub fn swap(bytes: &mut [u8], size: usize) {
    match size {
        2 => each(bytes, |[a, b]| [b, a]),
        4 => each(bytes, |[a, b, c, d]| [d, c, b, a]),
        _ => {}
    }
}

fn each<const N: usize>(bytes: &mut [u8], change: impl Fn([u8; N]) -> [u8; N]) {
    bytes.as_chunks_mut().0.iter_mut().for_each(|sample| *sample = change(*sample));
}

/// Writes as many samples as there is room for, little endian; bits beyond `size` bytes are dropped.
pub fn write(into: &mut [u8], size: usize, samples: impl Iterator<Item = u32>) {
    match size {
        1 => into.iter_mut().zip(samples).for_each(|(byte, sample)| *byte = sample as u8),
        2 => write_chunks(into, samples, |sample| (sample as u16).to_le_bytes()),
        _ => write_chunks(into, samples, u32::to_le_bytes),
    }
}

fn write_chunks<const N: usize>(
    into: &mut [u8],
    samples: impl Iterator<Item = u32>,
    bytes: impl Fn(u32) -> [u8; N],
) {
    into.as_chunks_mut().0.iter_mut().zip(samples).for_each(|(chunk, sample)| *chunk = bytes(sample));
}

/// Reorders a frame from colour planes to pixels, the samples of each side by side.
pub fn by_pixel(layout: &PixelLayout, frame: &mut [u8]) {
    if layout.order == PlanarOrder::ByPixel {
        return;
    }
    let size = layout.bytes_per_sample();
    let planes = frame.to_vec();
    for (index, plane) in planes.chunks_exact(layout.frame_pixels() * size).enumerate() {
        let places = frame.chunks_exact_mut(size).skip(index).step_by(layout.samples_per_pixel);
        plane.chunks_exact(size).zip(places).for_each(|(sample, place)| place.copy_from_slice(sample));
    }
}

/// Packs frames of single bits that each begin at a byte, so that no gap is left between them.
pub fn close_gaps(frames: &[u8], frame_bits: usize) -> Vec<u8> {
    let count = frames.len() / frame_bits.div_ceil(8);
    let mut closed = vec![0; (count * frame_bits).div_ceil(8)];
    for (frame, bytes) in frames.chunks_exact(frame_bits.div_ceil(8)).enumerate() {
        for at in (0..frame_bits).filter(|at| bit(bytes, *at)) {
            let at = frame * frame_bits + at;
            closed[at / 8] |= 1 << (at % 8);
        }
    }
    closed
}

/// A bit of packed bits: the first is the least significant (PS3.5 8.1.1, annex D).
pub fn bit(bytes: &[u8], at: usize) -> bool {
    bytes[at / 8] >> (at % 8) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitted<const N: usize>(mut bytes: [u8; N], bits_allocated: u32, bits: u32, signed: bool) -> [u8; N] {
        fit(&mut bytes, bits_allocated, bits, signed);
        bytes
    }

    #[test]
    fn bits_above_the_stored_ones_say_nothing() {
        assert_eq!(fitted([0xE8, 0xF3, 0xFF, 0x0F], 16, 12, false), [0xE8, 0x03, 0xFF, 0x0F]);
        assert_eq!(fitted([0xE8, 0xF3, 0xFF, 0x0F], 16, 12, true), [0xE8, 0x03, 0xFF, 0xFF]);
        assert_eq!(fitted([0xF9, 0x19], 8, 5, true), [0xF9, 0xF9]);
        assert_eq!(fitted([1, 2, 3, 4], 32, 24, false), [1, 2, 3, 0]);
        assert_eq!(fitted([1, 2, 0x83, 4], 32, 24, true), [1, 2, 0x83, 0xFF]);
        assert_eq!(fitted([7, 8], 16, 16, true), [7, 8]);
    }

    #[test]
    fn frames_of_bits_follow_without_a_gap() {
        // Three frames of three bits: 101, 011, 111, the first of each the least significant.
        assert_eq!(close_gaps(&[0b101, 0b110, 0b1111_1111], 3), [0b1111_0101, 0b1]);
    }
}
