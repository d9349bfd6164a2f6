//! Slices that show nothing, as when a file was stored before its picture was ready.
//!
//! A slice of one value shows nothing at all, whatever the value. A slice without anything solid may be the air beyond
//! a body, but between slices of a body it shows nothing either.

/// No material has such a CT number: the voxel lies outside the field of view.
const PADDING_HU: i16 = -1500;
/// Tissue is above this.
const SOLID_HU: i16 = -200;
/// The least share of solid voxels in a slice of a body. A newborn in a wide field of view has over 1 %.
const SOLID_SHARE_LEAST: f64 = 0.001;
/// The voxels that are counted before the next look at the count.
const CHUNK: usize = 4096;

/// The content of a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SliceContent {
    /// One value in the whole field of view.
    Nothing,
    /// Nothing solid.
    Air,
    Body,
}

impl SliceContent {
    /// The content of a slice by its CT numbers.
    pub fn of(voxels: &[i16]) -> SliceContent {
        let mut inside = voxels.iter().filter(|hu| **hu >= PADDING_HU);
        let Some(first) = inside.next() else { return SliceContent::Nothing };
        if inside.all(|hu| hu == first) {
            return SliceContent::Nothing;
        }
        if has_body(voxels) { SliceContent::Body } else { SliceContent::Air }
    }
}

/// Whether enough voxels are solid. Most slices need not be read to their end for that.
fn has_body(voxels: &[i16]) -> bool {
    let least = SOLID_SHARE_LEAST * voxels.len() as f64;
    let mut solid = 0;
    voxels.chunks(CHUNK).any(|voxels| {
        // Counts of 16 bits: the processor adds eight and more of them at once.
        solid += u32::from(voxels.iter().map(|hu| u16::from(*hu >= SOLID_HU)).sum::<u16>());
        f64::from(solid) >= least
    })
}

/// The slices that show nothing of a body between slices that do.
pub fn gaps_in_body(contents: &[SliceContent]) -> Vec<usize> {
    let is_body = |content: &SliceContent| *content == SliceContent::Body;
    let [Some(first), Some(last)] = [contents.iter().position(is_body), contents.iter().rposition(is_body)]
    else {
        return Vec::new();
    };
    (first..last).filter(|index| contents[*index] != SliceContent::Body).collect()
}

#[cfg(test)]
mod tests {
    use super::SliceContent::{Air, Body, Nothing};
    use super::*;

    #[test]
    fn a_slice_of_one_value_shows_nothing_whatever_the_value() {
        for hu in [-1024, -1000, 0, 40] {
            assert_eq!(SliceContent::of(&[hu; 100]), Nothing, "{hu}");
        }
        assert_eq!(SliceContent::of(&[-3024; 100]), Nothing);
        let round: Vec<i16> = (0..100).map(|at| if at < 30 { -2000 } else { -1024 }).collect();
        assert_eq!(SliceContent::of(&round), Nothing, "padding around nothing");
        let air: Vec<i16> = (0..100).map(|at| -1000 + at % 3).collect();
        assert_eq!(SliceContent::of(&air), Air);
        let body: Vec<i16> = (0..100).map(|at| if at < 30 { 40 } else { -1000 }).collect();
        assert_eq!(SliceContent::of(&body), Body);
    }

    #[test]
    fn what_shows_nothing_is_a_gap_between_slices_of_a_body_only() {
        assert_eq!(gaps_in_body(&[Nothing, Air, Body, Air, Body, Nothing, Body, Air]), [3, 5]);
        assert_eq!(gaps_in_body(&[Nothing, Nothing, Air]), [] as [usize; 0]);
    }
}
