//! `read-message`: the message of a request.

use crate::json::JsonItem;
use crate::step::{BuiltIn, Call, Fault, FaultKind, Request, Step, StepOutputs};

fn step() -> Step {
    Step::new(
        "read-message",
        1,
        "Reads the message of a request: conversation, from, id, type, content, context.",
    )
    .takes::<Request>("request")
    .gives::<JsonItem>("item")
    .cheap()
    .recomputed()
    .runs(|call| Ok(StepOutputs::one("item", read(call)?)))
}

inventory::submit! { BuiltIn(step) }

fn read(call: &Call) -> Result<JsonItem, Fault> {
    let request = call.input::<Request>("request");
    let [item] = request.items.as_slice() else {
        let reason = format!("the request has {} items, and a message is one", request.items.len());
        return Err(Fault::new(reason, "Send one message as one request."));
    };
    let content = item.open().map_err(|error| {
        Fault::of(
            FaultKind::Storage,
            format!("could not read {}: {error}", item.name),
            "Send the message again.",
        )
    })?;
    let message = serde_json::from_slice(&content);
    message
        .map(JsonItem)
        .map_err(|error| Fault::new(format!("the message is no JSON: {error}"), "Correct the message."))
}
