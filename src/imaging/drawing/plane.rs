//! Planes of a volume in a radiologist's orientation, whatever way the volume was acquired.
//!
//! Planes are seen from the feet (axial), from the front (coronal) and from the left (sagittal): the
//! patient's right is on the left of axial and coronal planes, the front on the left of sagittal ones.

use rayon::prelude::*;

use crate::imaging::bits::WORD;
use crate::imaging::{Lungs, Volume, VoxelSet};

/// The patient axis that a plane is perpendicular to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaneDirection {
    Axial,
    Coronal,
    Sagittal,
}

/// A patient axis: 0 to the left, 1 to the back, 2 to the head; and whether the direction is along it or
/// against it.
#[derive(Clone, Copy, Debug)]
struct AxisHeading {
    axis: usize,
    forward: bool,
}

impl PlaneDirection {
    fn across(self) -> AxisHeading {
        let axis = if self == PlaneDirection::Sagittal { 1 } else { 0 };
        AxisHeading { axis, forward: true }
    }

    fn down(self) -> AxisHeading {
        match self {
            PlaneDirection::Axial => AxisHeading { axis: 1, forward: true },
            PlaneDirection::Coronal | PlaneDirection::Sagittal => AxisHeading { axis: 2, forward: false },
        }
    }

    /// The patient axis through the plane.
    pub fn through(self) -> usize {
        match self {
            PlaneDirection::Axial => 2,
            PlaneDirection::Coronal => 1,
            PlaneDirection::Sagittal => 0,
        }
    }

    /// The letters of the patient's directions at the left, right, top and bottom of the plane (PS3.3
    /// C.7.6.1.1.1).
    pub fn letters(self) -> [&'static str; 4] {
        match self {
            PlaneDirection::Axial => ["R", "L", "A", "P"],
            PlaneDirection::Coronal => ["R", "L", "H", "F"],
            PlaneDirection::Sagittal => ["A", "P", "H", "F"],
        }
    }
}

/// For each patient axis, the volume axis that lies closest to it; each is used once.
pub fn patient_axes(volume: &Volume) -> [usize; 3] {
    const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    let fit = |order: &[usize; 3]| (0..3).map(|axis| volume.axes[order[axis]][axis].abs()).sum::<f64>();
    *ORDERS.iter().max_by(|one, other| fit(one).total_cmp(&fit(other))).expect("there are six orders")
}

/// A box of voxels: along each volume axis the first index and the one after the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoxelExtent(pub [[usize; 2]; 3]);

impl VoxelExtent {
    pub fn size(&self, axis: usize) -> usize {
        self.0[axis][1] - self.0[axis][0]
    }
}

/// A plane, or a projection onto one: rows from the top.
#[derive(Clone, Debug)]
pub struct VolumePlane {
    pub direction: PlaneDirection,
    pub width: usize,
    pub height: usize,
    /// Distance of neighbours across and down in mm.
    pub spacing: [f64; 2],
    pub hu: Vec<i16>,
    pub labels: Vec<u8>,
}

/// The order in which a plane visits the voxels of a volume.
struct PlaneWalk {
    /// The voxel in the upper left corner.
    start: [usize; 3],
    across: AxisDirection,
    down: AxisDirection,
    width: usize,
    height: usize,
    spacing: [f64; 2],
}

/// A direction along an axis of the volume.
#[derive(Clone, Copy)]
struct AxisDirection {
    axis: usize,
    upwards: bool,
}

impl AxisDirection {
    fn from(self, mut at: [usize; 3], steps: usize) -> [usize; 3] {
        if self.upwards {
            at[self.axis] += steps
        } else {
            at[self.axis] -= steps
        }
        at
    }
}

impl PlaneWalk {
    /// The walk over a direction's plane at the lower end of the extent.
    fn new(volume: &Volume, extent: &VoxelExtent, direction: PlaneDirection) -> PlaneWalk {
        let order = patient_axes(volume);
        let mut start = extent.0.map(|[first, _]| first);
        let mut way = |heading: AxisHeading| {
            let axis = order[heading.axis];
            let upwards = (volume.axes[axis][heading.axis] > 0.0) == heading.forward;
            if !upwards {
                start[axis] = extent.0[axis][1] - 1;
            }
            AxisDirection { axis, upwards }
        };
        let (across, down) = (way(direction.across()), way(direction.down()));
        PlaneWalk {
            start,
            across,
            down,
            width: extent.size(across.axis),
            height: extent.size(down.axis),
            spacing: [volume.spacing[across.axis], volume.spacing[down.axis]],
        }
    }

    /// The first voxel of each row.
    fn rows(&self) -> impl Iterator<Item = [usize; 3]> {
        (0..self.height).map(|y| self.down.from(self.start, y))
    }

    fn collect<T>(&self, voxel: impl Fn([usize; 3]) -> T) -> Vec<T> {
        let mut plane = Vec::with_capacity(self.width * self.height);
        for row in self.rows() {
            plane.extend((0..self.width).map(|x| voxel(self.across.from(row, x))));
        }
        plane
    }
}

/// The plane at an index along the volume axis through it, within an extent.
pub fn cut(
    volume: &Volume,
    lungs: &Lungs,
    extent: &VoxelExtent,
    direction: PlaneDirection,
    index: usize,
) -> VolumePlane {
    let axis = patient_axes(volume)[direction.through()];
    let mut slab = *extent;
    slab.0[axis] = [index, index + 1];
    let walk = PlaneWalk::new(volume, &slab, direction);
    plane(direction, &walk, walk.collect(|at| volume.hu(at)), walk.collect(|at| lungs.label(at)))
}

/// The highest HU inside the lungs along every line of sight through an extent, and the label at that voxel;
/// [`EMPTY`] where the line meets no lung.
pub fn project(
    volume: &Volume,
    lungs: &Lungs,
    extent: &VoxelExtent,
    direction: PlaneDirection,
) -> VolumePlane {
    let through = patient_axes(volume)[direction.through()];
    let mut flat = *extent;
    flat.0[through][1] = flat.0[through][0] + 1;
    let walk = PlaneWalk::new(volume, &flat, direction);
    let sight = AxisDirection { axis: through, upwards: true };
    let starts: Vec<[usize; 3]> = walk.rows().collect();
    let rows: Vec<(Vec<i16>, Vec<u8>)> = starts
        .into_par_iter()
        .map(|start| {
            let lines = (0..extent.size(through)).map(|depth| sight.from(start, depth));
            if walk.across.axis == 0 {
                brightest(volume, lungs, &walk, lines)
            } else {
                plain(volume, lungs, &walk, lines)
            }
        })
        .collect();
    let (hu, labels): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
    plane(direction, &walk, hu.concat(), labels.concat())
}

/// The value of a projection where there is no lung: below every HU.
pub const EMPTY: i16 = i16::MIN;

/// A row of a projection, from lines of voxels in any direction.
fn plain(
    volume: &Volume,
    lungs: &Lungs,
    walk: &PlaneWalk,
    lines: impl Iterator<Item = [usize; 3]>,
) -> (Vec<i16>, Vec<u8>) {
    let (mut hu, mut labels) = (vec![EMPTY; walk.width], vec![Lungs::NONE; walk.width]);
    for line in lines {
        for (x, (hu, label)) in hu.iter_mut().zip(&mut labels).enumerate() {
            let at = walk.across.from(line, x);
            let here = lungs.label(at);
            if here != Lungs::NONE {
                *hu = (*hu).max(volume.hu(at));
                *label = (*label).max(here);
            }
        }
    }
    (hu, labels)
}

/// The same for lines along the rows of the volume, a word of voxels at a time.
fn brightest(
    volume: &Volume,
    lungs: &Lungs,
    walk: &PlaneWalk,
    lines: impl Iterator<Item = [usize; 3]>,
) -> (Vec<i16>, Vec<u8>) {
    let mut hu = vec![EMPTY; volume.size[0]];
    let [mut right, mut left] = [(); 2].map(|()| VoxelSet::empty([volume.size[0], 1, 1]));
    let mut first = 0;
    for [x, y, z] in lines {
        first = if walk.across.upwards { x } else { x + 1 - walk.width };
        let [some, others] = [&lungs.right, &lungs.left].map(|lung| lung.row(y, z));
        let highest = hu.chunks_mut(WORD).zip(volume.row(y, z).chunks(WORD));
        for ((highest, voxels), (some, others)) in highest.zip(some.iter().zip(others)) {
            brighten(highest, voxels, some | others);
        }
        right.add_row(some);
        left.add_row(others);
    }
    let shown = first..first + walk.width;
    let label = |x| if left.contains([x, 0, 0]) { Lungs::LEFT } else { u8::from(right.contains([x, 0, 0])) };
    let (mut hu, mut labels): (Vec<i16>, Vec<u8>) = (hu[shown.clone()].to_vec(), shown.map(label).collect());
    if !walk.across.upwards {
        hu.reverse();
        labels.reverse();
    }
    (hu, labels)
}

fn brighten(highest: &mut [i16], voxels: &[i16], inside: u64) {
    match inside {
        0 => {}
        u64::MAX => keep_highest(highest, voxels),
        _ => {
            let eights = highest.chunks_mut(8).zip(voxels.chunks(8)).zip(inside.to_le_bytes());
            eights.for_each(|((highest, voxels), inside)| brighten_some(highest, voxels, inside));
        }
    }
}

fn brighten_some(highest: &mut [i16], voxels: &[i16], inside: u8) {
    match inside {
        0 => {}
        u8::MAX => keep_highest(highest, voxels),
        _ => {
            for (bit, (high, voxel)) in highest.iter_mut().zip(voxels).enumerate() {
                *high = (*high).max(if inside >> bit & 1 == 1 { *voxel } else { EMPTY });
            }
        }
    }
}

fn keep_highest(highest: &mut [i16], voxels: &[i16]) {
    highest.iter_mut().zip(voxels).for_each(|(high, voxel)| *high = (*high).max(*voxel));
}

fn plane(direction: PlaneDirection, walk: &PlaneWalk, hu: Vec<i16>, labels: Vec<u8>) -> VolumePlane {
    VolumePlane { direction, width: walk.width, height: walk.height, spacing: walk.spacing, hu, labels }
}

/// The number of voxels in every plane along each volume axis.
pub type PlaneAreas = [Vec<u32>; 3];

/// The areas of a lung.
pub fn areas(lung: &VoxelSet) -> PlaneAreas {
    let [columns, rows, slices] = lung.size();
    let counted: Vec<_> = (0..slices).into_par_iter().map(|z| slice_areas(lung, z)).collect();
    let mut areas = [vec![0; columns], vec![0; rows], vec![0; slices]];
    for (z, (by_column, by_row)) in counted.into_iter().enumerate() {
        areas[0].iter_mut().zip(&by_column).for_each(|(sum, count)| *sum += count);
        areas[1].iter_mut().zip(&by_row).for_each(|(sum, count)| *sum += count);
        areas[2][z] = by_row.iter().sum();
    }
    areas
}

/// The areas of both lungs together, which have no voxel in common.
pub fn sums(lungs: [&PlaneAreas; 2]) -> PlaneAreas {
    let [one, other] = lungs;
    std::array::from_fn(|axis| one[axis].iter().zip(&other[axis]).map(|(one, other)| one + other).collect())
}

/// The number of voxels in every column and in every row of a slice; nothing without voxels.
fn slice_areas(lung: &VoxelSet, z: usize) -> (Vec<u32>, Vec<u32>) {
    let [columns, rows, _] = lung.size();
    let Some(([low, first], [high, end])) = lung.slice_bounds(z) else { return (Vec::new(), Vec::new()) };
    let words = low / WORD..(high - 1) / WORD + 1;
    let mut tally = vec![ColumnTally::default(); words.len()];
    let (mut by_column, mut by_row) = (vec![0; columns], vec![0; rows]);
    for (y, area) in (first..end).zip(&mut by_row[first..end]) {
        let row = &lung.row(y, z)[words.clone()];
        row.iter().zip(&mut tally).for_each(|(word, tally)| tally.add(*word));
        *area = row.iter().map(|word| word.count_ones()).sum();
    }
    for (x, count) in (low..high).zip(&mut by_column[low..high]) {
        *count = tally[x / WORD - words.start].count(x % WORD);
    }
    (by_column, by_row)
}

/// Counts up to 65 535 for 64 columns at once: one word holds the lowest digits of all columns, and so on.
#[derive(Clone, Copy, Default)]
struct ColumnTally([u64; 16]);

impl ColumnTally {
    fn add(&mut self, mut carry: u64) {
        for digits in &mut self.0 {
            if carry == 0 {
                break;
            }
            (*digits, carry) = (*digits ^ carry, *digits & carry);
        }
    }

    fn count(&self, column: usize) -> u32 {
        self.0.iter().zip(0..).map(|(digits, place)| ((digits >> column & 1) as u32) << place).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 3 × 2 × 2 voxels numbered in order, all right lung.
    fn numbered(axes: [[f64; 3]; 3]) -> (Volume, Lungs) {
        let voxels: Vec<i16> = (0..12).collect();
        let volume = Volume {
            voxels: voxels.into(),
            size: [3, 2, 2],
            spacing: [1.0, 2.0, 3.0],
            origin: [0.0; 3],
            axes,
        };
        (volume, Lungs::labelled([3, 2, 2], &[Lungs::RIGHT; 12]))
    }

    const WHOLE: VoxelExtent = VoxelExtent([[0, 3], [0, 2], [0, 2]]);
    const STRAIGHT: [[f64; 3]; 3] = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];

    #[test]
    fn planes_of_an_axial_volume() {
        let (volume, lungs) = numbered(STRAIGHT);
        let axial = cut(&volume, &lungs, &WHOLE, PlaneDirection::Axial, 1);
        assert_eq!((axial.width, axial.height, axial.spacing), (3, 2, [1.0, 2.0]));
        assert_eq!(axial.hu, [6, 7, 8, 9, 10, 11]);
        let coronal = cut(&volume, &lungs, &WHOLE, PlaneDirection::Coronal, 0);
        assert_eq!(coronal.hu, [6, 7, 8, 0, 1, 2]);
        let sagittal = cut(&volume, &lungs, &WHOLE, PlaneDirection::Sagittal, 2);
        assert_eq!((sagittal.hu, sagittal.spacing), (vec![8, 11, 2, 5], [2.0, 3.0]));
    }

    /// Rows run from left to right of the patient and columns from head to foot.
    #[test]
    fn planes_of_a_coronal_volume_seen_from_behind() {
        let axes = [[-1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, -1.0, 0.0]];
        let (volume, lungs) = numbered(axes);
        assert_eq!(patient_axes(&volume), [0, 2, 1]);
        let coronal = cut(&volume, &lungs, &WHOLE, PlaneDirection::Coronal, 0);
        assert_eq!(coronal.hu, [2, 1, 0, 5, 4, 3]);
        let axial = cut(&volume, &lungs, &WHOLE, PlaneDirection::Axial, 1);
        assert_eq!(axial.hu, [11, 10, 9, 5, 4, 3]);
    }

    #[test]
    fn a_projection_sees_the_brightest_lung_voxel() {
        let (volume, _) = numbered(STRAIGHT);
        let lungs = Lungs::labelled(volume.size, &[1, 1, 1, 1, 0, 1, 0, 1, 1, 0, 1, 1]);
        let coronal = project(&volume, &lungs, &WHOLE, PlaneDirection::Coronal);
        assert_eq!(coronal.hu, [EMPTY, 10, 11, 3, 1, 5]);
        let sagittal = project(&volume, &lungs, &WHOLE, PlaneDirection::Sagittal);
        assert_eq!(sagittal.hu, [8, 11, 2, 5]);
    }

    #[test]
    fn areas_count_lung_voxels_along_every_axis() {
        let lungs = Lungs::labelled([3, 2, 2], &[0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2]);
        assert_eq!(
            sums([&areas(&lungs.right), &areas(&lungs.left)]),
            [vec![3, 4, 4], vec![5, 6], vec![5, 6]]
        );
    }
}
