//! `flow backup` and `flow restore` of a flow that has ended.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::{Ended, Place, tree};
use crate::support::data::files_below;

/// A place where two small studies were run.
fn answered() -> Place {
    let place = Place::new();
    place.study("in/1", 1);
    place.study("in/2", 2);
    let ended = place.run(&["run", "--input", "in"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    place
}

fn json(ended: &Ended) -> Value {
    serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {}{}", ended.out, ended.err))
}

/// The files of the store in a backup or a state folder.
fn stored(place: &Place, below: &str) -> Vec<PathBuf> {
    files_below(&place.path(below).join("store"))
}

#[test]
fn a_restored_state_replays_as_the_one_that_was_backed_up() {
    let place = answered();
    let first = json(&place.run(&["backup", "backups", "--json"]));
    assert_eq!((&first["requests"], &first["open"], &first["linked"]), (&2.into(), &0.into(), &0.into()));
    let second = json(&place.run(&["backup", "backups", "--json", "--keep", "2"]));
    assert!(second["linked"].as_u64() > Some(0), "what has not changed is not copied again: {second}");
    let third = json(&place.run(&["backup", "backups", "--json", "--keep", "2"]));
    assert_eq!(third["backup"], "backups/0000003");
    assert!(!place.path("backups/0000001").exists() && place.path("backups/0000002").exists());

    fs::rename(place.path("flow-state"), place.path("lost")).unwrap();
    let restored = place.run(&["restore", "backups", "--state", "other/state"]);
    assert_eq!(restored.code, 0, "{}", restored.err);
    assert!(restored.err.contains("2 requests, 0 not answered"), "{}", restored.err);
    let files = |below: &str| {
        let mut files = tree(&place.path(below));
        // The journal may have been upgraded; the lock belongs to a process.
        files.retain(|path, _| path.starts_with("store"));
        files
    };
    assert!(!files("lost").is_empty() && files("lost") == files("other/state"));
    let replayed = place.run(&["replay", "1", "--state", "other/state"]);
    assert_eq!(replayed.code, 0, "{}{}", replayed.out, replayed.err);
    assert!(replayed.out.ends_with("\n14 steps, 14 identical\n"), "{}", replayed.out);
    let again = place.run(&["run", "--input", "in", "--state", "other/state", "--output", "again"]);
    assert_eq!(again.code, 0, "it is a state folder as any other: {}", again.err);
}

#[test]
fn a_changed_backup_is_refused_and_a_damaged_state_is_told() {
    let place = answered();
    let damaged = stored(&place, "flow-state").pop().expect("large files are in the store");
    let whole = fs::read(&damaged).unwrap();
    fs::write(&damaged, &whole[1..]).unwrap();
    let made = place.run(&["backup", "backups"]);
    assert_eq!(made.code, 1, "{}", made.err);
    assert!(made.err.contains("damaged: store/") && place.path("backups/0000001").exists(), "{}", made.err);
    fs::remove_file(&damaged).unwrap();
    let made = place.run(&["backup", "backups"]);
    assert!(made.code == 1 && made.err.contains("missing: store/"), "{}", made.err);

    fs::write(&damaged, &whole).unwrap();
    assert_eq!(place.run(&["backup", "backups"]).code, 0);
    assert_eq!(place.run(&["restore", "backups", "--check"]).code, 0);
    let rotten = stored(&place, "backups/0000003/state").pop().unwrap();
    fs::write(&rotten, &whole[1..]).unwrap();
    for arguments in [&["restore", "backups", "--check"][..], &["restore", "backups", "--state", "other"]] {
        let refused = place.run(arguments);
        assert!(refused.code == 74 && refused.err.contains("is not the file"), "{}", refused.err);
    }
    assert!(!place.path("other").exists(), "nothing is restored by half");
}

#[test]
fn nothing_is_restored_over_a_state_and_nothing_is_backed_up_where_none_is() {
    let place = answered();
    let none = place.run(&["backup", "backups", "--state", "nowhere"]);
    assert!(none.code == 74 && none.err.contains("no journal in nowhere"), "{}", none.err);
    let none = place.run(&["restore", "in", "--state", "other"]);
    assert!(none.code == 74 && none.err.contains("no backup in in"), "{}", none.err);
    assert_eq!(place.run(&["backup", "backups"]).code, 0);
    let occupied = place.run(&["restore", "backups", "--state", "flow-state"]);
    assert!(occupied.code == 74 && occupied.err.contains("is not empty"), "{}", occupied.err);
    assert_eq!(place.run(&["restore", "backups"]).code, 2, "it has to be said where");
    assert_eq!(place.run(&["backup", "backups", "--keep", "0"]).code, 2);
}

#[test]
fn folders_that_are_no_backups_are_neither_counted_nor_removed() {
    let place = answered();
    let others =
        ["2023", "2024/patients", "7", "0000002", "18446744073709551615", ".thesis.part", ".0000001.part"];
    for folder in others {
        fs::create_dir_all(place.path("vault").join(folder)).unwrap();
        fs::write(place.path("vault").join(folder).join("precious"), "x").unwrap();
    }
    let made = |number: &str| {
        let made = json(&place.run(&["backup", "vault", "--keep", "1", "--json"]));
        assert_eq!(made["backup"], format!("vault/{number}"));
    };
    // The first draft's name is somebody's, and so is the second backup's.
    made("0000003");
    made("0000004");
    assert!(!place.path("vault/0000003").exists(), "--keep counts backups");
    for folder in others {
        assert!(place.path("vault").join(folder).join("precious").exists(), "{folder}");
    }
}

#[test]
fn a_damaged_index_of_the_journal_is_told_and_its_backup_is_not_restored() {
    let place = answered();
    let path = place.path("flow-state/journal.sqlite");
    let journal = rusqlite::Connection::open(&path).unwrap();
    let page: u32 = journal
        .query_row("SELECT min(rootpage) FROM sqlite_master WHERE type = 'index'", [], |row| row.get(0))
        .unwrap();
    journal.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(journal);
    let file = fs::File::options().write(true).open(&path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[0xff; 8], (u64::from(page) - 1) * 4096).unwrap();

    let made = place.run(&["backup", "backups"]);
    assert_eq!(made.code, 1, "{}", made.err);
    assert!(
        made.err.contains("damaged: journal.sqlite of ") && made.err.contains("/flow-state: "),
        "{}",
        made.err
    );
    assert!(made.err.contains("hint: stop this flow") && !made.err.contains(".part"), "{}", made.err);
    for arguments in [&["restore", "backups", "--check"][..], &["restore", "backups", "--state", "other"]] {
        let refused = place.run(arguments);
        let told = "backups/0000001/state/journal.sqlite was damaged when it was backed up: ";
        assert!(refused.code == 74 && refused.err.contains(told), "{}", refused.err);
    }
    assert!(!place.path("other").exists());
}

#[test]
fn backups_are_not_made_in_the_state_folder_nor_around_it() {
    let place = answered();
    for (folder, told) in [("flow-state/backups", "copied into the next"), (".", "take the state along")] {
        let refused = place.run(&["backup", folder]);
        assert!(refused.code == 74 && refused.err.contains(told), "{}", refused.err);
    }
    assert!(!place.path("flow-state/backups").exists() && !place.path("0000001").exists());
    assert_eq!(place.run(&["backup", "backups"]).code, 0);
    let refused = place.run(&["restore", "backups", "--state", "backups/0000001/again"]);
    assert!(refused.code == 74 && refused.err.contains("removed with that backup"), "{}", refused.err);
}
