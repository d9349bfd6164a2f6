//! Services that do not answer, as `flow status` shows them.

use std::fs;

use super::Place;
use crate::support::peers::{Background, listener, until};

#[test]
fn a_service_that_is_left_alone_is_shown_with_reason_and_next_try() {
    let place = Place::new();
    // Nobody answers at this port.
    let port = listener().local_addr().unwrap().port();
    let text = format!(
        "dataflow: asked
steps:
  jobs: {{step: read-json-lines, needs: {{request: request}}}}
  asked:
    step: call-http
    needs: {{item: jobs}}
    with: {{url: \"http://127.0.0.1:{port}/jobs\"}}
    retry: {{count: 100, first_delay: 1 ms, cap: 1 min}}
  numbers: {{step: pick-number, needs: {{item: asked}}, with: {{field: /answer, group: /kind}}}}
  total: {{step: total-json, needs: {{numbers: numbers}}}}
  report: {{step: write-total, needs: {{total: total}}}}
response: [report]
"
    );
    fs::write(place.path("asked.yaml"), text).unwrap();
    fs::write(place.path("jobs.jsonl"), "{\"kind\": \"a\"}\n").unwrap();
    let flow = Background::start(&mut place.flow(&["run", "./asked.yaml", "--files", "jobs.jsonl"]));
    let service = format!("127.0.0.1:{port}");
    let status = until("the circuit is open", || {
        let status = place.run(&["status"]);
        status.out.contains(&format!("TROUBLE  {service} does not answer, since ")).then_some(status)
    });
    assert!(status.out.contains("refused (os error 111); it is tried again in "), "{}", status.out);
    let json = place.run(&["status", "--json"]).out;
    let line = json.lines().find(|line| line.contains("\"service\"")).expect(&json);
    let circuit: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(circuit["service"], service.as_str());
    assert!(circuit["next_ms"].as_i64() > circuit["since_ms"].as_i64(), "{circuit}");
    let check = place.run(&["status", "--check"]);
    assert!(check.code == 1 && check.out.contains(&service), "{}", check.out);
    let top = place.run(&["top", "--once"]).out;
    assert!(top.contains(&format!("✗ {service} does not answer")), "{top}");
    drop(flow);
    until("the flow has ended", || place.run(&["status"]).out.contains("no flow is running").then_some(()));
    assert!(!place.run(&["status"]).out.contains("TROUBLE"), "what a flow said that is gone is not so now");
}
