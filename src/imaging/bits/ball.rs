//! Balls of voxels.

/// A ball in mm, on a grid: discs, each of which lies in two slices at the same distance.
#[derive(Clone, Debug)]
pub struct VoxelBall {
    pub discs: Vec<VoxelDisc>,
    /// The number of columns to either side of the middle.
    pub half_width_most: usize,
    /// The number of rows to either side of the middle.
    pub rows: usize,
}

/// The voxels of a ball in the slices at a distance from its middle.
#[derive(Clone, Debug)]
pub struct VoxelDisc {
    pub dz: usize,
    /// For every half width, the rows of the disc that have it.
    pub dys_by_half_width: Vec<Vec<isize>>,
}

impl VoxelBall {
    /// The ball of a radius. A voxel belongs to the ball if its centre is within the radius.
    pub fn new(radius_mm: f64, spacing: [f64; 3]) -> VoxelBall {
        let reach = spacing.map(|mm| (radius_mm / mm).floor() as usize);
        let disc = |dz: usize| {
            let mut dys_by_half_width = vec![Vec::new(); reach[0] + 1];
            for dy in -(reach[1] as isize)..=reach[1] as isize {
                let rest =
                    radius_mm.powi(2) - (dy as f64 * spacing[1]).powi(2) - (dz as f64 * spacing[2]).powi(2);
                if rest >= 0.0 {
                    dys_by_half_width[(rest.sqrt() / spacing[0]).floor() as usize].push(dy);
                }
            }
            VoxelDisc { dz, dys_by_half_width }
        };
        VoxelBall { discs: (0..=reach[2]).map(disc).collect(), half_width_most: reach[0], rows: reach[1] }
    }
}
