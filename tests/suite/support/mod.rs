//! What several tests need.

pub mod data;
pub mod peers;
pub mod random;
pub mod slices;
pub mod steps;
