//! `write-transcript`: the conversation so far as a text, for a model.

use serde_json::Value as JsonValue;

use crate::json::{JsonItem, check_name, check_pointer};
use crate::step::{BuiltIn, Call, Fault, Parameter, Step};

fn step() -> Step {
    Step::new("write-transcript", 1, "Writes the events before a message as lines of a text, ROLE: TEXT.")
        .takes::<JsonItem>("item")
        .gives::<JsonItem>("item")
        .parameter(
            Parameter::text("into", "transcript", &[])
                .about("The field that takes the text.")
                .checked(check_name),
        )
        .parameter(
            Parameter::texts("fields")
                .about(
                    "JSON Pointers into an event; the first that leads to a text gives it: [/content/text].",
                )
                .checked(check_pointer),
        )
        .cheap()
        .recomputed()
        .runs_each(written)
}

inventory::submit! { BuiltIn(step) }

/// Where the text of an event is, if the dataflow file does not say it.
const FIELDS_USUAL: [&str; 1] = ["/content/text"];

fn written(item: JsonItem, call: &Call) -> Result<JsonItem, Fault> {
    let given = call.texts("fields");
    let fields: Vec<&str> =
        if given.is_empty() { FIELDS_USUAL.to_vec() } else { given.iter().map(String::as_str).collect() };
    let events = item.0.pointer("/context").and_then(JsonValue::as_array).into_iter().flatten();
    let lines = events.filter_map(|event| {
        let text = fields.iter().find_map(|field| event.pointer(field)?.as_str())?;
        let role = event.pointer("/from/role").and_then(JsonValue::as_str).unwrap_or("service");
        // A line break in a text must not look like another speaker.
        let words: Vec<&str> = text.split_whitespace().collect();
        Some(format!("{role}: {}\n", words.join(" ")))
    });
    let transcript: String = lines.collect();
    item.with(call.text("into"), JsonValue::String(transcript))
}
