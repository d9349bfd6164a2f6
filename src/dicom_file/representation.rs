//! Value representations (PS3.5 section 6.2), as far as transcoding needs to know them.

use dicom_core::Tag;
use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry, VirtualVr};
use dicom_dictionary_std::StandardDataDictionary;

/// Whether the length of an explicit value has two bytes (PS3.5 7.1.2). Representations to come have four.
/// What is no representation, `??` or zeros, has two: so other programs write and read it.
pub fn is_short(vr: [u8; 2]) -> bool {
    if !vr.iter().all(u8::is_ascii_uppercase) {
        return true;
    }
    const SHORT: [&[u8; 2]; 21] = [
        b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH",
        b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US",
    ];
    SHORT.contains(&&vr)
}

/// Whether a space makes it even; other values take a zero.
pub fn is_text(vr: [u8; 2]) -> bool {
    const TEXT: [&[u8; 2]; 16] = [
        b"AE", b"AS", b"CS", b"DA", b"DS", b"DT", b"IS", b"LO", b"LT", b"PN", b"SH", b"ST", b"TM", b"UC",
        b"UR", b"UT",
    ];
    TEXT.contains(&&vr)
}

/// Of how many bytes the words are whose order is turned round.
pub fn word_bytes(vr: [u8; 2]) -> usize {
    match &vr {
        b"AT" | b"OW" | b"SS" | b"US" => 2,
        b"FL" | b"OF" | b"OL" | b"SL" | b"UL" => 4,
        b"FD" | b"OD" | b"OV" | b"SV" | b"UV" => 8,
        _ => 1,
    }
}

/// The representation of a value that does not say its own (PS3.6; PS3.5 annex A.1).
pub fn known_vr(tag: Tag, signed: bool) -> [u8; 2] {
    let Tag(group, element) = tag;
    if group % 2 == 1 {
        return if (0x10..0x100).contains(&element) { *b"LO" } else { *b"UN" };
    }
    match StandardDataDictionary.by_tag(tag).map(|entry| entry.vr()) {
        None => *b"UN",
        Some(VirtualVr::Exact(vr)) => vr.to_bytes(),
        Some(VirtualVr::Xs) if signed => *b"SS",
        Some(VirtualVr::Xs) => *b"US",
        Some(_) => *b"OW",
    }
}
