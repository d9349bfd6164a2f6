//! Right and left: splits lungs that touch, and assigns each to the patient's side.

use super::Volume;
use super::bits::{Ball, Bits, Bounds};
use super::components::{Components, Region};

/// The largest erosion; touching lungs are connected by less than twice this.
const EROSION_MM_MOST: f64 = 6.0;

/// The lungs by side; a side without a lung is empty.
pub struct Sides {
    pub right: Bits,
    pub left: Bits,
    pub touched: bool,
}

/// Separates the lungs in a box: the two largest components, or the largest one split.
///
/// The second largest counts if it has more than a share of the largest. A single component is eroded until
/// two parts of that share remain, one beside the other. Both are grown back, and voxels that neither reaches
/// go to the nearer centre along the patient's left-right axis. Erosion and growing back is the plain form of
/// the method of Hu, Hoffman, Reinhardt 2001 (IEEE TMI 20:490) along junction lines.
pub fn tell_sides(volume: &Volume, bounds: &Bounds, lungs: &Bits, second_share: f64) -> Sides {
    let grid = Grid { volume, bounds };
    let components = Components::of(lungs);
    match components.largest_two(second_share, |_| true)[..] {
        [] => Sides { right: Bits::empty(lungs.size()), left: Bits::empty(lungs.size()), touched: false },
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

struct Grid<'a> {
    volume: &'a Volume,
    bounds: &'a Bounds,
}

impl Grid<'_> {
    /// Distance of a voxel to the patient's left, in mm.
    fn leftness(&self, at: [f64; 3]) -> f64 {
        let along = |axis: usize| {
            let index = at[axis] + self.bounds.low[axis] as f64;
            index * self.volume.spacing[axis] * self.volume.axes[axis][0]
        };
        self.volume.origin[0] + (0..3).map(along).sum::<f64>()
    }

    fn by_side(&self, parts: [Bits; 2], regions: [&Region; 2]) -> Sides {
        let [one, other] = parts;
        if self.leftness(regions[0].centre()) < self.leftness(regions[1].centre()) {
            Sides { right: one, left: other, touched: false }
        } else {
            Sides { right: other, left: one, touched: false }
        }
    }

    fn single(&self, lung: Bits, region: &Region) -> Sides {
        let none = Bits::empty(lung.size());
        let [columns, rows, slices] = self.volume.size;
        let low = self.bounds.low;
        let middle = [columns, rows, slices].map(|count| (count - 1) as f64 / 2.0);
        let middle = std::array::from_fn(|axis| middle[axis] - low[axis] as f64);
        match self.leftness(region.centre()) < self.leftness(middle) {
            true => Sides { right: lung, left: none, touched: false },
            false => Sides { right: none, left: lung, touched: false },
        }
    }

    fn part(&self, lung: &Bits, second_share: f64) -> Option<Sides> {
        let voxel_mm = self.volume.spacing[0].min(self.volume.spacing[1]);
        let mut radius_mm = 1.01 * voxel_mm;
        while radius_mm <= EROSION_MM_MOST.max(3.0 * voxel_mm) {
            let ball = Ball::new(radius_mm, self.volume.spacing);
            let components = Components::of(&lung.clone().erode(&ball));
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
    fn are_beside(&self, regions: [&Region; 2]) -> bool {
        let [a, b] = regions.map(Region::centre);
        let way = |axis: usize| (a[axis] - b[axis]).abs() * self.volume.spacing[axis];
        let aside = (self.leftness(a) - self.leftness(b)).abs();
        let whole = (0..3).map(|axis| way(axis).powi(2)).sum::<f64>().sqrt();
        aside >= 0.7 * whole
    }

    fn grown_back(&self, lung: &Bits, ball: &Ball, components: &Components, chosen: [usize; 2]) -> Sides {
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
        let pieces = Components::of(&rest);
        let is_right = |region: &Region| self.leftness(region.centre()) < middle;
        sides.right.add(&pieces.select(&pieces.by_size(is_right)));
        sides.left.add(&pieces.select(&pieces.by_size(|region| !is_right(region))));
        Sides { touched: true, ..sides }
    }
}
