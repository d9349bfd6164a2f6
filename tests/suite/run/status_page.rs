//! The status page as a person uses it in a browser, on a desk, at night and on a phone.

use std::fs;
use std::path::PathBuf;

use super::Place;
use super::again::script;
use super::nodes::Listening;
use super::page::PageAddress;
use crate::support::peers::{Background, tool, until};
use crate::support::ports::free_port;
use crate::support::scripts::Script;

/// Rules by which the first study goes through the script, and one sender has an overlay.
const SITE: &str = "rules:
  - when: {calling_ae: NORTH}
    customer: north
    priority: urgent
  - when: {modality: CT}
    dataflow: script.yaml
  - default: other.yaml
";

const OTHER: &str = "dataflow: other
steps:
  lines: {step: read-json-lines, needs: {request: request}}
  numbers: {step: pick-number, needs: {item: lines}, with: {field: /number, group: /kind}}
  total: {step: total-json, needs: {numbers: numbers}}
  report: {step: write-total, needs: {total: total}}
response: [report]
";

/// With `FLOW_PICTURES=FOLDER` the pictures of the screen are kept there.
#[test]
fn a_person_sees_and_does_everything_on_the_page() {
    let (Some(storescu), Some(_)) = (tool("/usr/bin/storescu"), tool("/usr/bin/chromium")) else { return };
    let place = Place::new();
    for (name, seed) in [("one", 1), ("two", 2), ("three", 3)] {
        place.study(name, seed);
    }
    // What the step writes depends on a file outside, so that a replay finds another value.
    fs::write(place.path("outside"), "<img src=x onerror=\"document.title='owned'\">\n").unwrap();
    script(&place, &format!("cat {} > out/notes.txt", place.path("outside").display()));
    fs::write(place.path("other.yaml"), OTHER).unwrap();
    fs::create_dir(place.path("customers")).unwrap();
    fs::write(place.path("customers/north.yaml"), "customer: north\ndataflow: ct-lung\n").unwrap();
    fs::write(place.path("site.yaml"), SITE).unwrap();
    let kept = std::env::var_os("FLOW_PICTURES").map_or_else(|| place.path("pictures"), PathBuf::from);
    fs::create_dir_all(&kept).unwrap();
    let (port, address) = (free_port().to_string(), format!("127.0.0.1:{}", free_port()));
    fs::write(place.path("hosts"), &address).unwrap();
    let arguments = ["--site", "site.yaml", "--page", &port, "--lanes", "1", "--quiet-time", "3600"];
    let mut flow = Listening::start(&place, &[&arguments[..], &["--hosts", "hosts"]].concat());
    let joined = ["join", &address, "--label", "big-memory", "--memory", "1GiB"];
    let mut joined = Background::start(&mut place.flow(&joined));
    let url = PageAddress::of(&place, &port).entry();
    let arguments = [url.as_str(), kept.to_str().expect("Unicode")];
    let Some(mut person) = Script::start("playwright", include_str!("status_page.py"), &arguments) else {
        return;
    };
    loop {
        match person.line().as_str() {
            "change" => fs::write(place.path("outside"), "another text\n").unwrap(),
            "done" => break,
            look if look.starts_with("look ") => {}
            order => flow.send(storescu, &place.path(order.strip_prefix("send ").expect("an order"))),
        }
        person.say("yes");
    }
    // Each action stands in the record with who has asked for it.
    let asked = |number: &str, what: &str| {
        let explained = place.run(&["explain", number]).out;
        explained.contains(what) && explained.contains("the status page at 127.0.0.1")
    };
    for (number, what) in [("1", "keep"), ("1", "replay"), ("3", "hurry")] {
        until(what, || asked(number, what).then_some(()));
    }
    assert_eq!(flow.end(), 0, "all are answered");
    assert_eq!(joined.ended(), 0);
}
