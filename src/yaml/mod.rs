//! Files that people write: YAML as a tree in which everything knows its place, and what is wrong with it.
//!
//! A file is read to the end, and all its problems are told at once, each with line, column and, where
//! something can be said, what to do. What the keys mean is for those who read the tree.

mod collector;
pub mod duration;
mod fields;
mod hint;
mod problem;
mod size;
mod tree;

pub(crate) use collector::Collector;
pub use collector::{Place, Placed};
pub(crate) use fields::{Fields, entries, flag, list, number, text, value};
pub(crate) use hint::{meant, meant_or_all, nearest};
pub use problem::{Problem, Problems};
pub use size::bytes;
pub(crate) use size::{parse as size, shown as shown_size, units as size_units};
pub(crate) use tree::{Entry, Shape, Tree, read};
