//! Action of the confidentiality profile for each element.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::{StandardDataDictionary, tags};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElementAction {
    /// The element is kept. The items of a sequence are treated one by one.
    Keep,
    Remove,
    Empty,
    /// The value is replaced by a dummy that is valid for the element's type.
    Dummy,
    /// UIDs are replaced, except those that the standard defines.
    Uids,
    Pseudonym,
}

impl ElementAction {
    /// Action for an element with this VR in the file.
    pub fn on(tag: Tag, vr: VR) -> ElementAction {
        let (group, element) = (tag.group(), tag.element());
        let is_private = group % 2 == 1;
        let is_graphic = matches!(group & 0xFF00, 0x5000 | 0x6000);
        if is_private || is_graphic || element == 0 || MADE_HERE.contains(&tag) {
            return ElementAction::Remove;
        }
        let Some(known) = StandardDataDictionary.by_tag(tag) else { return ElementAction::Remove };
        // A sequence that is encoded as bytes cannot be treated item by item.
        if vr != VR::SQ && known.vr().exact() == Some(VR::SQ) {
            return ElementAction::Remove;
        }
        match tag {
            tags::PATIENT_NAME | tags::PATIENT_ID => ElementAction::Pseudonym,
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

/// Action in the profile's table. If the table gives alternatives by the element's type in the IOD, which is
/// not known here, the one that is valid for every type is taken.
fn listed(tag: Tag) -> Option<ElementAction> {
    static LISTED: OnceLock<BTreeMap<Tag, ElementAction>> = OnceLock::new();
    let rows = || TABLE.lines().filter(|line| !line.starts_with('#'));
    let listed =
        LISTED.get_or_init(|| rows().map(|line| row(line).expect("the table is well formed")).collect());
    listed.get(&tag).copied()
}

fn row(line: &str) -> Option<(Tag, ElementAction)> {
    let mut words = line.split(' ');
    let action = |code: &str| match code {
        "X" => Some(ElementAction::Remove),
        "Z" | "X/Z" => Some(ElementAction::Empty),
        "D" | "Z/D" | "X/D" | "X/Z/D" => Some(ElementAction::Dummy),
        "U" => Some(ElementAction::Uids),
        // A sequence of references.
        "X/Z/U*" => Some(ElementAction::Keep),
        _ => None,
    };
    Some((words.next()?.parse().ok()?, action(words.next()?)?))
}

/// The action for an element that the table does not list, by VR. In doubt it is removed.
fn unlisted(vr: VR) -> ElementAction {
    match vr {
        VR::UI => ElementAction::Uids,
        VR::PN | VR::LT | VR::ST | VR::UT | VR::UC | VR::UR => ElementAction::Remove,
        VR::AE | VR::AS | VR::DA | VR::DT | VR::TM => ElementAction::Remove,
        _ => ElementAction::Keep,
    }
}

/// A dummy value of the VR, of even length. Values that are not text keep their length.
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
