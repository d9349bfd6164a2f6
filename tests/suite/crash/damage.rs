//! What lies in the state is cut short or changed between two lives: flow takes it up where it is
//! whole, or refuses it and says so. It never gives a wrong answer.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::account::Attacks;
use super::pacs::Held;
use super::scene::{Scene, Stage};
use super::shim::Point;
use super::{Account, Deed, Plan, kills_wanted};
use crate::support::random::Dice;
use flow::journal::Journal;

#[test]
fn a_log_that_is_cut_short() {
    let wal = format!("{}-wal", Journal::FILE);
    each(&wal, |file, _, part| cut(file, fs::metadata(file).unwrap().len() - LAST_BYTES, part));
}

#[test]
fn a_journal_that_is_cut_short() {
    each(Journal::FILE, |file, _, part| cut(file, 0, part));
}

#[test]
fn a_log_with_a_changed_byte() {
    each(&format!("{}-wal", Journal::FILE), |file, dice, _| change(file, dice));
}

#[test]
fn a_journal_with_a_changed_byte() {
    each(Journal::FILE, |file, dice, _| change(file, dice));
}

#[test]
fn stored_bytes_that_are_changed() {
    each("store", |store, dice, _| {
        // A draft that the kill has left may be empty.
        let has_bytes = |path: &PathBuf| fs::metadata(store.join(path)).is_ok_and(|file| file.len() > 0);
        let mut files: Vec<PathBuf> = crate::run::tree(store).into_keys().filter(has_bytes).collect();
        change(&store.join(files.swap_remove(dice.below(files.len()))), dice);
    });
}

/// The last records of the log are in its last bytes.
const LAST_BYTES: u64 = 3 * 4096;

/// Harms a file of the state, again and again in another way, and looks what flow makes of it. `part`
/// goes from 0 to 1.
fn each(file: &str, harm: impl Fn(&Path, &mut Dice, f64)) {
    let Some(patient) = Patient::new() else { return };
    let times = if kills_wanted().is_some() { 400 } else { 16 };
    let mut dice = Dice(super::seed());
    let (mut attacks, mut refused) = (Attacks::default(), 0);
    for time in 0..times {
        patient.restore();
        harm(&patient.stage.site.state().join(file), &mut dice, time as f64 / times as f64);
        refused += usize::from(patient.is_refused(&format!("{file}, time {time}"), &mut attacks));
    }
    attacks.conclude(&format!("{file}, harmed {times} times, {refused} times refused"));
}

/// A state with an answered request, one with a response that is made, and what is needed to go on.
struct Patient {
    scene: Scene,
    stage: Stage,
    /// What the PACS has been sent by then, and has said so.
    held: Held,
}

impl Patient {
    fn new() -> Option<Patient> {
        let (scene, stage) = (Scene::of_files()?, Stage::new());
        scene.answer_the_first(&stage);
        let placed = Point { name: "rename output/CT_#_#".to_owned(), occurrence: 1 };
        let plan = Plan::watching(&stage.site).at(&placed, Deed::KillBefore);
        let ended = scene.first_life(&stage, &plan);
        assert!(ended.was_killed(), "{}", ended.said);
        let held = stage.pacs.held();
        let patient = Patient { scene, stage, held };
        patient.copy(["state", "output"], "pristine");
        Some(patient)
    }

    fn restore(&self) {
        self.stage.pacs.go_back(&self.held);
        for folder in [self.stage.site.state(), self.stage.site.output()] {
            fs::remove_dir_all(folder).expect("it was there");
        }
        self.copy(["pristine/state", "pristine/output"], ".");
    }

    /// Links stay links, but not with the original.
    fn copy(&self, from: [&str; 2], to: &str) {
        let site = &self.stage.site;
        fs::create_dir_all(site.path(to)).expect("the site can be written");
        let mut command = Command::new("cp");
        let copied = command.arg("-a").args(from.map(|folder| site.path(folder))).arg(site.path(to)).status();
        assert!(copied.expect("there is a cp").success());
    }

    fn is_refused(&self, what: &str, attacks: &mut Attacks) -> bool {
        let ended = self.scene.again(&self.stage);
        let mut account = Account::default();
        let refused = !matches!(ended.status.code(), Some(0 | 1));
        match refused {
            true => self.scene.compare(&self.stage, &mut account),
            false => self.scene.close(&self.stage, &mut account),
        }
        if refused && !(ended.said.contains("damaged") && ended.said.contains("hint: ")) {
            attacks.wrong(format!("{what}: {:?}, and not why:\n{}", ended.status, ended.said));
        }
        attacks.add(what, account, &[ended]);
        refused
    }
}

fn cut(file: &Path, from: u64, part: f64) {
    let length = fs::metadata(file).expect("it is there").len();
    let left = from + ((length - from) as f64 * part) as u64;
    let file = fs::File::options().write(true).open(file).expect("it can be written");
    file.set_len(left).expect("it can be cut");
}

/// In a new file, so that what is linked with it stays as it is.
fn change(file: &Path, dice: &mut Dice) {
    let mut bytes = fs::read(file).expect("it can be read");
    let index = dice.below(bytes.len());
    bytes[index] ^= 1 << dice.below(8);
    fs::remove_file(file).and_then(|()| fs::write(file, bytes)).expect("it can be written");
}
