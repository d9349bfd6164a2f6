//! SIGKILL, or a power cut, before and after each change of the disk, by name.

use super::scene::{Scene, Stage};
use super::shim::Point;
use super::{Account, Deed, Plan, kills_wanted};

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
    let mut account = Account::default();
    for (index, point) in points.iter().enumerate() {
        for (point, deed) in attacks(point, index) {
            let stage = Stage::new();
            let (_, outcome) = scene.play(&stage, &plan(&stage).at(&point, deed));
            assert!(outcome.is_good(), "{}: {deed:?} {point:?}: {outcome}", scene.name);
            account.add(outcome);
        }
    }
    println!("{}: {} named points", scene.name, points.len());
    assert!(account.kills * 2 > account.lives / 2, "most points are met: {account}");
    account.assert_good();
}

/// The operations of a run that nothing disturbs.
pub fn traced(scene: &Scene) -> Vec<Point> {
    let stage = Stage::new();
    let plan = Plan::watching(&stage.site).traced();
    let (ended, account) = scene.play(&stage, &plan);
    ended.assert_well();
    assert!(account.is_good(), "{account}");
    plan.points()
}

/// Before and after the first and the last; in a short run one of these, by turns.
fn attacks(last: &Point, turn: usize) -> Vec<(Point, Deed)> {
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
