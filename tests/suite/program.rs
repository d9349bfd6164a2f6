//! `run-program`: files in and out, faults in words, and nothing left of a program that does not end.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use crate::engine::{request, with_observed_engine};
use crate::program_confinement::{own_seconds, processes_with};
use crate::run::Place;
use crate::support::peers::until;
use flow::dataflow::{Dataflow, Response, ResponseVerdict};
use flow::engine::NullObserver;
use flow::step::{Digest, Fault, FaultKind, Item, ItemPlace, Request, ResponseFile, StepTable};
use flow::yaml::Problems;

/// A program that the shell runs, as the settings of a step.
fn shell(script: &str) -> String {
    format!("program: sh, arguments: [-c, {script:?}], grace_s: 0.2")
}

/// A program that the shell runs, and that may write in a folder.
fn writing(script: &str, folder: &Path) -> String {
    format!("{}, writes: [{}]", shell(script), folder.display())
}

fn parse(steps: &str) -> Result<Dataflow, Problems> {
    let first = steps.split(':').next().unwrap().trim();
    let last = steps.lines().last().and_then(|line| line.split(':').next()).unwrap_or(first).trim();
    let text = format!(
        "dataflow: programs\nlimits: {{memory: {{fixed: 1 B, per_decoded_byte: 1.0}}}}\nsteps:\n{steps}\nresponse: [{last}]\n"
    );
    Dataflow::parse("programs.yaml", &text, &StepTable::built_in())
}

/// A dataflow of one program that gets nothing.
fn alone(settings: &str, more: &str) -> Dataflow {
    let step = format!("  first: {{step: run-program, needs: {{}}, with: {{{settings}}}{more}}}");
    parse(&step).unwrap_or_else(|problems| panic!("{problems}"))
}

/// A request with a file for each text.
fn files(folder: &Path, texts: &[&str]) -> Arc<Request> {
    let item = |(number, text): (usize, &&str)| {
        let path = folder.join(number.to_string());
        fs::write(&path, text).unwrap();
        let (digest, size) = (Digest::of(text.as_bytes()), text.len() as u64);
        Item { name: format!("../{number}"), place: ItemPlace::File(path), digest, size, decoded: size }
    };
    Arc::new(Request::new("files", Default::default(), texts.iter().enumerate().map(item).collect()))
}

fn run(dataflow: &Dataflow) -> (Response, Vec<ResponseFile>) {
    let folder = tempfile::tempdir().unwrap();
    dataflow.interpret(&files(folder.path(), &["one"]))
}

fn fault(dataflow: &Dataflow) -> Fault {
    let (response, files) = run(dataflow);
    assert_eq!((response.verdict, files.len()), (ResponseVerdict::Failed, 0));
    response.faults().next().unwrap().1.clone()
}

/// Names and texts.
fn texts(files: &[ResponseFile]) -> Vec<(&str, &str)> {
    files.iter().map(|file| (file.name.as_str(), std::str::from_utf8(&file.bytes).unwrap())).collect()
}

#[test]
fn files_go_in_and_come_out() {
    let folder = tempfile::tempdir().unwrap();
    let each = shell("tr a-z A-Z < item > out/$(cat item).txt; rm item; mkdir out/empty");
    let all = shell("cat items/00001 items/00002; find files -type f | sort > out/names.csv");
    let dataflow = parse(&format!(
        "  each: {{step: run-program, needs: {{item: request.items}}, with: {{{each}}}}}\n  \
         chosen: {{step: run-program, needs: {{request: request}}, with: {{{}}}}}\n  \
         all: {{step: run-program, needs: {{request: request, files: chosen}}, with: {{{all}}}}}",
        shell("mkdir out/a; cp items/00002 out/a/b.txt")
    ));
    let dataflow = dataflow.unwrap_or_else(|problems| panic!("{problems}"));
    let request = files(folder.path(), &["one", "two"]);
    let (response, files) = dataflow.interpret(&request);
    assert_eq!(response.verdict, ResponseVerdict::Complete, "{:?}", response.steps);
    assert_eq!(texts(&files), [("names.csv", "files/a/b.txt\n"), ("stdout.txt", "onetwo")]);
    assert_eq!(files[0].media_type, "text/csv");
    assert_eq!(fs::read_to_string(request.items[0].file().unwrap()).unwrap(), "one", "inputs are copies");
}

#[test]
fn a_program_sees_two_variables_and_an_empty_input() {
    let (_, files) = run(&alone("program: env", ""));
    assert_eq!(texts(&files), [("stdout.txt", "LANG=C\nPATH=/usr/local/bin:/usr/bin:/bin\n")]);
    let (response, files) = run(&alone("program: cat", ""));
    assert_eq!((response.verdict, files.len()), (ResponseVerdict::Complete, 0));
}

#[test]
fn what_a_program_says_when_it_fails_is_quoted() {
    let said = fault(&alone(&shell("echo no; printf 'bad\\n\\tdata' >&2; exit 3"), ""));
    assert_eq!(said.reason, "the program \"sh\" ended with exit code 3; standard error: bad data");
    assert_eq!(said.kind, FaultKind::Data);
    let silent = fault(&alone(&shell("kill -9 $$"), ""));
    assert_eq!(silent.reason, "the program \"sh\" ended with signal 9; no output on standard error");
    assert_eq!(fault(&alone(&shell("exit 75"), "")).kind, FaultKind::Transient);
    let absent = fault(&alone("program: no-such-program", ""));
    assert_eq!(absent.kind, FaultKind::Broken);
    assert!(absent.reason.contains("no-such-program") && absent.remedy.contains("Install"), "{absent:?}");
}

/// A dataflow of one program that writes this as its reservations, and a result.
fn reserving(json: &str) -> Dataflow {
    alone(&shell(&format!("printf %s '{json}' > out/reservations.json; echo 1 > out/a.txt")), "")
}

#[test]
fn a_program_may_have_reservations() {
    let json = r#"[{"code": "low_dose", "text": "0.4 mGy: noise\u001b[31m makes low densities."}, {"code": "b2", "text": "ä"}]"#;
    let (response, files) = run(&reserving(json));
    assert_eq!(response.verdict, ResponseVerdict::CompleteWithReservations);
    let said: Vec<(&str, &str)> =
        response.reservations.iter().map(|one| (one.code.as_str(), one.text.as_str())).collect();
    assert_eq!(said, [("low_dose", "0.4 mGy: noise\\u001b[31m makes low densities"), ("b2", "ä")]);
    assert_eq!(texts(&files), [("a.txt", "1\n")], "it is not one of the results");
    let (response, _) = run(&reserving("[]"));
    assert_eq!(response.verdict, ResponseVerdict::Complete);
}

#[test]
fn reservations_in_another_form_are_refused() {
    let many = format!("[{}]", vec![r#"{"code": "a", "text": "b"}"#; 51].join(","));
    let long = format!(r#"[{{"code": "a", "text": "{}"}}]"#, "b".repeat(501));
    let large = format!(r#"[{{"code": "a", "text": "{}"}}]"#, " ".repeat(65_536));
    for (json, reason) in [
        ("no", "it is no list of objects with \"code\" and \"text\""),
        (r#"{"code": "a", "text": "b"}"#, "it is no list of objects"),
        (r#"[{"code": "a"}]"#, "missing field `text`"),
        (r#"[{"code": "a", "text": "b", "level": 3}]"#, "unknown field `level`"),
        (r#"[{"code": "A b", "text": "c"}]"#, "the code \"A b\" is not 1 to 64 small letters"),
        (r#"[{"code": "a", "text": " "}]"#, "the text of \"a\" is not 1 to 500 letters"),
        (&many, "it has 51 reservations, more than 50"),
        (&long, "the text of \"a\" is not 1 to 500 letters"),
        (&large, "more than 65536"),
    ] {
        let said = fault(&reserving(json));
        assert_eq!(said.kind, FaultKind::Data);
        assert!(said.reason.starts_with("the program's out/reservations.json cannot be taken: "), "{said:?}");
        assert!(said.reason.contains(reason), "{said:?}");
    }
}

#[test]
fn a_program_has_to_be_named() {
    let problems = parse("  first: {step: run-program, needs: {}}").unwrap_err();
    assert!(problems.to_string().contains("lacks the parameter \"program\""), "{problems}");
    let problems = parse("  first: {step: run-program, needs: {}, with: {progam: sh}}").unwrap_err();
    assert_eq!(problems.iter().len(), 1, "one mistake, one problem: {problems}");
}

#[test]
fn memory_and_output_have_limits() {
    let hog = fault(&alone(
        "program: dd, arguments: [if=/dev/zero, of=/dev/null, bs=500M, count=1], memory_mib: 100",
        "",
    ));
    assert!(hog.reason.contains("exit code 1") && hog.reason.contains("memory exhausted"), "{hog}");
    let writes = "program: dd, arguments: [if=/dev/zero, of=out/large, bs=1M, count=9], output_mib: 2";
    assert!(fault(&alone(writes, "")).reason.contains("signal 25"), "SIGXFSZ");
    let many = shell("for n in 1 2 3; do head -c 1000000 /dev/zero > out/$n; done") + ", output_mib: 2";
    assert_eq!(fault(&alone(&many, "")).reason, "the results exceed 2097152 bytes");
}

#[test]
fn what_leads_elsewhere_is_no_result() {
    let link = fault(&alone(&shell("ln -s /etc/passwd out/link"), ""));
    assert_eq!(link.reason, "\"link\" in out/ is neither a file nor a folder, or has several names");
    assert!(fault(&alone(&shell("mkfifo out/pipe"), "")).reason.contains("neither"));
}

#[test]
fn what_a_program_puts_in_the_place_of_its_output_is_no_result() {
    for (script, name) in [
        ("rmdir out; ln -s /etc out", "out"),
        ("rm stdout; ln -s /etc/passwd stdout", "stdout"),
        ("rm stderr; mkfifo stderr", "stderr"),
        ("rm stdout; mkfifo stdout", "stdout"),
    ] {
        let replaced = fault(&alone(&shell(script), ""));
        let expected = format!("the program has put something else in the place of {name}");
        assert_eq!(replaced.reason, expected, "{script}");
    }
    let failed = fault(&alone(&shell("echo bad >&2; rm stderr; mkfifo stderr; exit 3"), ""));
    assert!(failed.reason.ends_with("standard error: bad"), "a pipe is not waited for: {failed}");
    let linked = fault(&alone(&shell("echo text > other; ln other out/linked"), ""));
    assert!(linked.reason.contains("has several names"), "{linked}");
}

#[test]
fn a_process_that_leaves_the_group_ends_with_the_step() {
    let (folder, seconds) = (tempfile::tempdir().unwrap(), own_seconds());
    let begun = folder.path().join("begun");
    let script = format!(
        "setsid sh -c 'echo 1 > {0}.1; exec sleep {seconds}' & while [ ! -s {0}.1 ]; do :; done; \
         env -i setsid -f sh -c 'echo 2 > {0}.2; exec sleep {seconds}' & while [ ! -s {0}.2 ]; do :; done",
        begun.display()
    );
    let (response, _) = run(&alone(&writing(&script, folder.path()), ""));
    assert_eq!(response.verdict, ResponseVerdict::Complete, "{:?}", response.steps);
    assert_eq!(processes_with(&seconds), 0);
}

/// Whether this kernel withholds files and TCP from programs.
fn has_landlock() -> bool {
    use landlock::{ABI, Access, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr};
    let strict = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    strict.handle_access(AccessNet::from_all(ABI::V4)).is_ok()
}

#[test]
fn a_program_sees_its_folder_and_what_is_granted() {
    if !has_landlock() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "secret").unwrap();
    let read = shell(&format!("cat {}", file.display()));
    assert!(fault(&alone(&read, "")).reason.contains("Permission denied"));
    assert!(fault(&alone(&shell("cat /etc/shadow"), "")).reason.contains("Permission denied"));
    let granted = format!("{read}, reads: [{}]", folder.path().display());
    assert_eq!(texts(&run(&alone(&granted, "")).1), [("stdout.txt", "secret")]);
    let argument = format!("program: cat, arguments: [{}]", file.display());
    assert_eq!(texts(&run(&alone(&argument, "")).1), [("stdout.txt", "secret")]);
    let changed = shell(&format!("echo other > {}", file.display()));
    let readable = format!("{changed}, reads: [{}]", folder.path().display());
    // Where flow can make namespaces, the file is mounted read-only.
    let reason = fault(&alone(&readable, "")).reason;
    let denials = ["Permission denied", "Read-only file system"];
    assert!(denials.iter().any(|denial| reason.contains(denial)), "{reason}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "secret");
}

#[test]
fn a_program_has_no_network_unless_it_is_granted() {
    if !has_landlock() || !Path::new("/bin/bash").exists() {
        return;
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let script = format!("exec 3<>/dev/tcp/127.0.0.1/{}", listener.local_addr().unwrap().port());
    let settings = format!("program: bash, arguments: [-c, {script:?}]");
    assert!(fault(&alone(&settings, "")).reason.contains("exit code"));
    let (response, _) = run(&alone(&format!("{settings}, network: true"), ""));
    assert_eq!(response.verdict, ResponseVerdict::Complete, "{:?}", response.steps);
}

/// What a program has written, when it is there.
fn written(path: &Path) -> String {
    until("the program writes", || fs::read_to_string(path).ok().filter(|text| text.ends_with('\n')))
}

fn gone(seconds: &str) {
    until("all processes are gone", || (processes_with(seconds) == 0).then_some(()));
}

#[test]
fn a_program_that_does_not_end_is_killed_with_its_children() {
    let (folder, seconds) = (tempfile::tempdir().unwrap(), own_seconds());
    let begun = folder.path().join("begun");
    // Neither the shell nor its child listens to SIGTERM.
    let script =
        format!("trap '' TERM; sleep {seconds} & echo begun > {}; wait; sleep {seconds}", begun.display());
    let dataflow = Arc::new(alone(&writing(&script, folder.path()), ", timeout: 10 s"));
    with_observed_engine(&dataflow, 1, 1000, Arc::new(NullObserver), |queue, responses| {
        queue.submit(request("one", 1));
        written(&begun);
        let response = responses.recv_timeout(crate::engine::LONG).unwrap();
        assert_eq!(response.faults().next().unwrap().1.kind, FaultKind::TimedOut);
        gone(&seconds);
    });
}

#[test]
fn a_program_that_is_cancelled_is_asked_to_end_first() {
    let folder = tempfile::tempdir().unwrap();
    let (begun, ended, seconds) = (folder.path().join("begun"), folder.path().join("ended"), own_seconds());
    // The shell ends when it is asked to; its child does not listen.
    let script = format!(
        "(trap '' TERM; exec sleep {seconds}) & echo begun > {}; \
         trap 'echo politely > {}; exit' TERM; while :; do sleep 0.01; done",
        begun.display(),
        ended.display()
    );
    let settings = writing(&script, folder.path()).replace("grace_s: 0.2", "grace_s: 60");
    let dataflow = Arc::new(alone(&settings, ""));
    with_observed_engine(&dataflow, 1, 1000, Arc::new(NullObserver), |queue, responses| {
        let one = request("one", 1);
        let id = one.request().id;
        queue.submit(one);
        written(&begun);
        queue.canceller().cancel(id);
        let response = responses.recv_timeout(crate::engine::LONG).unwrap();
        assert_eq!(response.faults().next().unwrap().1.kind, FaultKind::Cancelled);
        assert_eq!(written(&ended), "politely\n");
        gone(&seconds);
    });
}

#[test]
fn what_a_program_leaves_running_is_killed() {
    let seconds = own_seconds();
    let (response, files) = run(&alone(&shell(&format!("sleep {seconds} & echo done")), ""));
    assert_eq!(
        (response.verdict, texts(&files)),
        (ResponseVerdict::Complete, vec![("stdout.txt", "done\n")])
    );
    assert_eq!(processes_with(&seconds), 0);
}

#[test]
fn flow_ends_after_a_program_that_was_asked_to_stop() {
    let place = Place::new();
    let log = place.path("log");
    fs::create_dir(&log).unwrap();
    let ends = format!("sleep 1; touch {}/stopped; exit 1", log.display());
    let script = format!("trap '{ends}' TERM; while :; do sleep 0.02; done");
    let settings = writing(&script, &log).replace("grace_s: 0.2", "grace_s: 60");
    let text = format!(
        "dataflow: slow\nlimits: {{memory: {{fixed: 1 B}}}}\nsteps:\n  slow: {{step: run-program, needs: {{}}, with: \
         {{{settings}}}, timeout: 10 s}}\nresponse: [slow]\n"
    );
    fs::write(place.path("slow.yaml"), text).unwrap();
    fs::write(place.path("one"), "one").unwrap();
    let ended = place.run(&["run", "slow.yaml", "--files", "one"]);
    assert_eq!(ended.code, 1, "an error response: {}", ended.err);
    assert!(log.join("stopped").exists(), "it had its time to stop");
}
