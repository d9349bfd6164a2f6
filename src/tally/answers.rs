//! The answers of the services to a job: functions of the job alone.

use serde_json::{Value as JsonValue, json};

use super::search::{DocumentIndex, mixed};

/// The services, by the path of their address.
pub const SEARCH: &str = "/search";
pub const FIRST: &str = "/first";
pub const SECOND: &str = "/second";

/// The answer of a service to a job.
pub fn answer(path: &str, job: &JsonValue, index: &DocumentIndex) -> JsonValue {
    match path {
        SEARCH => search(job, index),
        FIRST => first(job),
        SECOND => json!({ "price": price(job, 2) }),
        _ => json!({ "error": "there is no such service" }),
    }
}

fn search(job: &JsonValue, index: &DocumentIndex) -> JsonValue {
    match index.count(job["words"].as_str().unwrap_or_default()) {
        Ok(hits) => json!({ "hits": hits, "go": if hits % 3 == 0 { "second" } else { "first" } }),
        Err(error) => json!({ "error": error.to_string() }),
    }
}

/// The first service is not ready for some jobs, and says how often it has to be asked again.
fn first(job: &JsonValue) -> JsonValue {
    let left = job.pointer("/answer/left").and_then(JsonValue::as_u64);
    match left.unwrap_or_else(|| times_asked_again(job)) {
        0 => json!({ "ready": true, "price": price(job, 1) }),
        left => json!({ "ready": false, "left": left - 1 }),
    }
}

fn times_asked_again(job: &JsonValue) -> u64 {
    mixed(id(job) ^ 7) % 4
}

/// A price in cents.
pub fn price(job: &JsonValue, service: u64) -> u64 {
    100 * service + mixed(id(job) * 8 + service) % 900
}

fn id(job: &JsonValue) -> u64 {
    job["id"].as_u64().unwrap_or_default()
}
