//! Elements as real files have them, and malformed ones.

use super::*;
use crate::dicom_file::encoding::{EXPLICIT_BIG_ENDIAN, EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN};
use crate::imaging::sample::{element, file};

const PRIVATE: Tag = Tag(0x0009, 0x1001);
const UNDEFINED_LENGTH: [u8; 4] = [0xFF; 4];

/// A sequence of undefined length with an item of undefined length around `content`.
fn sequence(tag: Tag, vr: &str, content: &[u8]) -> Vec<u8> {
    let head = element(tag, vr, &[]);
    let item = [0xFE, 0xFF, 0x00, 0xE0];
    let ends = [0xFE, 0xFF, 0x0D, 0xE0, 0, 0, 0, 0, 0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0];
    [&head[..8], &UNDEFINED_LENGTH, &item, &UNDEFINED_LENGTH, content, &ends].concat()
}

fn rows_after(before: &[u8]) -> Option<u16> {
    let data = [before, &element(tags::ROWS, "US", &[7, 0])].concat();
    let bytes = file(EXPLICIT_LITTLE_ENDIAN, &data);
    Part10File::open(&bytes).unwrap().elements().short(tags::ROWS)
}

#[test]
fn sequences_are_stepped_over() {
    let nested = sequence(PRIVATE, "SQ", &element(tags::ROWS, "US", &[9, 0]));
    let implicit = [0x28, 0x00, 0x10, 0x00, 2, 0, 0, 0, 9, 0];
    let defined = [&[0xFE, 0xFF, 0x00, 0xE0, 10, 0, 0, 0], &element(tags::ROWS, "US", &[9, 0])[..]].concat();
    for before in [
        nested.clone(),
        sequence(PRIVATE, "SQ", &nested),
        sequence(PRIVATE, "UN", &implicit),
        sequence(PRIVATE, "SQ", &sequence(PRIVATE, "UN", &implicit)),
        element(PRIVATE, "SQ", &defined),
    ] {
        assert_eq!(rows_after(&before), Some(7));
    }
}

#[test]
fn the_encodings_say_the_same() {
    let implicit = [0x28, 0x00, 0x10, 0x00, 2, 0, 0, 0, 7, 0];
    let big = [0x00, 0x28, 0x00, 0x10, b'U', b'S', 0, 2, 0, 7];
    for (syntax, data) in [
        (IMPLICIT_LITTLE_ENDIAN, implicit.to_vec()),
        (EXPLICIT_BIG_ENDIAN, big.to_vec()),
        ("", implicit.to_vec()),
        ("", element(tags::ROWS, "US", &[7, 0])),
    ] {
        let bytes = file(syntax, &data);
        assert_eq!(Part10File::open(&bytes).unwrap().elements().short(tags::ROWS), Some(7), "{syntax}");
    }
}

#[test]
fn a_forged_length_is_damage() {
    let mut forged = element(PRIVATE, "OB", &[1, 2, 3]);
    forged[8..12].copy_from_slice(&3_000_000_000_u32.to_le_bytes());
    let bytes = file(EXPLICIT_LITTLE_ENDIAN, &forged);
    let damage = Part10File::open(&bytes).unwrap().elements().damage.unwrap();
    assert_eq!((damage.declared, damage.left), (3_000_000_000, 3));
}

#[test]
fn text_is_decoded_and_trimmed() {
    let data = [
        element(tags::SPECIFIC_CHARACTER_SET, "CS", b"ISO_IR 100"),
        element(tags::PATIENT_NAME, "PN", b"M\xFCller^Eva "),
        element(tags::PIXEL_SPACING, "DS", b"0.5\\0.25"),
    ];
    let bytes = file(EXPLICIT_LITTLE_ENDIAN, &data.concat());
    let file = Part10File::open(&bytes).unwrap();
    let elements = file.elements();
    assert_eq!(elements.text(tags::PATIENT_NAME), "Müller^Eva");
    assert_eq!(elements.decimals(tags::PIXEL_SPACING), Some([0.5, 0.25]));
    assert_eq!(elements.decimals::<3>(tags::PIXEL_SPACING), None);
}

/// Where a file says little with many bytes, little is kept of it.
#[test]
fn what_is_kept_is_bounded() {
    let many = element(PRIVATE, "LO", &[]).repeat(ELEMENTS_MOST + 1);
    let bytes = file(EXPLICIT_LITTLE_ENDIAN, &many);
    let part10 = Part10File::open(&bytes).unwrap();
    assert!(part10.elements().damage.is_some());
    let fewer = file(EXPLICIT_LITTLE_ENDIAN, &many[8..]);
    assert!(Part10File::open(&fewer).unwrap().elements().damage.is_none());
    let long = [&[8, 0, 8, 0], &100_000_u32.to_le_bytes()[..], &[b'\\'; 100_000]].concat();
    let bytes = file(IMPLICIT_LITTLE_ENDIAN, &long);
    let elements = Part10File::open(&bytes).unwrap();
    let elements = elements.elements();
    assert_eq!(elements.text(tags::IMAGE_TYPE).len(), TEXT_BYTES_MOST);
    assert_eq!(elements.texts(tags::IMAGE_TYPE).len(), TEXTS_MOST);
}

#[test]
fn mutations_do_no_harm() {
    let nested = sequence(PRIVATE, "SQ", &sequence(PRIVATE, "UN", &[0x28, 0, 0x10, 0, 2, 0, 0, 0, 9, 0]));
    let good = file(EXPLICIT_LITTLE_ENDIAN, &[nested, element(tags::PIXEL_DATA, "OW", &[1, 2])].concat());
    let pixels = |bytes: &[u8]| Part10File::open(bytes).is_ok_and(|file| file.elements().pixels.is_some());
    assert!(pixels(&good));
    let mut lost = 0;
    for at in 128..good.len() {
        for byte in 0..=255 {
            let mut bad = good.clone();
            bad[at] = byte;
            lost += usize::from(!pixels(&bad));
        }
        Part10File::open(&good[..at]).map(|file| file.elements().damage.is_some()).ok();
    }
    assert!(lost > 1000, "{lost} mutations lost the pixels");
}

#[test]
fn what_is_not_dicom_is_told_apart() {
    assert!(Part10File::open(b"not DICOM").is_err());
    assert!(Part10File::open(&[0; 1000]).is_err());
    assert!(Part10File::open(&file("", &[])).is_ok());
}
