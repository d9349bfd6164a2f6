//! Organs on the wrong side: images that are mirrored from side to side against their header.
//!
//! A chest that is mirrored looks like a chest, with right and left exchanged. Two signs together tell it. The liver is
//! the largest solid organ below the lungs: on its side lies several times as much solid tissue far from fat and gas as
//! on the other, where stomach, spleen and bowel lie. The heart lies to the left of the plane through spine and
//! breastbone: the middle between the lungs before the spine tells where it is. The plane is the one about which
//! the ribs are most alike, because patients lie turned on the table.
//!
//! Either sign alone is seen in diseases: lost lung draws the heart to its side and fluid pushes it away, and a large
//! spleen or a collapsed lower lobe is solid tissue on the left. Nothing is said of a chest with one lung.

use std::ops::Range;

use super::bits::{VoxelBall, VoxelSet};
use super::body::{BodyInside, body_inside};
use super::body_size::{BodyScale, amount};
use super::coarse::CoarseGrid;
use super::{Lungs, Volume};
use crate::step::StepReservation;

/// How many times the other side's solid tissue the liver's side has at least, and its least volume. Three chests have 5.6,
/// 9 and over 100 times as much on the right, one of them with a left lower lobe without air 1.6 times.
const LIVER_TIMES: f64 = 3.0;
const LIVER_ML_LEAST: f64 = 100.0;
/// How far the heart lies from the middle. In three chests it lies 16, 15 and 4 mm to the left; the last one's right lung
/// has lost half its volume and draws it to the right, in variants as far as 1.5 mm over the middle.
const HEART_MM_LEAST: f64 = 2.0;
/// Liver, spleen and muscle, also with a contrast agent; fluid is below.
const SOLID_HU: std::ops::RangeInclusive<i32> = 20..=250;
/// CT numbers beyond these count as these in means.
const MEAN_HU: [i32; 2] = [-300, 300];
/// The width of the cubes of which means are taken: noise does not make holes in the liver.
const SMOOTH_MM: f64 = 12.0;
/// The distance of solid tissue from anything else.
const DEPTH_MM: f64 = 12.0;
/// The distance of the sides from the middle: spine, aorta and heart lie between.
const SIDE_MM: f64 = 30.0;
/// How far below the lungs the liver is sought, and up to which part of their height.
const BELOW_MM: f64 = 80.0;
const DOME_SHARE: f64 = 0.25;
/// The part of the lungs' height in which the heart lies, from their lowest place on.
const HEART_SHARE: [f64; 2] = [0.25, 0.6];
/// The heart lies so far before the spine's middle, and a gap between the lungs is at least so wide where it is.
const BEFORE_SPINE_MM: f64 = 48.0;
const GAP_MM_LEAST: f64 = 24.0;
/// Rows of the heart: fewer tell nothing.
const ROWS_LEAST: usize = 20;
const BONE_HU: i16 = 150;
/// Slices of bone that count in one place: a spine weighs no more than ribs.
const BONE_SLICES_MOST: u32 = 6;
/// Half the width of the vertebrae.
const SPINE_MM: f64 = 22.0;
/// Between the lungs there is bone up to so far before the spine's middle: further to the front it is a heart with a
/// contrast agent.
const VERTEBRA_MM: f64 = 24.0;
/// How far a patient is turned at most.
const TURN_DEGREES: i32 = 30;
const TURN_STEP: usize = 1;
/// The distances of points in a slice, from side to side and from front to back, and how far they reach to either side and
/// to the front. Points further apart would round the heart's place to cells.
const POINT_MM: [f64; 2] = [1.0, 4.0];
const REACH_MM: [f64; 2] = [200.0, 240.0];

/// A reservation if the heart lies to the patient's right and the liver below the left lung. `lungs` are on the grid
/// of the volume.
pub fn mirrored_organs(volume: &Volume, lungs: &Lungs) -> Option<StepReservation> {
    let scale = BodyScale::of(volume);
    let adult = scale.adult(volume);
    let organs = match volume.has_rows_sideways() {
        true => organs_sideways(&adult, lungs),
        false => organs_sideways(&adult.transposed(), &lungs.clone().transposed()),
    };
    organs?.reservation(scale)
}

fn organs_sideways(volume: &Volume, lungs: &Lungs) -> Option<OrganSides> {
    let grid = &volume.coarse();
    let body = body_inside(grid, volume.axes[1][1] >= 0.0)?;
    let [right, left] = [&lungs.right, &lungs.left].map(|lung| grid.cells_of(lung));
    OrganSides::of(volume, grid, &body, [&right, &left])
}

/// Where liver and heart lie, in the lengths of an adult.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OrganSides {
    /// Solid tissue at a distance from fat and gas, below the right and the left lung.
    pub solid_ml: [f64; 2],
    /// How far the middle between the lungs before the spine lies to the left.
    pub heart_left_mm: f64,
}

impl OrganSides {
    /// The organs around two lungs, which are cells of a grid; nothing without two lungs or a heart between them. The
    /// volume's rows run from side to side.
    pub fn of(
        volume: &Volume,
        grid: &CoarseGrid,
        body: &BodyInside,
        [right, left]: [&VoxelSet; 2],
    ) -> Option<OrganSides> {
        if right.is_empty() || left.is_empty() {
            return None;
        }
        let mut both = right.clone();
        both.add(left);
        let bounds = both.bounds()?;
        let towards = std::array::from_fn(|axis| if volume.axes[axis][axis] >= 0.0 { 1.0 } else { -1.0 });
        let mut frame = ChestFrame {
            grid,
            outside: &body.outside,
            towards,
            middle: [body.spine.column, 0.0],
            degrees: 0.0,
            lungs: bounds.low[2]..bounds.high[2],
        };
        frame.middle[1] = frame.spine_row(bounds.low[1]..bounds.high[1])?;
        let heart = frame.heights(HEART_SHARE);
        frame.degrees = frame.turned_by(&both, heart.clone());
        let heart_left_mm = frame.heart_left_mm([right, left], heart)?;
        Some(OrganSides { solid_ml: frame.solid_ml(), heart_left_mm })
    }

    /// A reservation if both signs say that right and left are exchanged.
    pub fn reservation(&self, scale: BodyScale) -> Option<StepReservation> {
        let [right_ml, left_ml] = self.solid_ml;
        let is_liver_left = left_ml >= LIVER_ML_LEAST.max(LIVER_TIMES * right_ml);
        if !is_liver_left || self.heart_left_mm > -HEART_MM_LEAST {
            return None;
        }
        let text = format!(
            "the heart lies to the patient's right, by {:.0} mm, and the liver below the left lung, with {} mL of \
             solid tissue there and {} mL below the right lung: the images are mirrored against what their \
             header says, so that right and left are exchanged, or the organs are (situs inversus)",
            scale.mm(-self.heart_left_mm),
            amount(scale.ml(left_ml)),
            amount(scale.ml(right_ml))
        );
        Some(StepReservation { code: "mirrored".to_owned(), text })
    }
}

/// Directions in a chest: left, back and head, from the middle of the spine.
struct ChestFrame<'a> {
    grid: &'a CoarseGrid,
    outside: &'a VoxelSet,
    /// 1 if the grid's axis runs to the left, to the back or to the head, else −1.
    towards: [f64; 3],
    /// Column and row of the spine's middle.
    middle: [f64; 2],
    /// How far the patient is turned, from the left to the back.
    degrees: f64,
    /// The slices with lung.
    lungs: Range<usize>,
}

impl ChestFrame<'_> {
    /// The slices of a part of the lungs' height, from 0 at their lowest to 1 at their highest place.
    fn heights(&self, [low, high]: [f64; 2]) -> Range<usize> {
        let depth = self.lungs.len() as f64;
        let [low, high] = [low, high].map(|share| (share * depth) as usize);
        match self.towards[2] > 0.0 {
            true => self.lungs.start + low..self.lungs.start + high,
            false => self.lungs.end - high..self.lungs.end - low,
        }
    }

    fn is_bone(&self, at: [usize; 3]) -> bool {
        self.grid.mean(at) >= BONE_HU && !self.outside.contains(at)
    }

    /// The mean row of bone behind the lungs' middle, at the spine's column.
    fn spine_row(&self, rows: Range<usize>) -> Option<f64> {
        let half = rows.start.midpoint(rows.end);
        let behind = if self.towards[1] > 0.0 { half..self.grid.size[1] } else { 0..half };
        let reach = SPINE_MM / self.grid.spacing[0];
        let first = (self.middle[0] - reach).max(0.0).round() as usize;
        let end = (self.middle[0] + reach).round() as usize + 1;
        let columns = first..end.min(self.grid.size[0]);
        let places = self.lungs.clone().flat_map(|z| behind.clone().map(move |y| (y, z)));
        let bones = places.map(|(y, z)| (y, columns.clone().filter(|x| self.is_bone([*x, y, z])).count()));
        let (count, sum) = bones.fold((0, 0), |(count, sum), (y, bones)| (count + bones, sum + y * bones));
        (count > 0).then(|| sum as f64 / count as f64)
    }

    /// Millimetres to the left and to the back of the spine's middle.
    fn place(&self, [x, y]: [usize; 2]) -> [f64; 2] {
        let mm = |axis: usize, at: usize| {
            (at as f64 - self.middle[axis]) * self.grid.spacing[axis] * self.towards[axis]
        };
        [mm(0, x), mm(1, y)]
    }

    /// The column and row of a place, if it is in the images.
    fn cell(&self, place: [f64; 2]) -> Option<[usize; 2]> {
        let at: [f64; 2] = std::array::from_fn(|axis| {
            (place[axis] * self.towards[axis] / self.grid.spacing[axis] + self.middle[axis]).round()
        });
        let is_within = (0..2).all(|axis| at[axis] >= 0.0 && at[axis] < self.grid.size[axis] as f64);
        is_within.then(|| at.map(|at| at as usize))
    }

    /// The angle about which the bones in some slices are most alike at either side of the spine.
    fn turned_by(&self, lungs: &VoxelSet, heights: Range<usize>) -> f64 {
        let [columns, rows, _] = self.grid.size;
        let mut bone = vec![0; columns * rows];
        for (z, y) in heights.flat_map(|z| (0..rows).map(move |y| (z, y))) {
            let is_before = self.place([0, y])[1] < -VERTEBRA_MM;
            let first = lungs.columns(y, z).next().filter(|_| is_before);
            let between = first.zip(lungs.columns(y, z).last()).map_or(0..0, |(first, last)| first..last);
            let bones = (0..columns).filter(|x| !between.contains(x) && self.is_bone([*x, y, z]));
            bones.for_each(|x| bone[y * columns + x] += 1);
        }
        bone.iter_mut().for_each(|slices: &mut u32| *slices = BONE_SLICES_MOST.min(*slices));
        let angles = (-TURN_DEGREES..=TURN_DEGREES).step_by(TURN_STEP).map(f64::from);
        let alike = angles.map(|degrees| (degrees, self.likeness(&bone, degrees)));
        let best = alike.reduce(|best, other| if other.1 > best.1 { other } else { best });
        best.map_or(0.0, |(degrees, _)| degrees)
    }

    /// How much bone lies where bone is, mirrored in a plane through the spine.
    fn likeness(&self, bone: &[u32], degrees: f64) -> u32 {
        let [columns, rows, _] = self.grid.size;
        let (sine, cosine) = degrees.to_radians().sin_cos();
        let around = |[x, y]: [usize; 2]| -> u32 {
            let near = |at: usize, size: usize| at.saturating_sub(1)..(at + 2).min(size);
            near(y, rows).map(|y| bone[y * columns..][near(x, columns)].iter().sum::<u32>()).sum()
        };
        let likeness = |cell: usize| {
            let [x, y] = self.place([cell % columns, cell / columns]);
            let from_plane = x * cosine + y * sine;
            let mirrored = [x - 2.0 * from_plane * cosine, y - 2.0 * from_plane * sine];
            let is_spine = from_plane.abs() < SPINE_MM;
            if is_spine { 0 } else { self.cell(mirrored).map_or(0, around) }
        };
        (0..bone.len()).filter(|cell| bone[*cell] > 0).map(|cell| bone[cell] * likeness(cell)).sum()
    }

    /// How far the middle between the lungs lies to the left before the spine, weighted by the gap between them.
    fn heart_left_mm(&self, [right, left]: [&VoxelSet; 2], heights: Range<usize>) -> Option<f64> {
        let (sine, cosine) = self.degrees.to_radians().sin_cos();
        let points = |axis: usize| {
            let many = (REACH_MM[axis] / POINT_MM[axis]) as i32;
            (-many..=many).map(move |point| f64::from(point) * POINT_MM[axis])
        };
        let (mut rows, mut gaps, mut sum) = (0, 0.0, 0.0);
        for z in heights {
            let before = points(1).take_while(|row| *row <= -BEFORE_SPINE_MM);
            for row in before {
                let is_in = |lung: &VoxelSet, across: f64| {
                    let place = [across * cosine - row * sine, across * sine + row * cosine];
                    self.cell(place).is_some_and(|[x, y]| lung.contains([x, y, z]))
                };
                let mut across = points(0);
                let last = across.clone().filter(|across| is_in(right, *across)).last();
                let first = across.find(|across| is_in(left, *across));
                let Some((last, first)) = last.zip(first) else { continue };
                if first - last >= GAP_MM_LEAST {
                    rows += 1;
                    gaps += first - last;
                    sum += (first - last) * (first + last) / 2.0;
                }
            }
        }
        (rows >= ROWS_LEAST).then(|| sum / gaps)
    }

    /// The volumes of solid tissue at a distance from all else, below the right and the left lung.
    fn solid_ml(&self) -> [f64; 2] {
        let slices = |mm: f64| (mm / self.grid.spacing[2]) as usize;
        let dome = self.heights([0.0, DOME_SHARE]);
        let sought = match self.towards[2] > 0.0 {
            true => dome.start.saturating_sub(slices(BELOW_MM))..dome.end,
            false => dome.start..(dome.end + slices(BELOW_MM)).min(self.grid.size[2]),
        };
        let margin = slices(DEPTH_MM);
        let around = sought.start.saturating_sub(margin)..sought.end + margin;
        let solid = self.grid.set(|cell| {
            let at = self.grid.place(cell);
            around.contains(&at[2]) && !self.outside.contains(at) && SOLID_HU.contains(&self.mean_around(at))
        });
        let inner = solid.erode(&VoxelBall::new(DEPTH_MM, self.grid.spacing));
        let (sine, cosine) = self.degrees.to_radians().sin_cos();
        let mut cells = [0_u32; 2];
        let rows = sought.flat_map(|z| (0..self.grid.size[1]).map(move |y| (y, z)));
        for [x, y] in rows.flat_map(|(y, z)| inner.columns(y, z).map(move |x| [x, y])) {
            let [across, back] = self.place([x, y]);
            let left_mm = across * cosine + back * sine;
            if left_mm.abs() > SIDE_MM {
                cells[usize::from(left_mm > 0.0)] += 1;
            }
        }
        cells.map(|cells| f64::from(cells) * self.grid.cell_ml())
    }

    /// The mean CT number of a cube around a cell.
    fn mean_around(&self, at: [usize; 3]) -> i32 {
        let [columns, rows, slices]: [Range<usize>; 3] = std::array::from_fn(|axis| {
            let reach = ((SMOOTH_MM / self.grid.spacing[axis] - 1.0) / 2.0).round().max(0.0) as usize;
            at[axis].saturating_sub(reach)..(at[axis] + reach + 1).min(self.grid.size[axis])
        });
        let count = columns.len() * rows.len() * slices.len();
        let places = slices.flat_map(|z| rows.clone().map(move |y| (y, z)));
        let sum = |(y, z): (usize, usize)| -> i32 {
            let row = &self.grid.means[self.grid.index([0, y, z])..][columns.clone()];
            row.iter().map(|hu| i32::from(*hu).clamp(MEAN_HU[0], MEAN_HU[1])).sum()
        };
        places.map(sum).sum::<i32>() / count as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns, rows and slices of cells of 4 mm.
    const SIZE: [usize; 3] = [90, 64, 70];

    /// The parts of a chest: millimetres are counted to the left, to the back and to the head from the spine and the
    /// lungs' lowest place.
    #[derive(Clone, Copy)]
    struct ChestParts {
        heart_left_mm: f64,
        /// −1 is the right side, 1 the left one, and 0 both.
        liver_side: f64,
        /// How far the patient is turned on the table.
        degrees: f64,
        /// The directions of the grid's axes; each is 1 or −1.
        towards: [f64; 3],
        has_left: bool,
    }

    const USUAL: ChestParts =
        ChestParts { heart_left_mm: 12.0, liver_side: -1.0, degrees: 0.0, towards: [1.0; 3], has_left: true };

    impl ChestParts {
        /// The place of a voxel in the patient.
        fn place(&self, index: usize) -> [f64; 3] {
            let at = [index % SIZE[0], index / SIZE[0] % SIZE[1], index / SIZE[0] / SIZE[1]];
            let [x, y, z] = std::array::from_fn(|axis| {
                (at[axis] as f64 - (SIZE[axis] - 1) as f64 / 2.0) * 4.0 * self.towards[axis]
            });
            let (sine, cosine) = self.degrees.to_radians().sin_cos();
            [x * cosine + y * sine, y * cosine - x * sine - 60.0, z + 60.0]
        }

        fn is_lung(&self, [x, y, z]: [f64; 3], side: f64) -> bool {
            let is_in_heart = (x - self.heart_left_mm).hypot(y + 90.0) < 48.0;
            let is_in_box = (15.0..110.0).contains(&(x * side)) && (-150.0..20.0).contains(&y);
            is_in_box && !is_in_heart && (0.0..180.0).contains(&z) && (side < 0.0 || self.has_left)
        }

        fn hu(&self, place: [f64; 3]) -> i16 {
            let [x, y, z] = place;
            let is_liver = x * self.liver_side >= 0.0 && x.abs() > 10.0 && z < 40.0;
            let is_rib =
                (x.abs() - 116.0).abs() < 4.0 && (-150.0..20.0).contains(&y) && z.rem_euclid(28.0) < 9.0;
            match () {
                () if self.is_lung(place, -1.0) || self.is_lung(place, 1.0) => -860,
                () if x.hypot(y) < 16.0 || is_rib => 400,
                () if (x / 135.0).hypot((y + 60.0) / 105.0) > 1.0 => -1000,
                () if z < 0.0 && x.abs() < 110.0 && (-140.0..10.0).contains(&y) => {
                    [-100, 55][usize::from(is_liver)]
                }
                () => 45,
            }
        }

        fn organs(&self) -> Option<OrganSides> {
            let voxels: Vec<i16> = (0..SIZE.iter().product()).map(|at| self.hu(self.place(at))).collect();
            let axes = [0, 1, 2].map(|axis| {
                let mut along = [0.0; 3];
                along[axis] = self.towards[axis];
                along
            });
            let volume =
                Volume { voxels: voxels.into(), size: SIZE, spacing: [4.0; 3], origin: [0.0; 3], axes };
            let side = |side: f64| VoxelSet::of(SIZE, |at| self.is_lung(self.place(at), side));
            let grid = &volume.coarse();
            let body = body_inside(grid, self.towards[1] > 0.0).unwrap();
            OrganSides::of(&volume, grid, &body, [&side(-1.0), &side(1.0)])
        }
    }

    #[test]
    fn heart_and_liver_have_their_sides_however_the_patient_lies() {
        let all = [[1.0; 3], [-1.0, -1.0, 1.0], [-1.0, 1.0, -1.0], [1.0, 1.0, -1.0]];
        for (towards, degrees) in
            all.into_iter().flat_map(|towards| [(towards, 0.0), (towards, 14.0), (towards, -14.0)])
        {
            let usual = ChestParts { towards, degrees, ..USUAL };
            let organs = usual.organs().unwrap();
            assert!((6.0..18.0).contains(&organs.heart_left_mm), "{towards:?} {degrees}: {organs:?}");
            let [right_ml, left_ml] = organs.solid_ml;
            assert!(right_ml > 500.0 && left_ml < 50.0, "{towards:?} {degrees}: {organs:?}");
            assert_eq!(organs.reservation(BodyScale::ADULT), None);
            // The pixels' columns in the opposite order, and the same header.
            let mirrored = ChestParts { heart_left_mm: -12.0, liver_side: 1.0, ..usual };
            let text = mirrored.organs().unwrap().reservation(BodyScale::ADULT).expect("it is mirrored").text;
            assert!(text.contains("mirrored against what their header says"), "{text}");
        }
    }

    #[test]
    fn one_sign_alone_says_nothing() {
        let alone = [
            ChestParts { heart_left_mm: -12.0, ..USUAL },
            ChestParts { liver_side: 1.0, ..USUAL },
            ChestParts { heart_left_mm: -12.0, liver_side: 0.0, ..USUAL },
            ChestParts { heart_left_mm: 0.0, liver_side: 1.0, ..USUAL },
        ];
        for parts in alone {
            let organs = parts.organs().unwrap();
            assert_eq!(organs.reservation(BodyScale::ADULT), None, "{organs:?}");
        }
        let single = ChestParts { heart_left_mm: -12.0, liver_side: 1.0, has_left: false, ..USUAL };
        assert_eq!(single.organs(), None);
    }
}
