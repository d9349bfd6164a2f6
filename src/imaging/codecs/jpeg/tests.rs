//! Streams written by these tests, with Huffman codes that are plain numbers of a fixed width.

use std::collections::VecDeque;

use dicom_dictionary_std::uids;

use super::*;
use crate::imaging::codecs::testing::{coloured, layout, refused_mutations, segment};

/// A writer of entropy-coded bits; the last byte is filled up with ones.
#[derive(Default)]
struct BitWriter {
    bits: Vec<bool>,
}

impl BitWriter {
    fn number(&mut self, number: u32, size: u32) {
        self.bits.extend((0..size).rev().map(|bit| number >> bit & 1 == 1));
    }

    /// Writes a category as a code of `code` bits, then the number itself (tables F.1 and H.2).
    fn signed(&mut self, number: i32, code: u32, symbol: impl Fn(u32) -> u32) {
        let size = 32 - number.unsigned_abs().leading_zeros();
        self.number(symbol(size), code);
        let number = if number < 0 { number - 1 } else { number };
        self.number(number as u32 & ((1 << size) - 1), if size == 16 { 0 } else { size });
    }

    fn bytes(self) -> Vec<u8> {
        let byte =
            |bits: &[bool]| (0..8).fold(0, |byte, at| byte << 1 | u8::from(*bits.get(at).unwrap_or(&true)));
        let stuffed = |byte: u8| if byte == 0xFF { vec![0xFF, 0] } else { vec![byte] };
        self.bits.chunks(8).map(byte).flat_map(stuffed).collect()
    }
}

/// A Huffman table in which the code of a symbol is its index, in `bits` bits.
fn codes(class: u8, bits: usize, symbols: &[u8]) -> Vec<u8> {
    let counts = (1..=16).map(|length| if length == bits { symbols.len() as u8 } else { 0 });
    segment(HUFFMAN_TABLES, &[&[class << 4][..], &counts.collect::<Vec<u8>>(), symbols].concat())
}

fn frame_header(marker: u8, layout: &PixelLayout, precision: u8, factors: &[u8]) -> Vec<u8> {
    let [rows, columns] = [layout.rows, layout.columns].map(|size| (size as u16).to_be_bytes());
    let components = factors.iter().zip(1..).flat_map(|(factors, id)| [id, *factors, 0]);
    let head = [&[precision][..], &rows, &columns, &[factors.len() as u8]].concat();
    segment(marker, &head.into_iter().chain(components).collect::<Vec<u8>>())
}

fn scan_header(components: u8, [first, last, shift]: [u8; 3]) -> Vec<u8> {
    let selectors = (1..=components).flat_map(|id| [id, 0]);
    let bytes: Vec<u8> = std::iter::once(components).chain(selectors).chain([first, last, shift]).collect();
    segment(START_OF_SCAN, &bytes)
}

fn stream(segments: &[Vec<u8>]) -> Vec<u8> {
    [&[0xFF, 0xD8], &segments.concat()[..], &[0xFF, 0xD9]].concat()
}

fn decoded(layout: &PixelLayout, stream: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let mut place = vec![0; layout.frame_bytes()];
    decode(layout, stream, &mut place).map(|()| place)
}

/// Writes samples as a lossless stream, pixel by pixel; `restart` counts rows.
fn lossless(layout: &PixelLayout, samples: &[u16], precision: u8, predictor: u8, restart: usize) -> Vec<u8> {
    let [columns, colours] = [layout.columns, layout.samples_per_pixel];
    let at = |x: usize, y: usize, colour: usize| i32::from(samples[(y * columns + x) * colours + colour]);
    let predicted = |x: usize, y: usize, colour: usize| {
        let begins = y == 0 || restart > 0 && y.is_multiple_of(restart);
        match (x, begins) {
            (0, true) => 1 << (precision - 1),
            (0, false) => at(0, y - 1, colour),
            (_, true) => at(x - 1, y, colour),
            _ => {
                let [a, b, c] = [at(x - 1, y, colour), at(x, y - 1, colour), at(x - 1, y - 1, colour)];
                [a, b, c, a + b - c, a + ((b - c) >> 1), b + ((a - c) >> 1), (a + b) >> 1]
                    [usize::from(predictor) - 1]
            }
        }
    };
    let rows = (0..layout.rows).map(|y| {
        let mut writer = BitWriter::default();
        for (x, colour) in (0..columns).flat_map(|x| (0..colours).map(move |colour| (x, colour))) {
            let difference = (at(x, y, colour) - predicted(x, y, colour)) as i16;
            let difference = if difference == i16::MIN { 1 << 15 } else { i32::from(difference) };
            writer.signed(difference, 5, |size| size);
        }
        writer.bits
    });
    let rows: Vec<Vec<bool>> = rows.collect();
    let intervals = rows.chunks(if restart == 0 { rows.len() } else { restart });
    let data = intervals.zip(0..).map(|(rows, interval)| {
        let marker = if interval == 0 { vec![] } else { vec![0xFF, 0xD0 + (interval - 1) % 8] };
        [marker, BitWriter { bits: rows.concat() }.bytes()].concat()
    });
    let interval = ((restart * columns) as u16).to_be_bytes();
    let symbols: Vec<u8> = (0..17).collect();
    stream(&[
        frame_header(0xC3, layout, precision, &vec![0x11; colours]),
        codes(0, 5, &symbols),
        segment(RESTART_INTERVAL, &interval),
        scan_header(colours as u8, [predictor, 0, 0]),
        data.collect::<Vec<_>>().concat(),
    ])
}

/// Numbers that jump across the whole range of samples.
fn jumping(count: usize, precision: u8) -> Vec<u16> {
    let most = (1_u32 << precision) - 1;
    let mut numbers: Vec<u16> =
        (0..count as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 8 & most) as u16).collect();
    (numbers[0], numbers[1]) = (most as u16, 0);
    numbers
}

#[test]
fn lossless_by_every_predictor_and_precision() {
    let layout = PixelLayout { bits_stored: 16, bits_kept: 16, ..layout(uids::JPEG_LOSSLESS) };
    for predictor in 1..=7 {
        for precision in [2, 8, 12, 16] {
            for restart in [0, 1, 2] {
                let samples = jumping(12, precision);
                let stream = lossless(&layout, &samples, precision, predictor, restart);
                let expected: Vec<u8> = samples.into_iter().flat_map(u16::to_le_bytes).collect();
                assert_eq!(decoded(&layout, &stream).unwrap(), expected, "{predictor} {precision} {restart}");
            }
        }
    }
}

#[test]
fn lossless_colours_stay_what_they_are() {
    let layout = coloured(uids::JPEG_LOSSLESS, "YBR_FULL");
    let samples = jumping(36, 8);
    let expected: Vec<u8> = samples.iter().map(|sample| *sample as u8).collect();
    assert_eq!(decoded(&layout, &lossless(&layout, &samples, 8, 4, 0)).unwrap(), expected);
    assert!(!becomes_rgb(&layout));
}

/// 12 bits with a sign: the code stream declares none, the header does.
#[test]
fn the_sign_is_the_headers() {
    let layout = PixelLayout { columns: 2, rows: 1, signed: true, ..layout(uids::JPEG_LOSSLESS) };
    let stream = lossless(&layout, &[0xFFF, 5], 12, 1, 0);
    assert_eq!(decoded(&layout, &stream).unwrap(), [0xFF, 0xFF, 5, 0]);
}

const AC_SYMBOLS: [u8; 5] = [0x00, 0xF0, 0x05, 0x1A, 0xE3];

/// Writes blocks as a sequential stream; a block is a DC difference and runs of zeros, each with a
/// coefficient.
fn sequential(
    layout: &PixelLayout,
    precision: u8,
    factors: &[u8],
    blocks: &[(i32, &[(u8, i32)])],
) -> Vec<u8> {
    let mut writer = BitWriter::default();
    for (dc, ac) in blocks {
        writer.signed(*dc, 5, |size| size);
        for (run, coefficient) in *ac {
            let place = |size: u32| {
                AC_SYMBOLS.iter().position(|symbol| u32::from(*symbol) == u32::from(run << 4) | size)
            };
            writer.signed(*coefficient, 3, |size| place(size).expect("one of the symbols") as u32);
        }
        writer.number(0, 3);
    }
    let ones = [&[0][..], &[1; 64]].concat();
    let symbols: Vec<u8> = (0..17).collect();
    stream(&[
        segment(QUANTIZATION_TABLES, &ones),
        frame_header(0xC1, layout, precision, factors),
        codes(0, 5, &symbols),
        codes(1, 3, &AC_SYMBOLS),
        scan_header(factors.len() as u8, [0, 63, 0]),
        writer.bytes(),
    ])
}

/// A DC coefficient of 8 n raises each sample of its block by n from the middle of the range; two blocks side
/// by side.
#[test]
fn flat_blocks_of_8_and_of_12_bits() {
    for (precision, middle) in [(8, 128), (12, 2048)] {
        let layout = PixelLayout { columns: 10, rows: 2, ..layout(uids::JPEG_EXTENDED12_BIT) };
        let stream = sequential(&layout, precision, &[0x11], &[(8 * 20, &[]), (8 * -50, &[])]);
        let values = decoded(&layout, &stream).unwrap();
        let values: Vec<u16> = values.as_chunks().0.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
        assert_eq!(values[..8], [middle + 20; 8]);
        assert_eq!(values[8..10], [middle - 30; 2]);
        assert_eq!(values[..10], values[10..]);
    }
}

/// Compares with the definition (A.3.3) for coefficients all over a block: samples differ by at most one.
#[test]
fn the_inverse_dct_is_near_its_definition() {
    use std::f64::consts::{FRAC_1_SQRT_2, PI};
    for precision in [8, 12] {
        let mut coefficients = [0_i64; 64];
        for (at, number) in jumping(64, 8).into_iter().enumerate() {
            coefficients[at] = (i64::from(number) - 128) << (precision - 8) >> 2;
        }
        let found = dct::inverse(&coefficients, precision);
        for (at, found) in found.into_iter().enumerate() {
            let [x, y] = [at % 8, at / 8];
            let factor = |at: usize| if at == 0 { FRAC_1_SQRT_2 } else { 1.0 };
            let cosine = |x: usize, u: usize| ((2 * x + 1) as f64 * u as f64 * PI / 16.0).cos();
            let term = |at: usize| {
                let [u, v] = [at % 8, at / 8];
                factor(u) * factor(v) * coefficients[at] as f64 * cosine(x, u) * cosine(y, v) / 4.0
            };
            let exact = (0..64).map(term).sum::<f64>() + f64::from(1 << (precision - 1));
            let exact = exact.clamp(0.0, f64::from((1 << precision) - 1));
            assert!((f64::from(found) - exact).abs() < 1.01, "{found} at {at}, {exact} by definition");
        }
    }
}

/// Cb and Cr at half the width and height: an image of 4 × 3 pixels has one sample for each 2 × 2 pixels.
#[test]
fn colours_of_half_the_size_become_rgb() {
    let layout = coloured(uids::JPEG_BASELINE8_BIT, "YBR_FULL_422");
    let luma = [(8 * -52, &[][..]), (0, &[]), (0, &[]), (0, &[])];
    let blocks: Vec<_> = luma.into_iter().chain([(8 * -44, &[][..]), (8 * 127, &[][..])]).collect();
    let decoded = decoded(&layout, &sequential(&layout, 8, &[0x22, 0x11, 0x11], &blocks)).unwrap();
    // (76, 84, 255) is red up to rounding.
    assert_eq!(decoded, [254, 0, 0].repeat(12));
    assert_eq!(colour::rgb([2048, 2048, 2048], 12), [2048; 3]);
}

#[test]
fn neighbours_weigh_one_and_samples_three() {
    assert_eq!(widen::doubled(&[0, 100, 200]), [0, 25, 75, 125, 175, 200]);
    assert_eq!(widen::doubled_between(&[0, 100, 200], &[0, 100, 200]), [0, 25, 75, 125, 175, 200]);
    assert_eq!(widen::doubled_between(&[0, 0, 0], &[100, 100, 100]), [25; 6]);
}

#[test]
fn what_is_not_decoded_is_named() {
    let layout = layout(uids::JPEG_EXTENDED12_BIT);
    let refused =
        |marker| decoded(&layout, &stream(&[frame_header(marker, &layout, 12, &[0x11])])).unwrap_err();
    assert_eq!(refused(0xC2), DecodeError::Unsupported("progressive JPEG".to_owned()));
    assert_eq!(refused(0xC9), DecodeError::Unsupported("JPEG with arithmetic coding".to_owned()));
    assert!(refused(0xC1).to_string().contains("cut off"));
    let thin = sequential(&layout, 12, &[0x11], &[(5, &[])]);
    let cut = decoded(&layout, &thin[..thin.len() - 4]).unwrap_err();
    assert!(cut.to_string().contains("cut off"), "{cut}");
    let narrow = PixelLayout { bits_allocated: 8, ..layout.clone() };
    let refused = decoded(&narrow, &thin).unwrap_err();
    assert!(refused.to_string().contains("12 bits, the header allocates 8"), "{refused}");
}

/// A component repeated in many scans would cost more time than its bytes justify.
#[test]
fn a_component_comes_once() {
    let layout = layout(uids::JPEG_EXTENDED12_BIT);
    let once = sequential(&layout, 12, &[0x11], &[(5, &[])]);
    let mut halves: VecDeque<&[u8]> = once.split(|byte| *byte == START_OF_SCAN).collect();
    let scan = halves.pop_back().expect("there is a scan");
    let twice = [&once[..once.len() - 2], &[0xFF, START_OF_SCAN], scan].concat();
    assert!(decoded(&layout, &twice).unwrap_err().to_string().contains("a wrong scan"));
}

#[test]
fn mutations_do_no_harm() {
    let grey = PixelLayout { bits_stored: 16, bits_kept: 16, ..layout(uids::JPEG_LOSSLESS) };
    let refused = refused_mutations(&grey, &lossless(&grey, &jumping(12, 16), 16, 6, 1));
    assert!(refused > 50, "{refused} lossless");
    let extended = PixelLayout { columns: 10, rows: 2, ..layout(uids::JPEG_EXTENDED12_BIT) };
    let blocks: [(i32, &[(u8, i32)]); 2] =
        [(100, &[(0, 17), (1, -600), (14, 5)]), (-3, &[(0, -20), (1, 1000)])];
    let refused = refused_mutations(&extended, &sequential(&extended, 12, &[0x11], &blocks));
    assert!(refused > 50, "{refused} extended");
    let colours = coloured(uids::JPEG_BASELINE8_BIT, "YBR_FULL_422");
    let blocks: Vec<(i32, &[(u8, i32)])> = (0..6).map(|at| (at * 7, &[(0, 17), (1, -600)][..])).collect();
    let refused = refused_mutations(&colours, &sequential(&colours, 8, &[0x22, 0x11, 0x11], &blocks));
    assert!(refused > 50, "{refused} baseline");
}
