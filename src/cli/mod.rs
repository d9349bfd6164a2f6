//! cli

pub mod check;
pub mod graph;
pub mod steps;
