//! One received DICOM instance, and the request made of all instances of a study.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use crate::imaging::{InstanceHeader, StudyAttributes};
use crate::step::{AttributeValues, Item, Request};

use super::inbox::claim;
use super::mixture::{MIXED_SERIES, mixed_after};
use super::replacement::{
    ContentDifference, ReplacedInstances, Replacement, differences, instance_key, unknown_differences,
};

/// The attribute `source` of what was received.
pub const SOURCE: &str = "dicom";

/// Longest part of a file in which the elements before the pixels are looked for.
pub(in crate::dicom) const HEADER_BYTES_MAX: u64 = 64 << 20;

/// One instance of a study: its file, and the attributes that a request has of it.
#[derive(Clone, Debug)]
pub(in crate::dicom) struct StudyInstance {
    pub item: Item,
    /// Empty, like the other texts, if the file is damaged before its pixels.
    pub sop_instance_uid: String,
    pub series_instance_uid: String,
    pub modality: String,
    pub series_description: String,
    pub study: StudyAttributes,
    /// Marks of the expected series that the instance fits.
    pub marks: u64,
}

impl StudyInstance {
    pub fn new(item: Item, header: InstanceHeader, study: StudyAttributes) -> StudyInstance {
        let InstanceHeader { sop_instance_uid, series_instance_uid, modality, series_description, .. } =
            header;
        StudyInstance {
            sop_instance_uid,
            series_instance_uid,
            modality,
            series_description,
            ..StudyInstance::damaged(item, study)
        }
    }

    /// An instance of which only the study could be read. The study's response reports it.
    pub fn damaged(item: Item, study: StudyAttributes) -> StudyInstance {
        StudyInstance {
            item,
            sop_instance_uid: String::new(),
            series_instance_uid: String::new(),
            modality: String::new(),
            series_description: String::new(),
            study,
            marks: 0,
        }
    }
}

/// Makes the request of a study. The same instance counts once; of two that share a UID and differ in content,
/// which only files can be, both count, and the steps refuse them.
///
/// The attributes are those of [`StudyAttributes`] as the first instance by name has them; `modality` and
/// `series_description`, all that occur, in order; and `more`, several values separated by `\` as in DICOM.
/// `None` if there are no instances.
pub(in crate::dicom) fn request(mut instances: Vec<StudyInstance>, more: &[(&str, &str)]) -> Option<Request> {
    instances.sort_by(|a, b| a.item.name.cmp(&b.item.name));
    let mut seen = BTreeSet::new();
    instances.retain(|instance| seen.insert((instance.sop_instance_uid.clone(), instance.item.digest)));

    let study = instances.first()?.study.clone();
    let mut attributes = study.attributes();
    attributes.insert("modality".to_owned(), occurring(&instances, |instance| &instance.modality));
    let descriptions = occurring(&instances, |instance| &instance.series_description);
    attributes.insert("series_description".to_owned(), descriptions);
    let more = more.iter().filter(|(_, value)| !value.is_empty());
    attributes.extend(more.map(|(name, value)| (name.to_string(), AttributeValues::split(*value))));

    let items = instances.into_iter().map(|instance| instance.item).collect();
    let mut request = Request::new("", attributes, items);
    request.name = name(&request);
    request.subject = study.study_instance_uid;
    Some(request)
}

/// The merge of an earlier request with a later one about the same study: all instances of both. Of an
/// instance that both have, the later content counts; the identity of the request follows from both then.
pub fn merge(earlier: &Request, later: Request) -> Request {
    let MergedItems { items, replaced, left } = merged_items(earlier, &later.items);
    let mixed = mixed_after(earlier, &later, &replaced.mixing(), &left);
    let replaced = replaced.remark("after the study was complete");
    let is_corrected = replaced.is_some();
    let later_claims = later.claims;
    // A folder without any new instance is not needed.
    let used: BTreeSet<String> = items.iter().filter_map(|item| item.path()?.parent().map(claim)).collect();
    let claims: BTreeSet<String> = earlier.claims.iter().chain(&later_claims).cloned().collect();
    let mut attributes = earlier.attributes.clone();
    // The study's attributes are those of the later request, too.
    let of_study = StudyAttributes::default().attributes();
    let corrected = of_study.keys().filter(|_| is_corrected);
    for (name, value) in corrected.filter_map(|name| later.attributes.get_key_value(name)) {
        attributes.insert(name.clone(), value.clone());
    }
    for name in ["modality", "series_description", "calling_ae", "called_ae", "remarks"] {
        let both = [&earlier.attributes, &later.attributes].map(|attributes| attributes.get(name));
        let all = both.into_iter().flatten().flat_map(AttributeValues::iter).map(str::to_owned);
        attributes.insert(name.to_owned(), each_once(all));
    }
    attributes.insert(MIXED_SERIES.to_owned(), mixed);
    if !later_claims.is_empty() {
        attributes.insert("source".to_owned(), AttributeValues::from(SOURCE));
    }
    if let Some(remark) = replaced {
        let all = attributes.get("remarks").into_iter().flat_map(AttributeValues::iter).map(str::to_owned);
        attributes.insert("remarks".to_owned(), each_once(all.chain([remark])));
    }
    let merged = Request::new("", attributes, items);
    let mut merged = if is_corrected { merged.correcting(earlier) } else { merged };
    merged.name = name(&merged);
    merged.subject = earlier.subject.clone();
    merged.claims = claims.intersection(&used).cloned().collect();
    merged
}

/// The SOP Instance UID of an item of a request: in the name of a received file, or in a file of any name. Both are
/// in a request from files of which instances were received since.
fn item_key(request: &Request, item: &Item) -> String {
    let folder = item.path().and_then(|path| path.parent()).map(claim);
    if folder.is_some_and(|folder| request.claims.contains(&folder)) {
        return instance_key(&item.name).to_owned();
    }
    match item.path().and_then(|path| InstanceHeader::read(&item.name, path).ok()) {
        Some(header) => header.sop_instance_uid,
        None if request.attribute("source") == SOURCE => instance_key(&item.name).to_owned(),
        None => item.name.clone(),
    }
}

/// The items of two requests about one study.
struct MergedItems {
    /// Each instance once.
    items: Vec<Item>,
    replaced: ReplacedInstances,
    /// The items of the earlier request that were not received again.
    left: Vec<Item>,
}

/// Merges the items of two requests. An instance that was
/// received later replaces all files with its UID. Files that share a UID otherwise stay, and the steps
/// refuse them.
fn merged_items(earlier: &Request, later: &[Item]) -> MergedItems {
    let mut items: BTreeMap<String, Vec<Item>> = BTreeMap::new();
    for item in &earlier.items {
        items.entry(item_key(earlier, item)).or_default().push(item.clone());
    }
    let received: BTreeSet<&str> = later.iter().map(|item| instance_key(&item.name)).collect();
    let left = items.iter().filter(|(key, _)| !received.contains(key.as_str()));
    let left: Vec<Item> = left.flat_map(|(_, items)| items).cloned().collect();
    let mut replaced = ReplacedInstances::default();
    for item in later {
        let key = instance_key(&item.name);
        let known = items.entry(key.to_owned()).or_default();
        let differences: BTreeSet<ContentDifference> =
            known.iter().flat_map(|known| item_differences(known, item)).collect();
        if !differences.is_empty() {
            replaced.add(&Replacement { name: item.name.clone(), digest: item.digest, differences });
            *known = vec![item.clone()];
        } else if known.is_empty() {
            known.push(item.clone());
        }
    }
    let mut items: Vec<Item> = items.into_values().flatten().collect();
    items.sort_by(|a, b| a.name.cmp(&b.name));
    MergedItems { items, replaced, left }
}

/// Whether a request from files has the instances of an earlier one with the same contents, maybe in another
/// compression.
pub(in crate::dicom) fn are_same_contents(earlier: &Request, later: &Request) -> bool {
    let [before, after] = [earlier, later].map(|request| {
        let keyed = request.items.iter().map(|item| (item_key(request, item), item));
        keyed.collect::<BTreeMap<String, &Item>>()
    });
    let has_each_once = before.len() == earlier.items.len() && after.len() == later.items.len();
    let pairs: Vec<(&Item, &Item)> =
        before.iter().filter_map(|(key, item)| Some((*item, *after.get(key)?))).collect();
    has_each_once
        && pairs.len() == before.len().max(after.len())
        && pairs.par_iter().all(|(before, after)| item_differences(before, after).is_empty())
}

pub(in crate::dicom) fn item_differences(before: &Item, after: &Item) -> BTreeSet<ContentDifference> {
    match (before.path(), after.path()) {
        _ if before.digest == after.digest => BTreeSet::new(),
        (Some(before), Some(after)) => differences(before, after),
        _ => unknown_differences(),
    }
}

fn occurring(instances: &[StudyInstance], text: impl Fn(&StudyInstance) -> &String) -> AttributeValues {
    let texts: BTreeSet<&str> = instances.iter().map(|one| text(one).as_str()).collect();
    let texts: Vec<&str> = texts.into_iter().filter(|text| !text.is_empty()).collect();
    // One of them may itself be several values.
    AttributeValues::split(texts.join("\\"))
}

/// The values, each once, in alphabetical order.
fn each_once(values: impl Iterator<Item = String>) -> AttributeValues {
    let values: BTreeSet<String> = values.filter(|value| !value.is_empty()).collect();
    values.into_iter().collect()
}

/// A name that is safe as the name of a folder: the modalities, the date, and a piece of the digest that
/// makes it unique. It appears in logs, so nothing of the patient is in it.
fn name(request: &Request) -> String {
    let modality = path_safe(request.attribute("modality"));
    let parts = [modality, path_safe(request.attribute("study_date")), request.id.short()];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("_")
}

/// A text reduced to what a file name may contain on any system: at most 40 ASCII letters, digits and dashes.
/// Other characters become a dash.
fn path_safe(text: &str) -> String {
    let safe = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
    let name: String = text.chars().map(safe).take(40).collect();
    name.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::step::{Digest, ItemPlace};

    fn instance(name: &str, content: &str, patient_id: &str, modality: &str) -> StudyInstance {
        let item = Item {
            name: name.to_owned(),
            place: ItemPlace::File(PathBuf::from(name)),
            digest: Digest::of(content.as_bytes()),
            size: 10,
            decoded: 20,
        };
        let study = StudyAttributes {
            patient_id: patient_id.to_owned(),
            study_date: "20260131".to_owned(),
            ..StudyAttributes::default()
        };
        StudyInstance {
            sop_instance_uid: content.chars().take(1).collect(),
            modality: modality.to_owned(),
            ..StudyInstance::damaged(item, study)
        }
    }

    #[test]
    fn a_request_has_its_items_in_order_and_each_content_once() {
        let instances = vec![
            instance("b", "2", "P", "SR"),
            instance("a", "1", "P", "CT"),
            instance("c", "1", "P", "CT"),
            instance("d", "1 other", "P", "CT"),
        ];
        let request = request(instances, &[("source", "folder")]).unwrap();
        let names: Vec<&str> = request.items.iter().map(|item| item.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "d"]);
        assert_eq!(request.attribute("modality"), "CT\\SR");
        assert_eq!(request.attribute("source"), "folder");
        assert_eq!(request.name, format!("CT-SR_20260131_{}", request.id.short()));
    }

    #[test]
    fn what_comes_late_is_added_to_what_was_there() {
        let study = |instances| request(instances, &[("source", "dicom")]).unwrap();
        let earlier = study(vec![instance("a", "1", "P", "CT"), instance("b", "2", "P", "CT")]);
        let later = study(vec![instance("b", "2", "P", "CT"), instance("c", "3", "P", "SR")]);
        let merged = merge(&earlier, later.clone());
        let whole = study(
            ["1 a CT", "2 b CT", "3 c SR"]
                .map(|text| instance(&text[2..3], &text[..1], "P", &text[4..]))
                .to_vec(),
        );
        assert_eq!(
            (merged.id, &merged.name, merged.attribute("modality")),
            (whole.id, &whole.name, "CT\\SR")
        );
        assert_eq!(merge(&merged, later).id, merged.id, "nothing is new");
    }

    #[test]
    fn a_correction_that_is_taken_back_is_another_request() {
        let study =
            |content| request(vec![instance("1.dcm", content, "P", "CT")], &[("source", "dicom")]).unwrap();
        let (first, other) = (study("1 right"), study("1 wrong"));
        let corrected = merge(&first, other.clone());
        let taken_back = merge(&corrected, first.clone());
        assert!(corrected.has_items_of(&other) && taken_back.has_items_of(&first));
        let identities = BTreeSet::from([first.id, other.id, corrected.id, taken_back.id]);
        assert_eq!(identities.len(), 4);
        assert!(taken_back.name.ends_with(&taken_back.id.short()), "{}", taken_back.name);
        assert!(merge(&taken_back, first).has_items_of(&taken_back), "nothing is new");
    }

    #[test]
    fn two_files_of_one_uid_stay_two_until_it_is_received_again() {
        let study = |source, instances| request(instances, &[("source", source)]).unwrap();
        let file = |name: &str, content| StudyInstance {
            sop_instance_uid: "1.2".to_owned(),
            ..instance(name, content, "P", "CT")
        };
        // Files that cannot be read are identified by their names.
        let earlier = study("folder", vec![file("1.2", "one"), file("1.2.dcm", "other")]);
        let mut twice = earlier.clone();
        twice.items[1].name = "1.2".to_owned();
        let merged = merge(&twice, study("dicom", vec![instance("1.3.dcm", "3", "P", "CT")]));
        assert_eq!(merged.items.len(), 3, "neither is left out silently");
        let merged = merge(&twice, study("dicom", vec![file("1.2.dcm", "the last")]));
        assert_eq!(merged.items.len(), 1);
        assert_eq!(merged.items[0].digest, Digest::of(b"the last"));
        assert!(merged.attribute("remarks").contains("the last one is used"));
    }

    #[test]
    fn a_hostile_modality_is_no_path() {
        for hostile in ["../../etc/passwd", "/", "..", "a\0b", "C:\\x", "\u{202e}x", &"9".repeat(500)] {
            let name = request(vec![instance("a", "1", "P", hostile)], &[]).unwrap().name;
            let safe = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
            assert!(name.chars().all(safe) && name.len() < 80, "{hostile:?} gives {name:?}");
            assert!(name.starts_with(|letter: char| letter.is_ascii_alphanumeric()), "{name:?}");
        }
    }

    #[test]
    fn no_instances_are_no_request() {
        assert_eq!(request(Vec::new(), &[]), None);
    }
}
