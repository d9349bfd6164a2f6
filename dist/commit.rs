//! The build script: the commit for `flow --version`.
//!
//! In this order: what the environment says (`FLOW_COMMIT`), the file that `cargo package` puts into its tarball, the
//! checkout. Without any of them, and in builds for debugging, which are not to begin anew with each commit, the version
//! stands alone.

use std::fs;
use std::process::Command;

/// Digits of a commit that are shown.
const DIGITS: usize = 10;

fn main() {
    println!("cargo:rerun-if-changed=dist/commit.rs");
    println!("cargo:rerun-if-env-changed=FLOW_COMMIT");
    let commit = given().or_else(of_package).or_else(of_checkout);
    let shown = commit.map(|commit| format!(" ({})", &commit[..commit.len().min(DIGITS)]));
    println!("cargo:rustc-env=FLOW_COMMIT={}", shown.unwrap_or_default());
}

fn given() -> Option<String> {
    std::env::var("FLOW_COMMIT").ok().and_then(|commit| digits(&commit))
}

/// `{"git": {"sha1": "..."}}`
fn of_package() -> Option<String> {
    let text = fs::read_to_string(".cargo_vcs_info.json").ok()?;
    digits(text.split("\"sha1\"").nth(1)?.split('"').nth(1)?)
}

fn of_checkout() -> Option<String> {
    let is_release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    // Git would also find a checkout that this folder lies in by chance.
    if !is_release || !fs::exists(".git").unwrap_or(false) {
        return None;
    }
    // The log of HEAD grows with each commit and each checkout; HEAD itself only names a branch.
    for name in ["HEAD", "logs/HEAD"] {
        let path = git(&["rev-parse", "--git-path", name])?;
        if fs::exists(&path).unwrap_or(false) {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    digits(&git(&["rev-parse", "HEAD"])?)
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

fn digits(commit: &str) -> Option<String> {
    let is_commit = commit.len() >= DIGITS && commit.bytes().all(|letter| letter.is_ascii_hexdigit());
    is_commit.then(|| commit.to_owned())
}
