//! A disk that is full, or broken, or may only be read: no wrong answer, a clear word, and all is
//! answered when the disk is well again.

use super::account::Attacks;
use super::points::{some, traced};
use super::scene::{Scene, Stage};
use super::shim::{Cause, Point};
use super::{Deed, Plan, kills_wanted};

#[test]
fn on_a_full_disk_files_are_answered_when_there_is_room() {
    Scene::of_files().iter().for_each(full);
}

#[test]
fn on_a_full_disk_received_studies_are_answered_when_there_is_room() {
    Scene::of_received().iter().for_each(full);
}

#[test]
fn where_syncing_fails_files_are_answered_later() {
    Scene::of_files().iter().for_each(broken);
}

#[test]
fn where_syncing_fails_received_studies_are_answered_later() {
    Scene::of_received().iter().for_each(broken);
}

#[test]
fn on_a_disk_that_may_only_be_read_files_are_answered_later() {
    Scene::of_files().iter().for_each(read_only);
}

fn full(scene: &Scene) {
    let writes = |point: &Point| matches!(point.kind(), "create" | "write" | "copy" | "mkdir" | "link");
    at_points(scene, writes, Cause::Full);
}

fn broken(scene: &Scene) {
    at_points(scene, |point| point.kind() == "sync", Cause::Broken);
}

fn read_only(scene: &Scene) {
    at_points(scene, |point| matches!(point.kind(), "create" | "rename"), Cause::ReadOnly);
}

fn at_points(scene: &Scene, fits: impl Fn(&Point) -> bool, cause: Cause) {
    let points: Vec<Point> = traced(scene).into_iter().filter(fits).collect();
    assert!(!points.is_empty(), "nothing fails of {cause:?}");
    let mut attacks = Attacks::default();
    for (turn, point) in some(&points).enumerate() {
        deeds(cause, turn).into_iter().for_each(|deed| once(scene, &point.first(), deed, &mut attacks));
    }
    attacks.conclude(&format!("{}: {cause:?} at {} named points", scene.name, points.len()));
}

fn once(scene: &Scene, point: &Point, deed: Deed, attacks: &mut Attacks) {
    let stage = Stage::new();
    let plan = Plan::watching(&stage.site).at(point, deed);
    let (lives, account) = scene.play(&stage, &plan);
    let ended = &lives[0];
    let what = format!("{deed:?} {point}");
    let well = matches!(ended.status.code(), Some(0 | 1));
    if !well && !plan.is_told(&ended.said) {
        attacks.wrong(format!("{what}: {:?}, and not a word about why:\n{}", ended.status, ended.said));
    }
    attacks.add(&what, account, &lives);
}

/// Once, and from then on; in a short run one of these, by turns.
fn deeds(cause: Cause, turn: usize) -> Vec<Deed> {
    let all = [Deed::Persist(cause), Deed::Fail(cause)];
    match kills_wanted() {
        Some(_) => all.into(),
        None => vec![all[turn % all.len()]],
    }
}
