//! Requests that wait for a process with a label, beside requests that need none.

use std::fs;

use crate::run::Place;
use crate::support::peers::{Background, until};
use crate::support::ports::free_port;

/// A folder with two dataflows, of which the step of one says `on: big-memory`, and a site's file with two lanes.
fn two_dataflows() -> Place {
    let place = Place::new();
    for (name, on) in [("placed", "on: big-memory, "), ("plain", "")] {
        let text = format!(
            "dataflow: {name}\nlimits: {{memory: {{fixed: 1 B}}}}\nsteps:\n  copy: {{step: run-program, {on}needs: \
             {{request: request}}, with: {{program: sh, arguments: [-c, 'cp items/00001 out/copy.txt']}}}}\nresponse: \
             [copy]\n"
        );
        fs::write(place.path(&format!("{name}.yaml")), text).unwrap();
    }
    let rules = "rules: [{when: {file_name: {matches: \"placed*\"}}, dataflow: placed.yaml}, {default: plain.yaml}]\n";
    fs::write(place.path("site.yaml"), format!("{rules}lanes: 2\n")).unwrap();
    place
}

#[test]
fn requests_that_need_no_label_begin_while_all_lanes_wait_for_one() {
    let place = two_dataflows();
    let names: Vec<String> = ["placed", "plain"]
        .iter()
        .flat_map(|of| (1..=3).map(move |number| format!("{of}-{number}")))
        .collect();
    names.iter().for_each(|name| fs::write(place.path(name), name).unwrap());
    let address = format!("127.0.0.1:{}", free_port());
    fs::write(place.path("hosts"), format!("{address}\n")).unwrap();
    let cluster = ["run", "--site", "site.yaml", "-n", "1", "-p", "0", "--hosts", "hosts", "--files"];
    let files: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut first = Background::start(&mut place.flow(&[&cluster[..], &files[..]].concat()));
    let answered = || -> Vec<String> {
        let responses = place.responses("flow-output").into_values();
        responses.map(|response| response.dataflow.to_string()).collect()
    };
    // A folder whose name begins with a dot is still being written.
    let is_whole = |entry: &fs::DirEntry| !entry.file_name().as_encoded_bytes().starts_with(b".");
    let count =
        || fs::read_dir(place.path("flow-output")).map_or(0, |all| all.flatten().filter(is_whole).count());
    until("all that need no label are answered", || (count() == 3).then_some(()));
    assert_eq!(answered(), ["plain"; 3]);
    until("status says that as many wait as there are lanes", || {
        place.run(&["status"]).out.contains("waited for by 2 steps").then_some(())
    });
    let elsewhere = Place::new();
    let mut second = Background::start(&mut elsewhere.flow(&["join", &address, "--label", "big-memory"]));
    assert_eq!(first.ended(), 0);
    assert_eq!(second.ended(), 0);
    let mut all = answered();
    all.sort();
    assert_eq!(all, ["placed", "placed", "placed", "plain", "plain", "plain"]);
}
