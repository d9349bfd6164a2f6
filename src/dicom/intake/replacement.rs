//! Instances that are received again under their SOP Instance UID with other contents.
//!
//! The instance received last replaces the earlier one, and the study's response reports how many were
//! replaced and what differed. An instance with equal contents in another encoding, or under another lossless
//! compression, replaces nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use memmap2::Mmap;
use serde::{Deserialize, Serialize};

use crate::dicom_file::content::FileContent;
use crate::dicom_file::encoding::DEFLATED;
use crate::dicom_file::part10::FileMeta;
use crate::imaging::{HeaderElements, Part10File, PixelData, decoded};
use crate::step::Digest;

/// An instance that was received before.
pub(in crate::dicom) struct KnownInstance {
    pub digest: Digest,
    pub path: PathBuf,
}

/// The noted replacements of each instance that led to its present content. Those noted after them have not happened.
pub(in crate::dicom) fn replaced_until_now(
    noted: Vec<Replacement>,
    present: impl Fn(&str) -> Option<Digest>,
) -> Vec<Replacement> {
    let mut following: BTreeMap<String, Digest> = BTreeMap::new();
    let mut happened: Vec<Replacement> = Vec::new();
    for one in noted.into_iter().rev() {
        let key = instance_key(&one.name);
        match following.get(key) {
            // It was noted before a kill, and again when it happened.
            Some(digest) if *digest == one.digest => continue,
            None if present(&one.name) != Some(one.digest) => continue,
            _ => {}
        }
        following.insert(key.to_owned(), one.digest);
        happened.push(one);
    }
    happened.reverse();
    happened
}

/// The relation of a received instance to earlier ones.
pub(in crate::dicom) enum InstanceArrival {
    New,
    /// Equal to the known one.
    Again,
    Replaces(Replacement),
}

/// The record that an instance has replaced another one with its SOP Instance UID.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::dicom) struct Replacement {
    /// The name of its item.
    pub name: String,
    /// The content that is there now.
    pub digest: Digest,
    pub differences: BTreeSet<ContentDifference>,
}

/// The effect of an arrival on the series of the instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::dicom) enum ArrivalEffect {
    /// The instance is new, or differs in nothing that counts.
    None,
    /// It has replaced one with other pixels, rescale values or geometry.
    Mixing,
}

impl Replacement {
    pub fn effect(&self) -> ArrivalEffect {
        match self.differences.iter().copied().any(ContentDifference::is_mixing) {
            true => ArrivalEffect::Mixing,
            false => ArrivalEffect::None,
        }
    }
}

/// What differs between two instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::dicom) enum ContentDifference {
    Pixels,
    /// Rescale Slope, Intercept or Type.
    Rescale,
    Geometry,
    /// The patient, the study or the series.
    Identity,
    Other,
}

impl ContentDifference {
    /// Whether instances that differ in this way from others of their series make wrong numbers of it.
    pub fn is_mixing(self) -> bool {
        match self {
            ContentDifference::Pixels | ContentDifference::Rescale | ContentDifference::Geometry => true,
            // A series of two patients is refused, and other attributes are of no account.
            ContentDifference::Identity | ContentDifference::Other => false,
        }
    }

    fn words(self) -> &'static str {
        match self {
            ContentDifference::Pixels => "pixel data",
            ContentDifference::Rescale => "rescale values",
            ContentDifference::Geometry => "geometry",
            ContentDifference::Identity => "patient, study or series",
            ContentDifference::Other => "other attributes",
        }
    }
}

const GROUPS: [(ContentDifference, &[Tag]); 4] = [
    (
        ContentDifference::Pixels,
        &[tags::BITS_ALLOCATED, tags::BITS_STORED, tags::PIXEL_REPRESENTATION, tags::PIXEL_PADDING_VALUE],
    ),
    (ContentDifference::Rescale, &[tags::RESCALE_SLOPE, tags::RESCALE_INTERCEPT, tags::RESCALE_TYPE]),
    (
        ContentDifference::Geometry,
        &[
            tags::ROWS,
            tags::COLUMNS,
            tags::IMAGE_POSITION_PATIENT,
            tags::IMAGE_ORIENTATION_PATIENT,
            tags::PIXEL_SPACING,
            tags::SLICE_THICKNESS,
            tags::FRAME_OF_REFERENCE_UID,
        ],
    ),
    (
        ContentDifference::Identity,
        &[
            tags::PATIENT_NAME,
            tags::PATIENT_ID,
            tags::PATIENT_BIRTH_DATE,
            tags::PATIENT_SEX,
            tags::STUDY_INSTANCE_UID,
            tags::STUDY_DATE,
            tags::ACCESSION_NUMBER,
            tags::SERIES_INSTANCE_UID,
        ],
    ),
];

/// The differences between two files; none if their contents are equal. Contents that cannot be read count as
/// other pixels.
pub(in crate::dicom) fn differences(before: &Path, after: &Path) -> BTreeSet<ContentDifference> {
    let compared = map(before).and_then(|before| Ok(compare(&before, &map(after)?)));
    compared.unwrap_or_else(|_| unknown_differences())
}

/// The differences between contents that cannot be compared: their pixels may differ.
pub(in crate::dicom) fn unknown_differences() -> BTreeSet<ContentDifference> {
    BTreeSet::from([ContentDifference::Pixels, ContentDifference::Other])
}

fn map(path: &Path) -> io::Result<Mmap> {
    let file = File::open(path)?;
    // SAFETY: a file in the inbox is replaced or removed as a whole, and never changed.
    unsafe { Mmap::map(&file) }
}

fn compare(before: &[u8], after: &[u8]) -> BTreeSet<ContentDifference> {
    let contents = [before, after].map(FileContent::of);
    if contents[0].digest == contents[1].digest {
        return BTreeSet::new();
    }
    // Held before one of them is inflated: whoever holds inflated data must not wait for those who compare.
    let alone_with_them = [before, after].into_iter().any(is_deflated).then(alone);
    let (Ok(first), Ok(second)) = (Part10File::open(before), Part10File::open(after)) else {
        return unknown_differences();
    };
    let (first, second) = (first.elements(), second.elements());
    let differs = |tag: &Tag| trimmed(first.bytes(*tag)) != trimmed(second.bytes(*tag));
    let groups = GROUPS.iter().filter(|(_, tags)| tags.iter().any(differs));
    let mut differences: BTreeSet<ContentDifference> = groups.map(|(difference, _)| *difference).collect();
    if differences.is_empty() && contents[0].header != contents[1].header {
        differences.insert(ContentDifference::Other);
    }
    let are_same = match [first.pixels, second.pixels] {
        // Decoding is expensive. Where something else differs anyway, the same pixels in other fragments count as
        // other pixels.
        [Some(PixelData::Encapsulated(one)), Some(PixelData::Encapsulated(other))]
            if !differences.is_empty() =>
        {
            one == other
        }
        _ => have_same_pixels([&first, &second], [before, after], &alone_with_them),
    };
    if !are_same {
        differences.insert(ContentDifference::Pixels);
    }
    let is_native = |one: &HeaderElements| matches!(one.pixels, Some(PixelData::Native(_)) | None);
    if differences.is_empty() && is_native(&first) && is_native(&second) {
        // Neither the header nor the pixels differ, so an element behind the pixels does.
        differences.insert(ContentDifference::Other);
    }
    differences
}

fn trimmed(value: &[u8]) -> &[u8] {
    value.trim_ascii_end().strip_suffix(b"\0").unwrap_or(value.trim_ascii_end())
}

/// One comparison of compressed pixels, or of deflated files, at a time: each holds both images in memory.
static DECODING: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    DECODING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_deflated(file: &[u8]) -> bool {
    FileMeta::read(file).is_some_and(|meta| meta.head.transfer_syntax_uid == DEFLATED)
}

/// The largest decoded size, in bytes, of images that are compared. Larger ones count as different.
const COMPARED_BYTES_MOST: u64 = 256 << 20;

fn decoded_bytes(elements: &HeaderElements) -> u64 {
    let short = |tag| u64::from(elements.short(tag).unwrap_or(1));
    let frames = elements.integer(tags::NUMBER_OF_FRAMES).map_or(1, |frames| frames.max(1) as u64);
    let pixels = short(tags::ROWS) * short(tags::COLUMNS) * short(tags::SAMPLES_PER_PIXEL);
    pixels.saturating_mul(frames).saturating_mul(short(tags::BITS_ALLOCATED).div_ceil(8))
}

/// Whether the pixels are equal. Pixels under different compressions are decoded for that.
/// `held` is the lock of a comparison, if it has been taken.
fn have_same_pixels(
    elements: [&HeaderElements; 2],
    files: [&[u8]; 2],
    held: &Option<MutexGuard<'static, ()>>,
) -> bool {
    match elements.map(|one| one.pixels) {
        [None, None] => true,
        [Some(PixelData::Native(one)), Some(PixelData::Native(other))] => one.bytes == other.bytes,
        [Some(_), Some(_)] => {
            if elements.iter().any(|one| decoded_bytes(one) > COMPARED_BYTES_MOST) {
                return false;
            }
            let _alone = held.is_none().then(alone);
            match files.map(decoded) {
                [Ok(one), Ok(other)] => one.bytes == other.bytes,
                _ => false,
            }
        }
        _ => false,
    }
}

/// The SOP Instance UID in the name of a received item. Earlier versions put a piece of the digest behind it.
pub(in crate::dicom) fn instance_key(name: &str) -> &str {
    let name = name.strip_suffix(".dcm").unwrap_or(name);
    name.split_once('-').map_or(name, |(uid, _)| uid)
}

/// The instances of a study that were replaced, with all that differed.
#[derive(Clone, Debug, Default)]
pub(in crate::dicom) struct ReplacedInstances(BTreeMap<String, BTreeSet<ContentDifference>>);

impl ReplacedInstances {
    pub fn add(&mut self, replacement: &Replacement) {
        let key = instance_key(&replacement.name).to_owned();
        self.0.entry(key).or_default().extend(&replacement.differences);
    }

    /// The instances that mix two versions of a series if others of it were not replaced, too.
    pub fn mixing(&self) -> BTreeSet<String> {
        let is_mixing =
            |all: &BTreeSet<ContentDifference>| all.iter().copied().any(ContentDifference::is_mixing);
        self.0.iter().filter(|(_, all)| is_mixing(all)).map(|(key, _)| key.clone()).collect()
    }

    /// A remark for the response: how many were replaced, and what differed.
    pub fn remark(&self, when: &str) -> Option<String> {
        let (count, differences) = (self.0.len(), self.0.values().flatten().copied());
        let differences: BTreeSet<ContentDifference> = differences.collect();
        let differences: Vec<&str> = differences.into_iter().map(ContentDifference::words).collect();
        let (instances, last) = match count {
            0 => return None,
            1 => ("instance was", "one is"),
            _ => ("instances were", "ones are"),
        };
        let differences = differences.join("; ");
        Some(format!(
            "{count} {instances} received again {when} with other contents ({differences}): the last {last} used"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remark_counts_each_instance_once_and_names_all_that_differed() {
        let mut replaced = ReplacedInstances::default();
        assert_eq!(replaced.remark("late"), None);
        let digest = Digest::of(b"x");
        let one = |name: &str, difference| Replacement {
            name: name.to_owned(),
            digest,
            differences: BTreeSet::from([difference]),
        };
        replaced.add(&one("1.2.dcm", ContentDifference::Identity));
        replaced.add(&one("1.2.dcm", ContentDifference::Pixels));
        let remark = "1 instance was received again late with other contents (pixel data; patient, study or \
                      series): the last one is used";
        assert_eq!(replaced.remark("late").unwrap(), remark);
        // As earlier versions named files.
        replaced.add(&one("1.3-0123456789ab.dcm", ContentDifference::Pixels));
        assert!(replaced.remark("late").unwrap().starts_with("2 instances were"));
    }
    #[test]
    fn a_replacement_counts_once_and_only_if_it_happened() {
        let one = |name: &str, content: &[u8]| Replacement {
            name: name.to_owned(),
            digest: Digest::of(content),
            differences: BTreeSet::from([ContentDifference::Pixels]),
        };
        let noted = [one("1.dcm", b"b"), one("2.dcm", b"b"), one("1.dcm", b"c"), one("1.dcm", b"c")];
        let not_yet = [one("1.dcm", b"d"), one("2.dcm", b"c")];
        let present = |name: &str| Some(Digest::of(if name == "1.dcm" { b"c" } else { b"b" }));
        let happened = replaced_until_now([noted.as_slice(), &not_yet].concat(), present);
        let counted = [one("1.dcm", b"b"), one("2.dcm", b"b"), one("1.dcm", b"c")];
        assert_eq!(happened, counted);
    }
}
