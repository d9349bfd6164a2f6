//! Lungs that end broad at their base: consolidation or fluid there, of which both lungs have lost as much.
//!
//! A lung rests on the dome of the diaphragm, and reaches deep down around it, above all behind. So of its lowest part
//! little is lung. Where all up to some height contains no air, the lung ends broad. Emphysema flattens the dome and
//! expiration raises it, and what is around it stays narrow.

use super::bits::VoxelSet;
use super::{Lungs, Volume};
use crate::printable::beyond;
use crate::step::StepReservation;

/// The base is this part of a lung's height, one of so many.
const BASE_PART: f64 = 8.0;
/// A lung begins where it has this share of its largest cross section: below are single voxels.
const BEGIN_SHARE: f64 = 0.01;
/// The largest mean cross section of the base as a share of the lung's largest one. Nine lungs of five real chests have 8
/// to 18 %. Without the lowest 10 or 23 % of the volume, eight of them have 57 to 99 % where they end flat, and 27 to 60 % where
/// they end in hills and valleys of 8 mm.
const BASE_PERCENT_MOST: f64 = 30.0;
/// In fewer slices, a lung has no base.
const SLICES_LEAST: usize = 24;

/// Reservations for lungs with a broad base. Of lungs at the end of the images nothing is said.
pub fn broad_bases(volume: &Volume, lungs: &Lungs) -> Vec<StepReservation> {
    let is_head_last = volume.axes[2][2] >= 0.0;
    let sides = [("right", &lungs.right), ("left", &lungs.left)].into_iter();
    let broad = sides.filter_map(|(side, lung)| {
        let percent = base_percent(lung, is_head_last)?;
        (percent > BASE_PERCENT_MOST).then_some((side, percent))
    });
    let reservation = |(side, percent): (&str, f64)| {
        let text = format!(
            "the lowest eighth of the {side} lung has {} % of its largest cross section, more than {BASE_PERCENT_MOST:.0} %: a \
             lung ends narrow around the diaphragm, so its base may contain no air, or lie in fluid, and is left out",
            beyond(percent, BASE_PERCENT_MOST, 0)
        );
        StepReservation { code: "dense_tissue".to_owned(), text }
    };
    broad.map(reservation).collect()
}

/// The mean cross section of a lung's base as a percentage of its largest one.
fn base_percent(lung: &VoxelSet, is_head_last: bool) -> Option<f64> {
    let mut areas: Vec<f64> = (0..lung.size()[2]).map(|z| lung.slice_count(z) as f64).collect();
    if !is_head_last {
        areas.reverse();
    }
    let largest = areas.iter().copied().fold(0.0, f64::max);
    let is_lung = |area: &f64| *area > BEGIN_SHARE * largest;
    let [first, last] = [areas.iter().position(is_lung)?, areas.iter().rposition(is_lung)?];
    let slices = last + 1 - first;
    let is_whole = areas[0] == 0.0 && slices >= SLICES_LEAST;
    let base = &areas[first..first + (slices as f64 / BASE_PART).round() as usize];
    is_whole.then(|| 100.0 * base.iter().sum::<f64>() / (base.len() as f64 * largest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: [usize; 3] = [60, 40, 60];

    /// What is said of a right lung of 160 × 120 × 160 mm in voxels of 4 mm, with a dome of 60 mm below it that all up to
    /// some slices joins, in slices that run from the feet or from the head.
    fn said(without_air: usize, up: f64) -> Vec<StepReservation> {
        let right = VoxelSet::of(SIZE, |index| {
            let [x, y, z] = [index % 60, index / 60 % 40, index / 2400];
            let height = if up > 0.0 { z } else { 59 - z };
            let dome = 25.0 - ((x as f64 - 30.0) / 5.0).powi(2).max(((y as f64 - 20.0) / 3.75).powi(2));
            let is_within = (10..50).contains(&x) && (5..35).contains(&y) && (10..50).contains(&height);
            is_within && height as f64 >= dome && height >= without_air
        });
        let axes = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, up]];
        let voxels = vec![0; SIZE.iter().product()].into();
        let volume = Volume { voxels, size: SIZE, spacing: [4.0; 3], origin: [0.0; 3], axes };
        broad_bases(&volume, &Lungs::of(right, VoxelSet::empty(SIZE)))
    }

    #[test]
    fn a_base_without_air_is_named() {
        for up in [1.0, -1.0] {
            assert_eq!(said(0, up), [], "it ends around the dome");
            let [flat] = &said(25, up)[..] else { panic!("it ends flat") };
            assert!(flat.text.starts_with("the lowest eighth of the right lung has 100 %"), "{flat:?}");
        }
    }
}
