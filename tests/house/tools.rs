//! What the tools say: rustfmt, clippy, rustdoc and cargo-deny.
//!
//! They run as tests so that one command checks all, in the same target folder and with the same
//! profile, so that nothing is built twice.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::source::{Source, files, none, root};

/// A cargo command in this project, with the target folder that this test was built in.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = in_project(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments);
    command
}

/// A program in this project, in which cargo uses the target folder that this test was built in.
pub fn in_project(program: impl AsRef<OsStr>) -> Command {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it lies in the target folder");
    let mut command = Command::new(program);
    command.current_dir(root()).env("CARGO_TARGET_DIR", target);
    // These tell of this test's own package. A build script that looks at them would run again, and everything
    // that depends on it be built again.
    let of_package = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for name in names.filter(|name| of_package(name)) {
        command.env_remove(name);
    }
    command
}

/// Whether a subcommand of cargo is there.
fn installed(subcommand: &str) -> bool {
    let there = succeeds(&cargo(&[subcommand, "--version"]).output().expect("cargo runs"));
    if !there {
        println!("skipped: cargo {subcommand} is not installed");
    }
    there
}

/// As `installed`, for those that come with Rust: with `FLOW_REQUIRE_PEERS=1` they have to be there.
fn required(subcommand: &str) -> bool {
    let there = installed(subcommand);
    assert!(there || std::env::var_os("FLOW_REQUIRE_PEERS").is_none(), "cargo {subcommand} is not installed");
    there
}

fn succeeds(output: &Output) -> bool {
    output.status.success()
}

fn silent(command: &mut Command) {
    let output = command.output().expect("cargo runs");
    let text =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat();
    assert!(succeeds(&output), "{command:?}\n{text}");
}

#[test]
fn formatted() {
    if required("fmt") {
        // Those that `automod` includes, or a test compiles, are named: rustfmt does not find them.
        let others = ["src/imaging/steps", "tests/shim"].map(|folder| files(&root().join(folder), "rs"));
        silent(cargo(&["fmt", "--check", "--"]).args(others.concat()));
    }
}

#[test]
fn clippy_has_nothing_to_say() {
    if required("clippy") {
        silent(&mut cargo(&["clippy", "--quiet", "--release", "--all-targets", "--", "-D", "warnings"]));
    }
}

/// What flow carries for those who want the least of it.
#[test]
fn clippy_has_nothing_to_say_without_the_features() {
    if required("clippy") {
        let nothing = ["clippy", "--quiet", "--release", "--no-default-features", "--", "-D", "warnings"];
        silent(&mut cargo(&nothing));
    }
}

#[test]
fn the_documentation_has_no_dead_links() {
    silent(cargo(&["doc", "--quiet", "--release", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"));
}

/// Without the advisories: their database is not to be had everywhere.
#[test]
fn dependencies_have_allowed_licences() {
    if installed("deny") {
        silent(&mut cargo(&["deny", "check", "licenses", "bans"]));
    }
}

/// `cargo package` builds from its tarball alone: what the code includes has to be in it.
#[test]
fn the_tarball_has_what_its_build_needs() {
    let output = cargo(&["package", "--list", "--allow-dirty"]).output().expect("cargo runs");
    assert!(succeeds(&output), "{}", String::from_utf8_lossy(&output.stderr));
    let listed = String::from_utf8(output.stdout).expect("paths are text");
    let listed: BTreeSet<PathBuf> = listed.lines().map(PathBuf::from).collect();
    let mut included = vec![PathBuf::from("dist/commit.rs")];
    for source in Source::all(&["src"]) {
        let folder = root().join(&source.path);
        let folder = folder.parent().expect("a file lies in a folder");
        for macro_name in ["include_str!(\"", "include_bytes!(\""] {
            let paths = source.text.split(macro_name).skip(1).filter_map(|rest| rest.split('"').next());
            // Those of documentation are no files.
            let files = paths.filter_map(|path| folder.join(path).canonicalize().ok());
            included.extend(files.filter_map(|file| Some(file.strip_prefix(root()).ok()?.to_owned())));
        }
    }
    assert!(included.len() > 10, "only {included:?}");
    let missing = included.iter().filter(|file| !listed.contains(*file));
    none(
        "files that the code includes and the tarball lacks",
        missing.map(|file| file.display().to_string()),
    );
    let strange = listed.iter().filter(|file| file.starts_with("target") || file.starts_with(".ci"));
    none("files that nobody needs", strange.map(|file| file.display().to_string()));
}
