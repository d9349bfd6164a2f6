//! Sets of slices in one series: acquisitions, phases, reconstructions, stacks.
//!
//! An attribute tells sets apart if its values part slices that lie at one place, or stacks of slices that lie between
//! each other. A number that goes up from slice to slice counts slices, not sets. Sets that share few places are the
//! positions of a table, and one volume together.

use std::collections::{BTreeMap, BTreeSet};

use super::InstanceHeader;
use super::slices::{AxialSlice, SAME_PLACE_MM, check_spacing};

/// An attribute by which slices may be told apart: its name, and its value in words.
pub type SliceAttribute = (&'static str, fn(&InstanceHeader) -> String);

pub const TIME_POSITION: SliceAttribute = ("temporal position", |header| number(header.temporal_position));
pub const STACK: SliceAttribute = ("stack", |header| header.stack_id.clone());
pub const ACQUISITION: SliceAttribute = ("acquisition", |header| number(header.acquisition_number));
pub const KERNEL: SliceAttribute = ("kernel", |header| header.kernel.trim().to_owned());
pub const VOLTAGE: SliceAttribute =
    ("tube voltage", |header| header.peak_kilovoltage.map_or(String::new(), |kv| format!("{kv} kV")));
/// One that is not written was not given.
pub const CONTRAST: SliceAttribute = ("contrast agent", |header| match header.contrast_agent.as_str() {
    "" => "none".to_owned(),
    agent => agent.to_owned(),
});
pub const IMAGE_TYPE: SliceAttribute = ("image type", |header| header.image_type.join("\\"));
/// To a tenth of a millimetre, as some slices have it with fewer decimals than others.
const THICKNESS: SliceAttribute =
    ("slice thickness", |header| header.slice_thickness.map_or(String::new(), |mm| format!("{mm:.1} mm")));

/// In the order in which they are tried: what is made to tell sets apart comes first.
const ATTRIBUTES: [SliceAttribute; 10] = [
    TIME_POSITION,
    STACK,
    ACQUISITION,
    KERNEL,
    VOLTAGE,
    CONTRAST,
    THICKNESS,
    ("acquisition date and time", |header| header.acquisition_datetime.clone()),
    ("acquisition time", |header| header.acquisition_time.clone()),
    IMAGE_TYPE,
];

/// The share of its length in which each of several stacks lies beside the others. Positions of the table share less.
const SHARED_LENGTH_LEAST: f64 = 0.5;
/// A set that shares fewer of its places with another than this is a neighbour of it, as where two positions of the
/// table meet, and not another picture of the same region.
const NEIGHBOUR_SHARE_MOST: f64 = 0.5;
/// Of a phase, some set has more than this share of the whole length; the positions of a table do not.
const PART_LENGTH_MOST: f64 = 0.5;
/// A stack among slices of other sets has at least this share of the whole length, and most slices.
const STACK_LENGTH_LEAST: f64 = 0.9;
/// Values that have fewer slices each, on average, count slices.
const SLICES_OF_VALUE_LEAST: usize = 3;

fn number(number: Option<i32>) -> String {
    number.map_or(String::new(), |number| number.to_string())
}

/// Sets of slices in order, by the value of an attribute.
pub type SliceSets<'a> = BTreeMap<String, Vec<AxialSlice<'a>>>;

fn sets_by<'a>(slices: &[AxialSlice<'a>], value: fn(&InstanceHeader) -> String) -> SliceSets<'a> {
    let mut sets = SliceSets::new();
    slices.iter().for_each(|slice| sets.entry(value(slice.header)).or_default().push(*slice));
    sets
}

/// The number of slices, in order along the patient, that lie where the one before them lies.
pub fn doubles(slices: &[AxialSlice]) -> usize {
    slices.windows(2).filter(|pair| pair[0].is_at_place_of(&pair[1])).count()
}

/// Sets of slices that an attribute tells from each other.
pub struct SetsApart<'a> {
    /// The attribute's name.
    pub name: &'static str,
    pub sets: SliceSets<'a>,
    /// They share so few places that they are one volume together, as positions of the table are.
    pub are_neighbours: bool,
}

/// The sets of the first attribute that tells slices at one place apart, or some of them, and a whole stack from the
/// rest.
pub fn sets_apart<'a>(slices: &[AxialSlice<'a>], slices_least: usize) -> Option<SetsApart<'a>> {
    let all = doubles(slices);
    ATTRIBUTES.into_iter().find_map(|(name, value)| {
        let sets = sets_by(slices, value);
        if sets.len() < 2 || sets.len() * SLICES_OF_VALUE_LEAST > slices.len() {
            return None;
        }
        let left: usize = sets.values().map(|set| doubles(set)).sum();
        let are_neighbours = are_parts(slices, &sets) || share_few_places(slices, value, &sets);
        let has_stack = sets.values().any(|set| set.len() >= slices_least);
        let is_told = left == 0 || (left < all && has_stack && !are_neighbours);
        is_told.then_some(SetsApart { name, sets, are_neighbours })
    })
}

/// Whether none of several sets is half as long as all slices together.
fn are_parts(slices: &[AxialSlice], sets: &SliceSets) -> bool {
    let longest = sets.values().map(|set| length_mm(set)).fold(0.0, f64::max);
    sets.len() > 2 && longest < PART_LENGTH_MOST * length_mm(slices)
}

/// The length of slices in order along the patient.
fn length_mm(slices: &[AxialSlice]) -> f64 {
    match slices {
        [first, .., last] => last.along_mm - first.along_mm,
        _ => 0.0,
    }
}

/// Whether each two sets share few places.
fn share_few_places(slices: &[AxialSlice], value: fn(&InstanceHeader) -> String, sets: &SliceSets) -> bool {
    let mut shared: BTreeMap<[String; 2], usize> = BTreeMap::new();
    for pair in slices.windows(2).filter(|pair| pair[0].is_at_place_of(&pair[1])) {
        let mut values = [value(pair[0].header), value(pair[1].header)];
        values.sort();
        if values[0] != values[1] {
            *shared.entry(values).or_default() += 1;
        }
    }
    let is_few = |(values, count): (&[String; 2], &usize)| {
        let places = |value: &String| sets[value].len() - doubles(&sets[value]);
        let smaller = values.iter().map(places).min().unwrap_or(0);
        let is_one_of_several = *count == 1 && smaller > 1;
        is_one_of_several || (*count as f64) < NEIGHBOUR_SHARE_MOST * smaller as f64
    };
    shared.iter().all(is_few)
}

/// The stacks of a series whose slices, in order, lie between each other, and the attribute that tells them apart.
/// Each is regular, has at least `slices_least` slices and lies beside the others; or one is regular and has nearly the
/// length of the whole series, which is not regular.
pub fn interleaved_sets<'a>(
    slices: &[AxialSlice<'a>],
    slices_least: usize,
) -> Option<(&'static str, SliceSets<'a>)> {
    let is_stack = |set: &Vec<AxialSlice>| set.len() >= slices_least.max(2) && check_spacing(set).is_ok();
    let by_attribute = || ATTRIBUTES.into_iter().map(|(name, value)| (name, sets_by(slices, value)));
    let mut several = by_attribute().filter(|(_, sets)| sets.len() > 1);
    let are_stacks = |sets: &SliceSets| sets.values().all(is_stack) && lie_beside_each_other(sets);
    if let Some(found) = several.find(|(_, sets)| are_stacks(sets)) {
        return Some(found);
    }
    if slices.len() < 2 || check_spacing(slices).is_ok() {
        return None;
    }
    let is_most = |set: &Vec<AxialSlice>| {
        2 * set.len() > slices.len() && length_mm(set) >= STACK_LENGTH_LEAST * length_mm(slices)
    };
    by_attribute().find(|(_, sets)| sets.len() > 1 && sets.values().any(|set| is_most(set) && is_stack(set)))
}

/// Whether stacks share most of the shortest one's length.
fn lie_beside_each_other(sets: &SliceSets) -> bool {
    let ends = |set: &Vec<AxialSlice>| [set[0].along_mm, set[set.len() - 1].along_mm];
    let ends: Vec<[f64; 2]> = sets.values().map(ends).collect();
    let first = ends.iter().map(|[first, _]| *first).fold(f64::NEG_INFINITY, f64::max);
    let last = ends.iter().map(|[_, last]| *last).fold(f64::INFINITY, f64::min);
    let shortest = ends.iter().map(|[first, last]| last - first).fold(f64::INFINITY, f64::min);
    last - first >= SHARED_LENGTH_LEAST * shortest
}

/// Slices at one place that no attribute tells apart, as runs of instance numbers in each of which every place is there
/// once. Phases are numbered one after the other. A run is named by its first number.
pub fn numbered_runs<'a>(slices: &[AxialSlice<'a>], slices_least: usize) -> Option<SliceSets<'a>> {
    if doubles(slices) == 0 {
        return None;
    }
    let mut numbered = slices.to_vec();
    numbered.sort_by_key(|slice| {
        let header = slice.header;
        let object = header.frame.map(|_| header.sop_instance_uid.as_str());
        (header.instance_number, object, header.frame)
    });
    let place = |slice: &AxialSlice| (slice.along_mm / SAME_PLACE_MM).round() as i64;
    let mut runs: Vec<Vec<AxialSlice>> = Vec::new();
    let mut places: BTreeSet<i64> = BTreeSet::new();
    for slice in numbered {
        let is_known = (place(&slice) - 1..=place(&slice) + 1).any(|place| places.contains(&place));
        match runs.last_mut().filter(|_| !is_known) {
            Some(run) => run.push(slice),
            None => {
                runs.push(vec![slice]);
                places.clear();
            }
        }
        places.insert(place(&slice));
    }
    let are_stacks = runs.len() > 1 && runs.iter().all(|run| run.len() >= slices_least.max(2));
    let mut sets = SliceSets::new();
    for (index, mut run) in runs.into_iter().enumerate() {
        let (first, number) = (run[0].header.instance_number, index + 1);
        run.sort_by(AxialSlice::order);
        let name = first.map_or_else(|| format!("(run {number})"), |first| format!("from {first}"));
        // Frames have the number of their object, and two objects may have the same.
        let name = if sets.contains_key(&name) { format!("{name} (run {number})") } else { name };
        sets.insert(name, run);
    }
    // A slice that is there twice would part one stack into two.
    (are_stacks && lie_beside_each_other(&sets)).then_some(sets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::sample;

    /// Twelve slices, and twelve more at the same places with a change; the sets in which the two are.
    fn told_apart(change: fn(usize, &mut InstanceHeader)) -> Option<(&'static str, Vec<usize>)> {
        let mut headers: Vec<InstanceHeader> = (0..12).chain(0..12).map(sample::header).collect();
        headers.iter_mut().enumerate().for_each(|(index, header)| change(index, header));
        let mut slices: Vec<AxialSlice> = headers.iter().filter_map(AxialSlice::of).collect();
        slices.sort_by(AxialSlice::order);
        let SetsApart { name, sets, are_neighbours } = sets_apart(&slices, 10)?;
        assert!(!are_neighbours, "{name}");
        Some((name, sets.values().map(Vec::len).collect()))
    }

    #[test]
    fn phases_are_told_by_what_differs() {
        assert_eq!(told_apart(|_, _| ()), None);
        let check = |change: fn(usize, &mut InstanceHeader), name: &'static str| {
            assert_eq!(told_apart(change), Some((name, vec![12, 12])), "{name}");
        };
        check(|index, one| one.stack_id = (index / 12).to_string(), "stack");
        check(|index, one| one.peak_kilovoltage = Some([80.0, 140.0][index / 12]), "tube voltage");
        check(|index, one| one.slice_thickness = Some([1.0, 5.0][index / 12]), "slice thickness");
        check(
            |index, one| {
                one.acquisition_datetime = ["20200101100000", "20200101100030"][index / 12].to_owned()
            },
            "acquisition date and time",
        );
        check(|index, one| one.contrast_agent = ["", "Iohexol"][index / 12].to_owned(), "contrast agent");
    }

    #[test]
    fn a_stack_is_told_from_a_few_slices_between_its_own() {
        let mut headers: Vec<InstanceHeader> = (0..20).map(sample::header).collect();
        for index in [4, 9, 14] {
            let place = Some([-2.0, -1.5, index as f64 + 0.4]);
            headers.push(InstanceHeader {
                acquisition_number: Some(2),
                position: place,
                ..sample::header(index + 20)
            });
        }
        let mut slices: Vec<AxialSlice> = headers.iter().filter_map(AxialSlice::of).collect();
        slices.sort_by(AxialSlice::order);
        let (name, sets) = interleaved_sets(&slices, 10).expect("the acquisitions are told apart");
        assert_eq!((name, sets["1"].len(), sets["2"].len()), ("acquisition", 20, 3));
        assert!(interleaved_sets(&sets["1"], 10).is_none());
    }

    #[test]
    fn positions_of_a_table_that_overlap_by_half_are_one_volume() {
        let headers: Vec<InstanceHeader> = (0..5)
            .flat_map(|position| {
                let slices = (6 * position..6 * position + 12).map(sample::header);
                slices.map(move |one| InstanceHeader { acquisition_number: Some(position as i32), ..one })
            })
            .collect();
        let mut slices: Vec<AxialSlice> = headers.iter().filter_map(AxialSlice::of).collect();
        slices.sort_by(AxialSlice::order);
        assert!(sets_apart(&slices, 10).expect("they are told apart").are_neighbours);
    }

    #[test]
    fn a_number_that_counts_slices_tells_no_sets_apart() {
        assert_eq!(told_apart(|index, one| one.acquisition_number = Some(index as i32)), None);
        assert_eq!(told_apart(|index, one| one.acquisition_time = index.to_string()), None);
    }

    #[test]
    fn phases_that_are_numbered_one_after_the_other_are_runs() {
        let runs = |number: fn(usize) -> i32| {
            let mut headers: Vec<InstanceHeader> = (0..12).chain(0..12).map(sample::header).collect();
            let numbered = headers.iter_mut().enumerate();
            numbered.for_each(|(index, one)| one.instance_number = Some(number(index)));
            let mut slices: Vec<AxialSlice> = headers.iter().filter_map(AxialSlice::of).collect();
            slices.sort_by(AxialSlice::order);
            numbered_runs(&slices, 10).map(|runs| runs.into_keys().collect::<Vec<_>>())
        };
        let names = ["from 1", "from 13"].map(str::to_owned).to_vec();
        assert_eq!(runs(|index| index as i32 + 1), Some(names));
        assert_eq!(runs(|index| index as i32 % 12), None, "the same numbers");
    }

    #[test]
    fn a_doubled_slice_parts_no_stack_into_runs() {
        let headers: Vec<InstanceHeader> = (0..12).chain(11..24).map(sample::header).collect();
        let mut slices: Vec<AxialSlice> = headers.iter().filter_map(AxialSlice::of).collect();
        slices.sort_by(AxialSlice::order);
        assert!(numbered_runs(&slices, 10).is_none());
    }
}
