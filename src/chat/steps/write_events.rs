//! `write-events`: the answer to a message, as the file that the chat delivers.

use serde_json::Value as JsonValue;

use crate::json::{JsonItem, condition, template};
use crate::step::{BuiltIn, Call, Fault, Parameter, ResponseFile, ResponseFiles, Step, StepOutputs};

/// The name of the file.
pub const FILE: &str = "events.json";

const KEYS: [&str; 5] = ["when", "to", "type", "content", "from"];

fn step() -> Step {
    Step::new("write-events", 1, "Writes the events that answer a message.")
        .takes::<JsonItem>("item")
        .gives::<ResponseFiles>("files")
        .parameter(Parameter::json("events", JsonValue::Null, check).required().about(
            "A list of {to: all, sender, others or a role, type: NAME, content: VALUES}, in which {/content/text} stands \
             for a field of the item; `when: CONDITION` says on what it depends.",
        ))
        .cheap()
        .recomputed()
        .runs(write)
}

inventory::submit! { BuiltIn(step) }

fn check(events: &JsonValue) -> Result<(), String> {
    let Some(events) = events.as_array() else { return Err("it is not a list of events".to_owned()) };
    for event in events {
        let keys = event.as_object().map(|event| event.keys().map(String::as_str).collect::<Vec<&str>>());
        let keys = keys.ok_or_else(|| format!("the event {event} is not a map"))?;
        if let Some(other) = keys.iter().find(|key| !KEYS.contains(key)) {
            return Err(format!("the event {event} has {other:?}; known here: {}", KEYS.join(", ")));
        }
        let texts = ["to", "type"].iter().all(|key| event[*key].is_string());
        if !texts || event.get("content").is_none() {
            return Err(format!("the event {event} lacks \"to\", \"type\" or \"content\""));
        }
        event.get("when").map_or(Ok(()), condition::check)?;
        template::check(event)?;
    }
    Ok(())
}

fn write(call: &Call) -> Result<StepOutputs, Fault> {
    let item = call.input::<JsonItem>("item");
    let events = call.json("events").as_array().into_iter().flatten();
    let due = events.filter(|event| event.get("when").is_none_or(|when| condition::holds(when, item)));
    let filled = due.map(|event| {
        let parts = event.as_object().into_iter().flatten().filter(|(key, _)| *key != "when");
        let parts: JsonValue = parts.map(|(key, value)| (key.clone(), value.clone())).collect();
        template::filled(&parts, item)
    });
    let events: Vec<JsonValue> = filled.filter_map(Result::transpose).collect::<Result<_, Fault>>()?;
    let text = serde_json::to_vec(&events).expect("JSON can be written as JSON");
    let file = ResponseFile::new(FILE, "application/json", text);
    Ok(StepOutputs::one("files", ResponseFiles(vec![file])))
}
