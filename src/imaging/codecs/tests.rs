//! Cases that other decoders get wrong, each in the smallest object that shows it.

use dicom_dictionary_std::uids;

use super::testing::{
    coloured, encapsulated_file, encapsulated_file_with, hex, layout, mutations, native_file,
};
use super::{DecodeError, DecodedPixels, PixelLayout, PlanarOrder, decoded};
use crate::imaging::elements::NativePixels;

const EXPLICIT: &str = uids::EXPLICIT_VR_LITTLE_ENDIAN;

fn native(layout: &PixelLayout, pixels: &[u8]) -> DecodedPixels {
    decoded(&native_file(layout, pixels)).unwrap()
}

/// An RLE frame with one segment for each byte of a sample; each segment is one run.
fn rle(pixels: u8, bytes: &[u8]) -> Vec<u8> {
    let offsets = (0..bytes.len() as u32).map(|segment| 64 + 2 * segment);
    let head = std::iter::once(bytes.len() as u32).chain(offsets).chain(std::iter::repeat(0)).take(16);
    let runs = bytes.iter().flat_map(|byte| [1_u8.wrapping_sub(pixels), *byte]);
    head.flat_map(u32::to_le_bytes).chain(runs).collect()
}

/// Frames of nine bits: the second begins within a byte.
#[test]
fn bits_of_frames_that_do_not_fill_bytes() {
    let bits = PixelLayout {
        columns: 3,
        rows: 3,
        frames: 3,
        bits_allocated: 1,
        bits_stored: 1,
        bits_kept: 1,
        ..layout(EXPLICIT)
    };
    let pixels = [0b1111_1111, 0b0000_0011, 0b0000_0100, 0b0000_0100];
    let decoded = native(&bits, &pixels);
    assert_eq!(decoded.bytes, pixels);
    assert_eq!(&*decoded.frame(0), [1; 9]);
    assert_eq!(&*decoded.frame(1), [1, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(&*decoded.frame(2), [1, 0, 0, 0, 0, 0, 0, 0, 1]);
    // Encapsulated frames begin with a new byte each.
    let syntax = uids::ENCAPSULATED_UNCOMPRESSED_EXPLICIT_VR_LITTLE_ENDIAN;
    let apart = PixelLayout { transfer_syntax_uid: syntax.to_owned(), ..bits };
    let items: [&[u8]; 4] = [&[], &[0xFF, 1], &[1, 0], &[1, 1]];
    let again = super::decoded(&encapsulated_file(&apart, &items)).unwrap();
    assert_eq!(again.bytes, pixels);
}

#[test]
fn colours_at_half_the_width_become_whole() {
    let halved = PixelLayout { rows: 1, ..coloured(EXPLICIT, "YBR_FULL_422") };
    let decoded = native(&halved, &[1, 2, 10, 20, 3, 4, 30, 40]);
    assert_eq!(decoded.bytes, [1, 10, 20, 2, 10, 20, 3, 30, 40, 4, 30, 40]);
    assert_eq!(decoded.photometric_interpretation, "YBR_FULL");
}

#[test]
fn the_padding_byte_is_no_pixel() {
    let odd = PixelLayout {
        columns: 3,
        rows: 1,
        bits_allocated: 8,
        bits_stored: 8,
        bits_kept: 8,
        ..layout(EXPLICIT)
    };
    let decoded = native(&odd, &[1, 2, 3, 0]);
    assert_eq!((&decoded.vr(), &decoded.bytes[..]), (b"OB", &[1, 2, 3][..]));
}

#[test]
fn bits_above_the_stored_ones_are_gone() {
    let one = PixelLayout { columns: 2, rows: 1, ..layout(EXPLICIT) };
    assert_eq!(native(&one, &[0xE8, 0xF3, 0xFF, 0x0F]).bytes, [0xE8, 0x03, 0xFF, 0x0F]);
    let signed = PixelLayout { signed: true, ..one.clone() };
    assert_eq!(native(&signed, &[0xE8, 0xF3, 0xFF, 0x0F]).bytes, [0xE8, 0x03, 0xFF, 0xFF]);
    // Old images may store their data in the highest bits: then all bits are kept.
    let top = PixelLayout { bits_kept: 16, ..one.clone() };
    assert_eq!(native(&top, &[0xE8, 0xF3, 0xFF, 0x0F]).bytes, [0xE8, 0xF3, 0xFF, 0x0F]);
    let compressed = PixelLayout { transfer_syntax_uid: uids::RLE_LOSSLESS.to_owned(), ..signed };
    let file = encapsulated_file(&compressed, &[&[], &rle(2, &[0x0F, 0xE8])]);
    assert_eq!(decoded(&file).unwrap().bytes, [0xE8, 0xFF, 0xE8, 0xFF]);
}

#[test]
fn planes_become_pixels() {
    let planes = PixelLayout {
        columns: 2,
        rows: 1,
        frames: 2,
        order: PlanarOrder::ByPlane,
        ..coloured(EXPLICIT, "RGB")
    };
    let decoded = native(&planes, &[1, 2, 3, 4, 5, 6, 11, 12, 13, 14, 15, 16]);
    assert_eq!(decoded.bytes, [1, 3, 5, 2, 4, 6, 11, 13, 15, 12, 14, 16]);
    assert_eq!(&*decoded.frame(1), [11, 13, 15, 12, 14, 16]);
}

#[test]
fn big_endian_words_are_turned_also_where_samples_are_bytes() {
    let bytes = PixelLayout {
        columns: 3,
        rows: 1,
        bits_allocated: 8,
        bits_stored: 8,
        bits_kept: 8,
        ..layout(EXPLICIT)
    };
    let decode = |layout: &PixelLayout, words: bool, bytes: &[u8]| {
        super::native::decode(layout, NativePixels { declared: bytes.len(), bytes, words, big_endian: true })
            .unwrap()
    };
    assert_eq!(decode(&bytes, true, &[2, 1, 0, 3]), [1, 2, 3]);
    assert_eq!(decode(&bytes, false, &[1, 2, 3, 0]), [1, 2, 3]);
    let words = PixelLayout {
        columns: 1,
        rows: 1,
        bits_allocated: 32,
        bits_stored: 32,
        bits_kept: 32,
        ..layout(EXPLICIT)
    };
    assert_eq!(decode(&words, true, &[1, 2, 3, 4]), [4, 3, 2, 1]);
}

#[test]
fn rle_of_32_bits_and_in_several_fragments() {
    let wide =
        PixelLayout { bits_allocated: 32, bits_stored: 32, bits_kept: 32, ..layout(uids::RLE_LOSSLESS) };
    let frame = rle(12, &[4, 3, 2, 1]);
    for fragments in [vec![&frame[..]], vec![&frame[..66], &frame[66..]]] {
        let items: Vec<&[u8]> = std::iter::once(&[][..]).chain(fragments).collect();
        assert_eq!(decoded(&encapsulated_file(&wide, &items)).unwrap().bytes, [1, 2, 3, 4].repeat(12));
    }
}

#[test]
fn of_several_damaged_frames_the_first_is_told() {
    let three = PixelLayout { columns: 2, rows: 1, frames: 3, ..layout(uids::RLE_LOSSLESS) };
    let bad = rle(2, &[0, 1, 2]);
    let refused = decoded(&encapsulated_file(&three, &[&[], &rle(2, &[0, 1]), &bad, &bad])).unwrap_err();
    assert!(refused.to_string().ends_with("names 3 segments, 2 are needed (frame 2 of 3)"), "{refused}");
}

/// Two frames in three fragments, assigned by either table.
#[test]
fn fragments_are_shared_out_by_the_offset_tables() {
    let two = PixelLayout { columns: 2, rows: 1, frames: 2, ..layout(uids::RLE_LOSSLESS) };
    let [first, second] = [rle(2, &[0, 1]), rle(2, &[0, 2])];
    let (start, end) = first.split_at(65);
    let expected = [1, 0, 1, 0, 2, 0, 2, 0];
    let offset = first.len() as u32 + 16;
    let table = [0_u32.to_le_bytes(), offset.to_le_bytes()].concat();
    let file = encapsulated_file(&two, &[&table, start, end, &second]);
    assert_eq!(decoded(&file).unwrap().bytes, expected);
    let file = encapsulated_file_with(&two, &[0, offset.into()], &[&[], start, end, &second]);
    assert_eq!(decoded(&file).unwrap().bytes, expected);
    let file = encapsulated_file(&two, &[&[], &first, &second]);
    assert_eq!(decoded(&file).unwrap().bytes, expected);
    // RLE has no end marker to assign fragments by, and a table with other offsets is no valid one.
    for table in [&[][..], &[0, 0, 0, 0, 1, 0, 0, 0], &[8, 0, 0, 0, 0, 0, 0, 0], &table[..4]] {
        let refused = decoded(&encapsulated_file(&two, &[table, start, end, &second])).unwrap_err();
        assert!(refused.to_string().contains("3 fragments cannot be told apart into 2 frames"), "{refused}");
    }
}

/// JPEG-LS of one sample per frame, in three fragments without a table: frames end with their streams.
#[test]
fn fragments_are_shared_out_by_the_ends_of_streams() {
    let two =
        PixelLayout { columns: 4, rows: 4, frames: 2, bits_allocated: 8, ..layout(uids::JPEGLS_LOSSLESS) };
    let frame = hex(super::jpeg_ls::STANDARDS_EXAMPLE);
    let padded = [&frame[..], &[0]].concat();
    let file = encapsulated_file(&two, &[&[], &frame[..30], &frame[30..], &padded]);
    let decoded = decoded(&file).unwrap();
    assert_eq!(decoded.frame(0), decoded.frame(1));
    assert_eq!(decoded.frame(0)[..8], [0, 0, 90, 74, 68, 50, 43, 205]);
}

/// 12 bits, signed; the first stream declares a sign, the second does not. Both hold the same bits.
#[test]
fn the_headers_sign_holds_in_jpeg_2000() {
    let base = PixelLayout { columns: 32, rows: 32, signed: true, ..layout(uids::JPEG2000_LOSSLESS) };
    for stream in [super::jpeg2000::SIGNED, super::jpeg2000::UNSIGNED] {
        let decode =
            |layout: &PixelLayout| decoded(&encapsulated_file(layout, &[&[], &hex(stream)])).unwrap().bytes;
        let ends = |bytes: &[u8]| [[bytes[0], bytes[1]], [bytes[2046], bytes[2047]]];
        let signed = decode(&base);
        assert_eq!(ends(&signed), [(-2000_i16).to_le_bytes(), 2047_i16.to_le_bytes()]);
        assert_eq!(signed[2..4], (-5_i16).to_le_bytes());
        let unsigned = decode(&PixelLayout { signed: false, ..base.clone() });
        assert_eq!(ends(&unsigned), [2096_u16.to_le_bytes(), 2047_u16.to_le_bytes()]);
    }
}

/// Headers that promise more than the file has are rejected before memory is allocated.
#[test]
fn forged_sizes_cost_nothing() {
    let huge = PixelLayout { columns: 65_535, rows: 65_535, ..layout(EXPLICIT) };
    let cut = decoded(&native_file(&huge, &[0; 24])).unwrap_err();
    assert!(matches!(cut, DecodeError::Unsupported(_)), "{cut}");
    let large = PixelLayout { rows: 30_000, ..huge.clone() };
    let cut = decoded(&native_file(&large, &[0; 24])).unwrap_err();
    assert_eq!(cut, DecodeError::CutOff { needed: 3_932_100_000, declared: 24, present: 24 });
    for syntax in [uids::RLE_LOSSLESS, uids::JPEG2000, uids::JPEGLS_LOSSLESS, uids::JPEG_BASELINE8_BIT] {
        let large = PixelLayout { transfer_syntax_uid: syntax.to_owned(), ..large.clone() };
        let refused = decoded(&encapsulated_file(&large, &[&[], &[0; 100]])).unwrap_err();
        assert!(refused.to_string().contains("cannot hold 3932100000 bytes"), "{refused}");
        let frames = PixelLayout { frames: 2_000_000_000, columns: 1, rows: 1, ..large };
        let refused = decoded(&encapsulated_file(&frames, &[&[], &[0; 100]])).unwrap_err();
        assert!(refused.to_string().contains("cannot hold 4000000000 bytes"), "{refused}");
    }
}

#[test]
fn what_is_not_decoded_is_named() {
    let refused =
        |layout: &PixelLayout, items: &[&[u8]]| decoded(&encapsulated_file(layout, items)).unwrap_err();
    let video = refused(&layout("1.2.840.10008.1.2.4.102"), &[&[], &[0; 8]]);
    assert!(matches!(&video, DecodeError::Unsupported(what) if what.contains("MPEG-4")), "{video}");
    let four = PixelLayout { samples_per_pixel: 4, ..coloured(uids::RLE_LOSSLESS, "ARGB") };
    assert!(refused(&four, &[&[], &[0; 8]]).to_string().contains("4 samples per pixel of 8 bits"));
    let rle = layout(uids::RLE_LOSSLESS);
    assert!(refused(&rle, &[&[]]).to_string().contains("no fragment with pixels"));
    let cut = encapsulated_file(&rle, &[&[], &self::rle(12, &[0, 1])]);
    let cut = decoded(&cut[..cut.len() - 12]).unwrap_err();
    assert!(cut.to_string().contains("fragment 1 is cut off: 68 bytes declared, 64 left"), "{cut}");
    let plain = refused(&layout(EXPLICIT), &[&[], &[0; 8]]);
    assert!(plain.to_string().contains("encapsulated, though the transfer syntax is Explicit"), "{plain}");
    let native = decoded(&native_file(&rle, &[0; 24])).unwrap_err();
    assert!(native.to_string().contains("not encapsulated, though the transfer syntax is RLE"), "{native}");
}

#[test]
fn deflated_frames_are_inflated() {
    let deflated = layout(uids::DEFLATED_IMAGE_FRAME_COMPRESSION);
    let pixels: Vec<u8> = (0..12_u16).flat_map(u16::to_le_bytes).collect();
    let mut frame = Vec::new();
    let mut encoder = flate2::read::DeflateEncoder::new(&pixels[..], flate2::Compression::fast());
    std::io::Read::read_to_end(&mut encoder, &mut frame).unwrap();
    assert_eq!(decoded(&encapsulated_file(&deflated, &[&[], &frame])).unwrap().bytes, pixels);
    assert!(decoded(&encapsulated_file(&deflated, &[&[], &frame[..4]])).is_err());
}

/// Files of each kind with changed bytes are decoded or rejected, and memory stays within the limit.
#[test]
fn mutations_of_files_do_no_harm() {
    let bits = PixelLayout {
        columns: 3,
        rows: 3,
        frames: 3,
        bits_allocated: 1,
        bits_stored: 1,
        bits_kept: 1,
        ..layout(EXPLICIT)
    };
    let planes = PixelLayout { frames: 2, order: PlanarOrder::ByPlane, ..coloured(EXPLICIT, "YBR_FULL_422") };
    let two = PixelLayout { columns: 2, rows: 1, frames: 2, ..layout(uids::RLE_LOSSLESS) };
    let frame = rle(2, &[0, 1]);
    let table = [0_u32.to_le_bytes(), 84_u32.to_le_bytes()].concat();
    for good in [
        native_file(&bits, &[0xFF, 3, 4, 4]),
        native_file(&planes, &[7; 72]),
        encapsulated_file(&two, &[&table, &frame[..65], &frame[65..], &frame]),
        encapsulated_file_with(&two, &[0, 84], &[&[], &frame[..65], &frame[65..], &frame]),
    ] {
        decoded(&good).unwrap();
        let bytes_most = (64 << 20) + 1024 * good.len();
        let mut refused = 0;
        for changed in mutations(&good[132..]) {
            match decoded(&[&good[..132], &changed].concat()) {
                Ok(pixels) => assert!(pixels.bytes.len() <= bytes_most, "{} bytes", pixels.bytes.len()),
                Err(_) => refused += 1,
            }
        }
        assert!(refused > 300, "{refused} were refused");
    }
}
