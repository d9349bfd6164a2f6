//! `pick-number`: takes of each item what a total needs.

use crate::json::{JsonItem, NumberOfGroup, check_pointer};
use crate::step::{BuiltIn, Fault, Parameter, Step};

fn step() -> Step {
    Step::new("pick-number", 2, "Takes the number and the group of each item, for a total.")
        .takes::<JsonItem>("item")
        .gives::<NumberOfGroup>("number")
        .parameter(
            Parameter::text("field", "", &[])
                .required()
                .about("The number, a JSON Pointer: /amount.")
                .checked(check_pointer),
        )
        .parameter(
            Parameter::text("group", "", &[])
                .required()
                .about("The group, a JSON Pointer: /kind.")
                .checked(check_pointer),
        )
        .runs_each(|item: JsonItem, call| {
            let (number, group) = (item.whole(call.text("field"))?, item.as_json(call.text("group"))?);
            Ok::<_, Fault>(NumberOfGroup { group, number })
        })
}

inventory::submit! { BuiltIn(step) }
