//! Dense tissue around trachea and main bronchi: consolidation, oedema or a mass beside the mediastinum of both lungs.
//!
//! Lungs that lost as much on both sides are alike, and reach to the ribs. But a healthy lung touches the airways: the
//! stripe between trachea and right lung is up to 4 mm wide (Savoca et al. 1977, Radiology 122:295), that behind the right
//! main bronchus and the intermediate one up to 3 mm (Schnur et al. 1981, Radiology 139:551), whatever the size of heart
//! and body. So in each slice of the airways' lower end the shortest way to a lung is measured; the median is compared.

use super::bits::{VoxelSet, WORD};
use super::body_size::BodyScale;
use super::{Lungs, Volume};
use crate::printable::beyond;
use crate::step::StepReservation;

/// The part of the airways above their lower end: main bronchi, and the trachea above the carina.
const LENGTH_MM: f64 = 90.0;
/// The least length of airways with lung in the same slice whose median means something.
const LENGTH_MM_LEAST: f64 = 30.0;
/// One slice within this distance is enough.
const STEP_MM: f64 = 2.0;
/// The longest way, as the median, beside the width of a pixel, to which it is measured. Three real chests are below 10 mm,
/// one of them in voxels of 4 mm at 11.8 mm with noise that leaves the upper trachea alone; the synthetic ones have 12.0 mm
/// at most. With a layer without air of 16 mm beside the mediastinum, which takes a quarter of the volume, two chests in
/// pixels of 1.5 mm have 14 and 34 mm, with 30 mm, which take 42 to 48 %, 28 and 45 mm; in voxels of 4 mm it is 17 mm.
const WAY_MM_MOST: f64 = 12.0;

/// A reservation if the airways lie far from both lungs, of which none is missing. The volume has the lengths of an adult.
/// Where the images are perhaps turned, the airways' lower end is not known.
pub fn central_tissue(volume: &Volume, scale: BodyScale, lungs: &Lungs) -> Option<StepReservation> {
    let is_turned = lungs.reservations.0.iter().any(|one| one.code == "orientation");
    if is_turned || lungs.right.is_empty() || lungs.left.is_empty() {
        return None;
    }
    let sides = [&lungs.right, &lungs.left];
    let ways = AirwaySurroundings { spacing: volume.spacing, airways: &lungs.airways, lungs: sides };
    let most = WAY_MM_MOST + volume.spacing[0].max(volume.spacing[1]);
    let mm = ways.median_mm(volume.axes[2][2] >= 0.0).filter(|mm| *mm > most)?;
    let text = format!(
        "{} mm of tissue lie between the trachea or main bronchi and the nearest lung, more than {:.1} mm: \
         consolidation or oedema beside the mediastinum of both lungs may be left out of them, or lymph nodes, fat or an \
         enlarged heart keep them apart",
        beyond(scale.mm(mm), scale.mm(most), 1),
        scale.mm(most)
    );
    Some(StepReservation { code: "dense_tissue".to_owned(), text })
}

struct AirwaySurroundings<'a> {
    spacing: [f64; 3],
    airways: &'a VoxelSet,
    lungs: [&'a VoxelSet; 2],
}

impl AirwaySurroundings<'_> {
    /// The median over slices of the shortest way from the airways to a lung.
    fn median_mm(&self, is_head_last: bool) -> Option<f64> {
        let bounds = self.airways.bounds()?;
        let [low, high] = [bounds.low[2], bounds.high[2]];
        let slices = ((LENGTH_MM / self.spacing[2]).round() as usize).min(high - low);
        let part = if is_head_last { low..low + slices } else { high - slices..high };
        let step = ((STEP_MM / self.spacing[2]) as usize).max(1);
        let mut ways: Vec<f64> = part.step_by(step).filter_map(|z| self.slice_mm(z)).collect();
        let length = (ways.len() * step) as f64 * self.spacing[2];
        ways.sort_unstable_by(f64::total_cmp);
        (length >= LENGTH_MM_LEAST).then(|| ways[ways.len() / 2])
    }

    /// The shortest way in a slice; `None` without airways or without lungs.
    fn slice_mm(&self, z: usize) -> Option<f64> {
        let (low, high) = self.airways.slice_bounds(z)?;
        let mut shortest = f64::INFINITY;
        for y in low[1]..high[1] {
            for run in runs(self.airways.columns(y, z)) {
                shortest = self.run_mm(run, y, z, shortest);
            }
        }
        shortest.is_finite().then_some(shortest)
    }

    /// The shortest way from a run of columns in a row, if it is shorter than one that is known.
    fn run_mm(&self, run: [usize; 2], y: usize, z: usize, known: f64) -> f64 {
        let [across, down, _] = self.spacing;
        let rows = self.airways.size()[1];
        let mut shortest = known;
        for away in 0..y.max(rows - 1 - y) + 1 {
            let down_mm = away as f64 * down;
            if down_mm >= shortest {
                break;
            }
            let both = [y.checked_sub(away), Some(y + away).filter(|row| *row < rows)];
            for row in both.into_iter().flatten() {
                let columns =
                    self.lungs.iter().filter_map(|lung| columns_between(lung.row(row, z), run)).min();
                let mm = columns.map(|columns| down_mm.hypot(columns as f64 * across));
                shortest = mm.map_or(shortest, |mm| mm.min(shortest));
            }
        }
        shortest
    }
}

/// The first and the last column of each run.
fn runs(columns: impl Iterator<Item = usize>) -> Vec<[usize; 2]> {
    let mut runs: Vec<[usize; 2]> = Vec::new();
    for column in columns {
        match runs.last_mut() {
            Some([_, last]) if *last + 1 == column => *last = column,
            _ => runs.push([column; 2]),
        }
    }
    runs
}

/// The number of columns from a run to the nearest voxel of a row.
fn columns_between(row: &[u64], [first, last]: [usize; 2]) -> Option<usize> {
    let before = last_until(row, last).map(|column| first.saturating_sub(column));
    let behind = first_from(row, first).map(|column| column.saturating_sub(last));
    before.into_iter().chain(behind).min()
}

/// The last voxel of a row up to a column.
fn last_until(row: &[u64], column: usize) -> Option<usize> {
    let word = column / WORD;
    let rest = row[word] & u64::MAX >> (WORD - 1 - column % WORD);
    let found =
        |index: usize, bits: u64| (bits != 0).then(|| (index + 1) * WORD - 1 - bits.leading_zeros() as usize);
    found(word, rest).or_else(|| (0..word).rev().find_map(|index| found(index, row[index])))
}

/// The first voxel of a row from a column on.
fn first_from(row: &[u64], column: usize) -> Option<usize> {
    let word = column / WORD;
    let rest = row[word] & u64::MAX << (column % WORD);
    let found = |index: usize, bits: u64| (bits != 0).then(|| index * WORD + bits.trailing_zeros() as usize);
    found(word, rest).or_else(|| (word + 1..row.len()).find_map(|index| found(index, row[index])))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: [usize; 3] = [200, 60, 40];

    /// What is said of an airway of 18 mm with a lung on each side, in voxels of 3 mm; the right one begins at some mm from
    /// it, the left one at 30 mm, in the lower two thirds alone.
    fn said(right_mm: usize, up: f64) -> Option<String> {
        let place = |index: usize| [index % 200, index / 200 % 60, index / 12_000];
        let height = |z: usize| if up > 0.0 { z } else { 39 - z };
        let airways = VoxelSet::of(SIZE, |index| {
            let [x, y, _] = place(index);
            (97..103).contains(&x) && (27..33).contains(&y)
        });
        let lung = |low: usize, high: usize| {
            VoxelSet::of(SIZE, |index| {
                let [x, y, z] = place(index);
                (low..high).contains(&x) && (10..50).contains(&y) && height(z) < 26
            })
        };
        let (right, left) = (lung(40, 98 - right_mm / 3), lung(112, 160));
        let axes = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, up]];
        let voxels = vec![0; SIZE.iter().product()].into();
        let volume = Volume { voxels, size: SIZE, spacing: [3.0; 3], origin: [0.0; 3], axes };
        let lungs = Lungs { airways, ..Lungs::of(right, left) };
        central_tissue(&volume, BodyScale::ADULT, &lungs).map(|one| one.text)
    }

    #[test]
    fn lungs_far_from_the_airways_are_named() {
        for up in [1.0, -1.0] {
            assert_eq!(said(3, up), None);
            assert_eq!(said(9, up), None);
            let text = said(18, up).expect("it is said");
            assert!(text.starts_with("18.0 mm of tissue lie between"), "{text}");
        }
        assert!(said(90, 1.0).expect("it is said").starts_with("30.0 mm"), "the left one is nearer");
    }

    #[test]
    fn the_nearest_voxel_of_a_row_is_found_across_words() {
        let row = [1 << 3, 0, 1 << 40];
        assert_eq!(columns_between(&row, [10, 60]), Some(7));
        assert_eq!(columns_between(&row, [100, 150]), Some(18));
        assert_eq!(columns_between(&row, [100, 168]), Some(0));
        assert_eq!(columns_between(&row, [3, 3]), Some(0));
        assert_eq!(columns_between(&row, [170, 180]), Some(2));
        assert_eq!(columns_between(&[0; 3], [63, 64]), None);
    }
}
