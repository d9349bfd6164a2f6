//! Solids and the part of a row of voxels that each covers.
//!
//! A row is a line along x at given y and z. Every solid here meets a row in one piece, so a slice is drawn
//! by filling pieces of rows, and no voxel is tested against a solid.

use std::f64::consts::PI;

use super::point::{SpacePoint, dot, length, minus, unit};

/// The x at which a row enters and leaves a solid.
pub type RowSpan = (f64, f64);

/// The range of y and z outside which every row misses a solid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SolidReach {
    pub y: [f64; 2],
    pub z: [f64; 2],
}

pub trait SolidShape: Send + Sync {
    fn reach(&self) -> SolidReach;

    /// The span of a row; `None` where the row misses the solid.
    fn row(&self, y: f64, z: f64) -> Option<RowSpan>;
}

/// An ellipsoid along the axes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ellipsoid {
    pub centre: SpacePoint,
    pub semi_axes: SpacePoint,
}

impl Ellipsoid {
    pub fn ball(centre: SpacePoint, radius: f64) -> Ellipsoid {
        Ellipsoid { centre, semi_axes: [radius; 3] }
    }

    /// The volume 4/3 π a b c, in mm³.
    pub fn volume(&self) -> f64 {
        4.0 / 3.0 * PI * self.semi_axes.iter().product::<f64>()
    }
}

impl SolidShape for Ellipsoid {
    fn reach(&self) -> SolidReach {
        let around = |axis: usize| {
            [self.centre[axis] - self.semi_axes[axis], self.centre[axis] + self.semi_axes[axis]]
        };
        SolidReach { y: around(1), z: around(2) }
    }

    fn row(&self, y: f64, z: f64) -> Option<RowSpan> {
        let across = (y - self.centre[1]) / self.semi_axes[1];
        let along = (z - self.centre[2]) / self.semi_axes[2];
        let left = 1.0 - across * across - along * along;
        let half = self.semi_axes[0] * left.max(0.0).sqrt();
        (left > 0.0).then_some((self.centre[0] - half, self.centre[0] + half))
    }
}

/// A straight round cylinder with flat ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RoundCylinder {
    pub from: SpacePoint,
    pub to: SpacePoint,
    pub radius: f64,
}

impl RoundCylinder {
    /// The volume π r² l, in mm³.
    pub fn volume(&self) -> f64 {
        PI * self.radius * self.radius * length(minus(self.to, self.from))
    }
}

impl SolidShape for RoundCylinder {
    fn reach(&self) -> SolidReach {
        let around = |axis: usize| {
            let (a, b) = (self.from[axis], self.to[axis]);
            [a.min(b) - self.radius, a.max(b) + self.radius]
        };
        SolidReach { y: around(1), z: around(2) }
    }

    fn row(&self, y: f64, z: f64) -> Option<RowSpan> {
        let axis = unit(minus(self.to, self.from));
        let start = [0.0, y - self.from[1], z - self.from[2]];
        let before = dot(start, axis);
        let mantle = mantle(axis[0], before, dot(start, start) - self.radius * self.radius)?;
        let ends = slab(axis[0], before, length(minus(self.to, self.from)))?;
        let (low, high) = (mantle.0.max(ends.0), mantle.1.min(ends.1));
        (low < high).then_some((self.from[0] + low, self.from[0] + high))
    }
}

/// The span where x² (1 − d²) − 2 x d t + e − t² < 0: within the radius of the axis.
fn mantle(d: f64, t: f64, e: f64) -> Option<RowSpan> {
    let (square, half, constant) = (1.0 - d * d, d * t, e - t * t);
    if square < 1e-12 {
        return (constant < 0.0).then_some((f64::NEG_INFINITY, f64::INFINITY));
    }
    let discriminant = half * half - square * constant;
    let root = discriminant.max(0.0).sqrt();
    (discriminant > 0.0).then_some(((half - root) / square, (half + root) / square))
}

/// The span where 0 < t + x d < l: between the flat ends.
fn slab(d: f64, t: f64, l: f64) -> Option<RowSpan> {
    if d.abs() < 1e-12 {
        return (0.0..l).contains(&t).then_some((f64::NEG_INFINITY, f64::INFINITY));
    }
    let (a, b) = (-t / d, (l - t) / d);
    Some((a.min(b), a.max(b)))
}

/// An upright cylinder over |x/a|ⁿ + |y/b|ⁿ < 1: an ellipse for n = 2, boxier above.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UprightColumn {
    pub centre: [f64; 2],
    pub semi_axes: [f64; 2],
    pub exponent: f64,
    pub z: [f64; 2],
}

impl SolidShape for UprightColumn {
    fn reach(&self) -> SolidReach {
        SolidReach { y: [self.centre[1] - self.semi_axes[1], self.centre[1] + self.semi_axes[1]], z: self.z }
    }

    fn row(&self, y: f64, _z: f64) -> Option<RowSpan> {
        let left = 1.0 - ((y - self.centre[1]) / self.semi_axes[1]).abs().powf(self.exponent);
        let half = self.semi_axes[0] * left.max(0.0).powf(self.exponent.recip());
        (left > 0.0).then_some((self.centre[0] - half, self.centre[0] + half))
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// The length that spans cover together.
    pub fn union(mut spans: Vec<RowSpan>) -> f64 {
        spans.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut end = f64::NEG_INFINITY;
        let mut beyond = |(from, to): RowSpan| {
            let added = (to - end.max(from)).max(0.0);
            end = end.max(to);
            added
        };
        spans.into_iter().map(&mut beyond).sum()
    }

    /// The volume that rows 0.1 mm apart cover.
    fn covered(shape: &dyn SolidShape) -> f64 {
        let reach = shape.reach();
        let steps = |[from, to]: [f64; 2]| {
            (0..((to - from) / 0.1) as usize).map(move |index| from + 0.05 + 0.1 * index as f64)
        };
        let row = |y, z| shape.row(y, z).map_or(0.0, |(from, to)| to - from);
        steps(reach.z).flat_map(|z| steps(reach.y).map(move |y| row(y, z))).sum::<f64>() * 0.01
    }

    #[track_caller]
    fn check(shape: &dyn SolidShape, volume: f64) {
        assert!((covered(shape) / volume - 1.0).abs() < 3e-3, "{} is not {volume}", covered(shape));
    }

    #[test]
    fn rows_add_up_to_the_volume() {
        let ellipsoid = Ellipsoid { centre: [1.0, 2.0, 3.0], semi_axes: [5.0, 7.0, 9.0] };
        check(&ellipsoid, ellipsoid.volume());
        for to in [[20.0, 2.0, 3.0], [1.0, 22.0, 3.0], [1.0, 2.0, 23.0], [11.0, -12.0, 15.0]] {
            let stick = RoundCylinder { from: [1.0, 2.0, 3.0], to, radius: 4.0 };
            check(&stick, stick.volume());
        }
        let column = UprightColumn { centre: [0.0; 2], semi_axes: [6.0, 8.0], exponent: 2.0, z: [0.0, 10.0] };
        check(&column, PI * 6.0 * 8.0 * 10.0);
    }
}
