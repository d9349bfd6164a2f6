//! `choose-json`: the first rule whose condition holds says the value of a field.

use serde_json::Value as JsonValue;

use crate::json::{JsonItem, check_name, condition, template};
use crate::step::{BuiltIn, Call, Fault, Parameter, Step};

fn step() -> Step {
    Step::new("choose-json", 1, "Sets a field to the value of the first rule whose condition holds.")
        .takes::<JsonItem>("item")
        .gives::<JsonItem>("item")
        .parameter(
            Parameter::text("into", "", &[]).required().about("The name of the field.").checked(check_name),
        )
        .parameter(
            Parameter::json("rules", JsonValue::Null, check)
                .required()
                .about("A list of {when: CONDITION, value: VALUE}; one without `when` always holds."),
        )
        .cheap()
        .recomputed()
        .runs_each(chosen)
}

inventory::submit! { BuiltIn(step) }

fn check(rules: &JsonValue) -> Result<(), String> {
    let Some(rules) = rules.as_array() else { return Err("it is not a list of rules".to_owned()) };
    for rule in rules {
        let keys =
            rule.as_object().map(|rule| rule.keys().all(|key| ["when", "value"].contains(&key.as_str())));
        let Some(value) = rule.get("value").filter(|_| keys == Some(true)) else {
            return Err(format!("the rule {rule} is not {{when: CONDITION, value: VALUE}}"));
        };
        rule.get("when").map_or(Ok(()), condition::check)?;
        template::check(value)?;
    }
    Ok(())
}

fn chosen(item: JsonItem, call: &Call) -> Result<JsonItem, Fault> {
    let mut rules = call.json("rules").as_array().into_iter().flatten();
    let holds = |rule: &&JsonValue| rule.get("when").is_none_or(|when| condition::holds(when, &item));
    let Some(rule) = rules.find(holds) else {
        let remedy = "Correct the message, or add a rule without `when` to the dataflow file.";
        return Err(Fault::new(format!("no rule says the field {:?}", call.text("into")), remedy));
    };
    match template::filled(&rule["value"], &item)? {
        Some(value) => item.with(call.text("into"), value),
        None => Ok(item),
    }
}
