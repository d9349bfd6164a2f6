//! SIGKILL at random instants.

use std::thread;

use super::account::Attacks;
use super::life::instant;
use super::{
    Account, Ended, Life, ListeningAddress, Pacs, Reference, Site, Studies, kills_wanted, seed, studies,
};
use crate::support::random::Dice;

/// Kills in a row, before flow is left in peace and it is counted.
const KILLS_IN_A_ROUND: usize = 10;
const STUDIES: usize = 6;
/// Within this time flow is killed: time enough to answer some of the studies.
const LIFE_MS_MAX: usize = 300;

#[test]
fn killed_while_studies_arrive_all_are_answered_once() {
    rounds("killed while studies arrive", Reference::of_received, while_studies_arrive);
}

#[test]
fn killed_while_files_are_worked_on_all_are_answered_once() {
    rounds("killed while files are worked on", Reference::of_files, while_files_are_worked_on);
}

type Round = fn(&mut Dice, &Studies, &Reference) -> (Account, Vec<Ended>);

fn rounds(what: &str, reference: impl Fn(&Studies) -> Reference, round: Round) {
    let site = Site::new();
    let studies = Studies::write(&site.path("studies"), STUDIES);
    let reference = reference(&studies);
    let mut dice = Dice(seed());
    let mut attacks = Attacks::default();
    while attacks.kills() < kills_wanted().unwrap_or(KILLS_IN_A_ROUND) {
        let (account, lives) = round(&mut dice, &studies, &reference);
        attacks.add("a round", account, &lives);
    }
    attacks.conclude(what);
}

fn while_studies_arrive(dice: &mut Dice, studies: &Studies, reference: &Reference) -> (Account, Vec<Ended>) {
    let (site, pacs, listener) = (Site::new(), Pacs::open(), ListeningAddress::default());
    let mut command = site.run_listening();
    command.arg("--to").arg(pacs.destination().to_string());
    let mut lives = Vec::new();
    thread::scope(|scope| {
        let mut senders = Vec::new();
        let parts: Vec<_> = studies.each.chunks(STUDIES / 2).collect();
        for (part, mut dice) in parts.into_iter().zip([Dice(dice.next()), Dice(dice.next())]) {
            let listener = &listener;
            let send = move || part.iter().for_each(|study| send_perhaps_twice(listener, study, &mut dice));
            senders.push(scope.spawn(send));
        }
        for _ in 0..KILLS_IN_A_ROUND {
            let end = instant(dice, LIFE_MS_MAX);
            let mut life = Life::start(&mut command);
            if let Some(address) = life.listening_until(end) {
                listener.set(address.expect("it does not end by itself"));
            }
            lives.push(life.killed_at(end));
            listener.clear();
        }
        let mut life = Life::start(&mut command);
        listener.set(life.listening().expect("nothing ends it"));
        senders.into_iter().for_each(|sender| sender.join().expect("it has sent all"));
        life.lives_until(|_| reference.is_answered(&site));
        lives.push(life.stopped());
    });
    counted(lives, reference, &site, &pacs)
}

fn while_files_are_worked_on(
    dice: &mut Dice,
    studies: &Studies,
    reference: &Reference,
) -> (Account, Vec<Ended>) {
    let (site, pacs) = (Site::new(), Pacs::open());
    let mut command = site.run_files(&studies.folder);
    command.arg("--to").arg(pacs.destination().to_string());
    let mut lives = Vec::new();
    while lives.len() < KILLS_IN_A_ROUND && lives.last().is_none_or(Ended::was_killed) {
        lives.push(Life::start(&mut command).killed_at(instant(dice, LIFE_MS_MAX)));
    }
    lives.push(Life::start(&mut command).wait());
    counted(lives, reference, &site, &pacs)
}

/// What is there after the last life, which was left in peace.
fn counted(lives: Vec<Ended>, reference: &Reference, site: &Site, pacs: &Pacs) -> (Account, Vec<Ended>) {
    lives.last().expect("there was one").assert_well();
    let mut account = Account::default();
    account.lived(&lives);
    account.close(reference, site, pacs);
    (account, lives)
}

/// Some modalities send what they have sent before.
fn send_perhaps_twice(listener: &ListeningAddress, study: &[flow::dicom::DicomObject], dice: &mut Dice) {
    studies::send_until_acknowledged(listener, study);
    if dice.one_in(4) {
        studies::send_until_acknowledged(listener, study);
    }
}
