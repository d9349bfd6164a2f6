//! The wall clock jumps, forwards and backwards, in a life that ends half-way.

use super::points::traced;
use super::scene::{Scene, Stage};
use super::{Account, Deed, Plan};

const DAY_S: i64 = 24 * 60 * 60;

#[test]
fn when_the_clock_jumps_all_are_answered_once() {
    let Some(scene) = Scene::of_received() else { return };
    let points = traced(&scene);
    let placed = points.iter().find(|point| point.name == "rename output/CT_#_#");
    let placed = placed.expect("a response takes its place").first();
    let mut account = Account::default();
    for (look, seconds) in [(1, 3650 * DAY_S), (1, -3650 * DAY_S), (5, DAY_S), (5, -DAY_S)] {
        let stage = Stage::new();
        let plan = Plan::watching(&stage.site).clock(look, seconds).at(&placed, Deed::KillBefore);
        account.add(scene.play(&stage, &plan).1);
    }
    assert_eq!(account.kills, 4);
    account.assert_good();
}
