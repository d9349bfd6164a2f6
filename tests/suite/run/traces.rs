//! Traces of answered requests, sent to a real collector: the Rotel of PyPI.

use std::collections::BTreeMap;
use std::fs;

use super::Place;
use super::again::script;
use crate::support::ports::free_port;
use crate::support::scripts::Script;

/// Becomes a collector that prints each span it is sent.
const COLLECTOR: &str = r#"
import os, sys, rotel
agent = os.path.join(os.path.dirname(rotel.__file__), "rotel-agent")
ports = ["--otlp-http-endpoint", sys.argv[1], "--otlp-grpc-endpoint", sys.argv[2]]
said = ["--debug-log", "traces", "--debug-log-verbosity", "detailed"]
os.execv(agent, [agent, "start", "--exporter", "blackhole", "--pid-file", sys.argv[3], *ports, *said])
"#;

/// A span as the collector has read it: what it prints, by the words before the colon.
type ReadSpan = BTreeMap<String, String>;

struct Collector(Script);

impl Collector {
    fn start(place: &Place) -> Option<Collector> {
        let port = free_port();
        let address = |port| format!("127.0.0.1:{port}");
        let arguments =
            [address(port), address(free_port()), place.path("collector.pid").display().to_string()];
        let mut script = Script::start("rotel", COLLECTOR, &arguments)?;
        while !script.line().contains("Starting") {}
        let site = format!("traces: {{collector: \"http://127.0.0.1:{port}\"}}\n");
        fs::write(place.path("site.yaml"), site).unwrap();
        Some(Collector(script))
    }

    /// The next spans, until one has this attribute.
    fn until(&mut self, attribute: &str) -> Vec<ReadSpan> {
        let mut spans: Vec<ReadSpan> = Vec::new();
        while spans.last().is_none_or(|span| !span.contains_key(attribute)) {
            let line = self.0.line();
            if line.starts_with("Span #") {
                spans.push(ReadSpan::new());
            }
            let Some((key, value)) = line.trim().trim_start_matches("-> ").split_once(':') else { continue };
            if let Some(span) = spans.last_mut() {
                span.insert(key.trim().to_owned(), value.trim().to_owned());
            }
        }
        spans
    }
}

/// The span of a name, and whether it belongs to the trace of the root and lies within its time.
fn child<'s>(spans: &'s [ReadSpan], name: &str, root: &ReadSpan) -> &'s ReadSpan {
    let span = spans.iter().find(|span| span["Name"] == name).unwrap_or_else(|| panic!("{name}: {spans:?}"));
    assert_eq!((&span["Trace ID"], &span["Parent ID"]), (&root["Trace ID"], &root["ID"]), "{name}");
    let time = |span: &ReadSpan, key: &str| span[key].parse::<u64>().unwrap();
    assert!(time(span, "Start time") <= time(span, "End time"), "{name}: {span:?}");
    assert!(time(span, "End time") <= time(root, "End time"), "{name}: {span:?}");
    span
}

#[test]
fn a_collector_gets_a_span_for_each_step_of_an_answered_request_and_no_name_of_it() {
    let place = Place::new();
    let Some(mut collector) = Collector::start(&place) else { return };
    script(&place, "echo SECRET >&2; exit 3");
    fs::create_dir(place.path("in")).unwrap();
    fs::write(place.path("in/SMITH^ANNA"), "text").unwrap();
    let run = place.run(&["run", "script.yaml", "--files", "in", "--site", "site.yaml"]);
    assert_eq!(run.code, 1, "{}", run.err);
    let spans = collector.until("flow.step");
    let root = spans.iter().find(|span| span["Name"] == "script").expect("the span of the request");
    assert_eq!(root["Kind"], "SPAN_KIND_SERVER");
    assert_eq!(root["flow.answer"], "Str(failed)");
    assert_eq!(root["Status code"], "STATUS_CODE_ERROR");
    child(&spans, "wait for a lane", root);
    let step = child(&spans, "work", root);
    assert_eq!((&*step["flow.step"], &*step["Status code"]), ("Str(work)", "STATUS_CODE_ERROR"));
    let said = format!("{spans:?}");
    assert!(!said.contains("SMITH") && !said.contains("SECRET"), "{said}");
}

#[test]
fn a_collector_that_is_not_there_holds_nothing_up() {
    let place = Place::new();
    let address = format!("traces: {{collector: \"http://127.0.0.1:{}\"}}\n", free_port());
    fs::write(place.path("site.yaml"), address).unwrap();
    script(&place, "echo done > out/result.txt");
    fs::create_dir(place.path("in")).unwrap();
    fs::write(place.path("in/file"), "text").unwrap();
    let run = place.run(&["run", "script.yaml", "--files", "in", "--site", "site.yaml"]);
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(run.err.contains("the collector does not take traces"), "{}", run.err);
}
