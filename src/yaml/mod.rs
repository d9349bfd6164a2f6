//! YAML files that people write: a tree in which each value knows its line and column, and problems.
//!
//! A file is read to its end, and all its problems are reported at once, each with line, column and, if
//! possible, a hint. The meaning of the keys is up to the modules that read the tree.

mod collector;
pub mod duration;
mod fields;
mod hint;
mod json;
mod problem;
mod render;
mod size;
mod tree;

pub(crate) use collector::ProblemCollector;
pub use collector::{PlacedValue, SourcePlace};
pub(crate) use fields::{MapFields, entries, flag, list, number, text, value};
pub(crate) use hint::{meant, meant_or_all, nearest};
pub(crate) use json::json;
pub use problem::{Problem, Problems};
pub(crate) use render::rendered;
pub use size::bytes;
pub(crate) use size::{parse as size, shown as shown_size, units as size_units};
pub(crate) use tree::{ScalarForm, YamlEntry, YamlShape, YamlTree, read, read_added};
