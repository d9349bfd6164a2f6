//! What the tools say: rustfmt, clippy, rustdoc and cargo-deny.
//!
//! They run as tests so that one command checks all, in the same target folder and with the same
//! profile, so that nothing is built twice.

use std::path::Path;
use std::process::{Command, Output};

use crate::source::{files, root};

/// A cargo command in this project, with the target folder that this test was built in.
pub fn cargo(arguments: &[&str]) -> Command {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it lies in the target folder");
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root()).env("CARGO_TARGET_DIR", target);
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
