//! `route-json`: the value of a field chooses one of two ways.

use crate::json::{JsonItem, check_pointer};
use crate::step::{BuiltIn, Parameter, Step};

const YES: usize = 0;
const NO: usize = 1;

fn step() -> Step {
    Step::new(
        "route-json",
        1,
        "Gives items at \"yes\" if a field has one of some values, otherwise at \"no\".",
    )
    .takes::<JsonItem>("item")
    .gives_many::<JsonItem>("yes")
    .gives_many::<JsonItem>("no")
    .parameter(
        Parameter::text("field", "", &[])
            .required()
            .about("A JSON Pointer: /answer/ready.")
            .checked(check_pointer),
    )
    .parameter(Parameter::texts("equals").required().about("The values that go to \"yes\", as texts."))
    .settings_checked(|parameters| parameters.check_not_empty("equals"))
    .routes(|item: &JsonItem, call| {
        let value = item.text(call.text("field"))?;
        Ok(if call.texts("equals").contains(&value) { YES } else { NO })
    })
}

inventory::submit! { BuiltIn(step) }
