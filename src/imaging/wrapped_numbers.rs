//! CT numbers below the end of the scale that were wrapped to its other end.
//!
//! Noise in air and in lungs reaches below −1024 HU. Where a converter writes such numbers with too few bits, they come
//! out at the upper end of the scale: single voxels of thousands of HU amid air, where nothing is.

use rayon::prelude::*;

use super::bits::{VoxelSet, WORD, some_below};
use super::{Lungs, Volume};
use crate::step::{Fault, StepReservation};

/// Wrapped numbers are above this. Neither of two real chests has a voxel over 300 HU with air on both sides.
const WRAPPED_HU: i16 = 1000;
/// Air and lung on both sides are below this.
const AIR_HU: i16 = -600;
/// The most wrapped voxels beside each other; metal in a lung is wider.
const WIDTH_MOST: usize = 3;
/// The least share of the lungs' voxels, and their least number: of a thousandth, the mean is off by 4 HU. Noise of 20 HU in
/// air of −1000 HU wraps 5 % of a scan's air.
const LUNG_SHARE_LEAST: f64 = 1e-4;
const VOXELS_LEAST: u64 = 20;
/// Of larger slices than this, one row of so many is looked at and stands for all of them.
const ROWS_LEAST: usize = 256;
const ROWS: usize = 4;
/// The least share of all air: the cables of an electrocardiograph are fewer.
const AIR_SHARE_LEAST: f64 = 5e-4;

/// A reservation if many voxels amid air have CT numbers such as nothing there has.
pub fn wrapped_numbers(volume: &Volume, lungs: &Lungs) -> Option<StepReservation> {
    let sets = [&lungs.right, &lungs.left, &lungs.airways];
    let counts = WrappedCounts::of(volume, &sets);
    let lung_voxels: u64 = sets.iter().map(|set| set.count()).sum();
    let of_lungs = counts.in_lungs as f64 / lung_voxels.max(1) as f64;
    let is_said = (of_lungs >= LUNG_SHARE_LEAST && counts.in_lungs >= VOXELS_LEAST) || counts.are_many();
    let text = format!(
        "{:.2} % of the voxels of lungs and airways, and {:.2} % of all air, are single voxels over {WRAPPED_HU} HU amid air, \
         where nothing is so dense: CT numbers below the end of the scale were wrapped to its other end, so mean, standard \
         deviation, low attenuation areas and percentiles are wrong, so send the series as the scanner made it; or small pieces of metal, as coils, lie in the lungs",
        100.0 * of_lungs,
        100.0 * counts.share_of_air()
    );
    is_said.then(|| StepReservation { code: "wrapped_numbers".to_owned(), text })
}

/// A fault if so many numbers are wrapped that lungs cannot be found in them.
pub fn wrapped_fault(volume: &Volume) -> Option<Fault> {
    let counts = WrappedCounts::of(volume, &[]);
    let percent = 100.0 * counts.share_of_air();
    let reason = format!(
        "{percent:.1} % of the air are single voxels over {WRAPPED_HU} HU, where nothing is so dense: CT numbers below the end \
         of the scale were wrapped to its other end"
    );
    let remedy = "Send the series as the scanner made it, or converted with 16 signed bits per pixel.";
    counts.are_many().then(|| Fault::new(reason, remedy))
}

/// Counts in some slices.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct WrappedCounts {
    /// Dense voxels with air on both sides.
    wrapped: u64,
    air: u64,
    /// Those of the wrapped that are counted as lung or airway.
    in_lungs: u64,
}

impl WrappedCounts {
    fn of(volume: &Volume, lungs: &[&VoxelSet]) -> WrappedCounts {
        let slices = (0..volume.size[2]).into_par_iter().map(|z| WrappedCounts::of_slice(volume, lungs, z));
        slices.reduce(WrappedCounts::default, WrappedCounts::with)
    }

    fn share_of_air(&self) -> f64 {
        self.wrapped as f64 / (self.wrapped + self.air).max(1) as f64
    }

    fn are_many(&self) -> bool {
        self.share_of_air() >= AIR_SHARE_LEAST && self.wrapped >= VOXELS_LEAST
    }

    fn of_slice(volume: &Volume, lungs: &[&VoxelSet], z: usize) -> WrappedCounts {
        let mut counts = WrappedCounts::default();
        let step = if volume.size[1] > ROWS_LEAST { ROWS } else { 1 };
        for y in (0..volume.size[1]).step_by(step) {
            let row = volume.row(y, z);
            let mut is_dense = false;
            for voxels in row.chunks(WORD) {
                counts.air += u64::from(some_below(voxels, AIR_HU).count_ones());
                is_dense |= some_below(voxels, WRAPPED_HU + 1).count_ones() as usize != voxels.len();
            }
            if is_dense {
                counts.add_row(row, |x| lungs.iter().any(|lung| lung.contains([x, y, z])));
            }
        }
        let [wrapped, air, in_lungs] =
            [counts.wrapped, counts.air, counts.in_lungs].map(|count| count * step as u64);
        WrappedCounts { wrapped, air, in_lungs }
    }

    fn add_row(&mut self, row: &[i16], is_lung: impl Fn(usize) -> bool) {
        let mut x = 1;
        while x < row.len() {
            if row[x] <= WRAPPED_HU {
                x += 1;
                continue;
            }
            let end = row[x..].iter().position(|hu| *hu <= WRAPPED_HU).map_or(row.len(), |width| x + width);
            let is_amid_air = row[x - 1] < AIR_HU && row.get(end).is_some_and(|hu| *hu < AIR_HU);
            if is_amid_air && end - x <= WIDTH_MOST {
                self.wrapped += (end - x) as u64;
                self.in_lungs += (x..end).filter(|x| is_lung(*x)).count() as u64;
            }
            x = end + 1;
        }
    }

    fn with(self, other: WrappedCounts) -> WrappedCounts {
        WrappedCounts {
            wrapped: self.wrapped + other.wrapped,
            air: self.air + other.air,
            in_lungs: self.in_lungs + other.in_lungs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of a body in air with a lung, of 80 × 40 × 10 voxels, after a change of each voxel.
    fn said(change: impl Fn([usize; 3], i16) -> i16) -> Option<String> {
        let size = [80, 40, 10];
        let place = |index: usize| [index % 80, index / 80 % 40, index / 3200];
        let is_lung = |[x, y, _]: [usize; 3]| (20..60).contains(&x) && (10..30).contains(&y);
        let hu = |at: [usize; 3]| match at {
            at if is_lung(at) => -900,
            [8..72, 4..36, _] => 40,
            _ => -1000,
        };
        let voxels = (0..size.iter().product()).map(place).map(|at| change(at, hu(at))).collect();
        let axes = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        let volume = Volume { voxels, size, spacing: [4.0; 3], origin: [0.0; 3], axes };
        let lung = VoxelSet::of(size, |index| is_lung(place(index)));
        wrapped_numbers(&volume, &Lungs::of(lung, VoxelSet::empty(size))).map(|one| one.text)
    }

    /// Of 20 000 voxels of air in a slice, some of one number.
    fn fault(wrapped: usize) -> Option<String> {
        let size = [200, 100, 2];
        let voxels =
            (0..40_000).map(|index| if index % 50 == 7 && index < 50 * wrapped { 3071 } else { -1000 });
        let axes = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        let volume = Volume { voxels: voxels.collect(), size, spacing: [1.0; 3], origin: [0.0; 3], axes };
        wrapped_fault(&volume).map(|fault| fault.reason)
    }

    #[test]
    fn so_many_that_no_lungs_are_found_are_a_fault() {
        assert_eq!(fault(19), None);
        assert!(fault(400).is_some_and(|reason| reason.starts_with("1.0 % of the air are single voxels")));
    }

    #[test]
    fn dense_voxels_amid_air_are_named_with_their_share() {
        assert_eq!(said(|_, hu| hu), None);
        let scattered = |hu: i16, least: i16| {
            move |[x, y, z]: [usize; 3], before: i16| {
                if before <= least && (x * 7 + y * 11 + z * 13) % 20 == 0 { hu } else { before }
            }
        };
        let lung = said(scattered(3071, -900)).expect("it is said");
        assert!(
            lung.starts_with("4.75 % of the voxels of lungs and airways, and 4.54 % of all air"),
            "{lung}"
        );
        assert!(said(scattered(i16::MAX, -900)).is_some(), "negative numbers read without a sign");
        let outside = said(scattered(3000, -1000)).expect("it is said");
        assert!(outside.starts_with("0.00 % of the voxels of lungs"), "{outside}");
    }

    #[test]
    fn metal_and_bone_are_not_wrapped() {
        let clip = |[x, y, z]: [usize; 3], hu: i16| {
            if (30..36).contains(&x) && (15..21).contains(&y) && z < 6 { 3000 } else { hu }
        };
        assert_eq!(said(clip), None, "a block of metal in a lung");
        let speck = |at: [usize; 3], hu: i16| if at == [30, 15, 3] { 1500 } else { hu };
        assert_eq!(said(speck), None, "one voxel");
        assert_eq!(said(|_, hu| if hu == 40 { 1500 } else { hu }), None, "a body of bone");
    }
}
