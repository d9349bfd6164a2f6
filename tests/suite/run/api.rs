//! The JSON API of a running flow beside its OpenAPI document.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use super::Place;
use super::again::script;
use super::page::{PageAddress, start};
use crate::results::peers::python;
use crate::schema::CLOSED;
use crate::support::peers::tool;
use crate::support::scripts::has;

const STORESCU: &str = "/usr/bin/storescu";

/// Validates answers after the schemas of a document; no answer has a key that the document does not name.
const VALIDATE: &str = r#"
import json, sys
from jsonschema import Draft202012Validator
document = json.load(open(sys.argv[1]))
components = closed(document["components"])
for path, file in zip(sys.argv[2::2], sys.argv[3::2]):
    path, method, status = path.split()
    responses = document["paths"][path][method]["responses"]
    reference = responses.get(status, responses.get("default"))["content"]["application/json"]["schema"]
    Draft202012Validator(reference | {"components": components}).validate(json.load(open(file)))
"#;

/// The body of an answer with this status, in a file.
fn answer(place: &Place, page: &PageAddress, ask: (&str, &str), status: u16, expected: &str) -> String {
    let (method, path) = ask;
    let whole = match method {
        "GET" => page.until(path, expected),
        _ => page.ask(method, path, &[&page.bearer()]).1,
    };
    assert!(whole.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {whole}");
    let (_, body) = whole.split_once("\r\n\r\n").unwrap();
    let file = place.path(&format!("{}.json", path.replace(['/', '?', '='], "-")));
    fs::write(&file, body).unwrap();
    file.display().to_string()
}

#[test]
fn answers_follow_the_published_document() {
    let Some(storescu) = tool(STORESCU) else { return };
    if has("jsonschema").is_none() {
        return;
    }
    let place = Place::new();
    place.study("one", 1);
    script(&place, "exit 3");
    let (mut flow, page) = start(&place);
    let document = answer(&place, &page, ("GET", "/api/openapi.json"), 200, "openapi");
    flow.send(storescu, &place.path("one"));
    flow.line("answered");
    page.until("/api/overview", "\"faults\":[{");
    let mut validated = vec![document.clone()];
    for (operation, path, method, status, expected) in [
        ("/ready", "/ready", "GET", 200, "\"ready\":true"),
        ("/api/overview", "/api/overview", "GET", 200, "\"faults\":[{"),
        ("/api/requests", "/api/requests", "GET", 200, "\"requests\":[{"),
        ("/api/requests", "/api/requests?text=1", "GET", 200, "\"number\":1"),
        ("/api/requests/{number}", "/api/requests/1", "GET", 200, "\"kind\":\"answered\""),
        ("/api/requests/{number}", "/api/requests/7", "GET", 404, "error"),
        ("/api/requests/{number}/{action}", "/api/requests/1/keep", "POST", 202, ""),
        ("/api/requests/{number}/{action}", "/api/requests/1/cancel", "POST", 409, ""),
        ("/api/requests/{number}/{action}", "/api/requests/1/hurry", "POST", 409, ""),
        ("/api/requests/{number}/replay", "/api/requests/1/replay?before", "GET", 200, "\"state\":\"none\""),
        ("/api/requests/{number}/{action}", "/api/requests/1/replay", "POST", 202, ""),
        ("/api/requests/{number}/replay", "/api/requests/1/replay?then", "GET", 200, "\"state\":\"done\""),
        ("/api/rules", "/api/rules", "GET", 200, "\"dataflows\":[\"script\"]"),
        ("/api/choice", "/api/choice?modality=CT", "GET", 200, "\"dataflow\":\"script\""),
        ("/api/choice", "/api/choice?request=1", "GET", 200, "\"was\":\"script\""),
        ("/api/choice", "/api/choice?request=7", "GET", 404, "error"),
        ("/api/choice", "/api/choice?modalty=CT", "GET", 400, "did you mean"),
        ("/api/complete", "/api/complete?study=1.2", "POST", 404, ""),
        ("/api/pause", "/api/pause?dataflow=other", "POST", 404, ""),
        ("/api/pause", "/api/pause?dataflow=script", "POST", 202, ""),
        ("/api/overview", "/api/overview?paused", "GET", 200, "\"paused\":[{"),
        ("/api/resume", "/api/resume?dataflow=script", "POST", 202, ""),
    ] {
        let file = answer(&place, &page, (method, path), status, expected);
        validated.extend([format!("{operation} {} {status}", method.to_lowercase()), file]);
    }
    python(&[CLOSED, VALIDATE].concat(), &validated.iter().collect::<Vec<_>>());

    let document: Value = serde_json::from_str(&fs::read_to_string(&document).unwrap()).unwrap();
    let described = document["paths"].as_object().unwrap();
    for (path, methods) in described.iter().filter(|(path, _)| !path.contains('{')) {
        // What is kept open, or changes something, has tests of its own.
        if methods.get("get").is_some() && !methods.to_string().contains("text/event-stream") {
            assert_eq!(page.ask("GET", path, &[&page.bearer()]).0, 200, "{path}");
        }
    }
    let asked = include_str!("../../../src/monitor/page.js").split('"');
    let asked: BTreeSet<&str> = asked.filter(|text| text.starts_with("/api/")).collect();
    let is_described =
        |path: &&str| described.keys().any(|key| path.starts_with(key.split('{').next().unwrap()));
    assert!(!asked.is_empty() && asked.iter().all(is_described), "{asked:?}");
}

#[test]
fn files_of_a_response_are_served_by_their_names_only() {
    let Some(storescu) = tool(STORESCU) else { return };
    let place = Place::new();
    place.study("one", 1);
    script(&place, "echo \\<script\\>alert\\(1\\)\\</script\\> > out/page.html; echo text > out/notes.txt");
    let (mut flow, page) = start(&place);
    flow.send(storescu, &place.path("one"));
    flow.line("answered");
    let request = page.until("/api/requests/1", "\"kind\":\"answered\"");
    assert!(request.contains("notes.txt") && request.contains("page.html"), "{request}");

    let get =
        |path: &str, headers: &[&str]| page.ask("GET", &format!("/api/requests/1/files/{path}"), headers);
    let bearer = page.bearer();
    let (status, notes) = get("notes.txt", &[&bearer]);
    assert_eq!(status, 200, "{notes}");
    assert!(notes.ends_with("text\n") && notes.contains("content-disposition: inline"), "{notes}");
    let (status, html) = get("page.html", &[&bearer]);
    assert_eq!(status, 200, "{html}");
    assert!(
        html.contains("content-disposition: attachment") && html.contains("nosniff"),
        "no script runs: {html}"
    );
    for path in
        ["../../../../../../etc/passwd", "%2e%2e%2f%2e%2e%2fmonitor.token", "", "notes.txt/", "other.txt"]
    {
        assert_eq!(get(path, &[&bearer]).0, 404, "{path}");
    }
    assert_eq!(get("notes.txt", &[]).0, 403, "without the token");
    assert_eq!(page.ask("GET", "/api/requests/2/files/notes.txt", &[&bearer]).0, 404);
}

#[test]
fn a_dataflow_that_is_paused_on_the_page_waits_until_it_is_resumed_there() {
    let Some(storescu) = tool(STORESCU) else { return };
    let place = Place::new();
    place.study("one", 1);
    place.study("two", 2);
    script(&place, "true");
    let (mut flow, page) = start(&place);
    flow.send(storescu, &place.path("one"));
    flow.line("answered");
    page.until("/api/overview", "\"state\":\"answered\"");
    let order =
        |action: &str| page.ask("POST", &format!("/api/{action}?dataflow=script"), &[&page.bearer()]).0;
    assert_eq!(page.ask("POST", "/api/pause?dataflow=script", &[]).0, 403, "without the token");
    assert_eq!(order("pause"), 202);
    assert!(place.run(&["status"]).out.contains("dataflow script"), "the command line sees it, too");
    flow.send(storescu, &place.path("two"));
    page.until("/api/overview", "\"state\":\"accepted\"");
    assert!(page.until("/api/overview", "\"paused\":[{").contains("the status page at 127.0.0.1"));
    assert_eq!(order("resume"), 202);
    flow.line("answered");
    assert!(page.until("/api/overview", "\"paused\":[]").contains("\"paused\":[]"));
}
