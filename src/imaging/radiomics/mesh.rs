//! The surface mesh of a set of voxels by marching cubes (Lorensen, Cline 1987): its volume and area.
//!
//! A cell of the mesh lies between eight voxel centres, and its part of the surface has its corners in the middles
//! between voxels inside and outside. So there are 256 cases, and only their numbers are counted. Where a face of a
//! cell has two opposite corners inside, they are kept apart, on both sides of the face; so the surface is closed.

use std::ops::Range;

use rayon::prelude::*;

use crate::imaging::VoxelSet;
use crate::imaging::bits::{VoxelBounds, WORD};

/// Corner `c` of a cell lies at x, y, z = bits 0, 1, 2 of `c`.
const CASES: usize = 256;
/// The corners of each face of a cell, counterclockwise as seen from outside.
const FACES: [[usize; 4]; 6] =
    [[0, 4, 6, 2], [1, 3, 7, 5], [0, 1, 5, 4], [2, 6, 7, 3], [0, 2, 3, 1], [4, 5, 7, 6]];

/// Areas that differ by less than this share are equal.
const ROUNDING: f64 = 1e-9;

type MeshPoint = [f64; 3];

/// Volume in mm³ and area in mm² of a closed mesh.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeshSize {
    pub volume_mm3: f64,
    pub area_mm2: f64,
}

impl MeshSize {
    pub fn of(set: &VoxelSet, spacing: [f64; 3]) -> MeshSize {
        let counts = count_cases(set);
        let mut size = MeshSize { volume_mm3: 0.0, area_mm2: 0.0 };
        for (case, (cells, columns)) in counts.iter().enumerate().filter(|(_, (cells, _))| *cells > 0) {
            let patch = SurfacePatch::of(case, spacing);
            size.area_mm2 += patch.area * *cells as f64;
            size.volume_mm3 += patch.area_x * spacing[0] * *columns as f64 + patch.flux * *cells as f64;
        }
        size
    }
}

/// For each case, the number of cells and the sum of their column numbers.
type CaseCounts = [(u64, u64); CASES];

fn count_cases(set: &VoxelSet) -> CaseCounts {
    let Some(VoxelBounds { low, high }) = set.bounds() else { return [(0, 0); CASES] };
    let [_, rows, slices] = set.size();
    let empty = vec![0; set.words_per_row()];
    let row = |y: usize, z: usize| {
        let [y, z] = [y.checked_sub(1), z.checked_sub(1)];
        match (y.filter(|y| *y < rows), z.filter(|z| *z < slices)) {
            (Some(y), Some(z)) => set.row(y, z),
            _ => &empty,
        }
    };
    let words = low[0] / WORD..high[0] / WORD + 1;
    // Cells begin one voxel before the set, so that the surface is closed at the grid's border.
    let of_slice = |mut counts: CaseCounts, z: usize| {
        for y in low[1]..=high[1] {
            let corners = [row(y, z), row(y + 1, z), row(y, z + 1), row(y + 1, z + 1)];
            count_row(corners, words.clone(), &mut counts);
        }
        counts
    };
    let zero = || [(0, 0); CASES];
    let add = |mut some: CaseCounts, other: CaseCounts| {
        some.iter_mut().zip(other).for_each(|(sum, add)| *sum = (sum.0 + add.0, sum.1 + add.1));
        some
    };
    (low[2]..high[2] + 1).into_par_iter().fold(zero, of_slice).reduce(zero, add)
}

/// Counts some words of a row of cells between four rows of voxels.
fn count_row(rows: [&[u64]; 4], words: Range<usize>, counts: &mut CaseCounts) {
    for index in words {
        // The voxels at the cells' high x, and those at their low x, one column before.
        let high = rows.map(|row| row.get(index).copied().unwrap_or(0));
        let before = rows.map(|row| index.checked_sub(1).map_or(0, |before| row[before]));
        let corners: [u64; 8] = std::array::from_fn(|corner| match corner % 2 {
            0 => high[corner / 2] << 1 | before[corner / 2] >> (WORD - 1),
            _ => high[corner / 2],
        });
        let any = corners.iter().fold(0, |any, word| any | word);
        let all = corners.iter().fold(u64::MAX, |all, word| all & word);
        let cut = any & !all;
        for byte in (0..WORD).step_by(8).filter(|byte| cut >> byte & 0xFF != 0) {
            let cases = cases_of(corners.map(|word| (word >> byte) as u8));
            let mut left = (cut >> byte) as u8;
            while left != 0 {
                let at = left.trailing_zeros() as usize;
                left &= left - 1;
                let count = &mut counts[usize::from(cases[at])];
                *count = (count.0 + 1, count.1 + (index * WORD + byte + at) as u64);
            }
        }
    }
}

/// The cases of eight cells, by the bits of their corners: a matrix of 8 × 8 bits transposed (Warren, Hacker's
/// Delight, 7-3).
fn cases_of(corners: [u8; 8]) -> [u8; 8] {
    let mut bits = u64::from_le_bytes(corners);
    for (shift, mask) in [(7, 0x00AA_00AA_00AA_00AA), (14, 0x0000_CCCC_0000_CCCC), (28, 0xF0F0_F0F0)] {
        let swap = (bits ^ bits >> shift) & mask;
        bits ^= swap ^ swap << shift;
    }
    bits.to_le_bytes()
}

/// The surface within one cell: its area, the x component of its area vector, which points outwards, and the flux
/// through it of the field (x, 0, 0), whose divergence is 1. The origin is the cell's first corner.
struct SurfacePatch {
    area: f64,
    area_x: f64,
    flux: f64,
}

impl SurfacePatch {
    fn of(case: usize, spacing: [f64; 3]) -> SurfacePatch {
        let mut patch = SurfacePatch { area: 0.0, area_x: 0.0, flux: 0.0 };
        for polygon in polygons(case) {
            let corners: Vec<MeshPoint> = polygon.iter().map(|edge| middle(*edge, spacing)).collect();
            patch.add(&SurfacePatch::largest_fan(&corners));
        }
        patch
    }

    /// A polygon in triangles from one of its corners. Of all such, the one with the largest area, and of these
    /// the one that encloses most, so that it does not depend on how the set is turned.
    fn largest_fan(corners: &[MeshPoint]) -> SurfacePatch {
        let fans = (0..corners.len()).map(|first| {
            let corner = |place: usize| corners[(first + place) % corners.len()];
            let mut fan = SurfacePatch { area: 0.0, area_x: 0.0, flux: 0.0 };
            for place in 1..corners.len() - 1 {
                fan.add(&SurfacePatch::triangle([corner(0), corner(place), corner(place + 1)]));
            }
            fan
        });
        let larger = |one: SurfacePatch, other: SurfacePatch| {
            let more = other.area - one.area;
            let is_equal = more.abs() <= ROUNDING * one.area;
            if more > 0.0 && !is_equal || is_equal && other.flux > one.flux { other } else { one }
        };
        fans.reduce(larger).expect("a polygon has corners")
    }

    fn triangle([a, b, c]: [MeshPoint; 3]) -> SurfacePatch {
        let [u, v]: [MeshPoint; 2] = [b, c].map(|point| std::array::from_fn(|axis| point[axis] - a[axis]));
        let vector: MeshPoint = std::array::from_fn(|axis| {
            let (next, last) = ((axis + 1) % 3, (axis + 2) % 3);
            (u[next] * v[last] - u[last] * v[next]) / 2.0
        });
        SurfacePatch {
            area: vector.iter().map(|part| part * part).sum::<f64>().sqrt(),
            area_x: vector[0],
            flux: vector[0] * (a[0] + b[0] + c[0]) / 3.0,
        }
    }

    fn add(&mut self, other: &SurfacePatch) {
        self.area += other.area;
        self.area_x += other.area_x;
        self.flux += other.flux;
    }
}

/// An edge of a cell by its two corners, the smaller one first.
type CellEdge = [usize; 2];

fn middle([from, to]: CellEdge, spacing: [f64; 3]) -> MeshPoint {
    std::array::from_fn(|axis| {
        let ends = [from, to].map(|corner| (corner >> axis & 1) as f64);
        spacing[axis] * (ends[0] + ends[1]) / 2.0
    })
}

/// The polygons of a case, each with its edges in order. Each is counterclockwise as seen from outside the set.
fn polygons(case: usize) -> Vec<Vec<CellEdge>> {
    let mut next: Vec<(CellEdge, CellEdge)> = FACES.iter().flat_map(|face| face_lines(case, *face)).collect();
    let mut polygons = Vec::new();
    while let Some((first, second)) = next.pop() {
        let mut polygon = vec![first];
        let mut at = second;
        while at != first {
            polygon.push(at);
            let found =
                next.iter().position(|(from, _)| *from == at).expect("the lines of a case are closed");
            at = next.swap_remove(found).1;
        }
        polygons.push(polygon);
    }
    polygons
}

/// The lines in which the surface cuts a face: around each run of inside corners, from where it is entered to
/// where it is left.
fn face_lines(case: usize, face: [usize; 4]) -> Vec<(CellEdge, CellEdge)> {
    let inside = |place: usize| case >> face[place % 4] & 1 == 1;
    let edge = |place: usize| {
        let [a, b] = [face[place % 4], face[(place + 1) % 4]];
        [a.min(b), a.max(b)]
    };
    let entered = (0..4).filter(|place| !inside(*place) && inside(place + 1));
    entered
        .map(|entry| {
            let mut exit = entry + 1;
            while inside(exit + 1) {
                exit += 1;
            }
            (edge(entry), edge(exit))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn a_voxel_is_an_octahedron() {
        let mut set = VoxelSet::empty([1, 1, 1]);
        set.insert([0, 0, 0]);
        let size = MeshSize::of(&set, [1.0; 3]);
        assert!(near(size.volume_mm3, 1.0 / 6.0) && near(size.area_mm2, 3.0_f64.sqrt()), "{size:?}");
        let stretched = MeshSize::of(&set, [2.0, 3.0, 5.0]);
        assert!(near(stretched.volume_mm3, 5.0), "{stretched:?}");
    }

    /// Turned and moved, a set has the same mesh; at the border of the grid, too.
    #[test]
    fn the_mesh_does_not_depend_on_place_and_axis() {
        let points = [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 2, 0], [2, 2, 1], [1, 3, 1], [0, 1, 2], [2, 0, 2]];
        let size_of = |offset: [usize; 3], turn: usize| {
            let mut set = VoxelSet::empty([130, 10, 10]);
            for point in points {
                set.insert(std::array::from_fn(|axis| point[(axis + turn) % 3] + offset[axis]));
            }
            MeshSize::of(&set, [1.0; 3])
        };
        let first = size_of([0, 0, 0], 0);
        for (offset, turn) in [([62, 3, 4], 0), ([126, 6, 6], 1), ([63, 0, 5], 2)] {
            let other = size_of(offset, turn);
            assert!(near(first.volume_mm3, other.volume_mm3), "{first:?} {other:?}");
            assert!(near(first.area_mm2, other.area_mm2), "{first:?} {other:?}");
        }
        assert!(first.volume_mm3 > 0.0);
    }

    #[test]
    fn a_large_ball_has_its_volume() {
        let radius = 20.0;
        let set = VoxelSet::of([48, 48, 48], |index| {
            let at = [index % 48, index / 48 % 48, index / 48 / 48];
            at.iter().map(|x| (*x as f64 - 23.5).powi(2)).sum::<f64>() <= radius * radius
        });
        let size = MeshSize::of(&set, [1.0; 3]);
        let volume = 4.0 / 3.0 * std::f64::consts::PI * radius.powi(3);
        assert!((size.volume_mm3 / volume - 1.0).abs() < 0.01, "{size:?} {volume}");
    }
}
