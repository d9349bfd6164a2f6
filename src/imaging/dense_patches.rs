//! Patches without air in the outer halves of the lungs, as with pneumonia, ground glass or scars.
//!
//! A lung with patches still reaches to the ribs, and what is counted as lung looks as it should. But between lung on both
//! sides there is nothing dense but vessels and fissures, apart from the hilum, which lies in the inner half.

use std::ops::{Range, RangeInclusive};

use super::bits::{VoxelBall, VoxelSet};
use super::coarse::CoarseGrid;
use super::{Lungs, Volume};
use crate::printable::beyond;
use crate::step::StepReservation;

/// Half the width of a patch with lung on both sides.
const PATCH_MM: f64 = 12.0;
/// Mean CT numbers of cells that are not taken for lung, without bone.
const PATCH_HU: RangeInclusive<i16> = -400..=150;
/// The largest share of the lung in patches. Nine lungs of five real chests have 0.14 to 0.6 %, also in slices of 5 mm and with noise
/// of 60 HU; with patches of 30 or -300 HU that take 8 % of the lungs 2.6 to 3.4 %, with ground glass that takes 6 % 1.1 %.
const PATCHES_PERCENT_MOST: f64 = 1.5;

/// Reservations for lungs with dense patches, in a volume with the lengths of an adult.
pub fn dense_patches(volume: &Volume, lungs: &Lungs) -> Vec<StepReservation> {
    match volume.has_rows_sideways() {
        true => patches_sideways(volume, lungs),
        false => patches_sideways(&volume.transposed(), &lungs.clone().transposed()),
    }
}

/// The reservations in a volume whose rows run from side to side.
fn patches_sideways(volume: &Volume, lungs: &Lungs) -> Vec<StepReservation> {
    let grid = &volume.coarse();
    let [right, left] = [&lungs.right, &lungs.left].map(|lung| grid.cells_of(lung));
    let is_left_last = volume.axes[0][0] >= 0.0;
    let sides = [("right", &right, &left, !is_left_last), ("left", &left, &right, is_left_last)].into_iter();
    let dense = sides.filter_map(|(side, lung, other, is_outer_last)| {
        let percent = patches_percent(grid, lung, other, is_outer_last)?;
        (percent > PATCHES_PERCENT_MOST).then_some((side, percent))
    });
    let reservation = |(side, percent): (&str, f64)| {
        let text = format!(
            "patches over {} HU in the outer half of the {side} lung, with lung on both sides, take {} % of its volume, more \
             than {PATCHES_PERCENT_MOST} %: consolidation, ground glass or scars are left out of the lung",
            PATCH_HU.start(),
            beyond(percent, PATCHES_PERCENT_MOST, 1)
        );
        StepReservation { code: "dense_tissue".to_owned(), text }
    };
    dense.map(reservation).collect()
}

/// The volume of patches in the outer half of a lung as a percentage of the lung's.
fn patches_percent(grid: &CoarseGrid, lung: &VoxelSet, other: &VoxelSet, is_outer_last: bool) -> Option<f64> {
    let bounds = lung.bounds()?;
    let middle = bounds.low[0].midpoint(bounds.high[0]);
    let outer: Range<usize> = if is_outer_last { middle..bounds.high[0] } else { bounds.low[0]..middle };
    let around = bounds.widened(PATCH_MM, grid.spacing, grid.size);
    let inner = lung.crop(&around);
    let mut between = inner.close(&VoxelBall::new(PATCH_MM, grid.spacing));
    between.remove(&inner);
    between.remove(&other.crop(&around));
    let between = between.uncrop(&around, grid.size);
    let places = grid.rows().flat_map(|(y, z, _)| between.columns(y, z).map(move |x| [x, y, z]));
    // At the border of the images, what would lie on the other side of a patch is not known.
    let is_inner = |at: [usize; 3]| {
        (0..3).all(|axis| {
            let reach = (PATCH_MM / grid.spacing[axis]).ceil() as usize;
            (reach..grid.size[axis].saturating_sub(reach)).contains(&at[axis])
        })
    };
    let dense = places.filter(|at| outer.contains(&at[0]) && PATCH_HU.contains(&grid.mean(*at)));
    let patches = dense.filter(|at| is_inner(*at)).count();
    Some(100.0 * patches as f64 / lung.count() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: [usize; 3] = [60, 40, 40];

    /// What is said of a left lung of 120 × 120 × 120 mm in cells of 4 mm, of whose outer or inner half every fourth slice has
    /// other CT numbers, with rows that run to the left or to the right.
    fn said(hu: i16, is_outer: bool, to_left: f64) -> Vec<StepReservation> {
        let place = |index: usize| [index % 60, index / 60 % 40, index / 2400];
        let is_lung = |[x, y, z]: [usize; 3]| [x, y, z].iter().all(|at| (5..35).contains(at));
        let is_patch = |at: [usize; 3]| {
            let is_last = at[0] >= 20;
            is_lung(at) && at[2].is_multiple_of(4) && at[1] < 20 && is_last == (is_outer == (to_left > 0.0))
        };
        let left = VoxelSet::of(SIZE, |index| is_lung(place(index)) && !is_patch(place(index)));
        let hu = |index: usize| match place(index) {
            at if is_patch(at) => hu,
            at if is_lung(at) => -860,
            _ => 40,
        };
        let voxels = (0..SIZE.iter().product()).map(hu).collect();
        let axes = [[to_left, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        let volume = Volume { voxels, size: SIZE, spacing: [4.0; 3], origin: [0.0; 3], axes };
        dense_patches(&volume, &Lungs::of(VoxelSet::empty(SIZE), left))
    }

    #[test]
    fn patches_in_the_outer_half_are_named() {
        for to_left in [1.0, -1.0] {
            for hu in [40, -300] {
                let [one] = &said(hu, true, to_left)[..] else { panic!("patches of {hu} HU are named") };
                assert!(one.text.contains("in the outer half of the left lung"), "{one:?}");
            }
            assert_eq!(said(40, false, to_left), [], "the hilum is dense");
            assert_eq!(said(-860, true, to_left), [], "air that is not counted is told elsewhere");
        }
    }
}
