//! Contents of files in several encodings, and of files that are cut off.

use super::*;
use crate::dicom_file::encoding::{EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN};
use crate::dicom_file::part10::FileHead;

const CT: &[u8] = b"1.2.840.10008.5.1.4.1.1.2\0";
const RLE: &str = "1.2.840.10008.1.2.5";

fn explicit(tag: Tag, vr: &str, value: &[u8]) -> Vec<u8> {
    let mut bytes = [tag.group().to_le_bytes(), tag.element().to_le_bytes()].concat();
    bytes.extend(vr.as_bytes());
    match is_short([vr.as_bytes()[0], vr.as_bytes()[1]]) {
        true => bytes.extend((value.len() as u16).to_le_bytes()),
        false => bytes.extend([[0, 0].as_slice(), &(value.len() as u32).to_le_bytes()].concat()),
    }
    [&bytes, value].concat()
}

fn implicit(tag: Tag, value: &[u8]) -> Vec<u8> {
    let tag = [tag.group().to_le_bytes(), tag.element().to_le_bytes()].concat();
    [&tag, (value.len() as u32).to_le_bytes().as_slice(), value].concat()
}

fn item(length: u32, content: &[u8]) -> Vec<u8> {
    [&ITEM_MARK, length.to_le_bytes().as_slice(), content].concat()
}

fn end(tag: Tag) -> Vec<u8> {
    implicit(tag, &[])
}

fn file(syntax: &str, data: &[Vec<u8>]) -> Vec<u8> {
    let head = FileHead { transfer_syntax_uid: syntax.to_owned(), ..FileHead::default() };
    [head.encode(), data.concat()].concat()
}

const REFERENCES: Tag = tags::REFERENCED_IMAGE_SEQUENCE;
const PRIVATE: Tag = Tag(0x0029, 0x1010);
const PIXELS: [u8; 4] = [1, 2, 3, 4];

fn explicit_file() -> Vec<u8> {
    let reference = explicit(tags::REFERENCED_SOP_INSTANCE_UID, "UI", b"1.2.3\0");
    let private = item(UNDEFINED, &[explicit(tags::ROWS, "US", &[7, 0]), end(ITEM_END)].concat());
    let mut sequence = explicit(REFERENCES, "SQ", &item(reference.len() as u32, &reference));
    sequence.extend(explicit(PRIVATE, "SQ", &private));
    let data = [
        explicit(Tag(8, 0), "UL", &[9, 9, 0, 0]),
        explicit(tags::SOP_CLASS_UID, "UI", CT),
        sequence,
        explicit(tags::PIXEL_DATA, "OW", &PIXELS),
    ];
    file(EXPLICIT_LITTLE_ENDIAN, &data)
}

fn implicit_data() -> Vec<Vec<u8>> {
    let reference = implicit(tags::REFERENCED_SOP_INSTANCE_UID, b"1.2.3\0");
    let mut sequence = implicit(REFERENCES, &[]);
    sequence.truncate(4);
    sequence.extend(UNDEFINED.to_le_bytes());
    sequence.extend([item(UNDEFINED, &reference), end(ITEM_END), end(SEQUENCE_END)].concat());
    let rows = implicit(tags::ROWS, &[7, 0]);
    sequence.extend(implicit(PRIVATE, &item(rows.len() as u32, &rows)));
    vec![
        implicit(tags::SOP_CLASS_UID, CT),
        sequence,
        implicit(tags::PIXEL_DATA, &PIXELS),
        implicit(Tag(0xFFFC, 0xFFFC), &[0; 6]),
    ]
}

#[test]
fn a_data_set_has_one_digest_whatever_its_encoding() {
    let content = FileContent::of(&explicit_file());
    assert_eq!(content.missing, None);
    for other in [
        file(IMPLICIT_LITTLE_ENDIAN, &implicit_data()),
        // Declared wrongly, and not at all.
        file(EXPLICIT_LITTLE_ENDIAN, &implicit_data()),
        implicit_data().concat(),
        [vec![7; 128], explicit_file()[128..].to_vec()].concat(),
        explicit_file()[132..].to_vec(),
    ] {
        assert_eq!(FileContent::of(&other), content);
    }
}

#[test]
fn the_pieces_in_which_the_bytes_come_make_no_difference() {
    for bytes in [explicit_file(), file(IMPLICIT_LITTLE_ENDIAN, &implicit_data()), vec![3; 500]] {
        for size in [1, 7, 130, 4096] {
            let mut digester = ContentDigester::default();
            bytes.chunks(size).for_each(|chunk| digester.update(chunk));
            assert_eq!(digester.finish(), FileContent::of(&bytes), "{size}");
        }
    }
}

#[test]
fn other_values_are_another_content() {
    let data = implicit_data();
    let content = FileContent::of(&data.concat());
    for place in 0..data.len() - 1 {
        let mut other = data.clone();
        *other[place].last_mut().unwrap() ^= 1;
        let other = FileContent::of(&other.concat());
        assert_ne!(other.digest, content.digest, "{place}");
        assert_eq!(other.header == content.header, place == 2);
    }
}

#[test]
fn fragments_count_and_the_offset_table_does_not() {
    let compressed = |table: &[u8], fragments: &[&[u8]]| {
        let mut pixels = explicit(tags::PIXEL_DATA, "OB", &[]);
        pixels.truncate(8);
        pixels.extend(UNDEFINED.to_le_bytes());
        let fragments = [&[table], fragments].concat();
        pixels.extend(fragments.iter().flat_map(|one| item(one.len() as u32, one)));
        let data = [explicit(tags::SOP_CLASS_UID, "UI", CT), pixels, end(SEQUENCE_END)];
        FileContent::of(&file(RLE, &data))
    };
    let whole = compressed(&[], &[&[1, 2, 3, 4]]);
    assert_eq!(whole.missing, None);
    assert_eq!(compressed(&[0; 4], &[&[1, 2], &[3, 4]]), whole);
    assert_ne!(compressed(&[], &[&[1, 2, 3, 5]]).digest, whole.digest);
}

#[test]
fn what_is_cut_off_says_so() {
    for whole in [explicit_file(), file(IMPLICIT_LITTLE_ENDIAN, &implicit_data()[..3])] {
        // Before it says what it is, nothing can be missed.
        let class_ends = whole.windows(CT.len()).rposition(|window| window == CT).unwrap() + CT.len();
        for length in class_ends..whole.len() {
            assert!(FileContent::of(&whole[..length]).missing.is_some(), "{length} of {}", whole.len());
        }
        assert_eq!(FileContent::of(&whole).missing, None);
    }
    assert_eq!(FileContent::of(b"no DICOM file").missing, None);
}

#[test]
fn bytes_that_are_not_dicom_have_their_own_digest() {
    for length in [0, 1, 131, 132, 133, 5000] {
        let bytes = vec![b'x'; length];
        assert_eq!(FileContent::of(&bytes).digest, Digest::of(&bytes));
    }
}
