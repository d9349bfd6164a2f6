//! flow as a service: what it tells the service manager, and the unit of systemd.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;

use crate::run::Place;
use crate::support::peers::{Background, DEADLINE, tool};

/// The socket of a service manager.
struct Manager {
    socket: UnixDatagram,
    told: String,
}

impl Manager {
    fn at(path: &Path) -> Manager {
        let socket = UnixDatagram::bind(path).expect("the socket can be made");
        socket.set_read_timeout(Some(DEADLINE)).expect("it is not zero");
        Manager { socket, told: String::new() }
    }

    /// The next message that has this line; others are passed over.
    fn next(&mut self, line: &str) -> String {
        let mut buffer = [0; 4096];
        loop {
            let length =
                self.socket.recv(&mut buffer).unwrap_or_else(|_| panic!("no {line} after:\n{}", self.told));
            let message = String::from_utf8(buffer[..length].to_vec()).expect("it is text");
            self.told += &message;
            self.told.push('\n');
            if message.lines().any(|one| one == line) {
                return message;
            }
        }
    }
}

#[test]
fn a_service_says_that_it_is_ready_that_it_is_alive_and_that_it_ends() {
    let place = Place::new();
    let mut manager = Manager::at(&place.path("notify"));
    let mut command = place.flow(&["run", "--listen", "0"]);
    command
        .env("NOTIFY_SOCKET", place.path("notify"))
        .env("WATCHDOG_USEC", "100000")
        .env_remove("WATCHDOG_PID");
    let mut flow = Background::start(&mut command);
    assert!(!manager.next("READY=1").contains("WATCHDOG"));
    for _ in 0..2 {
        let alive = manager.next("WATCHDOG=1");
        assert!(alive.contains("STATUS=0 unanswered requests"), "{alive}");
    }
    flow.end();
    manager.next("STOPPING=1");
    assert_eq!(flow.ended(), 0);
}

#[test]
fn the_chat_is_a_service_and_a_run_that_ends_by_itself_is_none() {
    let place = Place::new();
    let mut manager = Manager::at(&place.path("notify"));
    place.study("study", 1);
    let mut command = place.flow(&["run", "--input", "study"]);
    assert!(
        command.env("NOTIFY_SOCKET", place.path("notify")).output().expect("flow starts").status.success()
    );
    let mut command = place.flow(&["run", "chat", "--chat-listen", "0", "--state", "chat-state"]);
    let mut flow = Background::start(command.env("NOTIFY_SOCKET", place.path("notify")));
    manager.next("READY=1");
    assert_eq!(manager.told.lines().filter(|line| *line == "READY=1").count(), 1, "only one of the two");
    flow.end();
    manager.next("STOPPING=1");
    flow.ended();
}

fn unit() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/flow.service");
    fs::read_to_string(path).expect("the unit is there")
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit() {
    let Some(analyze) = tool("/usr/bin/systemd-analyze") else { return };
    let place = Place::new();
    // It looks for the programs that the unit starts.
    let there = unit().replace("/usr/bin/flow", env!("CARGO_BIN_EXE_flow"));
    fs::write(place.path("flow.service"), there).unwrap();
    let verified =
        Command::new(analyze).arg("verify").arg("--man=no").arg(place.path("flow.service")).output();
    let verified = verified.expect("it was there a moment ago");
    let said = String::from_utf8_lossy(&verified.stderr);
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("flow.service")).collect();
    assert!(ours.is_empty(), "{said}");

    let mut rated = Command::new(analyze);
    rated.args(["security", "--offline=true", "--threshold=25"]).arg(place.path("flow.service"));
    let rated = rated.output().expect("it was there a moment ago");
    let said = String::from_utf8_lossy(&rated.stdout);
    println!("{}", said.lines().last().unwrap_or_default());
    assert!(rated.status.success(), "its exposure is above 2.5:\n{said}");
}

#[test]
fn the_settings_of_the_service_are_sound() {
    let place = Place::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for name in ["site.yaml", "container-site.yaml"] {
        let path = root.join("dist").join(name).display().to_string();
        let checked = place.run(&["check", "--site", &path]);
        assert_eq!(checked.code, 0, "{name}: {}{}", checked.out, checked.err);
    }
    let unit = unit();
    let start =
        unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/bin/flow ")).expect("it starts flow");
    assert_eq!(start, "run --site /etc/flow/site.yaml");
    // What the watchdog of the unit waits for is told in half of its time; a unit without it would never restart.
    assert!(unit.contains("\nType=notify\n") && unit.contains("\nWatchdogSec="));
}

#[test]
fn what_the_container_file_copies_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("dist/Containerfile")).unwrap();
    let mut copied = 0;
    for line in text.lines().filter_map(|line| line.strip_prefix("COPY ")) {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        assert!(words.len() > 1, "COPY {line}");
        words.pop();
        if !words[0].starts_with("--from=") {
            for word in words {
                assert!(root.join(word).exists(), "COPY {word}: there is no such file");
                copied += 1;
            }
        }
    }
    assert!(copied > 8, "only {copied} sources are copied");
    const WORDS: [&str; 13] = [
        "FROM",
        "WORKDIR",
        "COPY",
        "ARG",
        "RUN",
        "USER",
        "VOLUME",
        "EXPOSE",
        "STOPSIGNAL",
        "HEALTHCHECK",
        "ENTRYPOINT",
        "CMD",
        "#",
    ];
    for line in text.lines().filter(|line| !line.is_empty()) {
        let word = line.split(' ').next().unwrap_or_default();
        assert!(WORDS.contains(&word), "{line:?} is no instruction of a container file");
    }
    let program = text.split("\nFROM ").nth(2).expect("the program has a stage of its own");
    assert!(program.contains("\nUSER flow\n"), "flow runs as its own user");
}
