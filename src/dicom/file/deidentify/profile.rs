//! What is done with each element.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::{StandardDataDictionary, tags};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A sequence is kept with its items, and they are looked into.
    Keep,
    Remove,
    Empty,
    /// A value that says nothing and fits the element's type.
    Dummy,
    /// Other UIDs in the place of all that are not the standard's own.
    Uids,
    Pseudonym,
}

impl Action {
    /// What is done with an element that has this type in the file.
    pub fn on(tag: Tag, vr: VR) -> Action {
        let (group, element) = (tag.group(), tag.element());
        let is_private = group % 2 == 1;
        let is_graphic = matches!(group & 0xFF00, 0x5000 | 0x6000);
        if is_private || is_graphic || element == 0 || MADE_HERE.contains(&tag) {
            return Action::Remove;
        }
        let Some(known) = StandardDataDictionary.by_tag(tag) else { return Action::Remove };
        // A sequence that comes as bytes cannot be looked into.
        if vr != VR::SQ && known.vr().exact() == Some(VR::SQ) {
            return Action::Remove;
        }
        match tag {
            tags::PATIENT_NAME | tags::PATIENT_ID => Action::Pseudonym,
            _ => listed(tag).unwrap_or_else(|| unlisted(known.vr().exact().unwrap_or(vr))),
        }
    }
}

/// Elements of a file that say how it was de-identified.
pub const MADE_HERE: [Tag; 4] = [
    tags::PATIENT_IDENTITY_REMOVED,
    tags::DEIDENTIFICATION_METHOD,
    tags::DEIDENTIFICATION_METHOD_CODE_SEQUENCE,
    tags::LONGITUDINAL_TEMPORAL_INFORMATION_MODIFIED,
];

const TABLE: &str = include_str!("basic-profile.txt");

/// What the profile's table says. Of its alternatives that is taken which is right whether or not an
/// object has to have the element: those cannot be told apart here.
fn listed(tag: Tag) -> Option<Action> {
    static LISTED: OnceLock<BTreeMap<Tag, Action>> = OnceLock::new();
    let rows = || TABLE.lines().filter(|line| !line.starts_with('#'));
    let listed =
        LISTED.get_or_init(|| rows().map(|line| row(line).expect("the table is well formed")).collect());
    listed.get(&tag).copied()
}

fn row(line: &str) -> Option<(Tag, Action)> {
    let mut words = line.split(' ');
    let action = |code: &str| match code {
        "X" => Some(Action::Remove),
        "Z" | "X/Z" => Some(Action::Empty),
        "D" | "Z/D" | "X/D" | "X/Z/D" => Some(Action::Dummy),
        "U" => Some(Action::Uids),
        // A sequence of references.
        "X/Z/U*" => Some(Action::Keep),
        _ => None,
    };
    Some((words.next()?.parse().ok()?, action(words.next()?)?))
}

/// What the table does not mention: by type, rather too much than too little.
fn unlisted(vr: VR) -> Action {
    match vr {
        VR::UI => Action::Uids,
        VR::PN | VR::LT | VR::ST | VR::UT | VR::UC | VR::UR => Action::Remove,
        VR::AE | VR::AS | VR::DA | VR::DT | VR::TM => Action::Remove,
        _ => Action::Keep,
    }
}

/// A value of the type, of even length. What is of no type with texts stays as long as it is.
pub fn dummy(vr: VR, length: usize) -> Vec<u8> {
    match vr {
        VR::AS => b"000Y".to_vec(),
        VR::DA => b"19000101".to_vec(),
        VR::DT => b"19000101000000".to_vec(),
        VR::TM => b"000000".to_vec(),
        VR::DS | VR::IS => b"0 ".to_vec(),
        VR::UI => b"2.25.0".to_vec(),
        VR::UR => b"urn:anonymous ".to_vec(),
        VR::AE | VR::CS | VR::LO | VR::LT | VR::PN | VR::SH | VR::ST | VR::UC | VR::UT => {
            b"ANONYMOUS ".to_vec()
        }
        _ => vec![0; length.next_multiple_of(2)],
    }
}
