//! `rate-json`: adds up the points of all rules whose conditions hold, and keeps their reasons.

use serde_json::{Value as JsonValue, json};

use crate::json::{JsonItem, check_name, condition};
use crate::step::{BuiltIn, Call, Fault, Parameter, Step};

/// The most points that a rule can give or take, so that sums are exact.
const POINTS_MAX: i64 = 1_000_000;

fn step() -> Step {
    Step::new(
        "rate-json",
        1,
        "Adds up the points of the rules whose conditions hold, and lists their reasons.",
    )
    .takes::<JsonItem>("item")
    .gives::<JsonItem>("item")
    .parameter(
        Parameter::text("into", "rating", &[])
            .about("The field that takes {score, reasons}.")
            .checked(check_name),
    )
    .parameter(
        Parameter::json("rules", JsonValue::Null, check)
            .required()
            .about("A list of {when: CONDITION, points: NUMBER, reason: TEXT}; `reason` can be left out."),
    )
    .cheap()
    .recomputed()
    .runs_each(rated)
}

inventory::submit! { BuiltIn(step) }

fn check(rules: &JsonValue) -> Result<(), String> {
    let Some(rules) = rules.as_array() else { return Err("it is not a list of rules".to_owned()) };
    for rule in rules {
        let known = |key: &String| ["when", "points", "reason"].contains(&key.as_str());
        let keys = rule.as_object().is_some_and(|rule| rule.keys().all(known));
        let points =
            rule["points"].as_i64().is_some_and(|points| (-POINTS_MAX..=POINTS_MAX).contains(&points));
        let reason = rule.get("reason").is_none_or(JsonValue::is_string);
        let Some(when) = rule.get("when").filter(|_| keys && points && reason) else {
            return Err(format!("the rule {rule} is not {{when: CONDITION, points: NUMBER, reason: TEXT}}"));
        };
        condition::check(when)?;
    }
    Ok(())
}

fn rated(item: JsonItem, call: &Call) -> Result<JsonItem, Fault> {
    let rules = call.json("rules").as_array().into_iter().flatten();
    let held: Vec<&JsonValue> = rules.filter(|rule| condition::holds(&rule["when"], &item)).collect();
    let score: i64 = held.iter().filter_map(|rule| rule["points"].as_i64()).sum();
    let reasons: Vec<&str> = held.iter().filter_map(|rule| rule.get("reason")?.as_str()).collect();
    item.with(call.text("into"), json!({"score": score, "reasons": reasons}))
}
