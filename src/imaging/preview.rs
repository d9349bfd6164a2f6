//! Looks at the pixels of a set of slices: how much lung it shows, whether two slices are copies, and where the pictures
//! begin and end.

use std::borrow::Cow;
use std::fs;

use rayon::prelude::*;

use super::InstanceHeader;
use super::blank::SliceContent;
use super::pixels::decode_slice;
use super::slice_files::SharedFiles;
use super::slices::AxialSlice;

/// The number of slices, spread evenly, that represent the series.
const SLICES_LOOKED_AT: usize = 24;
/// A slice is thinned out to about this many columns.
const COLUMNS: usize = 128;
/// Air and lung are below this.
const AIR_HU: i16 = -400;
/// Lung is above this; gas in the bowel and outside the body is below.
const GAS_HU: i16 = -980;

/// What a coarse look shows of a set of slices.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LungPreview {
    /// The air inside the body that may be lung, in mL: neither joined to a side of the image in its slice nor as thin
    /// as gas.
    pub lung_ml: f64,
    /// The median of what is no outside air in a slice: the body, and the table.
    pub body_cm2: f64,
}

/// Looks at some of the slices. One that cannot be decoded counts nothing.
pub fn lung_preview(slices: &[AxialSlice]) -> LungPreview {
    let nothing = LungPreview::default();
    let [Some(first), Some(last)] = [slices.first(), slices.last()] else { return nothing };
    let count = slices.len().min(SLICES_LOOKED_AT);
    let looked_at: Vec<&AxialSlice> = (0..count).map(|index| &slices[index * slices.len() / count]).collect();
    let Ok(files) = SharedFiles::read(looked_at.iter().map(|slice| slice.header)) else { return nothing };
    let areas: Vec<SliceAreas> = looked_at.par_iter().map(|slice| areas(slice.header, &files)).collect();
    let areas_mm2: f64 = areas.iter().map(|areas| areas.lung_mm2).sum();
    let mut bodies: Vec<f64> = areas.iter().map(|areas| areas.body_mm2).filter(|mm2| *mm2 > 0.0).collect();
    bodies.sort_unstable_by(f64::total_cmp);
    let body_cm2 = bodies.get(bodies.len() / 2).map_or(0.0, |mm2| mm2 / 100.0);
    let length_mm = (last.along_mm - first.along_mm) * slices.len() as f64 / (slices.len().max(2) - 1) as f64;
    LungPreview { lung_ml: areas_mm2 / count as f64 * length_mm / 1000.0, body_cm2 }
}

/// Areas in one slice.
#[derive(Clone, Copy, Debug, Default)]
struct SliceAreas {
    lung_mm2: f64,
    body_mm2: f64,
}

/// Whether both slices decode to the same CT numbers.
pub fn have_same_pixels(one: &InstanceHeader, other: &InstanceHeader) -> bool {
    let Ok(files) = SharedFiles::read([one, other]) else { return false };
    decoded(one, &files).is_some_and(|voxels| decoded(other, &files) == Some(voxels))
}

/// The slices without those before the first and behind the last one that shows something. All of them, if none does.
pub fn imaged<'s, 'a>(slices: &'s [AxialSlice<'a>]) -> &'s [AxialSlice<'a>] {
    let shows_something = |slice: &AxialSlice| {
        let voxels = SharedFiles::read([slice.header]).ok().and_then(|files| decoded(slice.header, &files));
        // A slice that cannot be decoded is named when the volume is assembled.
        voxels.is_none_or(|voxels| SliceContent::of(&voxels) != SliceContent::Nothing)
    };
    let Some(first) = slices.iter().position(shows_something) else { return slices };
    let last = slices.iter().rposition(shows_something).unwrap_or(first);
    &slices[first..=last]
}

fn decoded(header: &InstanceHeader, files: &SharedFiles) -> Option<Vec<i16>> {
    let bytes = match files.get(&header.path) {
        Some(bytes) => Cow::Borrowed(bytes),
        None => Cow::Owned(fs::read(&header.path).ok()?),
    };
    let mut voxels = vec![0; usize::from(header.rows) * usize::from(header.columns)];
    decode_slice(header, &bytes, &mut voxels).ok().map(|()| voxels)
}

fn areas(header: &InstanceHeader, files: &SharedFiles) -> SliceAreas {
    let Some(voxels) = decoded(header, files) else { return SliceAreas::default() };
    let [rows, columns] = [header.rows, header.columns].map(usize::from);
    let step = (columns / COLUMNS).max(1);
    let [height, width] = [rows, columns].map(|count| count.div_ceil(step));
    let mut coarse = Vec::with_capacity(height * width);
    for y in (0..rows).step_by(step) {
        coarse.extend((0..columns).step_by(step).map(|x| voxels[y * columns + x]));
    }
    let outside = joined_to_a_side(&coarse, width, height);
    let inside = coarse.iter().zip(outside).filter(|(_, outside)| !outside).map(|(hu, _)| *hu);
    let lung = inside.clone().filter(|hu| (GAS_HU..AIR_HU).contains(hu));
    let spacing = header.spacing.unwrap_or_default();
    let mm2 = |pixels: usize| pixels as f64 * spacing[0] * spacing[1] * (step * step) as f64;
    SliceAreas { lung_mm2: mm2(lung.count()), body_mm2: mm2(inside.count()) }
}

/// The pixels of air from which a path through air leads to a side of the image.
fn joined_to_a_side(hu: &[i16], width: usize, height: usize) -> Vec<bool> {
    let mut joined = vec![false; hu.len()];
    let sides = (0..width).flat_map(|x| [x, (height - 1) * width + x]);
    let sides = sides.chain((0..height).flat_map(|y| [y * width, y * width + width - 1]));
    let mut open: Vec<usize> = sides.collect();
    while let Some(at) = open.pop() {
        if joined[at] || hu[at] >= AIR_HU {
            continue;
        }
        joined[at] = true;
        let (x, y) = (at % width, at / width);
        open.extend((x > 0).then(|| at - 1));
        open.extend((x + 1 < width).then_some(at + 1));
        open.extend((y > 0).then(|| at - width));
        open.extend((y + 1 < height).then_some(at + width));
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn air_around_the_body_is_joined_to_the_sides_and_air_inside_is_not() {
        let tissue = 40;
        let air = -850;
        let hu = [
            air, air, air, air, air, //
            air, tissue, tissue, tissue, air, //
            air, tissue, air, tissue, air, //
            air, tissue, tissue, tissue, air, //
            air, air, air, air, air,
        ];
        let joined = joined_to_a_side(&hu, 5, 5);
        assert_eq!(joined.iter().filter(|joined| **joined).count(), 16);
        assert!(!joined[12]);
    }
}
