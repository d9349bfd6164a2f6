//! `flow simulate`: the page of the book shows what it prints, and wrong figures are refused.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::run::Place;
use crate::support::peers::run;

/// Blocks of the page about scale, each command with the output that follows it.
fn shown() -> Vec<(String, String)> {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/src/explanation/scale.md");
    let page = fs::read_to_string(page).expect("the book has the page");
    let blocks: Vec<&str> = page.split("\n```").skip(1).step_by(2).collect();
    let pairs = blocks.windows(2).filter_map(|pair| {
        let output = pair[1].strip_prefix("text\n")?;
        Some((pair[0].strip_prefix("sh\n")?.to_owned(), format!("{output}\n")))
    });
    pairs.collect()
}

#[test]
fn the_page_shows_what_is_printed() {
    let place = Place::new();
    let program = Path::new(env!("CARGO_BIN_EXE_flow")).parent().expect("it lies in a folder");
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap_or_default());
    let shown = shown();
    assert_eq!(shown.len(), 2);
    for (commands, output) in shown {
        let mut shell = Command::new("sh");
        let ended = run(shell.args(["-e", "-c", &commands]).current_dir(place.path("")).env("PATH", &path));
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        assert_eq!(String::from_utf8_lossy(&ended.stdout), output, "{commands}");
    }
}

const SITE: &str = "workers: 2\nlanes: 4\nmemory: 4 GiB\ncomplete: {quiet_time: 5 s}\n";

const BENCH: &str = r#"{"dataflow": "ct-lung", "studies": 2, "slices": 64, "matrix": 128, "rounds": 3,
    "bytes": 20000000, "floor_s": 0.1, "whole_s": 4.0, "core_s": 6.0, "peak_bytes": null, "step_ms": {}}"#;

fn simulate(place: &Place, more: &[&str]) -> (i32, String, String) {
    let ended = place.run(&[&["simulate", "site.yaml"], more].concat());
    (ended.code, ended.out, ended.err)
}

#[test]
fn figures_of_a_bench_are_used_and_options_go_before_them() {
    let place = Place::new();
    fs::write(place.path("site.yaml"), SITE).unwrap();
    fs::write(place.path("bench.json"), BENCH).unwrap();
    let (code, out, err) = simulate(&place, &["--bench", "bench.json"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("a study: 10 MiB ± 50 %, 3.00 s of a core, 2.00 s alone, "), "{out}");
    let (_, out, _) =
        simulate(&place, &["--bench", "bench.json", "--core-seconds", "1", "--study-cores", "2"]);
    assert!(out.contains("a study: 10 MiB ± 50 %, 1.00 s of a core, 0.50 s alone, "), "{out}");
}

#[test]
fn a_line_of_json_for_each_number_of_boxes() {
    let place = Place::new();
    fs::write(place.path("site.yaml"), SITE).unwrap();
    let arguments = ["--boxes", "1,3", "--json", "--core-seconds", "40", "--seed", "5", "--days", "2"];
    let (code, out, err) = simulate(&place, &arguments);
    assert_eq!(code, 0, "{err}");
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [one, three] = &lines[..] else { panic!("{out}") };
    assert_eq!((&one["boxes"], &three["boxes"]), (&1.into(), &3.into()));
    assert_eq!(one["studies"], three["studies"], "the same days");
    // 250 studies an hour need 2.8 cores at 40 s each: two are too few, six are enough.
    assert_eq!(one["bottleneck"], "cores");
    assert!((one["studies_per_hour_max"].as_f64().unwrap() - 180.0).abs() < 0.001, "{one}");
    let longest = |line: &Value| line["wait_s"]["longest"].as_f64().unwrap();
    assert!(longest(one) > 3600.0 && longest(three) < 300.0, "{out}");
    assert!(one["cores_busiest_hour"].as_f64().unwrap() > 0.999, "{one}");
    assert_eq!(simulate(&place, &arguments).1, out, "the same seed gives the same days");
    assert_ne!(simulate(&place, &["--json", "--core-seconds", "40"]).1.lines().next(), out.lines().next());
}

#[test]
fn studies_arrive_at_the_times_of_a_file() {
    let place = Place::new();
    fs::write(place.path("site.yaml"), "workers: 2\nlanes: 1\ncomplete: {at_once: [released]}\n").unwrap();
    fs::write(place.path("times"), "10\n0\n0.5\n").unwrap();
    let arguments = [
        "--arrivals",
        "times",
        "--variation",
        "0",
        "--core-seconds",
        "4",
        "--study-cores",
        "2",
        "--network",
        "1000",
    ];
    let (code, out, err) = simulate(&place, &arguments);
    assert_eq!(code, 0, "{err}");
    // The first two overlap: the second waits from 0.5 s to 2 s.
    assert!(out.contains("     0.00     1.50     1.50     1.50  "), "{out}");
    fs::write(place.path("times"), "soon\n").unwrap();
    assert_eq!(simulate(&place, &arguments).0, 3);
}

#[test]
fn what_cannot_be_simulated_is_refused() {
    let place = Place::new();
    let (code, _, err) = simulate(&place, &[]);
    assert_eq!(code, 74, "{err}");
    fs::write(place.path("site.yaml"), "lanes: none\n").unwrap();
    assert_eq!(simulate(&place, &[]).0, 3);
    fs::write(place.path("site.yaml"), SITE).unwrap();
    fs::write(place.path("bench.json"), "{}").unwrap();
    let (code, _, err) = simulate(&place, &["--bench", "bench.json"]);
    assert_eq!(code, 3, "{err}");
    assert!(err.contains("flow bench --json writes it"), "{err}");
    fs::write(place.path("bench.json"), BENCH.replace("4.0", "0.0")).unwrap();
    assert_eq!(simulate(&place, &["--bench", "bench.json"]).0, 3);
    for wrong in [["--hours", "1,2,3"], ["--boxes", "0"], ["--studies-per-hour", "0"], ["--variation", "-1"]]
    {
        assert_eq!(simulate(&place, &wrong).0, 2, "{wrong:?}");
    }
    assert_eq!(simulate(&place, &["--studies-per-hour", "0.0001"]).0, 66);
}

#[test]
fn studies_that_fit_into_no_box_are_told() {
    let place = Place::new();
    fs::write(place.path("site.yaml"), SITE.replace("4 GiB", "64 MiB")).unwrap();
    let (code, out, err) = simulate(&place, &["--variation", "0"]);
    assert_eq!(code, 1, "{out}{err}");
    assert!(out.ends_with("memory at 0 studies/h\n"), "{out}");
    assert!(
        err.contains(" need more memory than the 64 MiB of a box") && err.contains("hint: a larger"),
        "{err}"
    );
    let (code, out, _) = simulate(&place, &["--variation", "0", "--json"]);
    let line: Value = serde_json::from_str(&out).unwrap();
    assert!(code == 1 && line["refused"] == line["studies"], "{out}");
}

#[test]
fn the_exit_code_counts_also_where_nobody_reads_the_output() {
    let place = Place::new();
    fs::write(place.path("site.yaml"), SITE.replace("4 GiB", "64 MiB")).unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut flow = place.flow(&["simulate", "site.yaml", "--variation", "0"]);
    assert_eq!(flow.stdout(writer).status().unwrap().code(), Some(1));
}

#[test]
fn what_would_take_hours_or_all_memory_is_refused_at_once() {
    let place = Place::new();
    fs::write(place.path("site.yaml"), SITE).unwrap();
    let refused = |code: i32, told: &str, arguments: &[&str]| {
        let (found, _, err) = simulate(&place, arguments);
        assert!(found == code && err.contains(told), "{arguments:?}: {found} {err}");
    };
    refused(2, "at most 10000000 are simulated", &["--studies-per-hour", "1e9"]);
    refused(2, "are too many for 60000 boxes", &["--boxes", "60000", "--days", "300"]);
    for far in [["--core-seconds", "1e300"], ["--network", "1e-300"], ["--study-cores", "1e-300"]] {
        refused(2, "more than 1000 years", &far);
    }
    refused(2, "it must be more than 0", &["--studies-per-hour=-1"]);
    refused(2, "it must be more than 0", &["--core-seconds", "0"]);
    refused(2, "it must be from 0 to 10", &["--variation", "1e300"]);
    // Seconds of Unix time are well.
    fs::write(place.path("times"), "1764500000\n1764586400\n").unwrap();
    assert_eq!(simulate(&place, &["--arrivals", "times"]).0, 0);
    fs::write(place.path("times"), "1764500000000\n1764586400000\n").unwrap();
    refused(3, "are these milliseconds?", &["--arrivals", "times"]);
    fs::write(place.path("times"), "1\n1e9\n").unwrap();
    refused(3, "at most 366 days are simulated", &["--arrivals", "times"]);
    fs::write(place.path("times"), "1\n\nsoon\n").unwrap();
    refused(3, "times:2: ", &["--arrivals", "times"]);
}
