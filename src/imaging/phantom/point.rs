//! Points and directions in millimetres: x to the patient's left, y to the back, z to the head.

pub type SpacePoint = [f64; 3];

/// The point reached from `start` by going `length` along `direction`.
pub fn along(start: SpacePoint, direction: SpacePoint, length: f64) -> SpacePoint {
    std::array::from_fn(|axis| start[axis] + length * direction[axis])
}

pub fn minus(a: SpacePoint, b: SpacePoint) -> SpacePoint {
    along(a, b, -1.0)
}

pub fn dot(a: SpacePoint, b: SpacePoint) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

pub fn cross(a: SpacePoint, b: SpacePoint) -> SpacePoint {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

pub fn length(a: SpacePoint) -> f64 {
    dot(a, a).sqrt()
}

pub fn unit(a: SpacePoint) -> SpacePoint {
    along([0.0; 3], a, length(a).recip())
}

/// A straight piece from one point to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LineSegment(pub SpacePoint, pub SpacePoint);

impl LineSegment {
    /// The least distance between points of two segments.
    ///
    /// Ericson, Real-Time Collision Detection (2005), 5.1.9: the nearest points of the two lines, held
    /// to one segment, then to the other, then to the first again.
    pub fn distance(&self, other: &LineSegment) -> f64 {
        let (u, v, w) = (minus(self.1, self.0), minus(other.1, other.0), minus(self.0, other.0));
        let (uu, uv, vv, uw, vw) = (dot(u, u), dot(u, v), dot(v, v), dot(u, w), dot(v, w));
        let determinant = uu * vv - uv * uv;
        let free = if determinant > 1e-12 { (uv * vw - vv * uw) / determinant } else { 0.0 };
        let t = ((vw + free.clamp(0.0, 1.0) * uv) / vv).clamp(0.0, 1.0);
        let s = ((uv * t - uw) / uu).clamp(0.0, 1.0);
        length(minus(along(self.0, u, s), along(other.0, v, t)))
    }

    /// Whether the boxes around two segments are further apart than `gap`, and so the segments are. A cheaper
    /// test than the exact distance.
    pub fn is_far_from(&self, other: &LineSegment, gap: f64) -> bool {
        (0..3).any(|axis| {
            let (a, b, c, d) = (self.0[axis], self.1[axis], other.0[axis], other.1[axis]);
            a.min(b) - c.max(d) > gap || c.min(d) - a.max(b) > gap
        })
    }

    /// The least distance between a point of the segment and `point`.
    pub fn distance_to(&self, point: SpacePoint) -> f64 {
        let direction = minus(self.1, self.0);
        let position = dot(minus(point, self.0), direction) / dot(direction, direction);
        length(minus(point, along(self.0, direction, position.clamp(0.0, 1.0))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(a: LineSegment, b: LineSegment, expected: f64) {
        assert!((a.distance(&b) - expected).abs() < 1e-12, "{} is not {expected}", a.distance(&b));
        assert!((b.distance(&a) - expected).abs() < 1e-12);
        assert!(!a.is_far_from(&b, expected));
    }

    #[test]
    fn segments_are_nearest_inside_or_at_their_ends() {
        let across = LineSegment([-1.0, 0.0, 0.0], [1.0, 0.0, 0.0]);
        check(across, LineSegment([0.0, -1.0, 2.0], [0.0, 1.0, 2.0]), 2.0);
        check(across, LineSegment([3.0, 1.0, 0.0], [3.0, -1.0, 0.0]), 2.0);
        check(across, LineSegment([-1.0, 3.0, 0.0], [1.0, 3.0, 0.0]), 3.0);
        assert!(across.is_far_from(&LineSegment([4.0, 4.0, 0.0], [5.0, 9.0, 0.0]), 3.9));
        check(across, LineSegment([4.0, 4.0, 0.0], [5.0, 9.0, 0.0]), 5.0);
        check(across, LineSegment([2.0, 1.0, 0.0], [5.0, -2.0, 0.0]), std::f64::consts::SQRT_2);
    }
}
