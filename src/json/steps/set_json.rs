//! `set-json`: sets fields of an item to values made of its other fields.

use serde_json::Value as JsonValue;

use crate::json::{JsonItem, check_name, template};
use crate::step::{BuiltIn, Call, Fault, Parameter, Step};

fn step() -> Step {
    Step::new("set-json", 1, "Sets fields of an item to values made of its other fields.")
        .takes::<JsonItem>("item")
        .gives::<JsonItem>("item")
        .parameter(
            Parameter::json("fields", JsonValue::Null, check)
                .required()
                .about("A map from names to values, in which {/content/text} stands for a field."),
        )
        .cheap()
        .recomputed()
        .runs_each(set)
}

inventory::submit! { BuiltIn(step) }

fn check(fields: &JsonValue) -> Result<(), String> {
    let Some(named) = fields.as_object() else {
        return Err("it is not a map from names to values".to_owned());
    };
    named.keys().try_for_each(|name| check_name(name))?;
    template::check(fields)
}

fn set(item: JsonItem, call: &Call) -> Result<JsonItem, Fault> {
    let fields = call.json("fields").as_object().into_iter().flatten();
    let mut set = item.clone();
    for (name, value) in fields {
        if let Some(value) = template::filled(value, &item)? {
            set = set.with(name, value)?;
        }
    }
    Ok(set)
}
