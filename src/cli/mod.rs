//! cli

pub mod sample;
pub mod check;
pub mod graph;
pub mod steps;
