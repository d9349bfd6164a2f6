//! The library itself, with a small program: it names, kills, fails, and takes away what is not synced.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::OnceLock;

use super::shim::{Cause, Point, Shim, compiled};
use super::{Deed, Plan, Site};
use crate::run::tree;

/// Runs the program in the folder `state` of a site.
fn write(site: &Site, shim: &Shim, plan: &Plan) -> Output {
    static WRITER: OnceLock<PathBuf> = OnceLock::new();
    let mut command = Command::new(WRITER.get_or_init(|| compiled("writer", "bin")));
    shim.load(command.arg(site.state()), plan).output().expect("it starts")
}

/// What lies below the folder.
fn contents(site: &Site) -> BTreeMap<String, String> {
    let text = |path: PathBuf| {
        let text = fs::read_to_string(site.state().join(&path)).expect("it is a text");
        (path.to_string_lossy().into_owned(), text)
    };
    tree(&site.state()).into_keys().map(text).collect()
}

fn texts<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.map(|(name, text)| (name.to_owned(), text.to_owned())).into()
}

fn point(name: &str) -> Point {
    Point { name: name.to_owned(), occurrence: 1 }
}

#[test]
fn operations_are_named() {
    let Some(shim) = Shim::get() else { return };
    let site = Site::new();
    fs::create_dir(site.state()).unwrap();
    let plan = Plan::watching(&site).traced();
    assert!(write(&site, shim, &plan).status.success());
    let counted =
        |name: &str| plan.points().iter().find(|point| point.name == name).map(|one| one.occurrence);
    assert_eq!(counted("write state/grown"), Some(2));
    assert_eq!(counted("create state/grown"), Some(1));
    assert_eq!(counted("sync state"), Some(2));
    assert_eq!(counted("rename state/elsewhere"), Some(1));
    assert_eq!(counted("link state/linked"), Some(1));
    assert_eq!(counted("remove state/removed"), Some(1));
}

#[test]
fn a_kill_leaves_what_was_done_before() {
    let Some(shim) = Shim::get() else { return };
    let site = Site::new();
    fs::create_dir(site.state()).unwrap();
    let ended = write(&site, shim, &Plan::watching(&site).at(&point("mkdir state/end"), Deed::KillBefore));
    assert_eq!(ended.status.signal(), Some(9));
    let wanted = [
        ("elsewhere", "moved"),
        ("grown", "grown by more"),
        ("inside/brought", "into a synced folder"),
        ("linked", "grown by more"),
        ("lost", "in no synced folder"),
        ("named", "in no synced folder"),
        ("replaced", "replacing"),
        ("unsynced", "in a synced folder"),
    ];
    assert_eq!(contents(&site), texts(wanted));
}

#[test]
fn a_power_cut_leaves_what_was_synced() {
    let Some(shim) = Shim::get() else { return };
    let site = Site::new();
    let plan = Plan::watching(&site).without_power(&site).at(&point("mkdir state/end"), Deed::KillAfter);
    assert_eq!(write(&site, shim, &plan).status.signal(), Some(9));
    let wanted = [
        ("grown", "grown"),
        ("inside/brought", "into a synced folder"),
        ("moved", "moved"),
        ("named", "in no synced folder"),
        ("removed", "removed"),
        ("replaced", "replaced"),
        ("replacing", "replacing"),
        ("unsynced", ""),
    ];
    assert_eq!(contents(&site), texts(wanted));
}

#[test]
fn what_is_to_fail_fails_of_its_cause() {
    let Some(shim) = Shim::get() else { return };
    for (name, cause) in [
        ("create state/lost", Cause::Full),
        ("sync state", Cause::Broken),
        ("rename state/elsewhere", Cause::ReadOnly),
    ] {
        let site = Site::new();
        fs::create_dir(site.state()).unwrap();
        let ended = write(&site, shim, &Plan::watching(&site).at(&point(name), Deed::Persist(cause)));
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(said.contains(&format!("code: {}", cause as i32)), "{name}: {said}");
        assert!(!site.path("state/end").exists(), "{name}: it went on");
    }
}
