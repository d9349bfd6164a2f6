//! YAML files that people write, parsed to a tree with positions, and the problems found in them.
//!
//! The whole file is read before its problems are reported, all at once, each with line, column and, if
//! possible, a hint. The code that reads the tree gives the keys their meaning.

mod collector;
pub mod duration;
mod fields;
mod hint;
mod problem;
mod size;
mod tree;

pub(crate) use collector::{Collector, Place, Placed};
pub(crate) use fields::{Fields, entries, flag, list, number, text, value};
pub(crate) use hint::{meant, meant_or_all, nearest};
pub use problem::{Problem, Problems};
pub use size::bytes;
pub(crate) use size::{parse as size, shown as shown_size, units as size_units};
pub(crate) use tree::{Entry, Shape, Tree, read};
