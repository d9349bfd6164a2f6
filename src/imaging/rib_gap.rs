//! Dense tissue between the lung and the ribs: fluid, consolidated lung or a mass behind or beside the lung.
//!
//! Rays leave the middle of a lung in each slice to the side and to the back. A healthy lung reaches to the ribs;
//! between them, a ray ends at the shoulder blade or nowhere, so the nearest bone within a rib's distance
//! along the body counts.

use super::bits::VoxelSet;
use super::coarse::CoarseGrid;
use super::{Lungs, Volume};

/// The mean of a cell with bone in it.
const BONE_HU: i16 = 150;
/// Below this, a ray has left the body. Lung with so little air that it was not taken for lung is above.
const OUTSIDE_HU: i16 = -600;
/// Directions in degrees from the side to the back.
const FIRST_DEGREES: i32 = -20;
const LAST_DEGREES: i32 = 80;
const STEP_DEGREES: usize = 5;
/// Ribs repeat within this distance along the body.
const RIB_MM: f64 = 32.0;
/// More tissue than this between lung and rib is not pleura and muscle.
const GAP_MM: f64 = 20.0;
/// The longest ray beyond the lung.
const REACH_MM: f64 = 120.0;
/// The fewest rays whose share means something.
const RAYS_LEAST: usize = 60;

/// The percentage of rays with more than [`GAP_MM`] of tissue between lung and rib: right, left.
pub fn rib_gap_percent(volume: &Volume, lungs: &Lungs) -> [Option<f64>; 2] {
    match volume.has_rows_sideways() {
        true => sideways_percent(volume, lungs),
        false => sideways_percent(&volume.transposed(), &lungs.clone().transposed()),
    }
}

/// The percentages in a volume whose rows run from side to side.
fn sideways_percent(volume: &Volume, lungs: &Lungs) -> [Option<f64>; 2] {
    let grid = &volume.coarse();
    let back = if volume.axes[1][1] >= 0.0 { 1.0 } else { -1.0 };
    let left = if volume.axes[0][0] >= 0.0 { 1.0 } else { -1.0 };
    [(&lungs.right, -left), (&lungs.left, left)].map(|(lung, side)| {
        let rays = LungRays { grid, lung: grid.cells_of(lung), side, back };
        rays.percent()
    })
}

struct LungRays<'a> {
    grid: &'a CoarseGrid,
    lung: VoxelSet,
    /// The directions of the grid to the lung's side and to the back.
    side: f64,
    back: f64,
}

impl LungRays<'_> {
    fn percent(&self) -> Option<f64> {
        let bounds = self.lung.bounds()?;
        let slices: Vec<Vec<Option<f64>>> = (bounds.low[2]..bounds.high[2]).map(|z| self.gaps(z)).collect();
        let window = ((RIB_MM / self.grid.spacing[2]).round() as usize).max(1);
        let (mut rays, mut wide) = (0, 0);
        for slices in slices.windows(window) {
            for ray in 0..slices[0].len() {
                let gaps = slices.iter().filter_map(|gaps| gaps[ray]);
                if let Some(gap) = gaps.reduce(f64::min) {
                    rays += 1;
                    wide += usize::from(gap > GAP_MM);
                }
            }
        }
        (rays >= RAYS_LEAST).then(|| 100.0 * wide as f64 / rays as f64)
    }

    /// The tissue between lung and bone in each direction of a slice, in mm.
    fn gaps(&self, z: usize) -> Vec<Option<f64>> {
        let degrees = (FIRST_DEGREES..=LAST_DEGREES).step_by(STEP_DEGREES);
        let Some(middle) = self.middle(z) else { return degrees.map(|_| None).collect() };
        let ray = |degrees: i32| {
            let angle = f64::from(degrees).to_radians();
            self.gap(middle, [self.side * angle.cos(), self.back * angle.sin()], z)
        };
        degrees.map(ray).collect()
    }

    fn middle(&self, z: usize) -> Option<[f64; 2]> {
        let inside = (0..self.grid.size[1]).flat_map(|y| self.lung.columns(y, z).map(move |x| [x, y]));
        let (count, sums) =
            inside.fold((0, [0; 2]), |(count, [sum_x, sum_y]), [x, y]| (count + 1, [sum_x + x, sum_y + y]));
        (count > 0).then(|| sums.map(|sum| sum as f64 / f64::from(count)))
    }

    fn gap(&self, middle: [f64; 2], towards: [f64; 2], z: usize) -> Option<f64> {
        let step_mm = self.grid.spacing[0].min(self.grid.spacing[1]) / 2.0;
        let at = |step: usize| {
            let place: [f64; 2] = std::array::from_fn(|axis| {
                middle[axis] + towards[axis] * step as f64 * step_mm / self.grid.spacing[axis]
            });
            let inside = (0..2).all(|axis| (0.0..self.grid.size[axis] as f64 - 0.5).contains(&place[axis]));
            inside.then(|| [place[0].round() as usize, place[1].round() as usize, z])
        };
        let cells: Vec<[usize; 3]> = (0..).map_while(at).collect();
        let last = cells.iter().rposition(|at| self.lung.contains(*at))?;
        let beyond = cells[last + 1..].iter().take((REACH_MM / step_mm) as usize);
        let mut beyond = beyond.map(|at| self.grid.mean(*at)).take_while(|hu| *hu >= OUTSIDE_HU);
        let steps = beyond.position(|hu| hu >= BONE_HU)?;
        Some(steps as f64 * step_mm)
    }
}
