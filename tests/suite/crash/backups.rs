//! A backup of a running flow, restored elsewhere after flow and its state are lost.

use std::fs;
use std::process::{Command, Output};

use super::account::Attacks;
use super::{Account, Ended, Life, ListeningAddress, Pacs, Reference, Site, Studies, studies};

const STUDIES: usize = 6;

fn flow(arguments: &[&str]) -> Output {
    let command = Command::new(env!("CARGO_BIN_EXE_flow")).args(arguments).env_remove("RUST_LOG").output();
    let output = command.expect("flow starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "flow {arguments:?}: {}\n{said}", output.status);
    output
}

#[test]
fn a_backup_of_a_running_flow_goes_on_elsewhere_with_the_same_answers() {
    let place = Site::new();
    let studies = Studies::write(&place.path("studies"), STUDIES);
    let reference = Reference::of_received(&studies);
    let mut attacks = Attacks::default();
    for before in [1, 3, 6] {
        let (account, lives) = lost_after(before, &studies, &reference);
        attacks.add(&format!("a backup after {before} studies"), account, &lives);
    }
    attacks.conclude("state folders lost and restored");
}

/// The state is lost after a backup that was made when so many studies had been received.
fn lost_after(before: usize, studies: &Studies, reference: &Reference) -> (Account, Vec<Ended>) {
    let (lost, site, pacs) = (Site::new(), Site::new(), Pacs::open());
    let to = pacs.destination().to_string();
    let backups = site.path("backups").display().to_string();
    let state = lost.state().display().to_string();
    let backup = ["backup", &backups, "--state", &state, "--json"];

    let listener = ListeningAddress::default();
    let mut life = Life::start(lost.run_listening().args(["--to", &to]));
    listener.set(life.listening().expect("nothing ends it"));
    for study in &studies.each[..before] {
        studies::send_until_acknowledged(&listener, study);
        flow(&backup);
    }
    studies.each[before..].iter().for_each(|study| _ = studies::send_until_acknowledged(&listener, study));
    let mut lives = vec![life.killed_at(std::time::Instant::now())];
    // What was delivered stays; only the state is lost.
    fs::rename(lost.output(), site.output()).expect("there is an output");
    fs::remove_dir_all(lost.state()).expect("it was there");

    flow(&["restore", &backups, "--check"]);
    let state = site.state().display().to_string();
    flow(&["restore", &backups, "--state", &state]);
    listener.clear();
    let mut life = Life::start(site.run_listening().args(["--to", &to]));
    listener.set(life.listening().expect("nothing ends it"));
    // What came after the backup is sent again, as an archive or a modality does after a restore.
    studies.each[before..].iter().for_each(|study| _ = studies::send_until_acknowledged(&listener, study));
    life.lives_until(|_| reference.is_answered(&site));
    lives.push(life.stopped());
    lives[1].assert_well();
    // The received files of a request from before are found in the new folder.
    flow(&["replay", "1", "--state", &state]);
    let mut account = Account::default();
    account.lived(&lives);
    account.close(reference, &site, &pacs);
    (account, lives)
}
