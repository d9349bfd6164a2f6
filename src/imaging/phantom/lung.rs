//! A lung whose volume has a closed formula.
//!
//! Stand at the plane between the mediastinum and the lung and look outwards. With u the height
//! above the base (0 to 1), v the position from front to back (−1 to 1), and depths in units of the
//! lung's width, a row at (u, v) runs
//!
//! * to the chest wall at √(S − v²), with S = 1 − u⁴: a bullet, half an ellipse in every slice,
//! * from the diaphragm at √(D − v²) where that is real, with D = 1 − u/η: half a dome, whose foot
//!   meets the wall at the base and whose top is at u = η,
//! * less the fraction B = β p(v) q(u) of what remains, at the inner side: heart and hilum, with
//!   p = 27/32 (1 − v)² (1 + v) greatest at v = −1/3 and q = 27/4 u (1 − u)² greatest at u = 1/3.
//!
//! Every row is one piece. Odd powers of v cancel, ∫√(S−v²) dv = πS/2, ∫v²√(S−v²) dv = πS²/8, and the
//! remaining terms are polynomials of u: see [`PhantomLung::volume`].
//!
//! Then the lung is tilted, so that its base is deeper at the back, and leans backwards with its height: two
//! more shears, along z and along y, that leave volumes alone. A third, along x, lets the lungs stand further
//! apart at the back, where the spine is, and at the base; it also keeps every face oblique to the voxels, so
//! that sampling errors do not add up.
//!
//! The contents of a lung are placed in the lung's own coordinates: depth, y, z, with the depth counted from
//! the bite's surface √(S − v²) B and not from the plane. A shear along x (and a mirror on the right) leads
//! from there to the patient, so volumes carry over unchanged and the inner face, above the dome, is flat:
//! tubes can enter it with exact volumes.

use std::f64::consts::PI;

use super::point::SpacePoint;
use super::shape::{RowSpan, SolidReach, SolidShape};

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PhantomLung {
    /// The direction from the plane outwards along x: 1 on the left, −1 on the right.
    pub outwards: f64,
    /// Distance of the plane from x = 0 at the middle.
    pub gap: f64,
    /// The y at which v = 0 at the base.
    pub centre: f64,
    pub width: f64,
    /// Half the extent from front to back.
    pub depth: f64,
    pub height: f64,
    /// η: the height of the dome as a fraction of the lung's.
    pub dome: f64,
    /// β: the greatest fraction that the heart takes.
    pub bite: f64,
}

/// Shears: how much deeper the base is for each mm further back, how much further back a lung's middle for
/// each mm of height, how much further out for each mm further back and for each mm further down.
const TILT: f64 = 0.28;
const LEAN: f64 = 0.07;
const SPLAY: f64 = 0.09;
const FLARE: f64 = 0.04;

/// Depths of a row's faces from the plane, in mm.
struct LungRow {
    wall: f64,
    dome: f64,
    bite: f64,
}

impl LungRow {
    /// The depth at which the lung begins.
    fn inner(&self) -> f64 {
        self.dome + self.bite * (self.wall - self.dome)
    }
}

impl PhantomLung {
    /// The volume between wall, dome and bite in mm³:
    ///
    /// π/2 · a b H · [4/5 − η/2 − β · 729/128 · (J₁ − J₂/4)], where
    /// J₁ = ∫u(1−u)²(S−D) du = 13/168 − η²/6 + η³/6 − η⁴/20 and
    /// J₂ = ∫u(1−u)²(S²−D²) du = 337/4620 − η²/12 + η³/15 − η⁴/60.
    pub fn volume(&self) -> f64 {
        let n = self.dome;
        let first = 13.0 / 168.0 - n.powi(2) / 6.0 + n.powi(3) / 6.0 - n.powi(4) / 20.0;
        let second = 337.0 / 4620.0 - n.powi(2) / 12.0 + n.powi(3) / 15.0 - n.powi(4) / 60.0;
        let bitten = self.bite * 729.0 / 128.0 * (first - second / 4.0);
        PI / 2.0 * self.width * self.depth * self.height * (0.8 - n / 2.0 - bitten)
    }

    /// u and v of a row.
    pub fn place(&self, y: f64, z: f64) -> (f64, f64) {
        let level = z + TILT * (y - self.centre);
        (level / self.height, (y - self.centre - LEAN * level.max(0.0)) / self.depth)
    }

    /// Depth of the chest wall in a row; below the base the wall goes straight down.
    pub fn wall(&self, y: f64, z: f64) -> Option<f64> {
        let (u, v) = self.place(y, z);
        let left = 1.0 - u.max(0.0).powi(4) - v * v;
        (left > 0.0).then(|| self.width * left.sqrt())
    }

    /// A point outside the chest wall: `turn` runs from the spine (0) to the sternum (π).
    pub fn around(&self, turn: f64, z: f64, margin: f64) -> SpacePoint {
        let level = (z + TILT * self.depth * turn.cos()).clamp(0.0, 0.97 * self.height);
        let narrowed = (1.0 - (level / self.height).powi(4)).sqrt();
        let out = |extent: f64| extent * narrowed + margin;
        let y = self.centre + LEAN * level + out(self.depth) * turn.cos();
        [self.outwards * (self.gap_at(y, z) + out(self.width) * turn.sin()), y, z]
    }

    /// The same lung, larger on all sides: the shape of the chest wall.
    pub fn grown(&self, margin: f64) -> PhantomLung {
        let [width, depth, height] = [self.width, self.depth, self.height].map(|extent| extent + margin);
        PhantomLung { width, depth, height, ..*self }
    }

    /// The shift of the lung's own coordinates outwards from the plane.
    pub fn shift(&self, y: f64, z: f64) -> f64 {
        self.measure(y, z).map_or(0.0, |row| row.wall * row.bite)
    }

    /// Patient x of a depth in the lung's own coordinates.
    pub fn x(&self, [depth, y, z]: SpacePoint) -> f64 {
        self.outwards * (self.gap_at(y, z) + self.shift(y, z) + depth)
    }

    /// Whether a ball, in the lung's own coordinates, lies inside. 14 directions are tried, enough for faces
    /// that curve much less than the ball.
    pub fn holds(&self, centre: SpacePoint, radius: f64) -> bool {
        let corner = radius / 3_f64.sqrt();
        let axes = [[radius, 0.0, 0.0], [0.0, radius, 0.0], [0.0, 0.0, radius]];
        let corners = [[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]];
        let corners = corners.map(|[y, z]| [corner, y * corner, z * corner]);
        axes.iter().chain(&corners).all(|offset| {
            [1.0, -1.0]
                .iter()
                .all(|sign| self.holds_point(std::array::from_fn(|axis| centre[axis] + sign * offset[axis])))
        })
    }

    fn holds_point(&self, [depth, y, z]: SpacePoint) -> bool {
        self.measure(y, z).is_some_and(|row| {
            let from_plane = depth + row.wall * row.bite;
            row.inner() < from_plane && from_plane < row.wall
        })
    }

    fn measure(&self, y: f64, z: f64) -> Option<LungRow> {
        let (u, v) = self.place(y, z);
        let wall = self.wall(y, z).filter(|_| (0.0..1.0).contains(&u))?;
        let dome = self.width * (1.0 - u / self.dome - v * v).max(0.0).sqrt();
        let front = 27.0 / 32.0 * (1.0 - v).powi(2) * (1.0 + v);
        let low = 27.0 / 4.0 * u * (1.0 - u).powi(2);
        Some(LungRow { wall, dome, bite: self.bite * front * low })
    }

    fn gap_at(&self, y: f64, z: f64) -> f64 {
        self.gap + SPLAY * (y - self.centre) + FLARE * (self.height / 2.0 - z)
    }

    /// The span of x between two depths from the plane.
    fn span(&self, [y, z]: [f64; 2], from: f64, to: f64) -> RowSpan {
        let gap = self.gap_at(y, z);
        let (a, b) = (self.outwards * (gap + from), self.outwards * (gap + to));
        (a.min(b), a.max(b))
    }

    /// A box a little larger than the lung, from the rows with v = ±1 at the base and at the apex.
    fn box_around(&self) -> SolidReach {
        let y = [self.centre - self.depth, self.centre + self.depth + LEAN * self.height];
        let deepest = -TILT * (y[1] - self.centre);
        SolidReach { y, z: [deepest, self.height - TILT * (y[0] - self.centre)] }
    }
}

impl SolidShape for PhantomLung {
    fn reach(&self) -> SolidReach {
        self.box_around()
    }

    fn row(&self, y: f64, z: f64) -> Option<RowSpan> {
        self.measure(y, z).map(|row| self.span([y, z], row.inner(), row.wall))
    }
}

/// A shape given in a lung's own coordinates, cut off at a depth.
pub struct ShapeWithin<S> {
    pub lung: PhantomLung,
    pub shape: S,
    pub depth_min: f64,
}

impl<S: SolidShape> SolidShape for ShapeWithin<S> {
    fn reach(&self) -> SolidReach {
        self.shape.reach()
    }

    fn row(&self, y: f64, z: f64) -> Option<RowSpan> {
        let (from, to) = self.shape.row(y, z).filter(|span| span.1 > self.depth_min)?;
        let shift = self.lung.shift(y, z);
        Some(self.lung.span([y, z], shift + from.max(self.depth_min), shift + to))
    }
}

/// The space inside the chest wall on one side, up to the top of the diaphragm's dome.
pub struct Abdomen {
    pub lung: PhantomLung,
    pub bottom: f64,
}

impl SolidShape for Abdomen {
    fn reach(&self) -> SolidReach {
        let SolidReach { y, z } = self.lung.box_around();
        SolidReach { y, z: [self.bottom, z[1]] }
    }

    fn row(&self, y: f64, z: f64) -> Option<RowSpan> {
        let (u, v) = self.lung.place(y, z);
        let left = 1.0 - u.max(0.0) / self.lung.dome - v * v;
        (left > 0.0).then(|| self.lung.span([y, z], -self.lung.gap_at(y, z), self.lung.width * left.sqrt()))
    }
}

/// The space inside the chest wall of both lungs and between them.
pub struct Cavity {
    pub right: PhantomLung,
    pub left: PhantomLung,
    pub bottom: f64,
}

impl SolidShape for Cavity {
    fn reach(&self) -> SolidReach {
        let (a, b) = (self.right.box_around(), self.left.box_around());
        let y = [a.y[0].min(b.y[0]), a.y[1].max(b.y[1])];
        SolidReach { y, z: [self.bottom, a.z[1].max(b.z[1])] }
    }

    fn row(&self, y: f64, z: f64) -> Option<RowSpan> {
        let right = self.right.wall(y, z)? + self.right.gap_at(y, z);
        Some((-right, self.left.wall(y, z)? + self.left.gap_at(y, z)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The volume as the sum of the rows' lengths on a fine grid, independent of the formula.
    fn integrate(lung: &PhantomLung) -> f64 {
        let steps = 1000;
        let reach = lung.reach();
        let extent = |[from, to]: [f64; 2]| to - from;
        let at =
            |range: [f64; 2], index: usize| range[0] + extent(range) * (index as f64 + 0.5) / steps as f64;
        let row = |i, j| {
            let (y, z) = (at(reach.y, i), at(reach.z, j));
            lung.row(y, z).map_or(0.0, |(from, to)| to - from)
        };
        let sum: f64 = (0..steps).flat_map(|j| (0..steps).map(move |i| row(i, j))).sum();
        sum * extent(reach.y) * extent(reach.z) / (steps * steps) as f64
    }

    #[test]
    fn the_formula_is_the_integral() {
        for (outwards, dome, bite) in [(1.0, 0.3, 0.5), (-1.0, 0.4, 0.0), (1.0, 0.25, 0.9)] {
            let (gap, centre, width, depth, height) = (15.0, -3.0, 100.0, 90.0, 240.0);
            let lung = PhantomLung { outwards, gap, centre, width, depth, height, dome, bite };
            let ratio = integrate(&lung) / lung.volume();
            assert!((ratio - 1.0).abs() < 2e-5, "{ratio} at dome {dome}, bite {bite}");
        }
    }
}
