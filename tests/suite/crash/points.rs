//! SIGKILL, or a power cut, before and after each change of the disk, by name.

use super::account::Attacks;
use super::scene::{Scene, Stage};
use super::shim::Point;
use super::{Deed, Plan, kills_wanted};

#[test]
fn killed_at_each_change_of_the_disk_files_are_answered_once() {
    if let Some(scene) = Scene::of_files() {
        at_each_point(&scene, watching);
    }
}

#[test]
fn killed_at_each_change_of_the_disk_received_studies_are_answered_once() {
    if let Some(scene) = Scene::of_received() {
        at_each_point(&scene, watching);
    }
}

#[test]
fn when_the_power_fails_files_are_answered_once() {
    if let Some(scene) = Scene::of_files() {
        at_each_point(&scene, without_power);
    }
}

#[test]
fn when_the_power_fails_received_studies_are_answered_once() {
    if let Some(scene) = Scene::of_received() {
        at_each_point(&scene, without_power);
    }
}

fn watching(stage: &Stage) -> Plan {
    Plan::watching(&stage.site)
}

fn without_power(stage: &Stage) -> Plan {
    Plan::watching(&stage.site).without_power(&stage.site)
}

fn at_each_point(scene: &Scene, plan: impl Fn(&Stage) -> Plan) {
    let points = traced(scene);
    assert!(points.len() > 20, "only {points:?}");
    let mut attacks = Attacks::default();
    for (point, deed) in some(&points).enumerate().flat_map(|(turn, point)| deeds(point, turn)) {
        let stage = Stage::new();
        let (lives, account) = scene.play(&stage, &plan(&stage).at(&point, deed));
        attacks.add(&format!("{deed:?} {point}"), account, &lives);
    }
    let account = attacks.conclude(&format!("{}: {} named points", scene.name, points.len()));
    assert!(account.kills * 4 > account.lives, "most points are met: {account}");
}

/// All points; in a short run some of them, from the first to the last.
pub fn some(points: &[Point]) -> impl Iterator<Item = &Point> {
    let most = if kills_wanted().is_some() { usize::MAX } else { POINTS_MAX };
    points.iter().step_by(points.len().div_ceil(most).max(1))
}

const POINTS_MAX: usize = 18;

/// The operations of a run that nothing disturbs.
pub fn traced(scene: &Scene) -> Vec<Point> {
    let stage = Stage::new();
    let plan = Plan::watching(&stage.site).traced();
    let ([first, _], account) = scene.play(&stage, &plan);
    first.assert_well();
    assert!(account.is_good(), "{account}");
    plan.points()
}

/// Before and after the first and the last; in a short run one of these, by turns.
pub fn deeds(last: &Point, turn: usize) -> Vec<(Point, Deed)> {
    let all = [
        (last.first(), Deed::KillBefore),
        (last.first(), Deed::KillAfter),
        (last.clone(), Deed::KillBefore),
        (last.clone(), Deed::KillAfter),
    ];
    match kills_wanted() {
        Some(_) => all.into(),
        None => vec![all[turn % all.len()].clone()],
    }
}
