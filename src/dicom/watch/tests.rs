//! What becomes of files in a watched folder, without network.

use std::fs;
use std::sync::Mutex;

use super::*;
use crate::dicom::serve::settings::ReceiveSettings;

/// Lets `work` look at a folder that is watched, and gives what was told.
fn watching(settle_time: Duration, work: impl FnOnce(&mut FolderWatcher, &Path)) -> Vec<ReceiverEvent> {
    let root = tempfile::tempdir().unwrap();
    let (inbox, folder) = (root.path().join("inbox"), root.path().join("watched"));
    fs::create_dir(&folder).unwrap();
    let settings = ReceiveSettings::new("FLOW".parse().unwrap(), inbox.clone());
    let told = Mutex::new(Vec::new());
    let tell = |event: &ReceiverEvent| told.lock().unwrap().push(event.clone());
    let intake = InstanceIntake::open(settings.intake(), &tell).unwrap();
    let mut watched = WatchedFolder::new(folder.clone());
    watched.settle_time = settle_time;
    work(&mut FolderWatcher::new(&intake, &watched), &folder);
    told.into_inner().unwrap()
}

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_file_is_taken_when_it_has_not_changed() {
    let told = watching(HOUR, |watcher, folder| {
        let hour_passes = |watcher: &mut FolderWatcher| {
            watcher.seen.values_mut().for_each(|seen| seen.due = Some(Instant::now()));
            watcher.look(&StopSignal::default());
        };
        watcher.look(&StopSignal::default());
        fs::write(folder.join("file"), "half").unwrap();
        watcher.look(&StopSignal::default());
        watcher.look(&StopSignal::default());
        fs::write(folder.join("file"), "the whole").unwrap();
        hour_passes(watcher);
        assert!(folder.join("file").exists(), "it has changed within the hour");
        hour_passes(watcher);
        assert_eq!(fs::read(folder.join("refused/file")).unwrap(), b"the whole");
        assert!(watcher.seen.is_empty());
    });
    assert!(matches!(told[..], [ReceiverEvent::Refused { .. }]), "{told:?}");
}

#[test]
fn a_visit_ends_when_nothing_more_comes() {
    let told = watching(Duration::ZERO, |watcher, folder| {
        for round in 0..3 {
            fs::write(folder.join(format!("file {round}")), "text").unwrap();
            watcher.look(&StopSignal::default());
        }
        watcher.look(&StopSignal::default());
        watcher.look(&StopSignal::default());
    });
    let refused = told
        .iter()
        .filter(|event| matches!(event, ReceiverEvent::Refused { session, .. } if session.number == 1));
    assert_eq!(refused.count(), 3);
    assert!(matches!(told[3..], [ReceiverEvent::Closed { instances: 0, .. }]), "{told:?}");
}

#[test]
fn a_file_that_took_the_name_of_another_is_not_removed() {
    watching(HOUR, |_, folder| {
        fs::write(folder.join("file"), "the first").unwrap();
        let place = FolderHandle::open(folder).unwrap();
        let mark = mark_of(&place.read("file".as_ref()).unwrap()).unwrap();
        fs::write(folder.join("file"), "the second one").unwrap();
        remove(&place, "file".as_ref(), mark).unwrap();
        assert_eq!(fs::read(folder.join(TAKEN)).unwrap(), b"the second one");
        assert_eq!(NameKind::of(TAKEN.as_ref()), NameKind::Final, "it is taken in turn");
    });
}

#[test]
fn a_copy_that_goes_on_holds_the_session() {
    let told = watching(Duration::ZERO, |watcher, folder| {
        let look = |watcher: &mut FolderWatcher| watcher.look(&StopSignal::default());
        fs::write(folder.join("second.part"), "half").unwrap();
        fs::write(folder.join("first"), "text").unwrap();
        (0..4).for_each(|_| look(watcher));
        assert!(watcher.sender.is_some(), "the copy may belong to the study of the first file");
        fs::rename(folder.join("second.part"), folder.join("second")).unwrap();
        (0..4).for_each(|_| look(watcher));
        assert!(watcher.sender.is_none());
        let old = fs::File::create(folder.join("old.part")).unwrap();
        old.set_len(4).unwrap();
        old.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        fs::write(folder.join("third"), "text").unwrap();
        (0..4).for_each(|_| look(watcher));
        assert!(watcher.sender.is_none(), "nobody goes on with an old copy");
    });
    let closed = told.iter().filter(|event| matches!(event, ReceiverEvent::Closed { .. })).count();
    assert_eq!(closed, 2, "{told:?}");
}
