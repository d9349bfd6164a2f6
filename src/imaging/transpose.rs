//! Volumes whose image rows run from front to back, as of a patient who was turned in the plane.
//!
//! Whoever looks for organs by their place wants rows from side to side. Exchanging rows and columns is exact, and so
//! is the way back.

use rayon::prelude::*;

use super::bits::{VoxelSet, WORD};
use super::volume::{Lungs, Volume};

impl Volume {
    /// Whether rows run rather from side to side than from front to back.
    pub fn has_rows_sideways(&self) -> bool {
        self.axes[0][0].abs() >= self.axes[0][1].abs()
    }

    /// The same volume with rows and columns exchanged.
    pub fn transposed(&self) -> Volume {
        let [columns, rows, slices] = self.size;
        let mut voxels = vec![0_i16; self.voxels.len()];
        let pixels = (columns * rows).max(1);
        let both = voxels.par_chunks_mut(pixels).zip(self.voxels.par_chunks(pixels));
        both.for_each(|(turned, slice)| {
            for (y, row) in slice.chunks_exact(columns).enumerate() {
                row.iter().enumerate().for_each(|(x, hu)| turned[x * rows + y] = *hu);
            }
        });
        Volume {
            voxels: voxels.into(),
            size: [rows, columns, slices],
            spacing: [self.spacing[1], self.spacing[0], self.spacing[2]],
            origin: self.origin,
            axes: [self.axes[1], self.axes[0], self.axes[2]],
        }
    }
}

impl VoxelSet {
    /// The same set with rows and columns exchanged.
    pub fn transposed(&self) -> VoxelSet {
        let [columns, rows, slices] = self.size();
        let mut turned = VoxelSet::empty([rows, columns, slices]);
        let words_per_row = turned.words_per_row();
        turned.slices_mut().for_each(|(z, slice)| {
            for y in 0..rows {
                for x in self.columns(y, z) {
                    slice[x * words_per_row + y / WORD] |= 1 << (y % WORD);
                }
            }
        });
        turned
    }
}

impl Lungs {
    /// The same lungs with rows and columns exchanged.
    pub fn transposed(self) -> Lungs {
        Lungs {
            right: self.right.transposed(),
            left: self.left.transposed(),
            airways: self.airways.transposed(),
            gas: self.gas.transposed(),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twice_transposed_is_the_same() {
        let volume = Volume {
            voxels: (0..24).collect(),
            size: [4, 3, 2],
            spacing: [0.5, 0.75, 2.0],
            origin: [1.0, 2.0, 3.0],
            axes: [[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]],
        };
        let turned = volume.transposed();
        assert!(!volume.has_rows_sideways() && turned.has_rows_sideways());
        assert_eq!((turned.size, turned.hu([2, 3, 1])), ([3, 4, 2], volume.hu([3, 2, 1])));
        assert!(turned.transposed() == volume);
        let set = VoxelSet::below(&volume.voxels, volume.size, 7);
        assert!(set.transposed().contains([1, 2, 0]) && set.transposed().transposed() == set);
    }
}
