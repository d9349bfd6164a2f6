//! Received files on disk, until their request has been dealt with.
//!
//! Names are made of nothing that a peer sent, except UIDs that were checked to be digits and dots. Every
//! file in a study folder was answered with success. A folder that belongs to no request is taken up by the
//! next process.
//!
//! ```text
//! INBOX/incoming/12.part               being received, or made beforehand and empty
//! INBOX/commitments/UID.json           a commitment that was asked for, until its outcome is told
//! INBOX/study-0000003/UID.dcm          received, synced, and answered with success: the last one with its UID
//! INBOX/study-0000003/replaced         the instances that took the place of others, one a line
//! INBOX/study-0000003/arrivals         the order in which they were received, one a line
//! INBOX/study-0000003/remarks          what its response is to say about how it was received, one a line
//! INBOX/study-0000003/complete         an operator says that no more will come, and who that is
//! INBOX/study-0000003/senders.json     the AE titles of those who sent of it, and by which they called us
//! INBOX/study-0000003/released         the last association that sent of it came to a good end
//! ```

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::store::make_folder;

use super::mixture::InstanceArrived;
use super::partial_file::{PartialFile, SpareFiles, SyncedUnder, sync_folder};
use super::remark::StudyRemark;
use super::replacement::Replacement;

pub(in crate::dicom) struct StudyInbox {
    root: PathBuf,
    folders: AtomicU64,
    incoming: SpareFiles,
}

impl StudyInbox {
    /// Makes the inbox, and removes files that an earlier process had not received completely.
    pub fn open(root: &Path) -> io::Result<StudyInbox> {
        let incoming = root.join(INCOMING);
        make_folder(root)?;
        make_folder(&incoming)?;
        let incoming = SpareFiles::open(incoming)?;
        Ok(StudyInbox { root: root.to_owned(), folders: AtomicU64::new(0), incoming })
    }

    /// Deletes the folder of a study that becomes no request.
    pub fn discard(&self, folder: &Path) -> io::Result<()> {
        release(&self.root, &[claim(folder)])
    }

    pub fn begin(&self) -> io::Result<PartialFile> {
        self.incoming.begin()
    }

    /// Folder of the files that are being received.
    pub fn incoming(&self) -> PathBuf {
        self.root.join(INCOMING)
    }

    /// Reserves the numbers of these folders, so that no new folder gets one of them.
    pub fn number_after(&self, known: &BTreeSet<PathBuf>) -> io::Result<()> {
        let there: io::Result<Vec<PathBuf>> =
            fs::read_dir(&self.root)?.map(|entry| entry.map(|entry| entry.path())).collect();
        let numbers = there?.into_iter().chain(known.iter().cloned()).filter_map(|path| number(&path));
        self.folders.store(numbers.max().map_or(0, |last| last + 1), Ordering::Relaxed);
        Ok(())
    }

    /// The folders of studies that are not among those of `known` requests.
    pub fn left_behind(&self, known: &BTreeSet<PathBuf>) -> io::Result<Vec<PathBuf>> {
        let mut folders = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            let is_study = entry.file_name().to_string_lossy().starts_with("study-");
            if is_study && !known.contains(&entry.path()) {
                folders.push(entry.path());
            }
        }
        folders.sort();
        Ok(folders)
    }

    /// Makes a folder for a study; its number is the next one.
    pub fn new_folder(&self) -> io::Result<PathBuf> {
        loop {
            let number = self.folders.fetch_add(1, Ordering::Relaxed);
            let folder = self.root.join(format!("study-{number:07}"));
            match fs::create_dir(&folder) {
                Ok(()) => {
                    sync_folder(&self.root)?;
                    return Ok(folder);
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }
}

const INCOMING: &str = "incoming";

/// Syncs the folders of a study that is handed over, because their names may be newer than the last sync.
pub(in crate::dicom) fn sync_claims(claims: &[String]) -> io::Result<()> {
    claims.iter().try_for_each(|claim| sync_folder(Path::new(claim)))
}

/// The claim of a request whose files lie in the folder of a study.
pub(super) fn claim(folder: &Path) -> String {
    folder.to_string_lossy().into_owned()
}

/// The number of a study's folder.
fn number(folder: &Path) -> Option<u64> {
    folder.file_name()?.to_str()?.strip_prefix("study-")?.parse().ok()
}

/// Removes the folder of a study of which no instance was stored.
pub(in crate::dicom) fn remove_empty(folder: &Path) {
    // Removing fails for a folder with an instance, which is intended.
    let notes = [RELEASED, ORDERED, SENDERS, SENDERS_DRAFT, REPLACED, ARRIVALS, REMARKS];
    let removed = notes.iter().try_for_each(|note| remove_if_there(&folder.join(note)));
    let removed = removed.and_then(|()| fs::remove_dir(folder));
    if let Err(error) = removed {
        tracing::warn!(%error, folder = %folder.display(), "a folder of the inbox is not taken up");
    }
}

/// The receipt for an instance that is on the disk. Only with one is an instance answered with success.
#[derive(Debug)]
pub(in crate::dicom) struct InstanceReceipt(());

impl InstanceReceipt {
    /// A receipt for a result of flow itself, which need not be kept.
    pub fn of_own_result() -> InstanceReceipt {
        InstanceReceipt(())
    }

    /// A receipt for a file that would be found after a power cut, whatever its name.
    pub fn of_found(found: SyncedUnder) -> Option<InstanceReceipt> {
        (found == SyncedUnder::AnyName).then_some(InstanceReceipt(()))
    }

    /// A receipt for the files in a folder, which is synced first.
    pub fn of(folder: &Path) -> io::Result<InstanceReceipt> {
        sync_folder(folder)?;
        Ok(InstanceReceipt(()))
    }
}

const REPLACED: &str = "replaced";

/// Notes that an instance is about to replace another.
pub(in crate::dicom) fn note_replaced(folder: &Path, replacement: &Replacement) -> io::Result<()> {
    append(&folder.join(REPLACED), replacement)?.sync_data()
}

/// The noted replacements; some may not have happened. An incomplete line is ignored.
pub(in crate::dicom) fn replaced(folder: &Path) -> Vec<Replacement> {
    lines(&folder.join(REPLACED))
}

const ARRIVALS: &str = "arrivals";

/// Notes that an instance was received. Where the note is lost, the next process takes a series for mixed that may not
/// be, so it need not be synced. Opening the file each time takes 2 µs more than keeping it open.
pub(in crate::dicom) fn note_arrived(folder: &Path, arrived: &InstanceArrived) {
    if let Err(error) = append(&folder.join(ARRIVALS), arrived) {
        tracing::debug!(%error, "the arrival of an instance is not noted");
    }
}

/// The noted arrivals, in their order.
pub(in crate::dicom) fn arrivals(folder: &Path) -> Vec<InstanceArrived> {
    lines(&folder.join(ARRIVALS))
}

const REMARKS: &str = "remarks";

/// Notes a remark of a study's response.
pub(in crate::dicom) fn note_remark(folder: &Path, remark: StudyRemark) {
    let noted = append(&folder.join(REMARKS), &remark).and_then(|file| file.sync_data());
    if let Err(error) = noted.and_then(|()| sync_folder(folder)) {
        tracing::warn!(%error, "a remark about a study is lost if flow ends before the study is complete");
    }
}

pub(in crate::dicom) fn remarks(folder: &Path) -> Vec<StudyRemark> {
    lines(&folder.join(REMARKS))
}

/// Appends a line to a file.
fn append(path: &Path, note: &impl Serialize) -> io::Result<File> {
    let mut line = serde_json::to_vec(note)?;
    line.push(b'\n');
    let mut file = File::options().append(true).create(true).open(path)?;
    file.write_all(&line)?;
    Ok(file)
}

/// The lines of a file. An incomplete one is left out.
fn lines<Note: DeserializeOwned>(path: &Path) -> Vec<Note> {
    let text = fs::read(path).unwrap_or_default();
    text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
}

/// AE titles of a study's senders, and the called AE titles that they used.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(in crate::dicom) struct StudySenders {
    pub calling: BTreeSet<String>,
    pub called: BTreeSet<String>,
}

const SENDERS: &str = "senders.json";
const SENDERS_DRAFT: &str = ".senders.json.part";

/// Notes the senders of a study before any of their instances is answered with success. The sync of the
/// folder for the instance covers this file's name, too.
pub(in crate::dicom) fn write_senders(folder: &Path, senders: &StudySenders) -> io::Result<()> {
    let draft = folder.join(SENDERS_DRAFT);
    let mut file = File::create(&draft)?;
    file.write_all(&serde_json::to_vec(senders)?)?;
    file.sync_data()?;
    fs::rename(&draft, folder.join(SENDERS))
}

/// Senders of the study in a folder; empty if they were not noted.
pub(in crate::dicom) fn senders(folder: &Path) -> StudySenders {
    let text = fs::read(folder.join(SENDERS)).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

const RELEASED: &str = "released";

/// Marks that no sender is active. Without the mark the next process only waits longer for missing instances,
/// so the mark need not be synced.
pub(in crate::dicom) fn mark_released(folder: &Path) {
    if let Err(error) = File::create(folder.join(RELEASED)) {
        tracing::debug!(%error, "a study is not marked as released");
    }
}

pub(in crate::dicom) fn mark_open(folder: &Path) -> io::Result<()> {
    remove_if_there(&folder.join(RELEASED))
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

const ORDERED: &str = "complete";

/// Whether an operator has ordered the study to be handed over.
pub(in crate::dicom) fn is_ordered(folder: &Path) -> bool {
    folder.join(ORDERED).exists()
}

/// Orders the study to be handed over, also while another process is receiving it, and notes who does.
pub(in crate::dicom) fn order(folder: &Path, who: &str) -> io::Result<()> {
    let part = folder.join(ORDERED).with_extension("part");
    fs::write(&part, who)?;
    fs::rename(part, folder.join(ORDERED))
}

/// The one who ordered the study to be handed over, if that was noted.
pub(super) fn ordered_by(folder: &Path) -> Option<String> {
    fs::read_to_string(folder.join(ORDERED)).ok().filter(|who| !who.is_empty())
}

pub(in crate::dicom) fn is_released(folder: &Path) -> bool {
    folder.join(RELEASED).exists()
}

/// Deletes the folders of studies that these claims of requests name. Only a folder of a study directly
/// below the inbox at `root` is deleted; whatever else a claim names is left alone.
///
/// # Errors
/// If one cannot be deleted.
pub fn release(root: &Path, claims: &[String]) -> io::Result<()> {
    for claim in claims {
        let folder = Path::new(claim);
        if !is_ours(root, folder) {
            tracing::warn!(claim, inbox = %root.display(), "a claim outside of the inbox is ignored");
            continue;
        }
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Whether the folder is one that [`StudyInbox::new_folder`] makes. (A link is removed, never what it leads to.)
fn is_ours(root: &Path, folder: &Path) -> bool {
    folder.parent() == Some(root) && number(folder).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_of_studies_directly_below_the_inbox_are_released() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("inbox");
        let inbox = StudyInbox::open(&root).unwrap();
        let own = inbox.new_folder().unwrap();
        let below = own.join("study-0000007");
        let linked = root.join("study-0000009");
        let others = ["", "other", "other/study-0000001", "inbox", "inbox/reports"];
        for folder in others {
            fs::create_dir_all(place.path().join(folder)).unwrap();
        }
        std::os::unix::fs::symlink(place.path().join("other"), &linked).unwrap();
        fs::create_dir_all(&below).unwrap();
        let mut claims: Vec<String> = others.iter().map(|one| claim(&place.path().join(one))).collect();
        let odd = ["..", "study-0000000/..", "../other/study-0000001", "study-0000000/study-0000007", ""];
        claims.extend(odd.iter().map(|one| claim(&root.join(one))));
        claims.extend(["/", "", "study-0000000", "other"].map(String::from));
        release(&root, &claims).unwrap();
        assert!(below.exists() && others.iter().all(|one| place.path().join(one).exists()));

        let _ = release(&root, &[claim(&linked)]);
        assert!(place.path().join("other/study-0000001").exists(), "a link leads nowhere");
        release(&root, &[claim(&own), claim(&root.join("study-0000008"))]).unwrap();
        assert!(!own.exists());
    }

    fn keep(mut part: PartialFile, folder: &Path) -> PathBuf {
        let path = folder.join("one.dcm");
        let content = part.content();
        assert_eq!(part.sync(content.digest).unwrap(), SyncedUnder::ItsPlace);
        part.put(&path).unwrap();
        InstanceReceipt::of(folder).unwrap();
        path
    }

    #[test]
    fn what_is_not_kept_vanishes() {
        let root = tempfile::tempdir().unwrap();
        let inbox = StudyInbox::open(root.path()).unwrap();
        let mut part = inbox.begin().unwrap();
        part.write(b"abc").unwrap();
        let path = part.path().to_owned();
        assert!(path.exists());
        drop(part);
        assert!(!path.exists());
    }

    #[test]
    fn what_is_kept_is_whole_and_has_the_digest_of_its_bytes() {
        let root = tempfile::tempdir().unwrap();
        let inbox = StudyInbox::open(root.path()).unwrap();
        let bytes: Vec<u8> = (0..500_000u32).map(|number| number as u8).collect();
        let mut part = inbox.begin().unwrap();
        bytes.chunks(7777).for_each(|chunk| part.write(chunk).unwrap());
        assert!(!part.is_short() && bytes.starts_with(part.beginning()));
        let folder = inbox.new_folder().unwrap();
        let kept = keep(part, &folder);
        assert_eq!(fs::read(kept).unwrap(), bytes);
    }

    #[test]
    fn an_inbox_opened_again_keeps_studies_and_drops_parts() {
        let root = tempfile::tempdir().unwrap();
        let first = StudyInbox::open(root.path()).unwrap();
        let folder = first.new_folder().unwrap();
        keep(first.begin().unwrap(), &folder);
        fs::write(root.path().join("incoming/9-9.part"), "half").unwrap();
        let second = StudyInbox::open(root.path()).unwrap();
        assert!(!root.path().join("incoming/9-9.part").exists());
        assert!(folder.join("one.dcm").exists());
        assert_ne!(second.new_folder().unwrap(), folder);
    }
}
