//! A synthetic chest CT whose lung volumes and densities are known by formula.
//!
//! ```
//! use flow::imaging::phantom::{PhantomChest, PhantomOptions};
//!
//! let chest = PhantomChest::new(&PhantomOptions { size: [64, 64, 40], noise_hu: 0.0, ..PhantomOptions::default() });
//! let lungs = chest.lungs();
//! let voxels = lungs.right.count() + lungs.left.count();
//! let counted_ml = voxels as f64 * chest.volume().voxel_ml();
//! let truth = chest.truth();
//! assert!((counted_ml / (truth.right_ml + truth.left_ml) - 1.0).abs() < 0.01);
//! ```
//!
//! | module | contents |
//! |---|---|
//! | `point`, `shape` | geometry: solids and the part of a row that each covers |
//! | `lung`, `tree`, `filling` | the lungs and their contents, with exact volumes |
//! | `torso`, `bones` | the rest of the chest, which algorithms must cope with and people expect to see |
//! | `material` | densities, and tubes of one material |
//! | `noise` | random numbers that are a function of the seed |
//! | `truth` | volumes and densities by formula |
//! | `write`, `rle` | DICOM files |

mod bones;
mod chest;
mod filling;
mod lung;
mod material;
mod noise;
mod point;
mod rle;
mod shape;
mod torso;
mod tree;
mod truth;
mod write;

pub use chest::{PhantomChest, PhantomOptions};
pub use truth::{StudyTruth, TruthError, TruthFile};
pub use write::{PhantomSyntax, WriteError};
