//! `flow pull`: a list is handed to the flow that is running.

use crate::run::Place;
use crate::run::nodes::Listening;
use crate::support::orthanc::Orthanc;
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
    assert!(flow.line("fetching from archive, as `flow pull` asks").ends_with("1 entries of a list"));
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
