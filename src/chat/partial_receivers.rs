//! The receivers of the text of a model's answer while it grows: senders to whom their message type sends all of it.

use serde_json::Value;

use crate::dataflow::Dataflow;
use crate::step::{ParameterValue, StepParameters};

/// Whether the text that the model of a step writes goes to a sender with this role, whatever it will be. An event with a
/// condition may not come, and what other steps make of the text may be another one.
pub(super) fn shows_text_of(dataflow: &Dataflow, step: &str, role: &str) -> bool {
    let node = dataflow.nodes.iter().find(|node| &*node.name == step);
    let Some(ParameterValue::Text(into)) = node.and_then(|node| node.parameters.get("into")) else {
        return false;
    };
    let writes = dataflow.nodes.iter().filter(|node| node.step.declaration.name == "write-events");
    writes.flat_map(|node| events(&node.parameters)).any(|event| {
        let is_received = event["to"].as_str().is_some_and(|to| ["all", "sender", role].contains(&to));
        is_received && event.get("when").is_none() && has_text(&event["content"], into)
    })
}

fn events(parameters: &StepParameters) -> &[Value] {
    match parameters.get("events") {
        Some(ParameterValue::Json(Value::Array(events))) => events,
        _ => &[],
    }
}

/// Whether a content has the text of the answer in this field.
fn has_text(content: &Value, field: &str) -> bool {
    let names = [format!("{{/{field}}}"), format!("{{/{field}?}}"), format!("{{/{field}/text")];
    match content {
        Value::String(text) => names.iter().any(|name| text.contains(name)),
        Value::Array(parts) => parts.iter().any(|part| has_text(part, field)),
        Value::Object(parts) => parts.values().any(|part| has_text(part, field)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::StepTable;

    fn shows(events: &str) -> bool {
        let text = format!(
            "dataflow: asked\nsteps:\n  message: {{step: read-message, needs: {{request: request}}}}\n  answer: \
             {{step: call-model, needs: {{item: message}}, with: {{model: m, prompt: p, into: said}}}}\n  events: \
             {{step: write-events, needs: {{item: answer}}, with: {{events: [{events}]}}}}\nresponse: [events]\n"
        );
        let dataflow = Dataflow::parse("asked.yaml", &text, &StepTable::built_in());
        let dataflow = dataflow.unwrap_or_else(|problems| panic!("{problems}"));
        assert!(!shows_text_of(&dataflow, "message", "patient"));
        shows_text_of(&dataflow, "answer", "patient")
    }

    #[test]
    fn only_a_sender_to_whom_all_of_a_text_goes_sees_it_grow() {
        let event = |to: &str, content: &str| format!("{{to: {to}, type: said, content: {content}}}");
        let (whole, text) = ("\"{/said}\"", "{words: [\"It says: {/said/text}\"]}");
        for to in ["all", "sender", "patient"] {
            assert!(shows(&event(to, whole)) && shows(&event(to, text)), "{to}");
        }
        assert!(!shows(&event("provider", whole)) && !shows(&event("others", text)));
        assert!(!shows(&event("all", "{model: \"{/said/model}\"}")));
        let thanks = event("sender", "{text: Thank you}");
        assert!(!shows(&format!("{thanks}, {}", event("provider", whole))));
        let checked = "{when: {/said/fallback: false}, to: all, type: said, content: \"{/said}\"}";
        assert!(!shows(checked));
    }
}
