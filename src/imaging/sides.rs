//! Right and left: splits lungs that touch, and assigns each to the patient's side.

use super::Volume;
use super::bits::{VoxelBall, VoxelBounds, VoxelSet};
use super::components::{VoxelComponents, VoxelRegion};

/// The largest erosion; touching lungs are connected by less than twice this.
const EROSION_MM_MOST: f64 = 6.0;

/// The lungs by side; a side without a lung is empty.
pub struct LungSides {
    pub right: VoxelSet,
    pub left: VoxelSet,
    pub touched: bool,
}

/// Separates the lungs in a box: the two largest components, or the largest one split.
///
/// The second largest counts if it has more than a share of the largest. A single component is eroded until
/// two parts of that share remain, one beside the other. Both are grown back, and voxels that neither reaches
/// go to the nearer centre along the patient's left-right axis. Erosion and growing back is the plain form of
/// the method of Hu, Hoffman, Reinhardt 2001 (IEEE TMI 20:490) along junction lines.
pub fn tell_sides(volume: &Volume, bounds: &VoxelBounds, lungs: &VoxelSet, second_share: f64) -> LungSides {
    let grid = SideGrid { volume, bounds };
    let components = VoxelComponents::of(lungs);
    match components.largest_two(second_share, |_| true)[..] {
        [] => LungSides {
            right: VoxelSet::empty(lungs.size()),
            left: VoxelSet::empty(lungs.size()),
            touched: false,
        },
        [one, other, ..] => {
            let parts = [one, other].map(|index| components.select(&[index]));
            grid.by_side(parts, [one, other].map(|index| &components.regions[index]))
        }
        [only] => {
            let lung = components.select(&[only]);
            grid.part(&lung, second_share).unwrap_or_else(|| grid.single(lung, &components.regions[only]))
        }
    }
}

struct SideGrid<'a> {
    volume: &'a Volume,
    bounds: &'a VoxelBounds,
}

impl SideGrid<'_> {
    /// Distance of a voxel to the patient's left, in mm.
    fn leftness(&self, at: [f64; 3]) -> f64 {
        let along = |axis: usize| {
            let index = at[axis] + self.bounds.low[axis] as f64;
            index * self.volume.spacing[axis] * self.volume.axes[axis][0]
        };
        self.volume.origin[0] + (0..3).map(along).sum::<f64>()
    }

    fn by_side(&self, parts: [VoxelSet; 2], regions: [&VoxelRegion; 2]) -> LungSides {
        let [one, other] = parts;
        if self.leftness(regions[0].centre()) < self.leftness(regions[1].centre()) {
            LungSides { right: one, left: other, touched: false }
        } else {
            LungSides { right: other, left: one, touched: false }
        }
    }

    fn single(&self, lung: VoxelSet, region: &VoxelRegion) -> LungSides {
        let none = VoxelSet::empty(lung.size());
        let [columns, rows, slices] = self.volume.size;
        let low = self.bounds.low;
        let middle = [columns, rows, slices].map(|count| (count - 1) as f64 / 2.0);
        let middle = std::array::from_fn(|axis| middle[axis] - low[axis] as f64);
        match self.leftness(region.centre()) < self.leftness(middle) {
            true => LungSides { right: lung, left: none, touched: false },
            false => LungSides { right: none, left: lung, touched: false },
        }
    }

    fn part(&self, lung: &VoxelSet, second_share: f64) -> Option<LungSides> {
        let voxel_mm = self.volume.spacing[0].min(self.volume.spacing[1]);
        let mut radius_mm = 1.01 * voxel_mm;
        while radius_mm <= EROSION_MM_MOST.max(3.0 * voxel_mm) {
            let ball = VoxelBall::new(radius_mm, self.volume.spacing);
            let components = VoxelComponents::of(&lung.clone().erode(&ball));
            if let [one, other] = components.largest_two(second_share, |_| true)[..]
                && self.are_beside([one, other].map(|index| &components.regions[index]))
            {
                return Some(self.grown_back(lung, &ball, &components, [one, other]));
            }
            radius_mm *= 1.5;
        }
        None
    }

    /// Whether two regions lie side by side, not one above or behind the other.
    fn are_beside(&self, regions: [&VoxelRegion; 2]) -> bool {
        let [a, b] = regions.map(VoxelRegion::centre);
        let way = |axis: usize| (a[axis] - b[axis]).abs() * self.volume.spacing[axis];
        let aside = (self.leftness(a) - self.leftness(b)).abs();
        let whole = (0..3).map(|axis| way(axis).powi(2)).sum::<f64>().sqrt();
        aside >= 0.7 * whole
    }

    fn grown_back(
        &self,
        lung: &VoxelSet,
        ball: &VoxelBall,
        components: &VoxelComponents,
        chosen: [usize; 2],
    ) -> LungSides {
        let [one, other] = chosen.map(|index| &components.regions[index]);
        let parts = chosen.map(|index| components.select(&[index]).dilate(ball));
        let mut sides = self.by_side(parts, [one, other]);
        sides.right.keep(lung);
        sides.left.keep(lung);
        sides.left.remove(&sides.right);
        let mut rest = lung.clone();
        rest.remove(&sides.right);
        rest.remove(&sides.left);
        let middle = (self.leftness(one.centre()) + self.leftness(other.centre())) / 2.0;
        let pieces = VoxelComponents::of(&rest);
        let is_right = |region: &VoxelRegion| self.leftness(region.centre()) < middle;
        sides.right.add(&pieces.select(&pieces.by_size(is_right)));
        sides.left.add(&pieces.select(&pieces.by_size(|region| !is_right(region))));
        LungSides { touched: true, ..sides }
    }
}
