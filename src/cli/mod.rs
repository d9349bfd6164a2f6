//! cli

pub mod check;
pub mod graph;
pub mod sample;
pub mod steps;
