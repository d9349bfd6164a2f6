//! JSON values as items of a stream, and the steps that read, choose, calculate, add up and write them. With them a
//! dataflow needs no code.

mod chart;
pub mod condition;
mod item;
pub mod steps;
pub mod template;
mod total;

pub use item::{JsonItem, check_name, check_pointer};
pub use total::{JsonTotal, NumberOfGroup, TotalGroup};
