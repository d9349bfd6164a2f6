//! Thin layers of gas at the surface of the lungs, as in a small pneumothorax or in the mediastinum beside them.
//!
//! A layer of some millimetres does not fill the cells of a coarse grid ([`super::gas`] tells thicker ones). Lines of
//! voxels go from the outermost surface inwards, along rows and columns. The mean over neighbouring lines falls far
//! below that of the lung behind it where a layer is, whatever the noise; a lung with emphysema is as low behind, and
//! the rim that a sharp kernel makes is not as low.

use rayon::prelude::*;

use super::Volume;
use super::bits::{VoxelBounds, VoxelSet};

/// Wider voxels hide a thin layer.
const VOXEL_MM_MOST: f64 = 2.0;
/// The distance between lines.
const LINES_MM: f64 = 4.0;
/// Depths of layers, and of the lung behind them.
const LAYER_MM: f64 = 6.5;
const BEHIND_MM: std::ops::Range<f64> = 9.0..16.0;
/// The mean of a layer at its lowest, and how far below the lung behind it this is. One real chest with a sharp kernel
/// has 1 mL of such layers, and with a layer of 3 mm before one lung 28 mL.
const LAYER_HU: f64 = -970.0;
const BELOW_LUNG_HU: f64 = 90.0;
/// The fewest of nine neighbouring lines.
const LINES_LEAST: usize = 6;
/// Below this, there is only noise.
const LEAST_HU: i16 = -1024;

/// A line from the outermost voxel of lung inwards: CT numbers by depth.
type DepthLine = Vec<f64>;

/// The volume in mL of thin layers of gas at the surface of lungs, on the grid of a box: what the lines along
/// rows find, or those along columns if they find more.
pub fn thin_layers_ml(volume: &Volume, bounds: &VoxelBounds, lungs: [&VoxelSet; 2]) -> f64 {
    if volume.spacing[0].max(volume.spacing[1]) > VOXEL_MM_MOST {
        return 0.0;
    }
    let along = |axis: usize| {
        let ends = lungs.into_iter().flat_map(|lung| [(lung, SurfaceEnd::Low), (lung, SurfaceEnd::High)]);
        ends.map(|(lung, end)| SurfaceLines { volume, bounds, lung, axis, end }.layers_ml()).sum::<f64>()
    };
    along(0).max(along(1))
}

/// The end of rows or columns from which lines go inwards.
#[derive(Clone, Copy, PartialEq)]
enum SurfaceEnd {
    Low,
    High,
}

/// Lines along rows (axis 0) or columns (axis 1), from one of their ends.
struct SurfaceLines<'a> {
    volume: &'a Volume,
    bounds: &'a VoxelBounds,
    lung: &'a VoxelSet,
    axis: usize,
    end: SurfaceEnd,
}

impl SurfaceLines<'_> {
    /// Every how many voxels there is a line, along an axis.
    fn step(&self, axis: usize) -> usize {
        ((LINES_MM / self.volume.spacing[axis]).round() as usize).max(1)
    }

    fn layers_ml(&self) -> f64 {
        let (across, size) = (1 - self.axis, self.lung.size());
        let [step, step_z] = [self.step(across), self.step(2)];
        let slices: Vec<usize> = (0..size[2]).step_by(step_z).collect();
        let places = || (0..size[across]).step_by(step);
        let lines: Vec<Vec<Option<DepthLine>>> =
            slices.par_iter().map(|z| places().map(|place| self.line(place, *z)).collect()).collect();
        let mm2 = step as f64 * self.volume.spacing[across] * step_z as f64 * self.volume.spacing[2];
        let layer_mm = |z: usize| {
            let has_line = (0..lines[z].len()).filter(|place| lines[z][*place].is_some());
            has_line.filter_map(|place| self.layer_mm(&mean_line(&lines, z, place)?)).sum::<f64>()
        };
        (0..lines.len()).map(layer_mm).sum::<f64>() * mm2 / 1000.0
    }

    /// The line at a place across the lines, in a slice; nothing if there is too little lung on it.
    fn line(&self, place: usize, z: usize) -> Option<DepthLine> {
        let at = |along: usize| if self.axis == 0 { [along, place, z] } else { [place, along, z] };
        let length = self.lung.size()[self.axis];
        let is_lung = |along: &usize| self.lung.contains(at(*along));
        let first = match (self.axis, self.end) {
            (0, SurfaceEnd::Low) => self.lung.columns(place, z).next()?,
            (0, SurfaceEnd::High) => self.lung.columns(place, z).last()?,
            (_, SurfaceEnd::Low) => (0..length).find(is_lung)?,
            (_, SurfaceEnd::High) => (0..length).rev().find(is_lung)?,
        };
        let depths = (BEHIND_MM.end / self.volume.spacing[self.axis]) as usize + 1;
        let voxel = |depth: usize| {
            let along = match self.end {
                SurfaceEnd::Low => (first + depth < length).then_some(first + depth)?,
                SurfaceEnd::High => first.checked_sub(depth)?,
            };
            let [x, y, z] = at(along);
            let row = self.volume.row(y + self.bounds.low[1], z + self.bounds.low[2]);
            is_lung(&along).then(|| f64::from(row[x + self.bounds.low[0]].max(LEAST_HU)))
        };
        (0..depths).map(voxel).collect()
    }

    /// The thickness of the layer that a mean line has in it.
    fn layer_mm(&self, line: &[f64]) -> Option<f64> {
        let depth = |mm: f64| (mm / self.volume.spacing[self.axis]) as usize;
        // The outermost voxel is partly wall.
        let layer = 1..(depth(LAYER_MM) + 1).max(2);
        let lowest = line[layer.clone()].iter().copied().fold(f64::INFINITY, f64::min);
        let behind = &line[depth(BEHIND_MM.start)..];
        let behind = behind.iter().sum::<f64>() / behind.len() as f64;
        if lowest >= LAYER_HU || behind - lowest < BELOW_LUNG_HU {
            return None;
        }
        let is_low = |hu: &&f64| **hu < (lowest + behind) / 2.0;
        Some(line[layer].iter().filter(is_low).count() as f64 * self.volume.spacing[self.axis])
    }
}

/// The mean of a line and the eight around it, if enough of them have lung.
fn mean_line(lines: &[Vec<Option<DepthLine>>], z: usize, place: usize) -> Option<DepthLine> {
    let around = |at: usize, end: usize| at.saturating_sub(1)..(at + 2).min(end);
    let rows = lines[around(z, lines.len())].iter();
    let near: Vec<&DepthLine> = rows.flat_map(|row| row[around(place, row.len())].iter().flatten()).collect();
    let mean = |depth: usize| near.iter().map(|line| line[depth]).sum::<f64>() / near.len() as f64;
    (near.len() >= LINES_LEAST).then(|| (0..near[0].len()).map(mean).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: [usize; 3] = [128, 100, 30];

    /// The layers of a lung of 80 × 70 × 80 mm in voxels of 1 × 1 × 4 mm, whose CT numbers depend on the depth from the
    /// front, with noise of 45 HU.
    fn layers(hu: impl Fn(f64) -> f64) -> f64 {
        layers_of(|[_, y, _]| hu(y as f64 - 15.0), 100)
    }

    /// The layers of such a lung, of which what lies from a column on is the other lung, with CT numbers by place.
    fn layers_of(hu: impl Fn([usize; 3]) -> f64, middle: usize) -> f64 {
        let mut state = 7_u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f64::from(state >> 16) / 65_536.0
        };
        let is_lung =
            |[x, y, z]: [usize; 3]| (20..100).contains(&x) && (15..85).contains(&y) && (5..25).contains(&z);
        let place = |index: usize| [index % 128, index / 128 % 100, index / 12_800];
        let mut voxel = |index: usize| {
            let noise = 45.0 * ((0..12).map(|_| random()).sum::<f64>() - 6.0);
            (noise + if is_lung(place(index)) { hu(place(index)) } else { 40.0 }).round() as i16
        };
        let voxels: Vec<i16> = (0..SIZE.iter().product()).map(&mut voxel).collect();
        let axes = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        let volume =
            Volume { voxels: voxels.into(), size: SIZE, spacing: [1.0, 1.0, 4.0], origin: [0.0; 3], axes };
        let [right, left] = [false, true].map(|is_left| {
            VoxelSet::of(SIZE, |index| is_lung(place(index)) && is_left == (place(index)[0] >= middle))
        });
        let bounds = VoxelBounds { low: [0; 3], high: SIZE };
        thin_layers_ml(&volume, &bounds, [&right, &left])
    }

    #[test]
    fn a_layer_of_3_mm_is_found_whatever_the_noise() {
        let ml = layers(|depth| if depth < 3.0 { -1000.0 } else { -860.0 });
        // 80 × 80 × 3 mm, of which the outermost voxel does not count.
        assert!((11.0..18.0).contains(&ml), "{ml} mL");
    }

    #[test]
    fn a_layer_between_the_lungs_is_found() {
        let ml = layers_of(|[x, _, _]| if (55..60).contains(&x) { -1000.0 } else { -860.0 }, 60);
        // 70 × 80 × 5 mm, of which the outermost voxel does not count.
        assert!((15.0..28.0).contains(&ml), "{ml} mL");
    }

    #[test]
    fn neither_lung_nor_emphysema_nor_the_rim_of_a_sharp_kernel_is_a_layer() {
        assert_eq!(layers(|_| -860.0), 0.0);
        assert_eq!(layers(|_| -970.0), 0.0);
        assert_eq!(layers(|depth| if depth < 2.0 { -895.0 } else { -860.0 }), 0.0);
    }
}
