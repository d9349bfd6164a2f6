//! The state folder that commands find, wherever they are called.

use std::fs;

use super::{Ended, Place};
use crate::support::peers::{Background, until};

/// Runs a command in another folder below the place.
fn elsewhere(place: &Place, arguments: &[&str]) -> Ended {
    let folder = place.path("elsewhere");
    fs::create_dir_all(&folder).unwrap();
    let output = place.flow(arguments).current_dir(&folder).output().unwrap();
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "asking makes nothing");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

#[test]
fn a_command_finds_the_state_of_a_flow_in_another_folder() {
    let place = Place::new();
    assert_eq!(elsewhere(&place, &["status"]).code, 74, "there is none yet");
    place.study("in", 1);
    let ended = place.run(&["run", "--input", "in"]);
    let state = fs::canonicalize(place.path("flow-state")).unwrap();
    assert!(
        ended.err.contains(&format!("state     {}", place.path("flow-state").display())),
        "{}",
        ended.err
    );
    for command in [&["status"][..], &["explain", "1"], &["retry", "1"], &["complete"]] {
        let found = elsewhere(&place, command);
        assert_eq!(found.code, 0, "{command:?}: {}", found.err);
        assert!(found.err.contains(&state.display().to_string()), "it says which: {}", found.err);
    }
    let here = place.run(&["status"]);
    assert!(here.code == 0 && here.err.is_empty(), "{}", here.err);

    // Two that could be meant, and then one of them is running.
    assert_eq!(place.run(&["run", "--input", "in", "--state", "other"]).code, 0);
    let unsure = elsewhere(&place, &["cancel", "1"]);
    assert_eq!(unsure.code, 2, "{}", unsure.err);
    assert!(unsure.err.contains("flow-state\n") && unsure.err.contains("other\n"), "{}", unsure.err);
    let flow = Background::start(&mut place.flow(&["run", "--listen", "0", "--state", "other"]));
    until("it is found", || {
        let found = elsewhere(&place, &["status"]);
        (found.code == 0 && found.out.contains("flow is running")).then_some(())
    });
    drop(flow);
    fs::remove_dir_all(place.path("other")).unwrap();
    assert_eq!(elsewhere(&place, &["status"]).code, 0, "one that is gone is not meant");
}

#[test]
fn a_command_finds_the_state_that_the_site_names() {
    let place = Place::new();
    place.study("in", 1);
    fs::write(place.path("site.yaml"), "state: there\ninput: [in]\n").unwrap();
    assert_eq!(place.run(&["run", "--site", "site.yaml"]).code, 0);
    let site = place.path("site.yaml").display().to_string();
    let found = elsewhere(&place, &["status", "--site", &site]);
    assert!(found.code == 0 && found.out.contains("there"), "{}{}", found.out, found.err);
    let explained = elsewhere(&place, &["explain", "1", "--site", &site, "--json"]);
    assert_eq!(explained.code, 0, "{}", explained.err);
    let wrong = elsewhere(&place, &["status", "--state", "nowhere"]);
    assert!(wrong.code == 74 && wrong.err.contains("no journal in nowhere"), "{}", wrong.err);
}
