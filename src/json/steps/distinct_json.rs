//! `distinct-json`: removes duplicates.

use crate::json::{JsonItem, check_pointer};
use crate::step::{BuiltIn, Parameter, Step};

fn step() -> Step {
    Step::new("distinct-json", 2, "Keeps of items with the same value in a field the first one.")
        .takes::<JsonItem>("item")
        .gives_many::<JsonItem>("items")
        .parameter(
            Parameter::text("field", "", &[]).required().about("A JSON Pointer: /id.").checked(check_pointer),
        )
        .distinct(|item: &JsonItem, call| item.as_json(call.text("field")))
}

inventory::submit! { BuiltIn(step) }
