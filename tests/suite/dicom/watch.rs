//! Watched folders: what is put there is taken in, what is not DICOM is set aside.

use std::fs::{self, File};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use flow::admission::StopSignal;
use flow::dicom::{
    AssociationEnd, DimseStatus, ReceiveSettings, ReceiverEvent, WatchedFolder, folder, serve,
};

use crate::support::peers::{Receiving, run, until};
use crate::support::slices::Slice;

struct Watching {
    receiving: Receiving,
    folder: PathBuf,
    _kept: tempfile::TempDir,
}

impl Watching {
    /// A receiver that watches a folder in which `lay` has put something before.
    fn start(lay: impl FnOnce(&Path)) -> Watching {
        Watching::start_waiting(Duration::from_millis(500), lay)
    }

    /// The same, which waits so long for what broke off.
    fn start_waiting(broken_time: Duration, lay: impl FnOnce(&Path)) -> Watching {
        let kept = tempfile::tempdir().unwrap();
        let folder = kept.path().join("watched");
        fs::create_dir(&folder).unwrap();
        lay(&folder);
        let mut watched = WatchedFolder::new(folder.clone());
        watched.settle_time = Duration::from_millis(50);
        watched.interval = Duration::from_millis(20);
        watched.retry_time = Duration::from_millis(50);
        let receiving = Receiving::start(|settings| {
            settings.completion.quiet_time = Duration::from_millis(500);
            settings.completion.broken_time = broken_time;
            settings.instance_bytes_max = 100_000;
            settings.watched = vec![watched];
        });
        Watching { receiving, folder, _kept: kept }
    }

    fn refused(&self, status: DimseStatus) -> ReceiverEvent {
        let is_it = |event: &ReceiverEvent| matches!(event, ReceiverEvent::Refused { status: other, .. } if *other == status);
        self.receiving.event("refused", is_it)
    }
}

/// The names in a folder, in order.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_study_that_is_put_into_the_folder_becomes_a_request() {
    let watching = Watching::start(|_| {});
    let below = watching.folder.join("a/b");
    fs::create_dir_all(&below).unwrap();
    let slices: Vec<Slice> = (1..6).map(|number| Slice::new("1.2.3", number)).collect();
    for slice in &slices {
        fs::write(below.join(slice.number.to_string()), slice.file()).unwrap();
    }
    let request = watching.receiving.study();
    assert_eq!(request.items.len(), 5);
    for slice in &slices {
        let item = request.items.iter().find(|item| item.name == format!("{}.dcm", slice.uid()));
        assert!(
            fs::read(item.unwrap().file().unwrap()).unwrap() == slice.file(),
            "the file is kept as it was"
        );
    }
    assert_eq!((request.attribute("calling_ae"), request.attribute("association")), ("", "released"));
    let event = watching.receiving.event("closed", |event| matches!(event, ReceiverEvent::Closed { .. }));
    assert!(matches!(event, ReceiverEvent::Closed { end: AssociationEnd::Released, .. }), "{event}");
    assert!(names(&below).is_empty(), "what has been taken is gone");
}

#[test]
fn what_is_not_let_in_is_set_aside_with_the_reason() {
    let mut large = Slice::new("1.2.3", 1);
    large.edge = 256;
    let watching = Watching::start(|folder| {
        fs::create_dir(folder.join("a")).unwrap();
        fs::write(folder.join("letter.txt"), "Dear colleague").unwrap();
        fs::write(folder.join("a/letter.txt"), "Dear friend").unwrap();
        fs::write(folder.join("large"), large.file()).unwrap();
    });
    let aside = watching.folder.join("refused");
    until("three are set aside", || (names(&aside).len() == 6).then_some(()));
    assert_eq!(
        names(&aside),
        ["large", "large.txt", "letter.txt", "letter.txt-2", "letter.txt-2.txt", "letter.txt.txt"]
    );
    let text = |name: &str| fs::read_to_string(aside.join(name)).unwrap();
    assert!(
        text("large.txt").starts_with(
            "large was not taken in: out of resources (status A700): the instance is too large."
        )
    );
    let reasons = [text("letter.txt.txt"), text("letter.txt-2.txt")].concat();
    assert!(
        reasons.contains(
            "a/letter.txt was not taken in: cannot understand (status C000): it is not a DICOM file"
        )
    );
    let mut letters = [text("letter.txt"), text("letter.txt-2")];
    letters.sort();
    assert_eq!(letters, ["Dear colleague", "Dear friend"]);
}

#[test]
fn only_whole_files_of_the_folder_itself_are_touched() {
    let elsewhere = tempfile::tempdir().unwrap();
    let (outside, left) = (Slice::new("1.2.9", 1), Slice::new("1.2.8", 1));
    fs::write(elsewhere.path().join("outside.dcm"), outside.file()).unwrap();
    let watching = Watching::start(|folder| {
        for name in [".hidden", "half.part", "half.tmp", "half.FilePart", "half.crdownload"] {
            fs::write(folder.join(name), left.file()).unwrap();
        }
        fs::write(folder.join("empty"), "").unwrap();
        symlink(elsewhere.path().join("outside.dcm"), folder.join("link.dcm")).unwrap();
        symlink(elsewhere.path(), folder.join("links")).unwrap();
        fs::create_dir(folder.join("refused")).unwrap();
        fs::write(folder.join("refused/before.dcm"), left.file()).unwrap();
        assert!(run(Command::new("mkfifo").arg(folder.join("pipe"))).status.success());
        fs::write(folder.join("good.dcm"), Slice::new("1.2.3", 1).file()).unwrap();
    });
    assert_eq!(watching.receiving.study().attribute("study_instance_uid"), "1.2.3");
    let left = [
        ".hidden",
        "empty",
        "half.FilePart",
        "half.crdownload",
        "half.part",
        "half.tmp",
        "link.dcm",
        "links",
        "pipe",
        "refused",
    ];
    assert_eq!(names(&watching.folder), left);
    assert_eq!(names(&watching.folder.join("refused")), ["before.dcm"]);
    assert_eq!(names(elsewhere.path()), ["outside.dcm"]);
    fs::rename(watching.folder.join("half.part"), watching.folder.join("whole")).unwrap();
    assert_eq!(watching.receiving.study().attribute("study_instance_uid"), "1.2.8");
}

#[test]
fn a_file_that_was_copied_before_a_kill_is_taken_once() {
    let mut watching = Watching::start(|_| {});
    let slices: Vec<Slice> = (1..4).map(|number| Slice::new("1.2.3", number)).collect();
    let put = |slice: &Slice| fs::write(watching.folder.join(slice.uid()), slice.file()).unwrap();
    slices.iter().for_each(put);
    let request = watching.receiving.study();
    // As if the receipts had been written and nothing after them.
    slices.iter().for_each(put);
    fs::rename(watching.folder.join(slices[0].uid()), watching.folder.join(".flow-taken-")).unwrap();
    until("they are taken again", || names(&watching.folder).is_empty().then_some(()));
    let again = watching.receiving.study();
    assert_eq!(again.id, request.id);
    watching.receiving.stop();
    let found = folder::find(std::slice::from_ref(&watching.receiving.inbox)).unwrap();
    assert_eq!(found.studies[0].id, request.id);
}

/// Writes to a file step by step, as a slow copy does.
fn written(path: &Path, bytes: &[u8]) -> File {
    let mut file = File::options().create(true).append(true).open(path).unwrap();
    file.write_all(bytes).unwrap();
    file
}

#[test]
fn half_a_file_is_left_and_holds_its_study_until_it_is_whole() {
    let slices: Vec<Slice> = (1..3).map(|number| Slice::new("1.2.3", number)).collect();
    let watching = Watching::start_waiting(Duration::from_secs(3600), |_| {});
    let (half, rest) = (slices[1].file(), slices[1].file().split_off(1500));
    let path = watching.folder.join("last");
    fs::write(watching.folder.join("first"), slices[0].file()).unwrap();
    written(&path, &half[..1500]);
    let event =
        watching.receiving.event("left", |event| matches!(event, ReceiverEvent::LeftUnfinished { .. }));
    assert!(event.to_string().contains("is not whole: the data set is cut off:"), "{event}");
    assert!(path.exists() && watching.receiving.studies.try_recv().is_err());
    written(&path, &rest);
    let request = watching.receiving.study();
    assert_eq!((request.items.len(), request.attribute("association")), (2, "released"));
    assert!(names(&watching.folder).is_empty());
}

#[test]
fn a_copy_under_another_name_holds_the_study_until_it_is_whole() {
    let slices: Vec<Slice> = (1..3).map(|number| Slice::new("1.2.3", number)).collect();
    let watching = Watching::start_waiting(Duration::from_secs(3600), |folder| {
        fs::write(folder.join("last.part"), &slices[1].file()[..1500]).unwrap();
        // One that somebody has left long ago.
        let old = written(&folder.join("old.part"), b"left");
        old.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)).unwrap();
    });
    fs::write(watching.folder.join("first"), slices[0].file()).unwrap();
    let is_stored = |event: &ReceiverEvent| matches!(event, ReceiverEvent::Stored { .. });
    watching.receiving.event("the first is taken", is_stored);
    written(&watching.folder.join("last.part"), &slices[1].file()[1500..]);
    fs::rename(watching.folder.join("last.part"), watching.folder.join("last")).unwrap();
    assert_eq!(watching.receiving.study().items.len(), 2);
    assert_eq!(names(&watching.folder), ["old.part"]);
}

#[test]
fn a_copy_that_never_ends_holds_a_study_for_a_limited_time() {
    // The age of a file is known to the second.
    let watching = Watching::start_waiting(Duration::from_secs(2), |folder| {
        _ = written(&folder.join("endless.part"), b"begins");
    });
    let remark = "an unfinished copy in the watched folder, as .part, went on for too long and was not waited for: an \
                  instance may be missing";
    let mut number = 0;
    until("a study of that time has the remark", || {
        written(&watching.folder.join("endless.part"), b" and goes on");
        // A study of which nothing comes for a while is not held either.
        number += 1;
        if number % 100 == 1 {
            let slice = Slice::new("1.2.3", number).file();
            fs::write(watching.folder.join(format!("slice-{number}")), slice).unwrap();
        }
        let request = watching.receiving.studies.try_recv().ok()?;
        (request.attribute("remarks") == remark).then_some(())
    });
    let is_it = |event: &ReceiverEvent| matches!(event, ReceiverEvent::NotWatched { .. });
    let event = watching.receiving.event("it is told", is_it).to_string();
    assert!(event.ends_with("studies go on without it"), "{event}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_whose_end_was_never_written_is_taken_with_a_remark() {
    let slice = Slice { edge: 128, ..Slice::new("1.2.3", 1) };
    let bytes = slice.file();
    let watching = Watching::start(|folder| {
        let file = written(&folder.join("slice"), &bytes[..bytes.len() / 2]);
        file.set_len(bytes.len() as u64).unwrap();
    });
    let is_it = |event: &ReceiverEvent| matches!(event, ReceiverEvent::TakenUnwritten { .. });
    let event = watching.receiving.event("it is told", is_it).to_string();
    assert!(event.contains("nothing is written at its end"), "{event}");
    let remark = "nothing was written at the end of 1 file in a watched folder: zeros are used there";
    assert_eq!(watching.receiving.study().attribute("remarks"), remark);
}

#[test]
fn a_file_that_has_not_been_written_yet_is_left() {
    let slice = Slice::new("1.2.3", 1);
    let watching = Watching::start_waiting(Duration::from_secs(3600), |folder| {
        fs::write(folder.join("blank"), vec![0; slice.file().len()]).unwrap();
        fs::write(folder.join("head"), &slice.file()[..150]).unwrap();
    });
    for _ in 0..2 {
        watching.receiving.event("left", |event| matches!(event, ReceiverEvent::LeftUnfinished { .. }));
    }
    assert_eq!(names(&watching.folder), ["blank", "head"]);
    fs::write(watching.folder.join("blank"), slice.file()).unwrap();
    assert_eq!(watching.receiving.study().items.len(), 1);
}

/// As a copy over a network share does it, or a program that gets the pieces of a file in any order.
#[cfg(target_os = "linux")]
#[test]
fn a_file_whose_length_was_set_before_it_was_written_is_left_until_it_is_whole() {
    use std::os::unix::fs::FileExt;

    let slices: Vec<Slice> =
        (1..4).map(|number| Slice { edge: 128, ..Slice::new("1.2.3", number) }).collect();
    let watching = Watching::start_waiting(Duration::from_secs(3600), |_| {});
    fs::write(watching.folder.join("first"), slices[0].file()).unwrap();
    let middle = slices[1].file().len() / 2;
    let begun = |name: &str, slice: &Slice, range: std::ops::Range<usize>| {
        let (path, bytes) = (watching.folder.join(format!(".{name}")), slice.file());
        let file = File::create_new(&path).unwrap();
        file.set_len(bytes.len() as u64).unwrap();
        file.write_all_at(&bytes[range.clone()], range.start as u64).unwrap();
        fs::rename(path, watching.folder.join(name)).unwrap();
        file
    };
    let from_begin = begun("from-begin", &slices[1], 0..middle);
    let from_end = begun("from-end", &slices[2], middle..slices[2].file().len());
    for _ in 0..2 {
        let left = |event: &ReceiverEvent| matches!(event, ReceiverEvent::LeftUnfinished { .. });
        let event = watching.receiving.event("left", left).to_string();
        assert!(event.contains("nothing has been written at its"), "{event}");
    }
    assert_eq!(names(&watching.folder), ["from-begin", "from-end"]);
    // A file without a beginning names no study. The study waits for the other one all the same.
    from_end.write_all_at(&slices[2].file()[..middle], 0).unwrap();
    until("it is taken", || (names(&watching.folder) == ["from-begin"]).then_some(()));
    watching.receiving.event("closed", |event| matches!(event, ReceiverEvent::Closed { .. }));
    from_begin.write_all_at(&slices[1].file()[middle..], middle as u64).unwrap();
    assert_eq!(watching.receiving.study().items.len(), 3);
}

#[test]
fn a_locked_file_is_left_until_its_writer_unlocks_it() {
    let (locked, free) = (Slice::new("1.2.3", 1), Slice::new("1.2.4", 1));
    let watching = Watching::start(|_| {});
    let path = watching.folder.join("locked");
    let file = written(&watching.folder.join(".locked"), &locked.file());
    file.lock().unwrap();
    fs::rename(watching.folder.join(".locked"), &path).unwrap();
    fs::write(watching.folder.join("free"), free.file()).unwrap();
    until("the other one is taken", || (names(&watching.folder) == ["locked"]).then_some(()));
    file.unlock().unwrap();
    let mut studies = [watching.receiving.study(), watching.receiving.study()];
    studies.sort_by_key(|request| request.subject.clone());
    assert_eq!(studies.map(|request| request.subject), ["1.2.3", "1.2.4"]);
}

#[test]
fn without_room_a_file_waits_where_it_is() {
    let kept = tempfile::tempdir().unwrap();
    let mut watched = WatchedFolder::new(kept.path().to_owned());
    watched.settle_time = Duration::from_millis(10);
    watched.interval = Duration::from_millis(10);
    watched.retry_time = Duration::from_millis(10);
    fs::write(kept.path().join("one"), Slice::new("1.2.3", 1).file()).unwrap();
    let receiving = Receiving::start(|settings| {
        settings.free_bytes_min = u64::MAX;
        settings.watched = vec![watched, WatchedFolder::new(kept.path().join("nowhere"))];
    });
    for _ in 0..2 {
        receiving.event("refused", |event| {
            matches!(event, ReceiverEvent::Refused { status: DimseStatus::OUT_OF_RESOURCES, .. })
        });
    }
    let event = receiving.event("not watched", |event| matches!(event, ReceiverEvent::NotWatched { .. }));
    assert!(event.to_string().contains("nowhere: No such file"), "{event}");
    assert_eq!(names(kept.path()), ["one"]);
}

#[test]
fn the_inbox_is_not_watched() {
    let kept = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let inbox = kept.path().join("state/inbox");
    for folder in [kept.path().to_owned(), inbox.join("study"), inbox.join("../../state")] {
        let mut settings = ReceiveSettings::new("FLOW".parse().unwrap(), inbox.clone());
        settings.watched = vec![WatchedFolder::new(folder)];
        let error = serve(Some(&listener), &settings, &StopSignal::default(), |_| {}, |_| {}).unwrap_err();
        assert!(error.to_string().contains("is watched, and the inbox"), "{error}");
    }
}

#[test]
fn a_cut_file_is_set_aside_and_tells_no_name() {
    let slice = Slice::new("1.2.3", 1);
    let watching =
        Watching::start(|folder| fs::write(folder.join("Test^Seven.dcm"), &slice.file()[..500]).unwrap());
    let event = watching.refused(DimseStatus::CANNOT_UNDERSTAND).to_string();
    assert!(!event.contains("Seven"), "{event}");
    until("it is set aside", || watching.folder.join("refused/Test^Seven.dcm").exists().then_some(()));
}
