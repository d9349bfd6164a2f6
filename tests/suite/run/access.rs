//! Who can read what flow writes, whatever the umask of the shell that starts it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::{Ended, Place};
use crate::support::peers::{Background, answering, run, tool, until};
use crate::support::ports::free_port;

/// Runs flow from a shell whose umask withholds nothing.
fn run_openly(place: &Place, arguments: &str) -> Ended {
    let script = format!("umask 000; exec '{}' {arguments}", env!("CARGO_BIN_EXE_flow"));
    let output = Command::new("sh")
        .args(["-c", &script])
        .current_dir(place.path(""))
        .env("XDG_STATE_HOME", place.path("user-state"))
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

fn assert_modes(path: &Path, folder: u32, file: u32) {
    let found = fs::symlink_metadata(path).unwrap();
    let mode = found.permissions().mode() & 0o777;
    if found.is_dir() {
        assert_eq!(mode & !folder, 0, "{}: {mode:o}", path.display());
        fs::read_dir(path).unwrap().for_each(|entry| assert_modes(&entry.unwrap().path(), folder, file));
    } else {
        assert_eq!(mode & !file, 0, "{}: {mode:o}", path.display());
    }
}

#[test]
fn what_flow_writes_is_for_its_user_alone() {
    let place = Place::new();
    place.study("in", 1);
    fs::create_dir(place.path("flow-state")).unwrap();
    fs::set_permissions(place.path("flow-state"), fs::Permissions::from_mode(0o777)).unwrap();
    let ended = run_openly(&place, "run --input in");
    assert_eq!(ended.code, 0, "{}", ended.err);
    let name = place.response("flow-output").1.name;
    assert_eq!(run_openly(&place, &format!("replay {name} --export case.tar")).code, 0);
    for path in ["flow-state", "flow-output", "case.tar"] {
        assert_modes(&place.path(path), 0o700, 0o600);
    }
}

#[test]
fn what_a_service_receives_and_sets_aside_is_for_its_user_alone() {
    let Some(storescu) = tool("/usr/bin/storescu") else { return };
    let place = Place::new();
    place.study("in", 1);
    fs::create_dir(place.path("watched")).unwrap();
    let (port, nobody) = (free_port(), free_port());
    // Nobody takes the audit messages, so that they wait.
    let site = format!("watch: watched\naudit: {{server: \"tcp://127.0.0.1:{nobody}\"}}\n");
    fs::write(place.path("site.yaml"), site).unwrap();
    let arguments = format!("run --site site.yaml --listen {port} --quiet-time 3600 --settle-time 0.05");
    let script = format!("umask 000; exec '{}' {arguments}", env!("CARGO_BIN_EXE_flow"));
    let mut command = Command::new("sh");
    command.args(["-c", &script]).current_dir(place.path(""));
    let mut flow =
        Background::saying_to(command.env("XDG_STATE_HOME", place.path("user-state")), &place.path("said"));
    answering("FLOW", port);
    fs::write(place.path("watched/letter.txt"), "Dear colleague").unwrap();
    let arguments = ["-aec", "FLOW", "+sd", "127.0.0.1", &port.to_string()];
    assert!(run(Command::new(storescu).args(arguments).arg(place.path("in"))).status.success());

    let files = |folder: &str| files_below(&place.path(folder));
    until("the reason is beside what was set aside", || (files("watched/refused") == 2).then_some(()));
    until("the audit messages are on the disk", || (files("flow-state/audit") > 0).then_some(()));
    assert!(files("flow-state/inbox") >= 40, "the study is being received");
    assert_modes(&place.path("flow-state"), 0o700, 0o600);
    // What was set aside stays as its writer made it, in a folder that nobody else can enter.
    let mode = |path: &str| fs::metadata(place.path(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("watched/refused"), mode("watched/refused/letter.txt.txt")), (0o700, 0o600));
    flow.end();
    flow.ended();
    assert_modes(&place.path("flow-state"), 0o700, 0o600);
}

/// The number of files in a folder and below.
fn files_below(folder: &Path) -> usize {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries
        .map(|entry| entry.unwrap().path())
        .map(|path| if path.is_dir() { files_below(&path) } else { 1 })
        .sum()
}

#[test]
fn a_site_lets_a_group_read() {
    let place = Place::new();
    place.study("in", 1);
    fs::write(place.path("site.yaml"), "readable_by: group\ninput: [in]\n").unwrap();
    assert_eq!(run_openly(&place, "run --site site.yaml").code, 0);
    let mode = |path: &str| fs::metadata(place.path(path)).unwrap().permissions().mode() & 0o777;
    let folder = place.response("flow-output").0;
    assert_eq!((mode("flow-state"), mode("flow-output")), (0o750, 0o750));
    let file = fs::metadata(folder.join("response.json")).unwrap().permissions().mode() & 0o777;
    assert_eq!(file, 0o640);
    assert_modes(&place.path("flow-state"), 0o750, 0o640);
}

#[test]
fn status_and_explain_need_no_right_to_write() {
    let place = Place::new();
    place.study("in", 1);
    assert_eq!(place.run(&["run", "--input", "in"]).code, 0);
    // Only root can become another user; for others a folder without the right to write says the same.
    let folders = place.path("");
    let opened = Command::new("chmod").args(["-R", "a+rX,a-w"]).arg(&folders).status().unwrap();
    assert!(opened.success());
    for command in [&["status"][..], &["explain", "1"]] {
        let mut flow = place.flow(command);
        if rustix::process::geteuid().is_root() {
            std::os::unix::process::CommandExt::uid(&mut flow, 65534);
        }
        let output = flow.output().unwrap();
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(Command::new("chmod").args(["-R", "u+w"]).arg(&folders).status().unwrap().success());
    let check = place.run(&["status", "--check"]);
    assert_eq!((check.code, check.out.lines().count()), (1, 1), "no flow is running: {}", check.out);
}
