//! `flow run books`, whose only record are its directories: killed, cut off from its power, on a full and on a broken
//! disk, at each change of the disk. In the end each book is done and in one place, and the store has it.

use std::fs;
use std::process::Command;

use flow::books::{BookServer, BookTroubles, SampleBooks};
use flow::dataflow::Dataflow;

use super::points::{deeds, some};
use super::shim::{Cause, Point, Shim};
use super::{Deed, Life, Plan, Site};
use crate::books::assert_all_done;

const BOOKS: SampleBooks = SampleBooks { count: 2, bytes: 1_500 };

/// A server of books that outlives each flow.
struct RowAttack {
    shim: &'static Shim,
    server: BookServer,
}

#[test]
fn killed_at_each_change_of_the_disk_books_are_done_once() {
    at_each_point(Plan::watching);
}

#[test]
fn when_the_power_fails_books_are_done_once() {
    at_each_point(|site| Plan::watching(site).without_power(site));
}

#[test]
fn on_a_full_disk_books_are_done_when_there_is_room() {
    let writes = |point: &Point| matches!(point.kind(), "create" | "write" | "copy" | "mkdir" | "rename");
    where_it_fails(writes, Cause::Full);
}

#[test]
fn where_syncing_fails_books_are_done_later() {
    where_it_fails(|point| matches!(point.kind(), "sync" | "syncfs"), Cause::Broken);
}

fn at_each_point(plan: impl Fn(&Site) -> Plan) {
    let Some(attack) = RowAttack::new() else { return };
    let points = attack.traced();
    assert!(points.len() > 20, "only {points:?}");
    let mut kills = 0;
    for (point, deed) in some(&points).enumerate().flat_map(|(turn, point)| deeds(point, turn)) {
        kills += usize::from(attack.play(&plan, &point, deed));
    }
    println!("{} named points, {kills} kills", points.len());
    assert!(kills > 0);
}

fn where_it_fails(fits: impl Fn(&Point) -> bool, cause: Cause) {
    let Some(attack) = RowAttack::new() else { return };
    let points: Vec<Point> = attack.traced().into_iter().filter(fits).collect();
    assert!(!points.is_empty(), "nothing fails of {cause:?}");
    for point in some(&points) {
        attack.play(&Plan::watching, &point.first(), Deed::Persist(cause));
    }
}

impl RowAttack {
    fn new() -> Option<RowAttack> {
        let shim = Shim::get()?;
        let server = BookServer::start(BOOKS, BookTroubles::default()).expect("a port is free");
        Some(RowAttack { shim, server })
    }

    fn command(&self, site: &Site) -> Command {
        let row = Dataflow::built_in("books").expect("it is built in");
        let row = row.replace("sample:/", &format!("{}/", self.server.url()));
        fs::write(site.path("row.yaml"), row).expect("the site can be written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_flow"));
        command.current_dir(site.path(".")).env_remove("RUST_LOG");
        command.args(["run", "./row.yaml", "-w", "1", "--output"]).arg(site.output());
        command
    }

    /// The operations of a run that nothing disturbs.
    fn traced(&self) -> Vec<Point> {
        let site = Site::new();
        let plan = Plan::watching(&site).traced();
        Life::start(self.shim.load(&mut self.command(&site), &plan)).wait().assert_well();
        assert_all_done(BOOKS, &site.output(), "without an attack");
        plan.points()
    }

    /// One life that is attacked, and one in peace. Gives whether the first one was killed.
    fn play(&self, plan: &impl Fn(&Site) -> Plan, point: &Point, deed: Deed) -> bool {
        let (site, what) = (Site::new(), format!("{deed:?} {point}"));
        let plan = plan(&site).at(point, deed);
        let mut life = Life::start(self.shim.load(&mut self.command(&site), &plan));
        life.lives_until(|said| plan.is_told(said) || has_postponed(&site));
        plan.amend();
        let attacked = life.stopped();
        put_back_postponed(&site);
        let ended = Life::start(&mut self.command(&site)).wait();
        let code = ended.status.code();
        assert_eq!(code, Some(0), "{what}: {}{:?}", ended.said, crate::run::tree(&site.output()).keys());
        assert_all_done(BOOKS, &site.output(), &what);
        attacked.was_killed()
    }
}

/// The folders of tokens that wait for a time, with those to which they belong.
fn postponed(site: &Site) -> Vec<(std::path::PathBuf, std::path::PathBuf)> {
    let entries = fs::read_dir(site.output()).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let stages = names.filter_map(|name| name.strip_suffix(".later").map(str::to_owned));
    stages.map(|stage| (site.output().join(format!("{stage}.later")), site.output().join(stage))).collect()
}

fn has_postponed(site: &Site) -> bool {
    postponed(site)
        .iter()
        .any(|(later, _)| fs::read_dir(later).is_ok_and(|mut entries| entries.next().is_some()))
}

/// As an operator does who has made room.
fn put_back_postponed(site: &Site) {
    for (later, stage) in postponed(site) {
        for token in fs::read_dir(later).expect("it is there").flatten() {
            fs::rename(token.path(), stage.join(token.file_name())).expect("the disk is well");
        }
    }
}
