//! The volume and the lungs in it.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use crate::step::{Payload, StepReservations};

use super::coarse::CoarseGrid;
use super::{NumberBlock, VoxelSet};

/// CT numbers on a regular grid.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Volume {
    /// HU, x fastest, then y, then z: `voxels[(z * rows + y) * columns + x]`.
    pub voxels: VolumeVoxels,
    /// Columns, rows, slices.
    pub size: [usize; 3],
    /// Distance of voxel centres along x, y, z in mm.
    pub spacing: [f64; 3],
    /// Patient coordinates of the first voxel's centre in mm.
    pub origin: [f64; 3],
    /// Patient directions of x, y and z: unit vectors.
    pub axes: [[f64; 3]; 3],
}

impl Volume {
    pub fn hu(&self, [x, y, z]: [usize; 3]) -> i16 {
        self.voxels[(z * self.size[1] + y) * self.size[0] + x]
    }

    pub fn row(&self, y: usize, z: usize) -> &[i16] {
        &self.voxels[(z * self.size[1] + y) * self.size[0]..][..self.size[0]]
    }

    /// The coarse grid of the voxels, computed once.
    pub fn coarse(&self) -> Arc<CoarseGrid> {
        let make = || Arc::new(CoarseGrid::of(&self.voxels, self.size, self.spacing));
        let kept = self.voxels.coarse.get_or_init(make);
        if kept.fits(self.size, self.spacing) { Arc::clone(kept) } else { make() }
    }

    /// The same voxels, which are not copied, with all lengths times a factor.
    pub fn scaled(&self, factor: f64) -> Volume {
        let voxels = VolumeVoxels { block: Arc::clone(&self.voxels.block), coarse: OnceLock::new() };
        let [spacing, origin] = [self.spacing, self.origin].map(|lengths| lengths.map(|mm| mm * factor));
        Volume { voxels, size: self.size, spacing, origin, axes: self.axes }
    }

    /// Volume of one voxel in mL.
    pub fn voxel_ml(&self) -> f64 {
        self.spacing.iter().product::<f64>() / 1000.0
    }
}

/// The CT numbers of a volume, with their coarse grid once it is known. Whoever changes a voxel loses the grid.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub struct VolumeVoxels {
    block: Arc<NumberBlock<i16>>,
    #[serde(skip)]
    coarse: OnceLock<Arc<CoarseGrid>>,
}

impl VolumeVoxels {
    /// Keeps the grid of these voxels.
    pub fn keep(&mut self, coarse: CoarseGrid) {
        self.coarse = OnceLock::from(Arc::new(coarse));
    }
}

impl From<NumberBlock<i16>> for VolumeVoxels {
    fn from(block: NumberBlock<i16>) -> VolumeVoxels {
        VolumeVoxels { block: Arc::new(block), coarse: OnceLock::new() }
    }
}

impl From<Vec<i16>> for VolumeVoxels {
    fn from(voxels: Vec<i16>) -> VolumeVoxels {
        NumberBlock::from(voxels).into()
    }
}

impl FromIterator<i16> for VolumeVoxels {
    fn from_iter<I: IntoIterator<Item = i16>>(voxels: I) -> VolumeVoxels {
        NumberBlock::from_iter(voxels).into()
    }
}

impl Clone for VolumeVoxels {
    fn clone(&self) -> VolumeVoxels {
        VolumeVoxels { block: Arc::clone(&self.block), coarse: self.coarse.clone() }
    }
}

impl PartialEq for VolumeVoxels {
    fn eq(&self, other: &VolumeVoxels) -> bool {
        self.block == other.block
    }
}

impl Deref for VolumeVoxels {
    type Target = [i16];

    fn deref(&self) -> &[i16] {
        &self.block
    }
}

impl DerefMut for VolumeVoxels {
    fn deref_mut(&mut self) -> &mut [i16] {
        self.coarse.take();
        Arc::<NumberBlock<i16>>::make_mut(&mut self.block)
    }
}

/// Leaves the voxels out.
impl fmt::Debug for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Volume({:?} voxels of {:?} mm)", self.size, self.spacing)
    }
}

impl Payload for Volume {
    const TYPE: &'static str = "volume";
}

/// The voxels of either lung (the patient's sides), on the grid of the volume. No voxel is in both.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Lungs {
    pub right: VoxelSet,
    pub left: VoxelSet,
    /// The lumen of trachea and main bronchi.
    pub airways: VoxelSet,
    /// Gas in the place of lung that is no lung, as in a pneumothorax.
    pub gas: VoxelSet,
    /// Decisions for the report.
    pub remarks: Vec<String>,
    /// Limits of the results' meaning.
    pub reservations: StepReservations,
    /// The program that the lungs come from, if it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_by: Option<String>,
}

impl Lungs {
    pub const NONE: u8 = 0;
    pub const RIGHT: u8 = 1;
    pub const LEFT: u8 = 2;

    /// The lungs of a list with one label per voxel, x fastest, without remarks.
    pub fn labelled(size: [usize; 3], labels: &[u8]) -> Lungs {
        let side = |side: u8| VoxelSet::of(size, |index| labels[index] == side);
        Lungs::of(side(Lungs::RIGHT), side(Lungs::LEFT))
    }

    /// Two lungs, without airways and remarks.
    pub fn of(right: VoxelSet, left: VoxelSet) -> Lungs {
        let none = VoxelSet::empty(right.size());
        let reservations = StepReservations::default();
        let airways = none.clone();
        Lungs { right, left, airways, gas: none, remarks: Vec::new(), reservations, made_by: None }
    }

    /// The lung of a voxel: [`Lungs::NONE`], [`Lungs::RIGHT`] or [`Lungs::LEFT`].
    pub fn label(&self, at: [usize; 3]) -> u8 {
        match (self.right.contains(at), self.left.contains(at)) {
            (true, _) => Lungs::RIGHT,
            (false, true) => Lungs::LEFT,
            (false, false) => Lungs::NONE,
        }
    }

    /// The label of each voxel, x fastest.
    pub fn labels(&self) -> impl Iterator<Item = u8> {
        let [columns, rows, slices] = self.right.size();
        let rows = (0..slices).flat_map(move |z| (0..rows).map(move |y| (y, z)));
        rows.flat_map(move |(y, z)| (0..columns).map(move |x| self.label([x, y, z])))
    }
}

/// Leaves the voxels out.
impl fmt::Debug for Lungs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lungs({} and {} voxels, {:?})", self.right.count(), self.left.count(), self.remarks)
    }
}

impl Payload for Lungs {
    const TYPE: &'static str = "lungs";
}
