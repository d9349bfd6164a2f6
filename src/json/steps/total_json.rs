//! `total-json`: adds up whole numbers, by groups.

use crate::json::{JsonTotal, NumberOfGroup};
use crate::step::{BuiltIn, Step};

fn step() -> Step {
    Step::new("total-json", 1, "Adds up whole numbers, exactly, by groups.")
        .takes_each::<NumberOfGroup>("numbers")
        .gives::<JsonTotal>("total")
        .folds_checked(
            |_| JsonTotal::default(),
            |total: &mut JsonTotal, NumberOfGroup { group, number }| total.add(group, number),
        )
}

inventory::submit! { BuiltIn(step) }
