//! The trachea and the main bronchi, followed slice by slice from the head down.
//!
//! In the upper slices the trachea is a round area of air, separate from the lungs. In each further slice the
//! air that overlaps it is grown anew, at the highest threshold at which the lumen neither spreads out nor
//! lacks a wall. A lumen that opens into the lung, or a wall broken by noise, leads to a lower threshold.
//! Where no threshold holds, the branch ends: this is where a bronchus enters the lung. The overlap splits in
//! two at the carina. Removing the airways before the lungs are told apart follows Hu, Hoffman, Reinhardt
//! 2001 (IEEE TMI 20:490).
//!
//! Branches that run upwards are not followed, and where voxels are as wide as a bronchus' wall (4 mm) only a
//! part of the airways is found.

use super::Volume;
use super::bits::{VoxelBounds, VoxelSet};
use super::components::{VoxelComponents, VoxelRegion};

/// Cross section of a trachea in mm²; adults have 150 to 450. The lengths of a volume are those of an adult.
const TRACHEA_MM2: std::ops::RangeInclusive<f64> = 40.0..=700.0;
/// Longest by shortest side of the cross section's bounding box.
const ASPECT_MOST: f64 = 2.5;
/// A shorter structure is not a trachea, but the tip of a lung or the gullet.
const LENGTH_MM_LEAST: f64 = 30.0;
/// The length and the median CT number of what is a trachea for certain. Lung is denser, also with emphysema.
const LONG_MM: f64 = 60.0;
const AIR_HU_MOST: i16 = -930;
/// Such a trachea begins in the first part, one of so many, of the slices with air.
const CERTAIN_START: usize = 4;
/// The largest lumen, at the carina.
const LUMEN_MM2_MOST: f64 = 900.0;
const LUMEN_MM2_LEAST: f64 = 12.0;
/// The growth of a lumen that is allowed: a share per mm, and an area at once.
const WIDENING_PER_MM: f64 = 0.3;
const WIDENING_MM2: f64 = 40.0;
/// The largest share of the lungs' air that can be airways. In adults it is 1 to 4 %; what has more is a lung.
const AIR_SHARE_MOST: f64 = 0.1;
/// Thresholds in HU, each tried when the one before lets the lumen spread out.
const LUMEN_HU: [i16; 6] = [-400, -500, -600, -700, -800, -900];
/// A wall reaches this CT number within a distance of the lumen, around a share of its border.
const WALL_HU: i16 = -500;
const WALL_MM: f64 = 3.0;
const WALL_SHARE: f64 = 0.7;

/// The end of the images from which airways are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AirwayEnd {
    Head,
    /// The end where no trachea is, if the header is right.
    Feet,
}

/// Airways that were followed from one end of the images.
pub struct TrackedAirways {
    pub lumen: VoxelSet,
    /// They begin near that end, are long, and filled with air: bronchi that are followed the wrong way do not, and
    /// the tips of lungs are not.
    pub is_certain: bool,
}

/// Trachea and main bronchi within a box of a volume, on the box's grid; `None` if no trachea is found. `air` is the
/// air inside the body, on the same grid, and lungs have `lung_voxels` of air.
pub fn find_airways(
    volume: &Volume,
    bounds: &VoxelBounds,
    air: &VoxelSet,
    lung_voxels: u64,
    end: AirwayEnd,
) -> Option<TrackedAirways> {
    let voxels_most = (AIR_SHARE_MOST * lung_voxels as f64) as u64;
    let mut tracker = AirwayTracker::new(volume, bounds);
    if end == AirwayEnd::Feet {
        tracker.head_first = !tracker.head_first;
    }
    // The trachea begins in the upper half of the lungs' extent or above.
    let upper = tracker.depth / 2 + 1;
    for step in 0..upper {
        for start in tracheas(&tracker, air, step) {
            let found = tracker.follow(start, step);
            let voxels = found.iter().flat_map(|(_, branches)| branches).map(Vec::len).sum::<usize>() as u64;
            let length_mm = found.len() as f64 * volume.spacing[2];
            if length_mm >= LENGTH_MM_LEAST && voxels <= voxels_most {
                let is_at_end = step * CERTAIN_START <= tracker.depth;
                let is_certain =
                    is_at_end && length_mm >= LONG_MM && tracker.median_hu(&found) <= AIR_HU_MOST;
                return Some(TrackedAirways { lumen: tracker.filled(&found), is_certain });
            }
        }
    }
    None
}

/// Cross sections in a slice that could be a trachea.
fn tracheas(tracker: &AirwayTracker, air: &VoxelSet, step: usize) -> Vec<Vec<[usize; 2]>> {
    let z = tracker.slice(step);
    let [columns, rows, _] = air.size();
    let slice = air.crop(&VoxelBounds { low: [0, 0, z], high: [columns, rows, z + 1] });
    let components = VoxelComponents::of(&slice);
    let fitting = components.by_size(|region| is_round(region, tracker));
    fitting
        .into_iter()
        .map(|index| pixels(&components.select(&[index]), &components.regions[index]))
        .collect()
}

fn is_round(region: &VoxelRegion, tracker: &AirwayTracker) -> bool {
    let VoxelBounds { low, high } = region.bounds;
    let [width, height] = [0, 1].map(|axis| (high[axis] - low[axis]) as f64 * tracker.volume.spacing[axis]);
    let area = region.voxels as f64 * tracker.pixel_mm2;
    let aspect = width.max(height) / width.min(height);
    TRACHEA_MM2.contains(&area) && aspect <= ASPECT_MOST && area >= 0.5 * width * height
}

fn pixels(slice: &VoxelSet, region: &VoxelRegion) -> Vec<[usize; 2]> {
    let VoxelBounds { low, high } = region.bounds;
    let all = (low[1]..high[1]).flat_map(|y| (low[0]..high[0]).map(move |x| [x, y]));
    all.filter(|[x, y]| slice.contains([*x, *y, 0])).collect()
}

/// The result for one slice: its number, and the pixels of each branch.
type AirwayStage = (usize, Vec<Vec<[usize; 2]>>);

struct AirwayTracker<'a> {
    volume: &'a Volume,
    bounds: VoxelBounds,
    columns: usize,
    rows: usize,
    depth: usize,
    head_first: bool,
    pixel_mm2: f64,
    wall_pixels: usize,
}

impl<'a> AirwayTracker<'a> {
    fn new(volume: &'a Volume, bounds: &VoxelBounds) -> AirwayTracker<'a> {
        let [columns, rows, depth] = [0, 1, 2].map(|axis| bounds.high[axis] - bounds.low[axis]);
        let pixel_mm2 = volume.spacing[0] * volume.spacing[1];
        let wall_pixels = (WALL_MM / pixel_mm2.sqrt()).ceil() as usize;
        let head_first = volume.axes[2][2] < 0.0;
        AirwayTracker { volume, bounds: *bounds, columns, rows, depth, head_first, pixel_mm2, wall_pixels }
    }

    /// The number of a slice, counted from the head.
    fn slice(&self, step: usize) -> usize {
        if self.head_first { step } else { self.depth - 1 - step }
    }

    fn hu(&self, [x, y]: [usize; 2], z: usize) -> i16 {
        let [columns, rows, _] = self.volume.size;
        let [left, front, first] = self.bounds.low;
        self.volume.voxels[((z + first) * rows + y + front) * columns + x + left]
    }

    fn follow(&self, start: Vec<[usize; 2]>, step: usize) -> Vec<AirwayStage> {
        let mut followed = vec![(self.slice(step), vec![start])];
        for step in step + 1..self.depth {
            let z = self.slice(step);
            let (_, branches) = followed.last().expect("it has a start");
            let branches = self.next(branches, z);
            if branches.is_empty() {
                break;
            }
            followed.push((z, branches));
        }
        followed
    }

    /// The median CT number: the voxels at the walls are averaged with these.
    fn median_hu(&self, followed: &[AirwayStage]) -> i16 {
        let pixels =
            followed.iter().flat_map(|(z, branches)| branches.iter().flatten().map(move |at| (*at, *z)));
        let mut numbers: Vec<i16> = pixels.map(|(at, z)| self.hu(at, z)).collect();
        numbers.sort_unstable();
        numbers.get(numbers.len() / 2).copied().unwrap_or(0)
    }

    fn filled(&self, followed: &[AirwayStage]) -> VoxelSet {
        let mut lumen = VoxelSet::empty([self.columns, self.rows, self.depth]);
        for (z, branches) in followed {
            branches.iter().flatten().for_each(|[x, y]| lumen.insert([*x, *y, *z]));
        }
        lumen
    }

    /// The lumina in the next slice that overlap the ones in this slice.
    fn next(&self, branches: &[Vec<[usize; 2]>], z: usize) -> Vec<Vec<[usize; 2]>> {
        let mut taken = self.nothing();
        let mut lumina = Vec::new();
        for branch in branches {
            let growth = 1.0 + WIDENING_PER_MM * self.volume.spacing[2];
            let area = branch.len() as f64 * self.pixel_mm2;
            let most = LUMEN_MM2_MOST.min(area * growth + WIDENING_MM2);
            let mut search = BranchSearch::new(self, z, (most / self.pixel_mm2) as usize);
            for seed in branch {
                if taken.contains([seed[0], seed[1], 0]) {
                    continue;
                }
                if let Some(grown) = search.lumen(*seed) {
                    grown.iter().for_each(|[x, y]| taken.insert([*x, *y, 0]));
                    lumina.push(grown);
                }
            }
        }
        lumina
    }

    fn nothing(&self) -> VoxelSet {
        VoxelSet::empty([self.columns, self.rows, 1])
    }

    /// Adds the air around a seed; `false` as soon as the area is more than `most` pixels, or reaches the
    /// border or an area that was rejected before.
    fn flood(
        &self,
        grown: &mut Vec<[usize; 2]>,
        z: usize,
        threshold: i16,
        most: usize,
        refused: &VoxelSet,
    ) -> bool {
        let mut seen = self.nothing();
        grown.iter().for_each(|[x, y]| seen.insert([*x, *y, 0]));
        let mut next = 0;
        while let Some(&pixel) = grown.get(next) {
            next += 1;
            for direction in DIRECTIONS {
                let Some(neighbour) = self.beside(pixel, direction, 1) else { return false };
                let at = [neighbour[0], neighbour[1], 0];
                if self.hu(neighbour, z) < threshold && !seen.contains(at) {
                    if refused.contains(at) {
                        return false;
                    }
                    seen.insert(at);
                    grown.push(neighbour);
                }
            }
            if grown.len() > most {
                return false;
            }
        }
        true
    }

    /// Whether most of the directions out of a lumen meet a wall.
    fn is_walled(&self, lumen: &[[usize; 2]], z: usize) -> bool {
        let mut inside = self.nothing();
        lumen.iter().for_each(|pixel| inside.insert([pixel[0], pixel[1], 0]));
        let (mut ways, mut walls) = (0, 0);
        for pixel in lumen {
            for direction in DIRECTIONS {
                let beside = self.beside(*pixel, direction, 1);
                if beside.is_some_and(|[x, y]| inside.contains([x, y, 0])) {
                    continue;
                }
                let mut way = (1..=self.wall_pixels).filter_map(|far| self.beside(*pixel, direction, far));
                ways += 1;
                walls += usize::from(way.any(|pixel| self.hu(pixel, z) >= WALL_HU));
            }
        }
        walls as f64 >= WALL_SHARE * ways as f64
    }

    fn beside(&self, [x, y]: [usize; 2], [dx, dy]: [isize; 2], far: usize) -> Option<[usize; 2]> {
        let x = x.checked_add_signed(dx * far as isize).filter(|x| *x < self.columns)?;
        let y = y.checked_add_signed(dy * far as isize).filter(|y| *y < self.rows)?;
        Some([x, y])
    }
}

/// The search for the lumina that continue one branch in a slice.
///
/// Areas that were rejected for one seed are rejected for every other seed in the same air. They are kept for
/// each threshold, because a branch that opens into the lung would otherwise be grown anew from each of its
/// pixels.
struct BranchSearch<'a> {
    tracker: &'a AirwayTracker<'a>,
    z: usize,
    /// Largest area of a lumen, in pixels.
    most: usize,
    least: usize,
    refused: [Option<VoxelSet>; LUMEN_HU.len()],
}

impl<'a> BranchSearch<'a> {
    fn new(tracker: &'a AirwayTracker, z: usize, most: usize) -> BranchSearch<'a> {
        let least = (LUMEN_MM2_LEAST / tracker.pixel_mm2).ceil() as usize;
        BranchSearch { tracker, z, most, least, refused: Default::default() }
    }

    /// The lumen around a seed at the highest threshold that holds.
    fn lumen(&mut self, seed: [usize; 2]) -> Option<Vec<[usize; 2]>> {
        let hu = self.tracker.hu(seed, self.z);
        (0..LUMEN_HU.len()).take_while(|level| hu < LUMEN_HU[*level]).find_map(|level| self.grow(seed, level))
    }

    /// The air around a seed, 4-connected; `None` if the area is more than `most` pixels, reaches the border,
    /// is too small or lacks a wall.
    fn grow(&mut self, seed: [usize; 2], level: usize) -> Option<Vec<[usize; 2]>> {
        let BranchSearch { tracker, z, .. } = *self;
        let refused = self.refused[level].get_or_insert_with(|| tracker.nothing());
        if refused.contains([seed[0], seed[1], 0]) {
            return None;
        }
        let mut grown = vec![seed];
        let ends = tracker.flood(&mut grown, z, LUMEN_HU[level], self.most, refused);
        if ends && grown.len() >= self.least && tracker.is_walled(&grown, z) {
            return Some(grown);
        }
        grown.iter().for_each(|[x, y]| refused.insert([*x, *y, 0]));
        None
    }
}

const DIRECTIONS: [[isize; 2]; 4] = [[-1, 0], [1, 0], [0, -1], [0, 1]];
