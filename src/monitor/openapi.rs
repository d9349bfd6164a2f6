//! The OpenAPI 3.1 document of the JSON API, made of the types that are served. `flow schema api` prints it; what is
//! served is the published file, which a test keeps equal.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Value, json};

use super::answers::{ActionNoted, Overview, Readiness, RefusalReason, RequestList, ServedRequest};
use super::choices::{ServedChoice, ServedRules};
use super::replays::ServedReplay;

/// The document, with schemas by these settings.
pub fn openapi(settings: SchemaSettings) -> Value {
    let settings = settings.with(|settings| settings.definitions_path = "/components/schemas".into());
    let mut schemas = settings.into_generator();
    let paths = paths(&mut schemas);
    let components = json!({
        "schemas": schemas.take_definitions(true),
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer",
            "description": "The content of `monitor.token` in the state folder, or of the site's own file."}},
    });
    json!({
        "openapi": "3.1.0",
        "info": {"title": "flow", "version": env!("CARGO_PKG_VERSION"),
            "description": "Status of a running flow, and actions on its requests."},
        "security": [{"token": []}],
        "paths": paths,
        "components": components,
    })
}

fn paths(schemas: &mut SchemaGenerator) -> Value {
    let number = parameter("number", "path", "The number of the request.", json!({"type": "integer"}));
    let action = json!({"enum": ["cancel", "retry", "hurry", "keep", "release", "replay"]});
    let action = parameter("action", "path", "What is asked for.", action);
    let part = ["dataflow", "step", "destination"].map(|name| {
        let about = "A dataflow, a step with its dataflow, or a destination.";
        parameter(name, "query", about, json!({"type": "string"}))
    });
    let name = parameter("name", "path", "The name, percent-encoded.", json!({"type": "string"}));
    let study = parameter("study", "query", "Its Study Instance UID.", json!({"type": "string"}));
    let last = "The id of the last event that the reader has.";
    let last = parameter("Last-Event-ID", "header", last, json!({"type": "string"}));
    json!({
        "/health": {"get": open("Whether the process answers.", &[], plain("text/plain"), &[])},
        "/ready": {"get": open("Whether requests are accepted now.", &[], answer::<Readiness>(schemas),
            &[("503", answer::<Readiness>(schemas))])},
        "/metrics": {"get": open("Metrics for Prometheus.", &[], plain("text/plain"), &[])},
        "/api/openapi.json": {"get": open("This document.", &[], plain("application/json"), &[])},
        "/api/overview": {"get": guarded(schemas, "The views now.", &[], ("200", answer::<Overview>))},
        "/api/events": {"get": guarded(schemas, "An overview after each change, as server-sent events.",
            std::slice::from_ref(&last), ("200", |_| plain("text/event-stream")))},
        "/api/changes": {"get": guarded(schemas,
            "The rows of the views, and then each change of them, as server-sent events.",
            &[last], ("200", |_| plain("text/event-stream")))},
        "/api/requests": {"get": guarded(schemas, "Up to 100 requests, the last accepted first.",
            &list_parameters(), ("200", answer::<RequestList>))},
        "/api/requests/{number}": {"get": guarded(schemas, "All that is known of a request.",
            std::slice::from_ref(&number), ("200", answer::<ServedRequest>))},
        "/api/requests/{number}/files/{name}": {"get": guarded(schemas, "A file of the last response.",
            &[number.clone(), name], ("200", |_| plain("*/*")))},
        "/api/requests/{number}/replay": {"get": guarded(schemas, "The last replay of a request, as far as it is.",
            std::slice::from_ref(&number), ("200", answer::<ServedReplay>))},
        "/api/rules": {"get": guarded(schemas, "The rules in force.", &[], ("200", answer::<ServedRules>))},
        "/api/choice": {"get": guarded(schemas, "The dataflow that a request would go through if it came now.",
            &choice_parameters(), ("200", answer::<ServedChoice>))},
        "/api/complete": {"post": guarded(schemas, "Declare that a study that is being received is complete.",
            &[study], ("202", answer::<ActionNoted>))},
        "/api/pause": {"post": guarded(schemas, "Let a dataflow, a step or a destination wait.",
            &part, ("202", answer::<ActionNoted>))},
        "/api/resume": {"post": guarded(schemas, "Let a paused part go on.",
            &part, ("202", answer::<ActionNoted>))},
        "/api/requests/{number}/{action}": {"post": guarded(schemas, "Ask something of a request.",
            &[number, action], ("202", answer::<ActionNoted>))},
    })
}

fn choice_parameters() -> [Value; 2] {
    let request = "The number of a request that there is; without it, attributes by their names.";
    let attributes = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let mut attributes = parameter("attributes", "query", "Attributes of a request.", attributes);
    attributes["style"] = "form".into();
    attributes["explode"] = true.into();
    [parameter("request", "query", request, json!({"type": "integer"})), attributes]
}

fn list_parameters() -> [Value; 3] {
    let text =
        "A number, a name or a part of it, an id, a subject, or another text by which its source knows it.";
    let state = "A state of requests, or `open` for all that are not answered.";
    [
        parameter("text", "query", text, json!({"type": "string"})),
        parameter("state", "query", state, json!({"type": "string"})),
        parameter("below", "query", "Only requests with a smaller number.", json!({"type": "integer"})),
    ]
}

fn parameter(name: &str, place: &str, description: &str, schema: Value) -> Value {
    json!({"name": name, "in": place, "required": place == "path", "description": description,
        "schema": schema})
}

/// An operation that needs no token.
fn open(summary: &str, parameters: &[Value], good: Value, others: &[(&str, Value)]) -> Value {
    let mut responses = json!({"200": good});
    others.iter().for_each(|(status, answer)| responses[*status] = answer.clone());
    json!({"summary": summary, "parameters": parameters, "security": [], "responses": responses})
}

/// An operation for who has the token.
fn guarded(
    schemas: &mut SchemaGenerator,
    summary: &str,
    parameters: &[Value],
    (status, answer_of): (&str, fn(&mut SchemaGenerator) -> Value),
) -> Value {
    let good = answer_of(schemas);
    let refusal = answer::<RefusalReason>(schemas);
    json!({"summary": summary, "parameters": parameters,
        "responses": {status: good, "default": refusal}})
}

/// An answer in JSON.
fn answer<T: JsonSchema>(schemas: &mut SchemaGenerator) -> Value {
    let description = "See the schema.";
    json!({"description": description,
        "content": {"application/json": {"schema": schemas.subschema_for::<T>()}}})
}

fn plain(kind: &str) -> Value {
    json!({"description": "See the reference.", "content": {kind: {}}})
}
