//! Boxes of voxels.

/// The number of voxels in a word of a row.
pub const WORD: usize = 64;

/// A box of voxels: `low` belongs to it, `high` does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoxelBounds {
    pub low: [usize; 3],
    pub high: [usize; 3],
}

impl VoxelBounds {
    /// A box within this one, given by its place in it.
    pub fn inner(&self, inner: &VoxelBounds) -> VoxelBounds {
        let moved = |by: &[usize; 3]| std::array::from_fn(|axis| self.low[axis] + by[axis]);
        VoxelBounds { low: moved(&inner.low), high: moved(&inner.high) }
    }

    /// The box with a margin in mm, within a grid, its first column a multiple of 64.
    pub fn widened(&self, margin_mm: f64, spacing: [f64; 3], size: [usize; 3]) -> VoxelBounds {
        let margin = spacing.map(|mm| (margin_mm / mm).ceil() as usize + 1);
        let mut low: [usize; 3] = std::array::from_fn(|axis| self.low[axis].saturating_sub(margin[axis]));
        low[0] -= low[0] % WORD;
        let high = std::array::from_fn(|axis| size[axis].min(self.high[axis] + margin[axis]));
        VoxelBounds { low, high }
    }
}
