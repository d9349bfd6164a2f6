//! `call-http`: asks a service about a batch of JSON items.

use serde_json::Value as JsonValue;

use crate::json::{JsonItem, check_name};
use crate::printable::counted;
use crate::step::{BuiltIn, Call, CallAttempt, CallFault, Fault, FaultKind, Parameter, Step};
use crate::tally::SampleServices;

use super::client::{ServicePost, check_address, header_field};

/// What an address begins with that means the sample services in this process.
const SAMPLE: &str = "sample:";

fn step() -> Step {
    Step::new(
        "call-http",
        1,
        "Asks a service over HTTP about batches of items, and adds its answers to them.",
    )
    .takes::<JsonItem>("item")
    .gives::<JsonItem>("item")
    .parameter(
        Parameter::text("url", "", &[])
            .required()
            .about("The address, to which a JSON array of items is sent with POST.")
            .checked(is_address),
    )
    .parameter(
        Parameter::text("into", "answer", &[])
            .about("The field of the item that takes the answer.")
            .checked(check_name),
    )
    .parameter(
        Parameter::texts("headers")
            .about("Further header fields, each as NAME: VALUE.")
            .checked(|field| header_field(field).map(|_| ())),
    )
    .calls(ask)
}

inventory::submit! { BuiltIn(step) }

fn ask(
    items: Vec<JsonItem>,
    call: &Call,
    attempt: &CallAttempt,
) -> Result<Vec<Result<JsonItem, Fault>>, CallFault> {
    let url = call.text("url");
    let url = match url.strip_prefix(SAMPLE) {
        Some(path) => format!("{}{path}", SampleServices::of_process().map_err(not_started)?),
        None => url.to_owned(),
    };
    let headers: Result<Vec<(&str, &str)>, String> =
        call.texts("headers").iter().map(|field| header_field(field)).collect();
    let headers = headers.map_err(|reason| Fault::new(reason, "Correct `headers` of the step."))?;
    let body = serde_json::to_vec(&items).expect("JSON can be written as JSON");
    let answer = ServicePost { url: &url, headers: &headers, body: &body }.send(attempt)?;
    let answers: Vec<JsonValue> = serde_json::from_slice(&answer)
        .map_err(|error| Fault::transient(format!("the answer is no JSON array: {error}"), REMEDY))?;
    if answers.len() != items.len() {
        let reason = format!(
            "the service gave {} to {}",
            counted(answers.len(), "answer"),
            counted(items.len(), "item")
        );
        return Err(Fault::new(reason, REMEDY).into());
    }
    let into = call.text("into");
    Ok(items.into_iter().zip(answers).map(|(item, answer)| answered(item, into, answer)).collect())
}

const REMEDY: &str =
    "See to the service: it has to answer with a JSON array of as many elements as it was sent.";

/// The longest error text of a service that becomes the reason of a fault.
const SAID_CHARACTERS_MAX: usize = 200;

/// The item with its answer. An object with `error` is a fault of the item; with `"again": true` a temporary one.
fn answered(item: JsonItem, into: &str, answer: JsonValue) -> Result<JsonItem, Fault> {
    let Some(error) = answer.get("error").filter(|error| !error.is_null()) else {
        return item.with(into, answer);
    };
    let said = error.as_str().map_or_else(|| error.to_string(), str::to_owned);
    let said: String = said.chars().take(SAID_CHARACTERS_MAX).collect();
    let again = answer.get("again").and_then(JsonValue::as_bool).unwrap_or(false);
    let kind = if again { FaultKind::Transient } else { FaultKind::Data };
    Err(Fault::of(
        kind,
        format!("the service says: {said}"),
        "Correct the item, or ask the service's operator.",
    ))
}

fn is_address(url: &str) -> Result<(), String> {
    match url.strip_prefix(SAMPLE) {
        Some(path) if path.starts_with('/') => Ok(()),
        Some(_) => Err(format!("the address of a sample service has a path: {SAMPLE}/PATH")),
        None => check_address(url),
    }
}

fn not_started(error: std::io::Error) -> Fault {
    Fault::transient(format!("the sample services could not be started: {error}"), "Try it again.")
}
