//! JSON Schemas of the files that people write: they know the same keys as flow, and flow's own files follow them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::results::peers::python;
use crate::run::Place;
use crate::support::data::files_below;
use crate::support::scripts::has;

fn schema(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/src/reference/schemas/{name}.json"))
}

fn read(name: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(schema(name)).unwrap()).unwrap()
}

/// A key that nothing is called like.
const STRANGE: &str = "zzzzqqqq";

/// Each map with known keys that a schema describes: a file with a strange key in it, and the keys.
fn maps(
    root: &Value,
    at: &Value,
    file: &dyn Fn(&str) -> String,
    found: &mut Vec<(String, BTreeSet<String>)>,
) {
    if let Some(name) = at["$ref"].as_str() {
        let name = name.strip_prefix("#/$defs/").expect("definitions are in the file");
        return maps(root, &root["$defs"][name], file, found);
    }
    for one in at["anyOf"].as_array().into_iter().flatten() {
        maps(root, one, file, found);
    }
    if at["items"].is_object() {
        maps(root, &at["items"], &|inner| file(&format!("[{inner}]")), found);
    }
    if at["additionalProperties"].is_object() && at["properties"].is_null() {
        maps(root, &at["additionalProperties"], &|inner| file(&format!("{{a: {inner}}}")), found);
    }
    let Some(properties) = at["properties"].as_object() else { return };
    if at["additionalProperties"] == false {
        found.push((file(&format!("{{{STRANGE}: 1}}")), properties.keys().cloned().collect()));
    }
    for (key, part) in properties {
        maps(root, part, &|inner| file(&format!("{{{key}: {inner}}}")), found);
    }
}

/// The keys that flow knows where the strange one is, as its hint lists them.
fn known(place: &Place, arguments: &[&str], text: &str) -> BTreeSet<String> {
    fs::write(place.path("x.yaml"), text).unwrap();
    let said = place.run(arguments).err;
    let about = said.split(&format!("has no key \"{STRANGE}\"")).nth(1);
    let about = about.unwrap_or_else(|| panic!("{text}: {said}"));
    let hint = about.lines().find_map(|line| line.trim().strip_prefix("hint: known here: "));
    let hint = hint.unwrap_or_else(|| panic!("{text}: {said}"));
    hint.split(", ").map(str::to_owned).collect()
}

#[test]
fn the_schemas_know_the_keys_that_flow_knows() {
    let place = Place::new();
    let mut dataflow = read("dataflow");
    // Those of a file that is no overlay.
    let further = dataflow["else"]["properties"].as_object().unwrap().clone();
    dataflow["properties"].as_object_mut().unwrap().extend(further);
    for (root, arguments, least) in
        [(&dataflow, &["check", "x.yaml"][..], 12), (&read("site"), &["check", "--site", "x.yaml"], 15)]
    {
        let mut found = Vec::new();
        maps(root, root, &str::to_owned, &mut found);
        // The last rule has other keys than those before it.
        found.retain(|(file, _)| !file.starts_with("{rules"));
        assert!(found.len() >= least, "{} maps in the schema: {found:?}", found.len());
        for (file, keys) in found {
            let mut flow_knows = known(&place, arguments, &file);
            if file == format!("{{{STRANGE}: 1}}") && keys.contains("customer") {
                // It makes a file an overlay, which flow tells by it.
                flow_knows.extend(root["properties"].get("response").map(|_| "customer".to_owned()));
            }
            assert_eq!(keys, flow_knows, "{file}: the schema, then flow");
        }
    }
}

/// Python: files follow their schemas, and do not with a misspelt key.
const VALIDATE: &str = r#"
import json, sys, yaml
from jsonschema import Draft202012Validator
for schema, file in zip(sys.argv[1::2], sys.argv[2::2]):
    schema = json.load(open(schema))
    value = yaml.safe_load(open(file))
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    validator.validate(value)
    for key in value:
        renamed = {name + "x" if name == key else name: part for name, part in value.items()}
        assert not validator.is_valid(renamed), (file, key)
    for name, step in value.get("steps", {}).items():
        for other in ({**step, "nedds": {}}, {**step, "step": "read-haeder"}, {**step, "with": {"no-such": 1}}):
            if step.get("step") and not ("programs" in value or "customer" in value):
                wrong = {**value, "steps": {**value["steps"], name: other}}
                assert not validator.is_valid(wrong), (file, name, other)
"#;

#[test]
fn files_of_flow_follow_their_schemas() {
    if has("jsonschema, yaml, pydicom, highdicom").is_none() {
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for path in files_below(&root.join("dataflows")) {
        files.extend([schema("dataflow"), path]);
    }
    for path in ["examples/site.yaml", "dist/site.yaml", "dist/container-site.yaml"] {
        files.extend([schema("site"), root.join(path)]);
    }
    assert!(files.len() > 40, "only {files:?}");
    python(VALIDATE, &files.iter().collect::<Vec<_>>());
}

/// Python: files that other readers of YAML take, and the number of their documents.
const READ: &str = r#"
import sys, yaml
for file in sys.argv[1:]:
    try:
        documents = list(yaml.safe_load_all(open(file, encoding="utf-8")))
    except yaml.YAMLError as problem:
        sys.exit(f"{file}: {problem}")
    assert len(documents) == 1 and isinstance(documents[0], dict), file
"#;

/// PyYAML keeps to YAML 1.1: there a question mark in a plain text of a flow map begins a key, for example.
#[test]
fn other_readers_of_yaml_take_the_files_of_flow() {
    if has("yaml").is_none() {
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["dataflows", "examples", "dist", "src/cli/templates"];
    let files = folders.iter().flat_map(|folder| files_below(&root.join(folder)));
    let files: Vec<PathBuf> =
        files.filter(|file| file.extension().is_some_and(|end| end == "yaml")).collect();
    assert!(files.len() > 25, "only {files:?}");
    let read = Command::new("python3").args(["-c", READ]).args(&files).output().unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
}
