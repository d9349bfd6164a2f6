//! Stacks in stations, whose distances are even but for a few, as where the table moved on less or more than by whole
//! slices.
//!
//! Each slice stands for one part of the stack's length. Where that differs from where it lies by less than a slice, volumes
//! are hardly off: the length of the whole stack stays as it is.

use std::collections::BTreeMap;

use super::slice_sets::ACQUISITION;
use super::slices::{AxialSlice, check_spacing, z};
use crate::printable::counted;
use crate::step::StepReservation;

/// The least number of distances between two steps, and at either end.
const STATION_LEAST: usize = 4;
/// Other distances differ by no more than this share from the usual one.
const EVEN_SHARE: f64 = 0.2;
/// A step, as a share of the usual distance: with more, a slice is missing; with less, one is there twice.
const STEP_SHARES: std::ops::RangeInclusive<f64> = 0.25..=1.75;
/// How far stations overlap at most: further, they are two scans.
const OVERLAP_MM_MOST: f64 = 20.0;
/// How far a slice may lie from its place in an even stack, as a share of the distance of slices.
const OFF_SHARE_MOST: f64 = 1.0;

/// A stack that is even but for a few steps.
pub struct TableSteps {
    /// The mean distance of slices in mm.
    pub spacing_mm: f64,
    /// The number of odd distances.
    count: usize,
    /// The index of the slice before the largest one, and how far it is from the usual distance in mm.
    largest: (usize, f64),
    usual_mm: f64,
    /// The largest distance of a slice from its place in an even stack.
    off_mm: f64,
}

impl TableSteps {
    /// The steps of slices in order along their normal; `None` if they are anything else than stations of at least five slices.
    pub fn find(slices: &[AxialSlice]) -> Option<TableSteps> {
        let [first, .., last] = slices else { return None };
        let distances: Vec<f64> = slices.windows(2).map(|pair| pair[1].along_mm - pair[0].along_mm).collect();
        let mut sorted = distances.clone();
        sorted.sort_by(f64::total_cmp);
        let usual_mm = sorted[sorted.len() / 2];
        let odd_mm = |index: &usize| distances[*index] - usual_mm;
        let odd: Vec<usize> =
            (0..distances.len()).filter(|index| odd_mm(index).abs() > EVEN_SHARE * usual_mm).collect();
        let ends = [odd.first().copied()?, distances.len() - 1 - odd.last().copied()?];
        let are_stations =
            odd.windows(2).map(|pair| pair[1] - pair[0] - 1).chain(ends).all(|even| even >= STATION_LEAST);
        let are_steps = odd.iter().all(|index| STEP_SHARES.contains(&(distances[*index] / usual_mm)));
        let spacing_mm = (last.along_mm - first.along_mm) / distances.len() as f64;
        let off = slices
            .iter()
            .enumerate()
            .map(|(index, slice)| (slice.along_mm - first.along_mm - index as f64 * spacing_mm).abs());
        let off_mm = off.fold(0.0, f64::max);
        let largest =
            odd.iter().copied().max_by(|one, other| odd_mm(one).abs().total_cmp(&odd_mm(other).abs()))?;
        let is_near = off_mm <= OFF_SHARE_MOST * spacing_mm;
        (are_stations && are_steps && is_near).then_some(TableSteps {
            spacing_mm,
            count: odd.len(),
            largest: (largest, odd_mm(&largest)),
            usual_mm,
            off_mm,
        })
    }

    /// A reservation that names the steps of slices.
    pub fn reservation(&self, slices: &[AxialSlice]) -> StepReservation {
        let TableSteps { count, largest: (index, odd_mm), usual_mm, off_mm, .. } = self;
        let [before, behind] = [z(&slices[*index]), z(&slices[*index + 1])];
        let [kind, what] = if *odd_mm > 0.0 {
            ["more", "so much of the body was not imaged"]
        } else {
            ["less", "so much of the body was imaged twice"]
        };
        let text = format!(
            "the slices of {} are {usual_mm:.2} mm apart but for {}, the largest {:.2} mm {kind} between z = {before} and \
             {behind}, as where the table moved between two stations: {what} there, and slices are counted up to {off_mm:.2} mm \
             from where they lie",
            slices[0].header.series_label(),
            counted(*count, "place"),
            odd_mm.abs(),
        );
        StepReservation { code: "table_steps".to_owned(), text }
    }
}

/// Slices in order whose acquisitions are stations that overlap a little and do not fit into each other, without those that
/// lie where a station before them has some. `None` if they are even as they are, or not even without these either.
pub fn without_overlaps<'a>(slices: &[AxialSlice<'a>]) -> Option<Vec<AxialSlice<'a>>> {
    let is_even = |slices: &[AxialSlice]| check_spacing(slices).is_ok() || TableSteps::find(slices).is_some();
    let mut acquisitions: BTreeMap<String, Vec<AxialSlice>> = BTreeMap::new();
    slices.iter().for_each(|slice| acquisitions.entry(ACQUISITION.1(slice.header)).or_default().push(*slice));
    let mut stations: Vec<(f64, Vec<AxialSlice>)> = Vec::new();
    for station in acquisitions.into_values().filter(|station| station.len() > STATION_LEAST) {
        stations.push((check_spacing(&station).ok()?, station));
    }
    stations.sort_by(|one, other| one.1[0].along_mm.total_cmp(&other.1[0].along_mm));
    let in_stations: usize = stations.iter().map(|(_, station)| station.len()).sum();
    if stations.len() < 2 || in_stations < slices.len() || is_even(slices) {
        return None;
    }
    let mut kept: Vec<AxialSlice> = Vec::new();
    for (spacing, station) in stations {
        let end = kept.last().map_or(f64::NEG_INFINITY, |slice| slice.along_mm + spacing / 2.0);
        if end - station[0].along_mm > OVERLAP_MM_MOST && end > f64::NEG_INFINITY {
            return None;
        }
        kept.extend(station.into_iter().filter(|slice| slice.along_mm > end));
    }
    is_even(&kept).then_some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::{InstanceHeader, sample};

    /// Headers of slices at some places, with an acquisition each.
    fn headers(places: impl IntoIterator<Item = (f64, i32)>) -> Vec<InstanceHeader> {
        let header = |(index, (mm, acquisition)): (usize, (f64, i32))| InstanceHeader {
            position: Some([-2.0, -1.5, mm]),
            acquisition_number: Some(acquisition),
            ..sample::header(index)
        };
        places.into_iter().enumerate().map(header).collect()
    }

    fn in_order(headers: &[InstanceHeader]) -> Vec<AxialSlice<'_>> {
        let mut slices: Vec<AxialSlice> = headers.iter().filter_map(AxialSlice::of).collect();
        slices.sort_by(AxialSlice::order);
        slices
    }

    /// Two stations of ten slices 1 mm apart, the second so much farther up than by the grid; how far slices are off.
    fn off_mm(farther: f64) -> Option<f64> {
        let headers = headers((0..20).map(|z| (f64::from(z) + if z < 10 { 0.0 } else { farther }, 1)));
        TableSteps::find(&in_order(&headers)).map(|steps| steps.off_mm)
    }

    #[test]
    fn a_table_that_moved_by_part_of_a_slice_leaves_a_stack() {
        for farther in [-0.7, -0.4, 0.4, 0.7] {
            let off = off_mm(farther).expect("it is a stack");
            assert!((off - farther.abs() / 2.0).abs() < 0.03, "{farther}: {off}");
        }
        assert_eq!(off_mm(0.0), None, "nothing is odd");
        assert_eq!([off_mm(1.0), off_mm(-0.9), off_mm(3.0)], [None; 3], "a slice is missing or there twice");
    }

    #[test]
    fn single_slices_are_no_stations() {
        let check = |places: &[f64], what: &str| {
            let headers = headers(places.iter().map(|mm| (*mm, 1)));
            assert!(TableSteps::find(&in_order(&headers)).is_none(), "{what}");
        };
        let even: Vec<f64> = (0..20).map(f64::from).collect();
        check(&[&even[..9], &[9.4], &even[10..]].concat(), "one is elsewhere");
        check(&[&even[..9], &[8.5], &even[9..]].concat(), "one lies between two");
        check(&[&even[..18], &[18.6, 19.6]].concat(), "a station of two");
    }

    #[test]
    fn the_step_is_named_with_its_size() {
        let headers = headers((0..20).map(|z| (2.0 * f64::from(z) + if z < 10 { 0.0 } else { 0.7 }, 1)));
        let slices = in_order(&headers);
        let said = TableSteps::find(&slices).expect("it is a stack").reservation(&slices);
        assert_eq!(said.code, "table_steps");
        assert!(
            said.text.starts_with(
                "the slices of series 3 (Thorax) are 2.00 mm apart but for 1 place, the largest 0.70 mm more between z = 18.0 \
                 mm and 20.7 mm"
            ),
            "{}",
            said.text
        );
    }

    #[test]
    fn the_farther_of_two_stations_gives_way_where_they_overlap() {
        let lower = (0..20).map(|z| (f64::from(z), 1));
        let places = |first: f64| lower.clone().chain((0..20).map(move |z| (first + f64::from(z), 2)));
        let kept = |first: f64| {
            let headers = headers(places(first));
            without_overlaps(&in_order(&headers)).map(|kept| kept.len())
        };
        assert_eq!([kept(15.3), kept(15.7)], [Some(35), Some(36)]);
        assert_eq!(kept(20.0), None, "they do not overlap");
        let farther =
            headers((0..40).map(|z| (f64::from(z), 1)).chain((0..40).map(|z| (15.3 + f64::from(z), 2))));
        assert!(without_overlaps(&in_order(&farther)).is_none(), "two scans");
        assert_eq!(kept(20.7), None, "a step of the table");
        assert_eq!(kept(24.0), None, "slices are missing");
    }
}
