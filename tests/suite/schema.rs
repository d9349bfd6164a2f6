//! JSON Schemas of a response's files, and responses of the real program that have to follow them.

use std::fs;
use std::path::{Path, PathBuf};

use flow::dataflow::{Response, ResponseVerdict};

use crate::results::peers::python;
use crate::results::sample::{Values, deliver, study};
use crate::run::Place;
use crate::support::scripts::has;

/// Python: a schema that allows no keys but those that it names.
pub const CLOSED: &str = r#"
def closed(schema):
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: closed(part) for key, part in schema.items()}
    return schema | ({"additionalProperties": False} if "properties" in schema else {})
"#;

/// Validates files, each after its schema. In results every key is a declared one.
const VALIDATE: &str = r#"
import json, sys
from jsonschema import Draft202012Validator
for schema, file in zip(sys.argv[1::2], sys.argv[2::2]):
    schema, value = json.load(open(schema)), json.load(open(file))
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(closed(schema) if "regions" in value else schema).validate(value)
    for key in schema["required"]:
        fewer = {name: part for name, part in value.items() if name != key}
        assert not Draft202012Validator(schema).is_valid(fewer), key
"#;

/// Results follow the published schema, and have no key that it lacks.
pub fn validate_results(results: &Path) {
    if has("jsonschema").is_some() {
        python(&[CLOSED, VALIDATE].concat(), &[schema("results").as_path(), results]);
    }
}

fn schema(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/src/reference/schemas/{name}.json"))
}

/// With `FLOW_ACCEPT` set, the published schemas are written anew.
#[test]
fn the_published_schemas_are_those_that_are_printed() {
    let place = Place::new();
    for name in ["results", "error", "response", "api", "dataflow", "site"] {
        let printed = place.run(&["schema", name]);
        assert_eq!((printed.code, printed.err.as_str()), (0, ""));
        if std::env::var_os("FLOW_ACCEPT").is_some() {
            fs::write(schema(name), &printed.out).unwrap();
        }
        let published = fs::read_to_string(schema(name)).unwrap_or_default();
        assert!(printed.out == published, "{name}.json: FLOW_ACCEPT=1 writes it anew");
    }
}

#[test]
fn responses_follow_their_schemas() {
    if has("jsonschema").is_none() {
        return;
    }
    let place = Place::new();
    place.study("whole", 1);
    let files = place.study("broken", 2);
    fs::remove_file(&files[files.len() / 2]).unwrap();
    let mut validated: Vec<PathBuf> = Vec::new();
    for (study, file, verdict) in [
        ("whole", "results", ResponseVerdict::CompleteWithReservations),
        ("broken", "error", ResponseVerdict::Failed),
    ] {
        let output = format!("{study}-output");
        place.run(&["run", "--input", study, "--output", &output, "--state", &format!("{study}-state")]);
        let (folder, response): (PathBuf, Response) = place.response(&output);
        assert_eq!(response.verdict, verdict, "{response:?}");
        for name in [file, "response"] {
            validated.extend([schema(name), folder.join(format!("{name}.json"))]);
        }
    }
    // Complete results: no reservations, and nothing that only some dataflows measure.
    let Values(mut values) = study();
    values.remove("features");
    let complete = deliver(&[Values(values).run("write-results", "files")]);
    let results = complete.path().join("results.json");
    assert!(fs::read_to_string(&results).unwrap().contains("\"reservations\": []"));
    validate_results(&results);
    python(&[CLOSED, VALIDATE].concat(), &validated.iter().collect::<Vec<_>>());
}
