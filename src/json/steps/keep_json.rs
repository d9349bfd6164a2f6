//! `keep-json`: drops items whose number is too small or too large.

use crate::json::{JsonItem, check_pointer};
use crate::step::{BuiltIn, Parameter, Step};

const MOST: f64 = 9_007_199_254_740_991.0;

fn step() -> Step {
    Step::new("keep-json", 2, "Keeps items of which a field, a whole number, is within bounds.")
        .takes::<JsonItem>("item")
        .gives_many::<JsonItem>("items")
        .parameter(
            Parameter::text("field", "", &[])
                .required()
                .about("A JSON Pointer: /amount.")
                .checked(check_pointer),
        )
        .parameter(Parameter::number("least", -MOST, -MOST, MOST, ""))
        .parameter(Parameter::number("most", MOST, -MOST, MOST, ""))
        .settings_checked(|parameters| parameters.check_order("least", "most"))
        .runs_some(|item: JsonItem, call| {
            let number = item.whole(call.text("field"))?;
            let (least, most) = (call.number("least"), call.number("most"));
            let (is_above, is_below) = (number as f64 >= least, number as f64 <= most);
            // A bound that was not given is none, however large the number.
            Ok(((is_above || least <= -MOST) && (is_below || most >= MOST)).then_some(item))
        })
}

inventory::submit! { BuiltIn(step) }
