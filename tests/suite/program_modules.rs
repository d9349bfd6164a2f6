//! The page of the book about modules of mercure and packages of MONAI: its dataflows run the examples.

use std::fs;

use flow::dataflow::ResponseVerdict;
use serde_json::Value;

use crate::run::Place;
use crate::support::peers::tool;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/modules");

/// A dataflow of the page, with `installed` replaced by the place of the example, as a file.
fn dataflow(place: &Place, name: &str, installed: &str, example: &str) -> String {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/src/how-to/modules.md");
    let page = fs::read_to_string(page).expect("the book has the page");
    let head = format!("```yaml\ndataflow: {name}\n");
    let block = page.split(&head).nth(1).and_then(|rest| rest.split("```").next()).expect("a dataflow");
    assert!(block.contains(installed), "{block}");
    let text = format!("dataflow: {name}\n{}", block.replace(installed, &format!("{EXAMPLES}/{example}")));
    fs::write(place.path("module.yaml"), &text).expect("it can be written");
    text
}

fn json(path: &std::path::Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("the file is there")).expect("it is JSON")
}

#[test]
fn a_module_of_mercure_gets_its_names_and_settings() {
    if tool("/usr/bin/python3").is_none() {
        return;
    }
    let place = Place::new();
    place.study("in", 1);
    dataflow(&place, "mercure-module", "/opt/mercure-module", "mercure");
    let ended = place.run(&["run", "module.yaml", "--input", "in"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    let (folder, response) = place.response("flow-output");
    assert_eq!(response.verdict, ResponseVerdict::Complete);
    assert_eq!(fs::read_to_string(folder.join("stdout.txt")).unwrap(), "1 series\n");
    let counts = json(&folder.join("result.json"));
    let (series, count) = counts.as_object().and_then(|counts| counts.iter().next()).expect("one series");
    assert_eq!(count, 40);
    // `keep` of the settings says two; without task.json it would be one, or none.
    let kept: Vec<&str> =
        response.files.iter().map(|file| file.name.as_str()).filter(|name| name.ends_with(".dcm")).collect();
    assert_eq!(kept.len(), 2, "{kept:?}");
    assert!(kept.iter().all(|name| name.starts_with(&format!("{series}#"))), "{kept:?}");
    let copy = fs::read(folder.join(kept[0])).unwrap();
    assert!(copy.get(128..132) == Some(b"DICM"), "it is the image");
    let sent = response.files.iter().find(|file| file.name == kept[0]).map(|file| file.media_type.as_ref());
    assert_eq!(sent, Some("application/dicom"), "it would be sent on");
}

#[test]
fn a_package_of_monai_runs_as_its_manifests_say() {
    if tool("/usr/bin/python3").is_none() {
        return;
    }
    let place = Place::new();
    let files = place.study("in", 1);
    let text = dataflow(&place, "monai-package", "/opt/holoscan", "monai");
    let manifest = |name: &str| json(&std::path::Path::new(EXAMPLES).join("monai").join(name));
    let (app, pkg) = (manifest("app.json"), manifest("pkg.json"));
    assert_eq!(app["command"], serde_json::json!(["python3", "/opt/holoscan/app"]));
    assert!(text.contains("program: python3\n"), "{text}");
    let minutes = app["timeout"].as_u64().expect("seconds") / 60;
    assert!(text.contains(&format!("timeout: {minutes} min\n")), "{text}");
    assert_eq!(pkg["resources"]["memory"], "2Gi");
    assert!(text.contains("memory_mib: 2048\n"), "{text}");
    for variable in app["environment"].as_object().expect("a map").keys() {
        assert!(text.contains(&format!("{variable}: ")), "{variable}: {text}");
    }

    let ended = place.run(&["run", "module.yaml", "--input", "in"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    let (folder, _) = place.response("flow-output");
    let inventory = json(&folder.join("inventory.json"));
    assert_eq!(inventory["files"], files.len());
    let bytes: u64 = files.iter().map(|file| file.metadata().unwrap().len()).sum();
    assert_eq!(inventory["bytes"], bytes);
}

#[test]
fn what_a_module_is_given_is_checked() {
    let place = Place::new();
    place.study("in", 1);
    let wrong = "dataflow: wrong\nsteps:\n  module:\n    step: run-program\n    needs: {request: request}\n    with: \
                 {program: sh, environment: {A=B: c}, given_files: {../escape: text}}\nresponse: [module]\n";
    fs::write(place.path("wrong.yaml"), wrong).unwrap();
    let checked = place.run(&["check", "wrong.yaml"]);
    assert_eq!(checked.code, 3, "{}", checked.out);
    for said in ["\"A=B\" is no name of a variable", "\"../escape\" is no path of an input"] {
        assert!(checked.err.contains(said), "{}", checked.err);
    }
}
