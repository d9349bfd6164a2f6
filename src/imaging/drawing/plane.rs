//! Planes of a volume as a radiologist looks at them, whatever way the volume was acquired.
//!
//! Seen from the feet (axial), from the front (coronal) and from the left (sagittal): the patient's
//! right is on the left of axial and coronal planes, the front on the left of sagittal ones.

use rayon::prelude::*;

use crate::imaging::{Lungs, Volume};

/// The patient axis that a plane is perpendicular to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Axial,
    Coronal,
    Sagittal,
}

/// A patient axis: 0 to the left, 1 to the back, 2 to the head; and whether it is followed.
#[derive(Clone, Copy, Debug)]
struct Heading {
    axis: usize,
    forward: bool,
}

impl Direction {
    fn across(self) -> Heading {
        let axis = if self == Direction::Sagittal { 1 } else { 0 };
        Heading { axis, forward: true }
    }

    fn down(self) -> Heading {
        match self {
            Direction::Axial => Heading { axis: 1, forward: true },
            Direction::Coronal | Direction::Sagittal => Heading { axis: 2, forward: false },
        }
    }

    /// The patient axis through the plane.
    pub fn through(self) -> usize {
        match self {
            Direction::Axial => 2,
            Direction::Coronal => 1,
            Direction::Sagittal => 0,
        }
    }

    /// What lies to the left, right, top and bottom of the plane (PS3.3 C.7.6.1.1.1).
    pub fn letters(self) -> [&'static str; 4] {
        match self {
            Direction::Axial => ["R", "L", "A", "P"],
            Direction::Coronal => ["R", "L", "H", "F"],
            Direction::Sagittal => ["A", "P", "H", "F"],
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
pub struct Extent(pub [[usize; 2]; 3]);

impl Extent {
    pub fn size(&self, axis: usize) -> usize {
        self.0[axis][1] - self.0[axis][0]
    }
}

/// A plane, or a projection onto one: rows from the top.
#[derive(Clone, Debug)]
pub struct Plane {
    pub direction: Direction,
    pub width: usize,
    pub height: usize,
    /// Distance of neighbours across and down in mm.
    pub spacing: [f64; 2],
    pub hu: Vec<i16>,
    pub labels: Vec<u8>,
}

/// How to walk through a volume's voxels in the order of a plane.
struct Walk {
    start: isize,
    across: isize,
    down: isize,
    width: usize,
    height: usize,
    spacing: [f64; 2],
}

impl Walk {
    /// The walk over a direction's plane at the lower end of the extent.
    fn new(volume: &Volume, extent: &Extent, direction: Direction) -> Walk {
        let order = patient_axes(volume);
        let stride = [1, volume.size[0] as isize, (volume.size[0] * volume.size[1]) as isize];
        let mut start: isize = (0..3).map(|axis| extent.0[axis][0] as isize * stride[axis]).sum();
        let mut step = |heading: Heading| {
            let axis = order[heading.axis];
            let along = (volume.axes[axis][heading.axis] > 0.0) == heading.forward;
            if !along {
                start += (extent.size(axis) as isize - 1) * stride[axis];
            }
            if along { stride[axis] } else { -stride[axis] }
        };
        let (across, down) = (step(direction.across()), step(direction.down()));
        let (column, row) = (order[direction.across().axis], order[direction.down().axis]);
        Walk {
            start,
            across,
            down,
            width: extent.size(column),
            height: extent.size(row),
            spacing: [volume.spacing[column], volume.spacing[row]],
        }
    }

    fn collect<T: Copy>(&self, voxels: &[T], offset: isize) -> Vec<T> {
        let mut plane = Vec::with_capacity(self.width * self.height);
        for y in 0..self.height as isize {
            let row = self.start + offset + y * self.down;
            plane.extend((0..self.width as isize).map(|x| voxels[(row + x * self.across) as usize]));
        }
        plane
    }
}

/// The plane at an index along the volume axis through it, within an extent.
pub fn cut(volume: &Volume, lungs: &Lungs, extent: &Extent, direction: Direction, index: usize) -> Plane {
    let axis = patient_axes(volume)[direction.through()];
    let mut slab = *extent;
    slab.0[axis] = [index, index + 1];
    let walk = Walk::new(volume, &slab, direction);
    plane(direction, &walk, walk.collect(&volume.voxels, 0), walk.collect(&lungs.labels, 0))
}

/// The highest HU inside the lungs along every line of sight through an extent, and the label there
/// is on it; [`EMPTY`] where it meets no lung.
pub fn project(volume: &Volume, lungs: &Lungs, extent: &Extent, direction: Direction) -> Plane {
    let axis = patient_axes(volume)[direction.through()];
    let mut flat = *extent;
    flat.0[axis][1] = flat.0[axis][0] + 1;
    let walk = Walk::new(volume, &flat, direction);
    let stride: isize = volume.size[..axis].iter().product::<usize>() as isize;
    let rows: Vec<(Vec<i16>, Vec<u8>)> = (0..walk.height as isize)
        .into_par_iter()
        .map(|y| {
            let (mut hu, mut labels) = (vec![EMPTY; walk.width], vec![Lungs::NONE; walk.width]);
            for depth in 0..extent.size(axis) as isize {
                let start = walk.start + y * walk.down + depth * stride;
                brighten(&mut hu, &mut labels, &walk, volume, lungs, start);
            }
            (hu, labels)
        })
        .collect();
    let (hu, labels): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
    plane(direction, &walk, hu.concat(), labels.concat())
}

/// What a projection holds where there is no lung: below every HU.
pub const EMPTY: i16 = i16::MIN;

fn brighten(hu: &mut [i16], labels: &mut [u8], walk: &Walk, volume: &Volume, lungs: &Lungs, start: isize) {
    if walk.across == 1 {
        let range = start as usize..start as usize + walk.width;
        let voxels = volume.voxels[range.clone()].iter().zip(&lungs.labels[range]);
        for ((high, label), (&voxel, &here)) in hu.iter_mut().zip(labels).zip(voxels) {
            *high = (*high).max(if here == Lungs::NONE { EMPTY } else { voxel });
            *label = (*label).max(here);
        }
        return;
    }
    for x in 0..walk.width {
        let index = (start + x as isize * walk.across) as usize;
        if lungs.labels[index] != Lungs::NONE {
            hu[x] = hu[x].max(volume.voxels[index]);
            labels[x] = labels[x].max(lungs.labels[index]);
        }
    }
}

fn plane(direction: Direction, walk: &Walk, hu: Vec<i16>, labels: Vec<u8>) -> Plane {
    Plane { direction, width: walk.width, height: walk.height, spacing: walk.spacing, hu, labels }
}

/// Lung voxels in every plane along each volume axis.
pub fn lung_areas(volume: &Volume, lungs: &Lungs) -> [Vec<u32>; 3] {
    let [columns, rows, slices] = volume.size;
    let slabs = lungs.labels.par_chunks_exact(columns * rows);
    let counted: Vec<_> = slabs.map(|slice| slice_areas(slice, columns)).collect();
    let mut areas = [vec![0; columns], vec![0; rows], Vec::with_capacity(slices)];
    for (by_column, by_row) in counted {
        areas[0].iter_mut().zip(&by_column).for_each(|(sum, &count)| *sum += u32::from(count));
        areas[1].iter_mut().zip(&by_row).for_each(|(sum, count)| *sum += count);
        areas[2].push(by_row.iter().sum());
    }
    areas
}

/// Lung voxels in every column and in every row of a slice. A column has at most 65535 voxels.
fn slice_areas(slice: &[u8], columns: usize) -> (Vec<u16>, Vec<u32>) {
    let mut by_column = vec![0; columns];
    let rows = slice.chunks_exact(columns).map(|row| {
        let count = row.chunks(255).map(count_block).sum();
        if count > 0 {
            let counts = by_column.iter_mut().zip(row);
            counts.for_each(|(count, &label)| *count += u16::from(label != Lungs::NONE));
        }
        count
    });
    let by_row = rows.collect();
    (by_column, by_row)
}

/// Of at most 255 labels, so that a byte counts them and many are counted at once.
fn count_block(labels: &[u8]) -> u32 {
    u32::from(labels.iter().map(|&label| u8::from(label != Lungs::NONE)).sum::<u8>())
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
        (volume, Lungs { labels: vec![Lungs::RIGHT; 12], remarks: Vec::new() })
    }

    const WHOLE: Extent = Extent([[0, 3], [0, 2], [0, 2]]);
    const STRAIGHT: [[f64; 3]; 3] = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];

    #[test]
    fn planes_of_an_axial_volume() {
        let (volume, lungs) = numbered(STRAIGHT);
        let axial = cut(&volume, &lungs, &WHOLE, Direction::Axial, 1);
        assert_eq!((axial.width, axial.height, axial.spacing), (3, 2, [1.0, 2.0]));
        assert_eq!(axial.hu, [6, 7, 8, 9, 10, 11]);
        let coronal = cut(&volume, &lungs, &WHOLE, Direction::Coronal, 0);
        assert_eq!(coronal.hu, [6, 7, 8, 0, 1, 2]);
        let sagittal = cut(&volume, &lungs, &WHOLE, Direction::Sagittal, 2);
        assert_eq!((sagittal.hu, sagittal.spacing), (vec![8, 11, 2, 5], [2.0, 3.0]));
    }

    /// Rows run from left to right of the patient and columns from head to foot.
    #[test]
    fn planes_of_a_coronal_volume_seen_from_behind() {
        let axes = [[-1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, -1.0, 0.0]];
        let (volume, lungs) = numbered(axes);
        assert_eq!(patient_axes(&volume), [0, 2, 1]);
        let coronal = cut(&volume, &lungs, &WHOLE, Direction::Coronal, 0);
        assert_eq!(coronal.hu, [2, 1, 0, 5, 4, 3]);
        let axial = cut(&volume, &lungs, &WHOLE, Direction::Axial, 1);
        assert_eq!(axial.hu, [11, 10, 9, 5, 4, 3]);
    }

    #[test]
    fn a_projection_sees_the_brightest_lung_voxel() {
        let (volume, mut lungs) = numbered(STRAIGHT);
        lungs.labels[4] = Lungs::NONE;
        lungs.labels[9] = Lungs::NONE;
        lungs.labels[6] = Lungs::NONE;
        let coronal = project(&volume, &lungs, &WHOLE, Direction::Coronal);
        assert_eq!(coronal.hu, [EMPTY, 10, 11, 3, 1, 5]);
        let sagittal = project(&volume, &lungs, &WHOLE, Direction::Sagittal);
        assert_eq!(sagittal.hu, [8, 11, 2, 5]);
    }

    #[test]
    fn areas_count_lung_voxels_along_every_axis() {
        let (volume, mut lungs) = numbered(STRAIGHT);
        lungs.labels[0] = Lungs::NONE;
        assert_eq!(lung_areas(&volume, &lungs), [vec![3, 4, 4], vec![5, 6], vec![5, 6]]);
    }
}
