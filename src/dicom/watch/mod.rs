//! A watched folder: DICOM files that appear below it are taken in and removed.
//!
//! A file is taken when it has not changed for a while. Its copy in the inbox is synced before the file goes,
//! so a kill at any instant loses nothing; at worst a file is taken twice, which changes nothing. Refused
//! files are moved to `refused`, each with a text beside it that gives the reason. Empty files, names that
//! begin with a dot or end in `.part` or `.tmp`, and entries that are neither file nor folder are left alone.
//! Empty folders stay: a sender may be about to fill them.
//!
//! The folder is polled. Network shares, where scanners put their files, send no notification of a change
//! made by another machine.

mod place;

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::admission::StopSignal;
use crate::dicom::intake::event::{AssociationEnd, ReceiverEvent, SessionKind};
use crate::dicom::intake::instance_intake::{InstanceIntake, InstanceRefusal, refusal};
use crate::dicom::intake::panics::guarded;
use crate::dicom::intake::sender::InstanceSender;
use crate::dicom::names::status::DimseStatus;

use place::{EntryKind, FileStamp, FolderHandle, mark_of};

/// A folder to watch.
#[derive(Clone, Debug)]
pub struct WatchedFolder {
    pub folder: PathBuf,
    /// Time for which a file must not have changed: 2 s. Must be longer than the pauses of the writing
    /// program.
    pub settle_time: Duration,
    /// How often to look: every 500 ms. Together these should be less than the quiet time, or a study
    /// that is written slowly becomes several requests.
    pub interval: Duration,
    /// When to try again what could not be taken for want of room or rights: after 30 s.
    pub retry_time: Duration,
}

impl WatchedFolder {
    pub fn new(folder: PathBuf) -> WatchedFolder {
        WatchedFolder {
            folder,
            settle_time: Duration::from_secs(2),
            interval: Duration::from_millis(500),
            retry_time: Duration::from_secs(30),
        }
    }
}

impl WatchedFolder {
    /// Whether what is taken would come to lie where it is looked for, or the other way round.
    pub(in crate::dicom) fn overlaps(&self, inbox: &Path) -> bool {
        let real = |path: &Path| path.canonicalize().or_else(|_| std::path::absolute(path));
        let (Ok(folder), Ok(inbox)) = (real(&self.folder), real(inbox)) else { return true };
        folder.starts_with(&inbox) || inbox.starts_with(&folder)
    }
}

/// Below the watched folder.
const REFUSED: &str = "refused";

/// A file that has been taken has such a name for an instant, and keeps it only if it turns out to be
/// another than was taken; then it is a file like any other.
const TAKEN: &str = ".flow-taken-";

/// More files are seen to when these are gone.
const FILES_MAX: usize = 100_000;

/// Deeper folders are not looked into.
const DEPTH_MAX: usize = 32;

const CHUNK_BYTES: usize = 256 << 10;

/// Watches until the stop.
pub(in crate::dicom) fn watch(intake: &InstanceIntake, watched: &WatchedFolder, stop: &StopSignal) {
    let mut watcher = FolderWatcher::new(intake, watched);
    while !stop.wait(watched.interval) {
        watcher.look(stop);
    }
    watcher.leave();
}

struct FolderWatcher<'a> {
    intake: &'a InstanceIntake<'a>,
    watched: &'a WatchedFolder,
    /// By path below the watched folder.
    seen: HashMap<PathBuf, SeenFile>,
    round: u64,
    /// While files are being taken, round after round.
    sender: Option<InstanceSender>,
    /// Instances that `sender` has brought.
    instances: u64,
    /// Whether a file has been dealt with in this round.
    has_moved: bool,
    /// Whether the last attempt to read the folder failed.
    is_blind: bool,
}

/// A file that is there and not taken yet.
struct SeenFile {
    mark: FileStamp,
    /// When it may be taken, if it has not changed until then.
    due: Option<Instant>,
    round: u64,
}

/// Outcome of taking in a file.
enum FileFate {
    Taken,
    /// The file changed meanwhile: it is still being written.
    Changed,
    Refused(InstanceRefusal),
    /// To be tried later, for a reason outside the file: the disk is full, or the file may not be read.
    Later(InstanceRefusal),
}

impl<'a> FolderWatcher<'a> {
    fn new(intake: &'a InstanceIntake<'a>, watched: &'a WatchedFolder) -> FolderWatcher<'a> {
        FolderWatcher {
            intake,
            watched,
            seen: HashMap::new(),
            round: 0,
            sender: None,
            instances: 0,
            has_moved: false,
            is_blind: false,
        }
    }

    /// Looks once through everything, and takes what is due.
    fn look(&mut self, stop: &StopSignal) {
        self.round += 1;
        self.has_moved = false;
        let looked =
            FolderHandle::open(&self.watched.folder).and_then(|root| self.walk(&root, Path::new(""), stop));
        match looked {
            Ok(()) => self.is_blind = false,
            Err(error) if !std::mem::replace(&mut self.is_blind, true) => {
                let (folder, reason) = (self.watched.folder.clone(), error.to_string());
                (self.intake.tell)(&ReceiverEvent::NotWatched { folder, reason });
            }
            Err(_) => {}
        }
        let round = self.round;
        self.seen.retain(|_, seen| seen.round == round);
        if !self.has_moved {
            self.leave();
        }
    }

    /// Folders that are to be looked into are on a list, and each is open no longer than it takes.
    fn walk(&mut self, root: &FolderHandle, path: &Path, stop: &StopSignal) -> io::Result<()> {
        let depth = path.components().count();
        for name in root.names(FILES_MAX)? {
            if stop.is_requested() || self.seen.len() >= FILES_MAX {
                return Ok(());
            }
            if is_left_alone(&name) || depth == 0 && name == REFUSED {
                continue;
            }
            match root.look_at(&name)? {
                Some(EntryKind::File(mark)) if mark.size > 0 => self.file(root, &path.join(&name), mark),
                Some(EntryKind::Folder) if depth < DEPTH_MAX => {
                    // It may be gone, or not ours to read: the others are.
                    let below =
                        root.below(&name).and_then(|below| self.walk(&below, &path.join(&name), stop));
                    if let Err(error) = below {
                        tracing::debug!(%error, "a folder below a watched one cannot be looked into");
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Notes a file, or takes it if it is due.
    fn file(&mut self, place: &FolderHandle, path: &Path, mark: FileStamp) {
        let (now, round) = (Instant::now(), self.round);
        let due = Some(now + self.watched.settle_time);
        let seen = self.seen.entry(path.to_owned()).or_insert(SeenFile { mark, due, round });
        seen.round = round;
        if seen.mark != mark {
            (seen.mark, seen.due) = (mark, due);
        }
        if seen.due.is_none_or(|due| due > now) {
            return;
        }
        let name = path.file_name().unwrap_or_default();
        let due = match self.take(place, name, mark) {
            FileFate::Taken => {
                self.instances += 1;
                self.gone(path, remove(place, name, mark))
            }
            FileFate::Refused(refused) => {
                self.tell(&refused);
                self.gone(path, self.aside().and_then(|aside| set_aside(place, path, &aside, &refused)))
            }
            FileFate::Changed => due,
            FileFate::Later(refused) => {
                self.tell(&refused);
                Some(now + self.watched.retry_time)
            }
        };
        if let Some(seen) = self.seen.get_mut(path) {
            seen.due = due;
        }
    }

    /// Copies a file into the inbox.
    fn take(&mut self, place: &FolderHandle, name: &OsStr, mark: FileStamp) -> FileFate {
        let read = |error: io::Error| {
            FileFate::Later(refusal(
                DimseStatus::PROCESSING_FAILURE,
                format!("a file in a watched folder cannot be read: {error}"),
            ))
        };
        if mark.size > self.intake.rules.instance_bytes_max {
            return FileFate::Refused(refusal(DimseStatus::OUT_OF_RESOURCES, "the instance is too large"));
        }
        let mut file = match place.read(name) {
            Ok(file) => file,
            Err(error) => return read(error),
        };
        let mut part = match self.intake.begin() {
            Ok(part) => Ok(part),
            Err(refused) => return FileFate::Later(refused),
        };
        if let Err(error) = copy(&mut file, |bytes| self.intake.write(&mut part, bytes)) {
            return read(error);
        }
        match mark_of(&file) {
            Ok(after) if after == mark => {}
            Ok(_) => return FileFate::Changed,
            Err(error) => return read(error),
        }
        let intake = self.intake;
        let sender = self.sender();
        let mistake = |reason| refusal(DimseStatus::PROCESSING_FAILURE, reason);
        match guarded(mistake, || intake.keep_file(sender, part?)) {
            Ok(_) => FileFate::Taken,
            Err(refused) if refused.status == DimseStatus::OUT_OF_RESOURCES => FileFate::Later(refused),
            Err(refused) => FileFate::Refused(refused),
        }
    }

    /// A file has been dealt with. One that cannot be removed is not dealt with again.
    fn gone(&mut self, path: &Path, moved: io::Result<()>) -> Option<Instant> {
        self.has_moved = true;
        match moved {
            Ok(()) => _ = self.seen.remove(path),
            Err(error) => {
                let folder = self.watched.folder.clone();
                let reason = format!("a file that has been dealt with cannot be moved away: {error}");
                (self.intake.tell)(&ReceiverEvent::NotWatched { folder, reason });
            }
        }
        None
    }

    fn aside(&self) -> io::Result<FolderHandle> {
        FolderHandle::open(&self.watched.folder)?.made_below(REFUSED.as_ref())
    }

    fn sender(&mut self) -> &InstanceSender {
        let intake = self.intake;
        self.sender.get_or_insert_with(|| InstanceSender {
            session: intake.session(SessionKind::Folder),
            calling_ae: String::new(),
            called_ae: String::new(),
            study_instance_uid: None,
        })
    }

    fn tell(&mut self, refused: &InstanceRefusal) {
        let InstanceRefusal { status, reason } = refused;
        let (status, reason) = (*status, reason.clone());
        let session = self.sender().session;
        (self.intake.tell)(&ReceiverEvent::Refused { session, status, reason });
    }

    /// Nothing more is coming, for the moment.
    fn leave(&mut self) {
        let Some(InstanceSender { session, .. }) = self.sender.take() else { return };
        let instances = std::mem::take(&mut self.instances);
        self.intake.studies.leave(session.number, AssociationEnd::Released.into());
        (self.intake.tell)(&ReceiverEvent::Closed {
            session,
            end: AssociationEnd::Released,
            reason: String::new(),
            instances,
        });
    }
}

fn is_left_alone(name: &OsStr) -> bool {
    let name = name.as_bytes();
    let hidden = name.starts_with(b".") && !name.starts_with(TAKEN.as_bytes());
    hidden || name.ends_with(b".part") || name.ends_with(b".tmp")
}

fn copy(file: &mut File, mut write: impl FnMut(&[u8])) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => write(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Removes a file, unless another file has taken its name meanwhile. The file is first renamed to a name that
/// no other program uses, so that the file checked is the file removed.
fn remove(place: &FolderHandle, name: &OsStr, mark: FileStamp) -> io::Result<()> {
    let own = free_name(place, OsStr::new(TAKEN))?;
    place.rename(name, place, &own)?;
    match place.look_at(&own)? {
        Some(EntryKind::File(now)) if now == mark => place.remove(&own),
        _ => Ok(()),
    }
}

fn set_aside(
    place: &FolderHandle,
    path: &Path,
    aside: &FolderHandle,
    refused: &InstanceRefusal,
) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default();
    let new = free_name(aside, OsStr::from_bytes(&name.as_bytes()[..name.len().min(NAME_BYTES_MAX)]))?;
    let InstanceRefusal { status, reason } = refused;
    let text = format!(
        "{} was not taken in: {status}: {reason}.\nTo have it tried again, move it back into the watched folder.\n",
        path.display()
    );
    // The text first: a file whose reason is lost would be a riddle.
    let mut beside = new.clone();
    beside.push(".txt");
    aside.write(&beside, &text)?;
    place.rename(name, aside, &new)
}

/// Names have at most 255 bytes, with what is put behind them.
const NAME_BYTES_MAX: usize = 200;

/// The name itself, or with the first number that makes it free.
fn free_name(place: &FolderHandle, name: &OsStr) -> io::Result<OsString> {
    let mut free = name.to_owned();
    for number in 2_u64.. {
        if place.look_at(&free)?.is_none() {
            break;
        }
        free = name.to_owned();
        free.push(format!("-{number}"));
    }
    Ok(free)
}

#[cfg(test)]
mod tests {
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
            assert!(!is_left_alone(TAKEN.as_ref()), "it is taken in turn");
        });
    }
}
