//! The Debian package: built, installed on a bare root, started, upgraded, removed and purged there.
//!
//! The bare root is `target/bare-root/root.tar`, which `.ci/run` makes with mmdebstrap. There is no systemd in it, so
//! the test starts by hand what the unit starts, as the unit's user.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chroot};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use flow::dicom::{DimseNode, SendOutcome, send};

use crate::crash::life::{Ended, Life};
use crate::run::Place;
use crate::support::peers::{tool, until};
use crate::support::ports::free_port;

fn root_of_project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Builds a package of this flow, with a version of its own.
fn build(folder: &Path, version: &str) -> PathBuf {
    let mut command = Command::new(root_of_project().join("dist/build-deb"));
    command.arg(env!("CARGO_BIN_EXE_flow")).arg(folder).arg(version);
    let built = command
        .env("SOURCE_DATE_EPOCH", "1700000000")
        .env("DEB_COMPRESSION", "none")
        .output()
        .expect("bash is there");
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{said}");
    PathBuf::from(String::from_utf8(built.stdout).expect("a path is text").trim())
}

/// What a tool prints; it must end well.
fn said(command: &mut Command) -> String {
    let output = command.output().expect("the program starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[test]
fn the_package_has_all_that_an_installation_needs() {
    if tool("/usr/bin/dpkg-deb").is_none() {
        return;
    }
    let place = Place::new();
    let package = build(&place.path("deb"), "9.9.9");
    let contents = said(Command::new("dpkg-deb").arg("--contents").arg(&package));
    for file in [
        "./usr/bin/flow",
        "./etc/flow/site.yaml",
        "./usr/lib/systemd/system/flow.service",
        "./usr/lib/sysusers.d/flow.conf",
        "./usr/share/man/man1/flow.1.gz",
        "./usr/share/man/man1/flow-backup.1.gz",
        "./usr/share/bash-completion/completions/flow",
        "./usr/share/zsh/vendor-completions/_flow",
        "./usr/share/fish/vendor_completions.d/flow.fish",
        "./usr/share/flow/schemas/dataflow.json",
        "./usr/share/doc/flow/changelog.gz",
        "./usr/share/doc/flow/copyright",
        "./usr/share/doc/flow/sbom.json.gz",
    ] {
        let line = contents.lines().find(|line| line.ends_with(&format!(" {file}")));
        let line = line.unwrap_or_else(|| panic!("{file} is not in the package:\n{contents}"));
        assert!(line.contains(" root/root "), "{line}");
    }
    let control = said(Command::new("dpkg-deb").arg("--info").arg(&package));
    for line in ["Version: 9.9.9", "Depends: libc6 (>= 2.", "Package: flow"] {
        assert!(control.contains(line), "{control}");
    }
}

#[test]
fn the_list_of_libraries_has_those_of_the_program_and_no_others() {
    if tool("/usr/bin/python3").is_none() {
        return;
    }
    let printed = said(&mut Command::new(root_of_project().join("dist/make-sbom")));
    let bill: serde_json::Value = serde_json::from_str(&printed).expect("it is JSON");
    assert_eq!((&bill["bomFormat"], &bill["specVersion"]), (&"CycloneDX".into(), &"1.5".into()));
    assert_eq!(bill["metadata"]["component"]["version"], env!("CARGO_PKG_VERSION"));
    let libraries = bill["components"].as_array().expect("it is a list");
    let has = |name: &str| libraries.iter().any(|library| library["name"] == name);
    assert!(has("timely") && has("libsqlite3-sys") && has("openjp2"), "libraries of libraries are there");
    assert!(!has("s3s") && !has("pure_jpegls"), "libraries of tests are not in the program");
    for library in libraries {
        let digest = library["hashes"][0]["content"].as_str().unwrap_or_default();
        assert!(digest.len() == 64 && library["licenses"][0]["expression"].is_string(), "{library}");
    }
}

/// A root file system that a package is installed on.
struct BareRoot {
    place: Place,
    root: PathBuf,
}

impl BareRoot {
    /// Prints that the test skips where there is none.
    fn unpack() -> Option<BareRoot> {
        let archive = root_of_project().join("target/bare-root/root.tar");
        if !archive.exists() || !rustix::process::geteuid().is_root() {
            println!("skipped: there is no {}, or this user may not change the root", archive.display());
            return None;
        }
        let place = Place::new();
        let root = place.path("root");
        fs::create_dir(&root).expect("it can be made");
        said(Command::new("tar").arg("-xf").arg(archive).arg("-C").arg(&root).arg("--exclude=./dev/*"));
        fs::create_dir_all(root.join("dev")).expect("it can be made");
        fs::write(root.join("dev/null"), "").expect("it can be made");
        let bare = BareRoot { place, root };
        // A process finds its own program there.
        let mounted = Command::new("mount").args(["-t", "proc", "proc"]).arg(bare.root.join("proc")).status();
        if !mounted.is_ok_and(|status| status.success()) {
            println!("skipped: /proc cannot be mounted");
            return None;
        }
        Some(bare)
    }

    /// A command in this root, as its superuser or as a user of it.
    fn command(&self, user: Option<(u32, u32)>, words: &[&str]) -> Command {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).env_clear().env("PATH", "/usr/sbin:/usr/bin").env("HOME", "/var/lib/flow");
        command.env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C");
        let root = self.root.clone();
        // SAFETY: between fork and exec only system calls are made.
        unsafe {
            command.pre_exec(move || {
                chroot(&root)?;
                std::env::set_current_dir("/")?;
                if let Some((user, group)) = user {
                    let (user, group) =
                        (rustix::process::Uid::from_raw(user), rustix::process::Gid::from_raw(group));
                    rustix::thread::set_thread_groups(&[])?;
                    rustix::thread::set_thread_gid(group)?;
                    rustix::thread::set_thread_uid(user)?;
                }
                Ok(())
            });
        }
        command
    }

    fn run(&self, words: &[&str]) -> String {
        said(&mut self.command(None, words))
    }

    /// Installs a package, as `apt install ./FILE` would have dpkg do it, and keeps changed settings.
    fn install(&self, package: &Path) {
        fs::copy(package, self.root.join("flow.deb")).expect("there is room");
        self.run(&["dpkg", "--force-confold", "--install", "/flow.deb"]);
    }

    /// Has the package's scripts find a systemd that notes what it is asked.
    fn pretend_systemd(&self) {
        fs::create_dir_all(self.path("/run/systemd/system")).expect("it can be made");
        for (name, text) in
            [("deb-systemd-invoke", "#!/bin/sh\necho \"$*\" >> /run/asked\n"), ("systemctl", "#!/bin/sh\n")]
        {
            let program = self.path("/usr/bin").join(name);
            fs::write(&program, text).expect("it can be written");
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("it is there");
        }
    }

    /// What systemd was asked since this was called last.
    fn asked(&self) -> String {
        let asked = fs::read_to_string(self.path("/run/asked")).unwrap_or_default();
        let _ = fs::remove_file(self.path("/run/asked"));
        asked
    }

    fn path(&self, below: &str) -> PathBuf {
        self.root.join(below.trim_start_matches('/'))
    }

    /// The number of the user of the service, and of its group.
    fn user(&self) -> (u32, u32) {
        let about = fs::metadata(self.path("/var/lib/flow")).expect("the state directory is there");
        assert_eq!(about.mode() & 0o777, 0o700, "nobody else looks into it");
        assert_ne!(about.uid(), 0);
        (about.uid(), about.gid())
    }

    /// Starts what the unit starts.
    fn start(&self) -> Life {
        let unit =
            fs::read_to_string(self.path("/usr/lib/systemd/system/flow.service")).expect("there is a unit");
        let start =
            unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).expect("it starts something");
        let words: Vec<&str> = start.split_whitespace().collect();
        Life::start(&mut self.command(Some(self.user()), &words))
    }

    fn responses(&self) -> usize {
        let Ok(entries) = fs::read_dir(self.path("/var/lib/flow/output")) else { return 0 };
        let whole = entries.flatten().filter(|entry| entry.path().join("response.json").exists());
        whole.count()
    }
}

impl Drop for BareRoot {
    fn drop(&mut self) {
        // What is mounted must not be removed with the folder.
        let _ = Command::new("umount").arg(self.root.join("proc")).status();
    }
}

fn send_study(place: &Place, port: u16, seed: u64) {
    let files = place.study(&format!("study-{seed}"), seed);
    let object = |path: &PathBuf| {
        let bytes = fs::read(path).expect("it was written");
        flow::dicom::DicomObject::read(path.display().to_string(), bytes.into()).expect("it is one")
    };
    let objects: Vec<_> = files.iter().map(object).collect();
    let node: DimseNode = format!("FLOW@127.0.0.1:{port}").parse().expect("it is one");
    let sent = send(&node, &objects).expect("it listens");
    assert!(sent.iter().all(|one| one.outcome == SendOutcome::Stored));
}

#[test]
fn the_package_is_installed_run_upgraded_removed_and_purged() {
    let Some(bare) = BareRoot::unpack() else { return };
    let (old, new) = (build(&bare.place.path("deb"), "9.9.8"), build(&bare.place.path("deb"), "9.9.9"));
    bare.install(&old);
    assert!(bare.run(&["flow", "--version"]).starts_with("flow "));
    let port = free_port();
    let settings = bare.path("/etc/flow/site.yaml");
    let text = fs::read_to_string(&settings).expect("it is installed");
    let ours =
        text.replace("127.0.0.1:11112", &format!("127.0.0.1:{port}")) + "complete: {quiet_time: 100 ms}\n";
    fs::write(&settings, &ours).expect("it can be written");
    bare.run(&["flow", "check", "--site", "/etc/flow/site.yaml"]);

    let mut flow = bare.start();
    assert_eq!(flow.listening().expect("it listens").port(), port);
    send_study(&bare.place, port, 1);
    until("the study is answered", || (bare.responses() == 1).then_some(()));
    let state = fs::metadata(bare.path("/var/lib/flow/state/journal.sqlite")).expect("there is a journal");
    assert_eq!((state.uid(), state.gid()), bare.user());
    let ended: Ended = flow.killed_at(std::time::Instant::now());
    assert!(ended.was_killed());

    bare.install(&new);
    assert!(bare.run(&["dpkg-query", "--show", "flow"]).contains("9.9.9"));
    assert_eq!(fs::read_to_string(&settings).expect("it is there"), ours, "settings of the site stay");
    let mut flow = bare.start();
    flow.listening().expect("it listens again");
    send_study(&bare.place, port, 2);
    until("both are answered", || (bare.responses() == 2).then_some(()));
    flow.stopped().assert_well();
    let status = bare.run(&["flow", "status", "--site", "/etc/flow/site.yaml", "--json"]);
    assert_eq!(status.lines().filter(|line| line.contains("\"answered\"")).count(), 2, "{status}");

    bare.pretend_systemd();
    bare.install(&new);
    assert_eq!(bare.asked(), "try-restart flow.service\n", "what was stopped is not started by an upgrade");
    bare.run(&["dpkg", "--remove", "flow"]);
    assert_eq!(bare.asked(), "stop flow.service\n");
    bare.install(&new);
    assert_eq!(bare.asked(), "start flow.service\n", "it is installed again");
    bare.install(&new);
    assert_eq!(bare.asked(), "try-restart flow.service\n");
    bare.run(&["dpkg", "--remove", "flow"]);
    assert!(!bare.path("/usr/bin/flow").exists() && settings.exists());
    assert!(bare.path("/var/lib/flow/state/journal.sqlite").exists(), "requests stay");
    bare.run(&["dpkg", "--purge", "flow"]);
    assert!(!settings.exists() && !bare.path("/var/lib/flow").exists());
}
