//! `multiply-json`: the product of fields becomes a field.

use serde_json::Value as JsonValue;

use crate::json::{JsonItem, check_name, check_pointer};
use crate::step::{BuiltIn, Call, Fault, Parameter, Step};

fn step() -> Step {
    Step::new(
        "multiply-json",
        1,
        "Multiplies fields, which are whole numbers, and sets a field to the product.",
    )
    .takes::<JsonItem>("item")
    .gives::<JsonItem>("item")
    .parameter(
        Parameter::texts("factors")
            .required()
            .about("JSON Pointers: [/count, /answer/price].")
            .checked(check_pointer),
    )
    .parameter(Parameter::text("into", "product", &[]).about("The name of the field.").checked(check_name))
    .settings_checked(|parameters| parameters.check_not_empty("factors"))
    .runs_each(multiplied)
}

inventory::submit! { BuiltIn(step) }

fn multiplied(item: JsonItem, call: &Call) -> Result<JsonItem, Fault> {
    let mut product: i64 = 1;
    for factor in call.texts("factors") {
        let too_large = || Fault::new("the product is 2^63 or more", "Correct the item.");
        product = product.checked_mul(item.whole(factor)?).ok_or_else(too_large)?;
    }
    item.with(call.text("into"), JsonValue::from(product))
}
