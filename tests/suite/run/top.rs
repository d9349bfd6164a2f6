//! `flow top`, as it draws and as its keys act.

use super::Place;
use super::again::script;

#[test]
fn top_draws_what_is_wrong_and_every_request_on_a_small_terminal() {
    let place = Place::new();
    place.study("in", 1);
    script(&place, "exit 3");
    let run = place.run(&["run", "script.yaml", "--input", "in"]);
    assert_eq!(run.code, 1, "{}", run.err);
    let top = place.run(&["top", "--once"]);
    assert_eq!(top.code, 0, "{}", top.err);
    let lines: Vec<&str> = top.out.lines().collect();
    assert!(lines.len() <= 24 && lines.iter().all(|line| line.chars().count() <= 80), "{}", top.out);
    for text in
        ["NO FLOW RUNS", "1 with an error", "✗ no flow is running on flow-state", "answered, ERROR", "q end"]
    {
        assert!(top.out.contains(text), "{text} is missing: {}", top.out);
    }
    assert!(!top.out.contains("nothing is wrong"), "{}", top.out);
    let status = place.run(&["status", "--json"]);
    let name = status.out.split("\"name\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    assert!(top.out.contains(&name[..12]), "{name} is missing: {}", top.out);
    // Without a terminal it says what to do.
    let top = place.run(&["top"]);
    assert_eq!(top.code, 2, "{}", top.out);
    assert!(top.err.contains("flow top --once"), "{}", top.err);
}

#[test]
fn sql_and_declared_views_answer_from_the_same_counts() {
    let place = Place::new();
    place.study("in", 1);
    script(&place, "exit 3");
    assert_eq!(place.run(&["run", "script.yaml", "--input", "in"]).code, 1);
    let views = "views:\n  faults: {of: failed, by: [dataflow, step, reason]}\n  \
                 runs: {of: ran, by: [step], where: {dataflow: script}}\n";
    std::fs::write(place.path("site.yaml"), views).unwrap();
    let shown = place.run(&["status", "--views", "--site", "site.yaml"]);
    assert_eq!(shown.code, 0, "{}", shown.err);
    let expected = ["faults: failed by dataflow, step, reason", "1  script  work", "runs: ran by step, only"];
    for text in expected {
        assert!(shown.out.contains(text), "{text}: {}", shown.out);
    }
    let json = place.run(&["status", "--views", "--json", "--site", "site.yaml"]);
    assert_eq!(json.out.lines().count(), 2, "{}", json.out);
    let query = "SELECT event, subject, sum(count) FROM tally WHERE event IN ('ran', 'failed') GROUP BY 1";
    let answer = place.run(&["sql", query]);
    assert_eq!(answer.out, "event\tsubject\tsum(count)\nfailed\twork\t1\nran\twork\t1\n", "{}", answer.err);
    let twice = place.run(&["sql", "--json", "SELECT subject, count, count FROM tally WHERE event = 'ran'"]);
    assert_eq!(twice.out, "{\"count\":1,\"count_2\":1,\"subject\":\"work\"}\n", "{}", twice.err);
    let declared = place.run(&["sql", "--json", "--site", "site.yaml", "SELECT key1, count FROM declared"]);
    assert!(declared.out.contains("{\"count\":1,\"key1\":\"script\"}"), "{}", declared.out);
    let refused = place.run(&["sql", "DELETE FROM tally"]);
    assert_eq!(refused.code, 2, "{}", refused.out);
}
