//! `flow pull`: a list is handed to the flow that is running.

use flow::journal::JournalReader;
use serde_json::json;

use crate::run::Place;
use crate::run::again::script;
use crate::run::nodes::Listening;
use crate::support::orthanc::Orthanc;
use crate::support::peers::{tool, until};
use crate::support::ports::free_port;
use crate::support::slices::Slice;

#[test]
fn a_running_flow_fetches_what_another_process_asks_for() {
    let Some(orthanc) = Orthanc::start(free_port()) else { return };
    let slices: Vec<Slice> = (1..4).map(|number| Slice::new("1.2.3", number)).collect();
    let orthanc = orthanc.holding(&slices);
    let place = Place::new();
    let site = format!("nodes: {{archive: {}}}\n", orthanc.node);
    std::fs::write(place.path("site.yaml"), site).unwrap();
    let mut flow = Listening::start(&place, &["--site", "site.yaml"]);

    let handed = place.run(&["pull", "--from", "archive", "PatientID=TEST-7"]);
    assert_eq!(handed.code, 0, "{}", handed.err);
    let told = format!("1 from archive: flow (process {}) fetches them now\n", flow.id());
    assert_eq!(handed.out, told);
    assert!(flow.line("fetching from archive, as `flow pull` asks").ends_with("a list of 1 entry"));
    assert!(flow.line("fetched a study").ends_with("3 instances"));
    flow.line("answered");

    let refused = place.run(&["pull", "--from", "nobody", "1.2.3"]);
    assert_eq!(refused.code, 2, "{}", refused.out);
    assert!(refused.err.contains("nobody: ") && refused.err.contains("site's file"), "{}", refused.err);
    flow.line("NOT FETCHED: nobody: ");

    flow.end();
    let noted = place.run(&["pull", "--from", "archive", "1.2.3"]);
    assert!(noted.out.contains("no flow is running on this state"), "{}", noted.out);
    let mut flow = Listening::start(&place, &["--site", "site.yaml"]);
    assert!(flow.line("fetched a study").ends_with("3 instances"));
    flow.line("known");
}

#[test]
fn what_an_archive_has_last_replaces_what_was_fetched_before() {
    let known = json!({ "flow": ["FLOW", "127.0.0.1", free_port()] });
    let Some(orthanc) = Orthanc::with(json!({ "DicomModalities": known, "OverwriteInstances": true })) else {
        return;
    };
    let slices: Vec<Slice> = (1..4).map(|number| Slice::new("1.2.3", number)).collect();
    let corrected: Vec<Slice> =
        slices.iter().map(|slice| Slice { rescale_intercept: "-1000", ..slice.clone() }).collect();
    let place = Place::new();
    script(&place, "cat items/* > out/all");
    let site = format!("nodes: {{archive: {}}}\n", orthanc.node);
    std::fs::write(place.path("site.yaml"), site).unwrap();
    let mut flow = Listening::start(&place, &["--site", "site.yaml", "script.yaml"]);
    let mut orthanc = orthanc;
    for contents in [&slices, &corrected] {
        orthanc = orthanc.holding(contents);
        assert_eq!(place.run(&["pull", "--from", "archive", "PatientID=TEST-7"]).code, 0);
        assert!(flow.line("answered").contains("complete"));
    }
    assert_eq!(flow.end(), 0);
    let reader = JournalReader::open(&place.path("flow-state")).unwrap();
    let rows = reader.requests().unwrap();
    assert_eq!(rows.len(), 2, "{rows:?}");
    let history = reader.history(rows[1].number).unwrap();
    let remark = "3 instances were received again after the study was complete with other contents (rescale \
                  values): the last ones are used";
    assert_eq!(history.request().unwrap().0.attribute("remarks"), remark);
    let all = std::fs::read(place.path("flow-output").join(&rows[1].name).join("all")).unwrap();
    let count = |text: &[u8]| all.windows(text.len()).filter(|bytes| *bytes == text).count();
    assert_eq!((count(b"DS\x06\0-1000 "), count(b"DS\x06\0-1024 ")), (3, 0), "the step got the last ones");
}

#[test]
fn an_archive_that_fails_is_shown_as_trouble_until_it_gives_what_is_wanted() {
    if tool("/usr/sbin/Orthanc").is_none() {
        return;
    }
    let place = Place::new();
    let port = free_port();
    let address = format!("ORTHANC@127.0.0.1:{port}");
    std::fs::write(place.path("site.yaml"), format!("nodes: {{archive: {address}}}\n")).unwrap();
    let mut flow = Listening::start(&place, &["--site", "site.yaml"]);
    let pull = || place.run(&["pull", "--from", "archive", "PatientID=TEST-7"]);
    let check = || place.run(&["status", "--check"]);
    assert_eq!((check().code, pull().code), (0, 0));

    let told = flow.line(&format!("fetching from {address} fails: "));
    assert!(told.contains("refused"), "{told}");
    let shown = place.run(&["status"]).out;
    let trouble = shown.lines().find(|line| line.starts_with("TROUBLE")).unwrap_or_else(|| panic!("{shown}"));
    for part in [&address, "fails, since ", "refused"] {
        assert!(trouble.contains(part), "{trouble}");
    }
    let json = || place.run(&["status", "--json"]).out;
    let line: serde_json::Value = serde_json::from_str(json().trim()).unwrap();
    assert_eq!(line["archive"], *address);
    assert!(line["reason"].as_str().unwrap().contains("refused"), "{line}");
    assert!(line["since_ms"].as_i64().unwrap() > 0 && line["given_up"].is_array(), "{line}");
    let troubled = check();
    assert_eq!(troubled.code, 1, "{}", troubled.out);
    assert!(troubled.out.contains(&address) && troubled.out.contains("refused"), "{}", troubled.out);

    let known = json!({ "flow": ["FLOW", "127.0.0.1", free_port()] });
    let orthanc = Orthanc::with(json!({ "DicomPort": port, "DicomModalities": known })).unwrap();
    let _orthanc = orthanc.holding(&[Slice::new("1.2.3", 1)]);
    // The list may have been given up meanwhile.
    assert_eq!(pull().code, 0);
    assert!(flow.line("fetched a study").ends_with("1 instance"));
    let ended = until("the trouble is over", || Some(check()).filter(|check| check.code == 0));
    assert_eq!(ended.out, "");
    assert!(!json().contains("\"archive\""), "{}", json());
}
