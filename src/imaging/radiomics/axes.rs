//! The principal axes of a set of voxels: the variances along them, from sums of coordinates.

use rayon::prelude::*;

use crate::imaging::VoxelSet;
use crate::imaging::bits::WORD;

/// The number of voxels, the sums of their coordinates, and the sums of products of two: xx, xy, xz, yy, yz, zz.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CoordinateSums {
    pub voxels: u64,
    first: [u64; 3],
    second: [u64; 6],
}

const PRODUCTS: [[usize; 2]; 6] = [[0, 0], [0, 1], [0, 2], [1, 1], [1, 2], [2, 2]];

impl CoordinateSums {
    pub fn of(set: &VoxelSet) -> CoordinateSums {
        let [_, rows, slices] = set.size();
        let slice = |z: usize| {
            (0..rows).fold(CoordinateSums::default(), |mut sums, y| {
                sums.add_row(set.row(y, z), y as u64, z as u64);
                sums
            })
        };
        (0..slices).into_par_iter().map(slice).reduce(CoordinateSums::default, CoordinateSums::plus)
    }

    fn plus(self, other: CoordinateSums) -> CoordinateSums {
        CoordinateSums {
            voxels: self.voxels + other.voxels,
            first: std::array::from_fn(|axis| self.first[axis] + other.first[axis]),
            second: std::array::from_fn(|product| self.second[product] + other.second[product]),
        }
    }

    fn add_row(&mut self, words: &[u64], y: u64, z: u64) {
        let (mut voxels, mut sum, mut squares) = (0, 0, 0);
        for (index, word) in words.iter().enumerate() {
            let mut left = *word;
            while left != 0 {
                let first = u64::from(left.trailing_zeros());
                let length = u64::from((left >> first).trailing_ones());
                left = if first + length == WORD as u64 {
                    0
                } else {
                    left >> (first + length) << (first + length)
                };
                let from = (index * WORD) as u64 + first;
                let to = from + length;
                voxels += length;
                sum += (from + to - 1) * length / 2;
                squares += squares_below(to) - squares_below(from);
            }
        }
        self.voxels += voxels;
        let first = [sum, y * voxels, z * voxels];
        let second = [squares, y * sum, z * sum, y * y * voxels, y * z * voxels, z * z * voxels];
        self.first.iter_mut().zip(first).for_each(|(all, add)| *all += add);
        self.second.iter_mut().zip(second).for_each(|(all, add)| *all += add);
    }

    /// The variances in mm² along the principal axes, the largest first.
    pub fn variances(&self, spacing: [f64; 3]) -> [f64; 3] {
        let voxels = self.voxels as f64;
        // Of a sample: the reference values were made so.
        let freedom = (voxels - 1.0).max(1.0);
        let mean = self.first.map(|sum| sum as f64 / voxels);
        let mut matrix = [[0.0; 3]; 3];
        for ([a, b], sum) in PRODUCTS.into_iter().zip(self.second) {
            let products = sum as f64 - voxels * mean[a] * mean[b];
            let covariance = products / freedom * spacing[a] * spacing[b];
            matrix[a][b] = covariance;
            matrix[b][a] = covariance;
        }
        eigenvalues(matrix)
    }
}

/// The sum of the squares of all whole numbers below one.
fn squares_below(end: u64) -> u64 {
    match end {
        0 => 0,
        end => (end - 1) * end * (2 * end - 1) / 6,
    }
}

/// The eigenvalues of a symmetric matrix by Jacobi's rotations, the largest first.
fn eigenvalues(mut matrix: [[f64; 3]; 3]) -> [f64; 3] {
    const SWEEPS: usize = 32;
    for _ in 0..SWEEPS {
        for [p, q] in [[0, 1], [0, 2], [1, 2]] {
            if matrix[p][q] == 0.0 {
                continue;
            }
            let ratio = (matrix[q][q] - matrix[p][p]) / (2.0 * matrix[p][q]);
            let tangent = ratio.signum() / (ratio.abs() + ratio.hypot(1.0));
            let cosine = 1.0 / tangent.hypot(1.0);
            let sine = tangent * cosine;
            for row in &mut matrix {
                (row[p], row[q]) = (cosine * row[p] - sine * row[q], sine * row[p] + cosine * row[q]);
            }
            let (one, other) = (matrix[p], matrix[q]);
            matrix[p] = std::array::from_fn(|column| cosine * one[column] - sine * other[column]);
            matrix[q] = std::array::from_fn(|column| sine * one[column] + cosine * other[column]);
        }
    }
    let mut values = [0, 1, 2].map(|axis| matrix[axis][axis].max(0.0));
    values.sort_by(|a, b| b.total_cmp(a));
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eigenvalues_by_numpy() {
        let found = eigenvalues([[4.0, 1.0, -2.0], [1.0, 3.0, 0.5], [-2.0, 0.5, 5.0]]);
        let expected = [6.576456854440895, 3.8393364524664815, 1.584206693092622];
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
    }

    #[test]
    fn sums_by_runs_are_those_of_voxels() {
        let size = [150, 3, 2];
        let set = VoxelSet::of(size, |index| index % 7 < 4 || (60..130).contains(&(index % 150)));
        let mut expected = CoordinateSums::default();
        for index in 0..900_u64 {
            let at = [index % 150, index / 150 % 3, index / 450];
            if set.contains(at.map(|place| place as usize)) {
                expected.voxels += 1;
                (0..3).for_each(|axis| expected.first[axis] += at[axis]);
                (0..6).for_each(|product| {
                    expected.second[product] += at[PRODUCTS[product][0]] * at[PRODUCTS[product][1]];
                });
            }
        }
        assert_eq!(CoordinateSums::of(&set), expected);
    }
}
