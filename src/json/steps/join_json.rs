//! `join-json`: items of two streams with the same value in a field meet.

use serde_json::Value as JsonValue;

use crate::json::{JsonItem, check_name, check_pointer};
use crate::step::{BuiltIn, Call, JoinRule, Parameter, Step, UnmatchedItem};

const DROP: &str = "drop";
const KEEP: &str = "keep";
const MIB: f64 = 1_048_576.0;

fn step() -> Step {
    Step::new(
        "join-json",
        1,
        "Sets a field of each left item to the right item with the same key, and gives one item for each match.",
    )
    .takes::<JsonItem>("left")
    .takes::<JsonItem>("right")
    .gives_many::<JsonItem>("items")
    .parameter(Parameter::text("left_key", "", &[]).required().about("A JSON Pointer: /customer.").checked(check_pointer))
    .parameter(Parameter::text("right_key", "", &[]).required().about("A JSON Pointer: /id.").checked(check_pointer))
    .parameter(Parameter::text("into", "joined", &[]).about("The field that takes the right item.").checked(check_name))
    .parameter(
        Parameter::text("unmatched", DROP, &[DROP, KEEP])
            .about("What becomes of a left item without a match: with `keep`, the field is null."),
    )
    .parameter(
        Parameter::number("right_max", (JoinRule::RIGHT_BYTES_MAX >> 20) as f64, 1.0, 1_048_576.0, "MiB")
            .about("The memory that the right stream may take, and the left items that wait for its end; with more, the step has failed."),
    )
    .joins(
        |item: &JsonItem, call| Ok(key(item, call.text("left_key"))),
        |item: &JsonItem, call| Ok(key(item, call.text("right_key"))),
        |left: &JsonItem, right: Option<&JsonItem>, call| {
            let right = right.map_or(JsonValue::Null, |right| right.0.clone());
            left.clone().with(call.text("into"), right)
        },
        rule,
    )
}

inventory::submit! { BuiltIn(step) }

fn rule(call: &Call) -> JoinRule {
    let unmatched = if call.text("unmatched") == KEEP { UnmatchedItem::Keep } else { UnmatchedItem::Drop };
    JoinRule { unmatched, right_bytes_max: (call.number("right_max") * MIB) as usize }
}

/// The value of the field, as JSON, so that the number 1 and the text "1" differ. Null and nothing are no key.
fn key(item: &JsonItem, pointer: &str) -> Option<String> {
    item.0.pointer(pointer).filter(|value| !value.is_null()).map(JsonValue::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_texts_are_different_keys_and_null_is_none() {
        let item = JsonItem(serde_json::json!({"number": 1, "text": "1", "nothing": null}));
        assert_eq!(key(&item, "/number").as_deref(), Some("1"));
        assert_eq!(key(&item, "/text").as_deref(), Some("\"1\""));
        assert_eq!((key(&item, "/nothing"), key(&item, "/other")), (None, None));
    }
}
