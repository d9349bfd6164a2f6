//! A watched folder: DICOM files that appear below it are taken in and removed.
//!
//! A file is taken when it has not changed for a while. Its copy in the inbox is synced before the file goes,
//! so a kill at any instant loses nothing; at worst a file is taken twice, which changes nothing. Refused
//! files are moved to `refused`, each with a text beside it that gives the reason. A file whose data set is
//! cut off may still grow: it is left, and its study held back, until it has not changed for as long as a
//! sender that broke off is waited for. Empty files, names that begin with a dot or have a suffix of unfinished
//! copies, files that their writer has locked, and entries that are neither file nor folder are left alone. While
//! an unfinished copy goes on, studies of the files beside it wait for it, for a limited time.
//! Empty folders stay: a sender may be about to fill them.
//!
//! The folder is polled. Network shares, where scanners put their files, send no notification of a change
//! made by another machine.

mod place;
mod seen;

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use crate::admission::StopSignal;
use crate::dicom::intake::event::{AssociationEnd, ReceiverEvent, SessionKind};
use crate::dicom::intake::instance_intake::{InstanceIntake, InstanceRefusal, refusal};
use crate::dicom::intake::panics::guarded;
use crate::dicom::intake::remark::StudyRemark;
use crate::dicom::intake::sender::{InstanceSender, SessionUse};
use crate::dicom::names::status::DimseStatus;

use place::{EntryKind, FileStamp, FolderHandle, has_unwritten_end, is_locked, mark_of};
use seen::{SeenFile, SeenState};

/// A folder to watch.
#[derive(Clone, Debug)]
pub struct WatchedFolder {
    pub folder: PathBuf,
    /// Time for which a file must not have changed: 2 s. Should be longer than the pauses of the writing
    /// program.
    pub settle_time: Duration,
    /// The interval at which the folder is polled: 500 ms.
    pub interval: Duration,
    /// The time after which a file is tried again that could not be taken for lack of space or permission: 30
    /// s.
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
    /// Whether the inbox is inside of the watched folder, or the other way round.
    pub(in crate::dicom) fn overlaps(&self, inbox: &Path) -> bool {
        let real = |path: &Path| path.canonicalize().or_else(|_| std::path::absolute(path));
        let (Ok(folder), Ok(inbox)) = (real(&self.folder), real(inbox)) else { return true };
        folder.starts_with(&inbox) || inbox.starts_with(&folder)
    }
}

/// The folder of refused files, below the watched folder.
const REFUSED: &str = "refused";

/// The prefix of a file's name while it is being removed. If it turns out to be another file than the one
/// that was taken, it keeps this name and is treated like any other file.
const TAKEN: &str = ".flow-taken-";

/// The most files that are tracked at once; others follow when these are gone.
const FILES_MAX: usize = 100_000;

/// The deepest level of folders that is searched.
const DEPTH_MAX: usize = 32;

/// Studies wait for a copy that goes on for at most so many times the time for which they wait for a cut-off file.
const COPY_TIMES: u32 = 6;

const ENDLESS: &str = "an unfinished copy, as .part, has gone on for too long: studies go on without it";

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
    /// The files seen, by path below the watched folder.
    seen: HashMap<PathBuf, SeenFile>,
    round: u64,
    /// The sender of the instances, while files are being taken.
    sender: Option<InstanceSender>,
    /// Instances that `sender` has brought.
    instances: u64,
    /// Whether a file has been dealt with in this round.
    has_moved: bool,
    /// Whether the last attempt to read the folder failed.
    is_blind: bool,
}

/// Whether a file that lacks its end is still waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FileEnd {
    Open,
    /// It has not changed for so long that it is taken as it is.
    Final,
}

/// The outcome of taking a file.
enum FileFate {
    Taken,
    /// The file changed meanwhile: it is still being written.
    Changed,
    /// The file ends in the middle of its data set.
    CutOff(InstanceRefusal),
    Refused(InstanceRefusal),
    /// The file is to be tried again, for a reason outside of it: the disk is full, or the file cannot be
    /// read.
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

    /// Looks through all folders once, and takes the files that are due.
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
        // A file that may still be written may belong to the study of files that have been taken.
        let settles = self.seen.values().any(|seen| seen.state == SeenState::Settling);
        if !self.has_moved && !settles {
            self.leave_copies();
            self.leave();
        }
    }

    /// Looks through the folders below a folder. Each is open only while it is read.
    fn walk(&mut self, root: &FolderHandle, path: &Path, stop: &StopSignal) -> io::Result<()> {
        let depth = path.components().count();
        for name in root.names(FILES_MAX)? {
            if stop.is_requested() || self.seen.len() >= FILES_MAX {
                return Ok(());
            }
            if depth == 0 && name == REFUSED {
                continue;
            }
            let kind = NameKind::of(&name);
            match root.look_at(&name)? {
                Some(EntryKind::File(mark)) if kind != NameKind::Final => {
                    self.unfinished(&path.join(&name), mark, kind);
                }
                Some(EntryKind::Folder) if kind != NameKind::Final => {}
                Some(EntryKind::File(mark)) if mark.size > 0 => self.file(root, &path.join(&name), mark),
                Some(EntryKind::Folder) if depth < DEPTH_MAX => {
                    // A folder that is gone, or that flow may not read, does not affect the others.
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

    /// Notes a file that gets another name when it is whole.
    fn unfinished(&mut self, path: &Path, mark: FileStamp, kind: NameKind) {
        let now = Instant::now();
        let time = match kind {
            NameKind::Copy => self.cut_off_time(),
            // It may be anything.
            NameKind::Hidden | NameKind::Final => self.watched.settle_time,
        };
        let endless_time = self.cut_off_time() * COPY_TIMES;
        let is_old = mark.age(SystemTime::now()).is_some_and(|age| age > time);
        let settled = if is_old { now } else { now + time };
        let seen = self.seen.entry(path.to_owned()).or_insert_with(|| SeenFile::new(mark, now, settled));
        seen.round = self.round;
        if seen.mark != mark {
            seen.change(mark, now, settled);
        }
        if seen.due.is_some_and(|due| due <= now) {
            (seen.state, seen.due) = (SeenState::Done, None);
        } else if seen.state == SeenState::Settling && now - seen.since >= endless_time {
            seen.state = SeenState::Endless;
        }
    }

    /// Notes a file, or takes it if it is due.
    fn file(&mut self, place: &FolderHandle, path: &Path, mark: FileStamp) {
        let (now, round) = (Instant::now(), self.round);
        let settled = now + self.watched.settle_time;
        let seen = self.seen.entry(path.to_owned()).or_insert_with(|| SeenFile::new(mark, now, settled));
        seen.round = round;
        if seen.mark != mark {
            seen.change(mark, now, settled);
        }
        if seen.due.is_none_or(|due| due > now) {
            return;
        }
        seen.state = SeenState::Settling;
        let changed = seen.changed;
        if seen.lacking.is_some() {
            // After a cut-off file a complete one counts only in a new session.
            self.leave();
        }
        let name = path.file_name().unwrap_or_default();
        let stays = now.saturating_duration_since(changed) >= self.cut_off_time();
        let mut lacking = None;
        let end = if stays { FileEnd::Final } else { FileEnd::Open };
        let (state, due) = match self.take(place, name, mark, end) {
            FileFate::Taken => {
                self.instances += 1;
                self.gone(path, remove(place, name, mark))
            }
            FileFate::CutOff(refused) if !stays => {
                self.cut_off(&refused);
                lacking = refused.cut_off;
                (SeenState::CutOff, Some(changed + self.cut_off_time()))
            }
            FileFate::CutOff(refused) | FileFate::Refused(refused) => {
                self.tell(&refused);
                self.gone(path, self.aside().and_then(|aside| set_aside(place, path, &aside, &refused)))
            }
            FileFate::Changed => (SeenState::Settling, Some(settled)),
            FileFate::Later(refused) => {
                self.tell(&refused);
                (SeenState::Waiting, Some(now + self.watched.retry_time))
            }
        };
        if let Some(seen) = self.seen.get_mut(path) {
            seen.lacking = lacking.or(seen.lacking.take());
            (seen.state, seen.due) = (state, due);
        }
    }

    /// The time after its last change at which a cut-off file counts as final.
    fn cut_off_time(&self) -> Duration {
        self.intake.rules.completion.broken_time.max(self.watched.settle_time)
    }

    /// Notes that a file is cut off and may still grow: its study waits.
    fn cut_off(&mut self, refused: &InstanceRefusal) {
        if let Some(study) = &refused.cut_off {
            self.intake.studies.lacks(study);
        }
        let (folder, reason) = (self.watched.folder.clone(), refused.reason.clone());
        (self.intake.tell)(&ReceiverEvent::LeftUnfinished { folder, reason, time: self.cut_off_time() });
    }

    /// Copies a file into the inbox.
    fn take(&mut self, place: &FolderHandle, name: &OsStr, mark: FileStamp, end: FileEnd) -> FileFate {
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
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return FileFate::Changed,
            Err(error) => return read(error),
        };
        if is_locked(&file) {
            return FileFate::Changed;
        }
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
        let has_open_end = has_unwritten_end(&file, mark.size);
        if end == FileEnd::Open
            && has_open_end
            && let Ok(part) = &part
        {
            return FileFate::CutOff(intake.unwritten_end(part));
        }
        match guarded(mistake, || intake.keep_file(sender, part?)) {
            Ok(stored) => {
                if has_open_end {
                    self.taken_unwritten(&stored.instance.study_instance_uid);
                }
                FileFate::Taken
            }
            Err(refused) if refused.status == DimseStatus::OUT_OF_RESOURCES => FileFate::Later(refused),
            Err(refused) if refused.cut_off.is_some() => FileFate::CutOff(refused),
            Err(refused) => FileFate::Refused(refused),
        }
    }

    /// Tells that a file was taken to whose end nothing has been written.
    fn taken_unwritten(&self, study_instance_uid: &str) {
        self.intake.studies.remark(study_instance_uid, StudyRemark::UnwrittenEnd);
        let (folder, time) = (self.watched.folder.clone(), self.cut_off_time());
        (self.intake.tell)(&ReceiverEvent::TakenUnwritten { folder, time });
    }

    /// The state of a file after it was moved away. One that could not be removed is not taken again.
    fn gone(&mut self, path: &Path, moved: io::Result<()>) -> (SeenState, Option<Instant>) {
        self.has_moved = true;
        match moved {
            Ok(()) => _ = self.seen.remove(path),
            Err(error) => {
                let folder = self.watched.folder.clone();
                let reason = format!("a file that has been dealt with cannot be moved away: {error}");
                (self.intake.tell)(&ReceiverEvent::NotWatched { folder, reason });
            }
        }
        (SeenState::Done, None)
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
            session_use: SessionUse::OneTransfer,
        })
    }

    fn tell(&mut self, refused: &InstanceRefusal) {
        let InstanceRefusal { status, reason, .. } = refused;
        let (status, reason) = (*status, reason.clone());
        let session = self.sender().session;
        (self.intake.tell)(&ReceiverEvent::Refused { session, status, reason });
    }

    /// Tells the studies of the session of copies that are not waited for any more.
    fn leave_copies(&self) {
        let Some(InstanceSender { session, .. }) = &self.sender else { return };
        if self.seen.values().any(|seen| seen.state == SeenState::Endless) {
            self.intake.studies.remark_session(session.number, StudyRemark::EndlessCopy);
            let (folder, reason) = (self.watched.folder.clone(), ENDLESS.to_owned());
            (self.intake.tell)(&ReceiverEvent::NotWatched { folder, reason });
        }
    }

    /// Ends the session: no more files follow for the moment. Studies go on waiting for files that are still
    /// cut off.
    fn leave(&mut self) {
        let Some(InstanceSender { session, .. }) = self.sender.take() else { return };
        let instances = std::mem::take(&mut self.instances);
        // Said before the end of the session, which may complete a study at once.
        let cut_off = self.seen.values().filter(|seen| seen.state == SeenState::CutOff);
        cut_off.filter_map(|seen| seen.lacking.as_deref()).for_each(|study| self.intake.studies.lacks(study));
        self.intake.studies.leave(session.number, AssociationEnd::Released.into());
        (self.intake.tell)(&ReceiverEvent::Closed {
            session,
            end: AssociationEnd::Released,
            reason: String::new(),
            instances,
        });
    }
}

/// The meaning of an entry's name for its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NameKind {
    Final,
    /// Of a copy that is renamed when it is whole.
    Copy,
    /// It begins with a dot.
    Hidden,
}

impl NameKind {
    fn of(name: &OsStr) -> NameKind {
        let name = name.as_bytes().to_ascii_lowercase();
        if UNFINISHED.iter().any(|suffix| name.ends_with(suffix)) {
            return NameKind::Copy;
        }
        let is_hidden = name.starts_with(b".") && !name.starts_with(TAKEN.as_bytes());
        if is_hidden { NameKind::Hidden } else { NameKind::Final }
    }
}

/// Suffixes that programs give to files while they copy or download them.
const UNFINISHED: [&[u8]; 5] = [b".part", b".partial", b".tmp", b".filepart", b".crdownload"];

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
    let InstanceRefusal { status, reason, .. } = refused;
    let text = format!(
        "{} was not taken in: {status}: {reason}.\nTo have it tried again, move it back into the watched folder.\n",
        path.display()
    );
    // The text is written first, so that there is no refused file without a reason.
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
mod tests;
