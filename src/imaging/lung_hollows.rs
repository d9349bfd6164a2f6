//! Hollows in the outlines of lungs: which face looks to the heart, and which end rests on the diaphragm.
//!
//! In a slice a lung bulges to the ribs, and is hollow to the heart and the great vessels. So the face with the hollows is
//! the one to the patient's middle, however much of the body is in the images. From the base up, the dome of the diaphragm
//! and the heart lie in hollows; the apex is small and round. So the end with the hollows is the feet's, whether there is
//! a trachea in the images or not.
//!
//! An outline's hollows lie between it and its convex hull. They are as large in noise, in thick slices and in large
//! voxels.

use super::bits::VoxelSet;
use super::body_size::{BodyScale, amount};
use super::coarse::CoarseGrid;
use crate::step::StepReservation;

/// How many times the hollows of the other face those to the heart have at least.
const FACE_TIMES: f64 = 3.0;
/// The lungs begin and end where they have this share of their largest area: scattered air in noise is no end.
const AREA_SHARE: f64 = 0.03;
/// The part of the lungs' height that is an end.
const END_SHARE: f64 = 0.2;
/// How many times the hollows of the head's end those of the feet's have where images are turned, and the least share of
/// the lungs' volume.
const END_TIMES: f64 = 4.0;
const HOLLOW_SHARE: f64 = 0.025;
/// A lung with a smaller share of the other's volume is none that has two ends.
const SMALL_SHARE: f64 = 0.2;

/// The hollows of a lung in a slice, in cells.
#[derive(Default)]
struct SliceHollows {
    /// At the faces to the lower and to the higher columns.
    faces: [f64; 2],
    /// Between its first and last cell of each row.
    inner: f64,
}

impl SliceHollows {
    fn of(lung: &VoxelSet, z: usize) -> SliceHollows {
        let Some((low, high)) = lung.slice_bounds(z) else { return SliceHollows::default() };
        let (mut first, mut last, mut inner) = (Vec::new(), Vec::new(), 0.0);
        for y in low[1]..high[1] {
            let mut columns = lung.columns(y, z);
            let Some(start) = columns.next() else { continue };
            let (count, end) = columns.fold((1, start), |(count, _), x| (count + 1, x));
            first.push([y as f64, start as f64]);
            last.push([y as f64, -(end as f64)]);
            inner += (end + 1 - start - count) as f64;
        }
        SliceHollows { faces: [above_envelope(&first), above_envelope(&last)], inner }
    }
}

/// The sum of how far points lie above the lower convex envelope of all. They are in the order of their first numbers.
fn above_envelope(points: &[[f64; 2]]) -> f64 {
    let mut corners: Vec<[f64; 2]> = Vec::new();
    for point in points {
        while let [.., before, last] = corners[..] {
            let along = [last[0] - before[0], last[1] - before[1]];
            if along[0] * (point[1] - before[1]) > along[1] * (point[0] - before[0]) {
                break;
            }
            corners.pop();
        }
        corners.push(*point);
    }
    let mut sum = 0.0;
    for edge in corners.windows(2) {
        let slope = (edge[1][1] - edge[0][1]) / (edge[1][0] - edge[0][0]);
        let under = points.iter().filter(|point| (edge[0][0]..edge[1][0]).contains(&point[0]));
        sum += under.map(|point| point[1] - edge[0][1] - slope * (point[0] - edge[0][0])).sum::<f64>();
    }
    sum
}

/// Whether the heart lies at the higher columns of a single lung; `None` where its faces are too much alike.
pub fn is_heart_higher(lung: &VoxelSet) -> Option<bool> {
    let slices = (0..lung.size()[2]).map(|z| SliceHollows::of(lung, z).faces);
    let [low, high] = slices.fold([0.0; 2], |sum, faces| [sum[0] + faces[0], sum[1] + faces[1]]);
    let is_higher = high > low;
    let [less, more] = if is_higher { [low, high] } else { [high, low] };
    (more > FACE_TIMES * less).then_some(is_higher)
}

/// The hollows at the ends of two lungs, in the lengths of an adult.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EndHollows {
    /// At the feet's and at the head's end, if the header is right.
    pub ends_ml: [f64; 2],
    pub lungs_ml: f64,
}

impl EndHollows {
    /// The hollows of a right and a left lung, as cells of a grid; `None` if one of them is missing or very small.
    /// `head_last` says that slices run from feet to head.
    pub fn of(grid: &CoarseGrid, lungs: [&VoxelSet; 2], head_last: bool) -> Option<EndHollows> {
        let [one, other] = lungs.map(VoxelSet::count);
        if one.min(other) == 0 || (one.min(other) as f64) < SMALL_SHARE * one.max(other) as f64 {
            return None;
        }
        let area = |z: usize| lungs.iter().map(|lung| lung.slice_count(z)).sum::<u64>() as f64;
        let areas: Vec<f64> = (0..grid.size[2]).map(area).collect();
        let least = AREA_SHARE * areas.iter().copied().fold(1.0, f64::max);
        let first = areas.iter().position(|area| *area >= least)?;
        let heights = first..areas.iter().rposition(|area| *area >= least)? + 1;
        let depth = ((END_SHARE * heights.len() as f64).round() as usize).max(1);
        let ends = [heights.start..heights.start + depth, heights.end - depth..heights.end];
        let [first, last] = ends.map(|slices| {
            let all = slices.flat_map(|z| lungs.map(|lung| SliceHollows::of(lung, z)));
            all.map(|hollows| hollows.faces[0] + hollows.faces[1] + hollows.inner).sum::<f64>()
                * grid.cell_ml()
        });
        let ends_ml = if head_last { [first, last] } else { [last, first] };
        Some(EndHollows { ends_ml, lungs_ml: (one + other) as f64 * grid.cell_ml() })
    }

    /// A reservation if the hollows are at the head's end.
    pub fn reservation(&self, scale: BodyScale) -> Option<StepReservation> {
        let [feet_ml, head_ml] = self.ends_ml;
        if head_ml < (END_TIMES * feet_ml).max(HOLLOW_SHARE * self.lungs_ml) {
            return None;
        }
        let text = format!(
            "the outlines of the lungs are hollow at the head's end, as above the diaphragm, by {} mL, and by \
             {} mL at the feet's: if the images are turned against what their header says, upper and lower parts \
             are exchanged, and right and left may be, too",
            amount(scale.ml(head_ml)),
            amount(scale.ml(feet_ml))
        );
        Some(StepReservation { code: "orientation".to_owned(), text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cells of 4 mm: columns, rows and slices.
    const SIZE: [usize; 3] = [80, 50, 60];

    fn grid() -> CoarseGrid {
        CoarseGrid::of(&vec![0; SIZE.iter().product()], SIZE, [4.0; 3])
    }

    /// A half of an ellipsoid on either side of a heart, above a dome.
    fn lung(index: usize, is_higher: bool) -> bool {
        let [x, y, z] = [index % SIZE[0], index / SIZE[0] % SIZE[1], index / SIZE[0] / SIZE[1]];
        let across = if is_higher { x as f64 - 40.0 } else { 39.0 - x as f64 };
        let [back, up] = [y as f64 - 25.0, z as f64 - 5.0];
        let is_dome = ((across - 18.0) / 12.0).powi(2) + (back / 14.0).powi(2) + (up / 16.0).powi(2) < 1.0;
        let is_heart = across.hypot(back) < 10.0;
        let is_chest = (across / 34.0).powi(2) + (back / 22.0).powi(2) + (up / 52.0).powi(2) < 1.0;
        across > 3.0 && up >= 0.0 && is_chest && !is_dome && !is_heart
    }

    fn lungs() -> [VoxelSet; 2] {
        [false, true].map(|is_higher| VoxelSet::of(SIZE, |index| lung(index, is_higher)))
    }

    #[test]
    fn a_lung_is_hollow_to_the_heart() {
        let [lower, higher] = lungs();
        assert_eq!(is_heart_higher(&lower), Some(true));
        assert_eq!(is_heart_higher(&higher), Some(false));
        let round = |index: usize| {
            let [x, y] = [index % SIZE[0], index / SIZE[0] % SIZE[1]].map(|at| at as f64);
            (x - 40.0).hypot(y - 25.0) < 20.0
        };
        assert_eq!(is_heart_higher(&VoxelSet::of(SIZE, round)), None);
        assert_eq!(is_heart_higher(&VoxelSet::empty(SIZE)), None);
    }

    #[test]
    fn lungs_that_are_hollow_at_the_heads_end_are_turned() {
        let ([lower, higher], grid) = (lungs(), grid());
        let ends = |head_last| EndHollows::of(&grid, [&lower, &higher], head_last);
        let [right, turned] = [true, false].map(|head_last| ends(head_last).unwrap());
        assert_eq!(right.reservation(BodyScale::ADULT), None, "{right:?}");
        assert_eq!(turned.ends_ml, [right.ends_ml[1], right.ends_ml[0]]);
        assert_eq!(turned.reservation(BodyScale::ADULT).expect("it is turned").code, "orientation");
        let one = EndHollows::of(&grid, [&lower, &VoxelSet::empty(SIZE)], false);
        assert_eq!(one, None, "a single lung tells nothing");
    }

    #[test]
    fn hollows_are_what_lies_between_an_outline_and_its_hull() {
        let bent = [[0.0, 0.0], [1.0, 3.0], [2.0, 1.0], [4.0, 0.0], [5.0, -2.0]];
        // The hull runs from the first to the last point: at −0.4, −0.8 and −1.6 between them.
        assert!((above_envelope(&bent) - 6.8).abs() < 1e-9);
        assert_eq!(above_envelope(&[[0.0, 2.0], [1.0, 1.0], [2.0, 2.0]]), 0.0);
        assert_eq!(above_envelope(&[[3.0, 7.0]]), 0.0);
    }
}
