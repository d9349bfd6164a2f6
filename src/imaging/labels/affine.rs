//! Affine maps between the indexes of voxels and places in the patient.

/// `p = linear · index + offset`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AffineMap {
    /// Rows of the matrix.
    pub linear: [[f64; 3]; 3],
    pub offset: [f64; 3],
}

/// The shortest and the longest side of a voxel in mm.
const SIDE_MM: std::ops::RangeInclusive<f64> = 0.01..=100.0;
/// The largest distance of the first voxel from the patient's origin: with more, places lose their digits, or are no
/// numbers any more.
const OFFSET_MM_MOST: f64 = 1e6;
/// The least volume of a voxel as a share of the product of its sides: less is nearly flat.
const SKEW_LEAST: f64 = 0.05;

impl AffineMap {
    /// The map of a grid: where the first voxel lies, and the way from a voxel to the next along each axis.
    pub fn of_steps(offset: [f64; 3], steps: [[f64; 3]; 3]) -> AffineMap {
        let linear = std::array::from_fn(|row| std::array::from_fn(|axis| steps[axis][row]));
        AffineMap { linear, offset }
    }

    pub fn apply(&self, index: [f64; 3]) -> [f64; 3] {
        std::array::from_fn(|row| dot(self.linear[row], index) + self.offset[row])
    }

    /// The way from a voxel to the next along an axis.
    pub fn step(&self, axis: usize) -> [f64; 3] {
        self.linear.map(|row| row[axis])
    }

    /// Whether voxels have sides of a usual length, are not flat, and lie near the patient.
    pub fn is_grid(&self) -> bool {
        let sides = [0, 1, 2].map(|axis| dot(self.step(axis), self.step(axis)).sqrt());
        let is_near = self.offset.iter().all(|mm| mm.abs() <= OFFSET_MM_MOST);
        let fit = sides.iter().all(|side| SIDE_MM.contains(side));
        is_near && fit && self.determinant().abs() >= SKEW_LEAST * sides.iter().product::<f64>()
    }

    /// Of the patient's sides that point the other way in another convention: x and y of right-anterior-superior.
    pub fn negated(mut self, rows: &[usize]) -> AffineMap {
        for row in rows {
            self.linear[*row] = self.linear[*row].map(|one| -one);
            self.offset[*row] = -self.offset[*row];
        }
        self
    }

    /// The same in another unit.
    pub fn scaled(self, factor: f64) -> AffineMap {
        AffineMap {
            linear: self.linear.map(|row| row.map(|one| one * factor)),
            offset: self.offset.map(|one| one * factor),
        }
    }

    /// The map that undoes this one.
    ///
    /// # Panics
    /// If there is none: see [`AffineMap::is_grid`].
    pub fn inverse(&self) -> AffineMap {
        let determinant = self.determinant();
        assert!(determinant != 0.0, "a grid has an inverse");
        let m = &self.linear;
        let cofactor = |row: usize, column: usize| {
            let [a, b] = [(row + 1) % 3, (row + 2) % 3];
            let [c, d] = [(column + 1) % 3, (column + 2) % 3];
            m[a][c] * m[b][d] - m[a][d] * m[b][c]
        };
        let linear: [[f64; 3]; 3] =
            std::array::from_fn(|row| std::array::from_fn(|column| cofactor(column, row) / determinant));
        let offset = linear.map(|row| -dot(row, self.offset));
        AffineMap { linear, offset }
    }

    /// This map after another one.
    pub fn after(&self, first: &AffineMap) -> AffineMap {
        let steps = [0, 1, 2].map(|axis| {
            let step = first.step(axis);
            self.linear.map(|row| dot(row, step))
        });
        AffineMap::of_steps(self.apply(first.offset), steps)
    }

    fn determinant(&self) -> f64 {
        let [a, b, c] = self.linear;
        dot(a, cross(b, c))
    }
}

pub fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

pub fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inverse_undoes_its_map() {
        let map = AffineMap {
            linear: [[0.0, 2.0, 0.3], [-1.5, 0.0, 0.1], [0.2, 0.0, 4.0]],
            offset: [7.0, -3.0, 900.0],
        };
        let both = map.inverse().after(&map);
        for (row, line) in both.linear.iter().enumerate() {
            for (column, one) in line.iter().enumerate() {
                assert!((one - f64::from(u8::from(row == column))).abs() < 1e-12, "{both:?}");
            }
        }
        assert!(both.offset.iter().all(|one| one.abs() < 1e-9), "{both:?}");
        assert!(map.is_grid());
        assert!(!AffineMap { offset: [f64::NAN; 3], ..map }.is_grid());
        assert!(!AffineMap { offset: [1e300, 0.0, 0.0], ..map }.is_grid());
        assert!(!AffineMap { linear: [[1.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]], ..map }.is_grid());
    }
}
