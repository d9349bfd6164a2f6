//! Making a backup.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::journal::{Journal, JournalError, copy_database, damage, hold_back_collector};
use crate::step::Digest;

use super::check::{CheckedRequests, check};
use super::contents::{StateDirectory, directories, is_database};
use super::copied_file::{self, modified_ns};
use super::error::BackupError;
use super::manifest::{BackupFile, BackupManifest};
use super::numbered_backups::{BackupDraft, readable, with_manifest};
use super::places::{absolute, check_apart};

/// A backup to be made.
#[derive(Clone, Debug)]
pub struct BackupOrder {
    /// The state folder, of a running or of a stopped flow.
    pub state: PathBuf,
    /// The folder of the backups; it is made if it is not there.
    pub backups: PathBuf,
    /// The number of backups that are kept, this one among them; all by default.
    pub keep: Option<usize>,
}

/// A backup that was made.
#[derive(Clone, Debug)]
pub struct BackupSummary {
    pub folder: PathBuf,
    pub files: usize,
    pub bytes: u64,
    /// Files that had not changed since the backup before, and take no room again.
    pub linked: usize,
    pub requests: CheckedRequests,
    /// Files that are damaged in the state folder itself.
    pub damaged: Vec<DamagedFile>,
}

/// A file that a disk has damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedFile {
    /// Below the state folder.
    pub path: String,
    /// The damage, as words that follow the path.
    pub what: String,
}

const STATE: &str = "state";

impl BackupOrder {
    /// Makes a backup. It appears whole or not at all. It is made also of what is damaged: it may be all that is left.
    ///
    /// # Errors
    /// If a file cannot be read or written, the journal is so damaged that SQLite cannot copy it, another backup is
    /// being made there, or the folder lies in the state folder or around it.
    pub fn make(&self) -> Result<BackupSummary, BackupError> {
        let state = absolute(&self.state)?;
        if !state.join(Journal::FILE).exists() {
            return Err(BackupError::NoState(self.state.clone()));
        }
        check_apart(&state, &self.backups)?;
        make_folder(&self.backups)?;
        let _alone = lock(&self.backups)?;
        let earlier = readable(&self.backups)?;
        // The newest backup has the largest number, also where a later flow has made those before it.
        let last = with_manifest(&self.backups)?.keys().last().copied();
        let draft = BackupDraft::make(&self.backups, last)?;
        let to = draft.folder().join(STATE);
        make_folder(&to)?;
        let before = earlier.values().last().and_then(|folder| EarlierBackup::read(folder));
        let mut copy = BackupCopy {
            state: &state,
            to: to.clone(),
            before,
            files: Vec::new(),
            linked: 0,
            damaged: Vec::new(),
        };
        copy.all()?;
        let names = state_names(&state);
        let checked = check(&to, &names, |file| to.join(file).exists());
        let requests = copy.unless_damaged(checked)?;
        let (linked, damaged) = (copy.linked, std::mem::take(&mut copy.damaged));
        let manifest = manifest(names, copy.files);
        write_manifest(draft.folder(), &manifest)?;
        let folder = draft.finish()?;
        sync_folder(&self.backups)?;
        self.remove_old(&earlier)?;
        let (files, bytes) = (manifest.files.len(), manifest.bytes());
        Ok(BackupSummary { folder, files, bytes, linked, requests, damaged })
    }

    /// Removes the oldest backups, so that as many are left as are to be kept.
    fn remove_old(&self, earlier: &BTreeMap<u64, PathBuf>) -> Result<(), BackupError> {
        let Some(keep) = self.keep else { return Ok(()) };
        let surplus = (earlier.len() + 1).saturating_sub(keep.max(1));
        for folder in earlier.values().take(surplus) {
            fs::remove_dir_all(folder).map_err(BackupError::at("remove", folder))?;
        }
        Ok(())
    }
}

/// The backup before, whose files are linked to.
struct EarlierBackup {
    state: PathBuf,
    files: BTreeMap<String, BackupFile>,
}

impl EarlierBackup {
    /// One that cannot be read is not used.
    fn read(folder: &Path) -> Option<EarlierBackup> {
        let manifest = BackupManifest::read(folder).ok()?;
        let files = manifest.files.into_iter().map(|file| (file.path.clone(), file)).collect();
        Some(EarlierBackup { state: folder.join(STATE), files })
    }
}

struct BackupCopy<'a> {
    state: &'a Path,
    to: PathBuf,
    before: Option<EarlierBackup>,
    files: Vec<BackupFile>,
    linked: usize,
    damaged: Vec<DamagedFile>,
}

impl BackupCopy<'_> {
    fn all(&mut self) -> Result<(), BackupError> {
        let held = hold_back_collector(self.state);
        let _held = held.map_err(BackupError::at("hold back the removal of requests in", self.state))?;
        self.database(Path::new(""), Journal::FILE)?;
        let directories = directories(self.state)?;
        directories.iter().try_for_each(|directory| self.directory(directory))?;
        // Now that all names are in them.
        let folders = directories.iter().map(|directory| self.to.join(&directory.path));
        folders.filter(|folder| folder.exists()).try_for_each(|folder| sync_folder(&folder))
    }

    fn directory(&mut self, directory: &StateDirectory) -> Result<(), BackupError> {
        let (from, to) = (self.state.join(&directory.path), self.to.join(&directory.path));
        make_folder(&to)?;
        let before = (self.files.len(), self.linked);
        for name in &directory.files {
            match is_database(name) {
                true if directory.path.as_os_str().is_empty() && name == Journal::FILE => {}
                true => self.database(&directory.path, name)?,
                false => self.file(&directory.path, name)?,
            }
        }
        // A folder that was removed meanwhile may have been copied in part. The part of a study would be taken
        // for a study that lacks slices.
        if !from.exists() {
            self.files.truncate(before.0);
            self.linked = before.1;
            fs::remove_dir_all(&to).map_err(BackupError::at("remove", &to))?;
        }
        Ok(())
    }

    /// Copies a file, or links to it in the backup before. One that is removed meanwhile is passed over.
    fn file(&mut self, folder: &Path, name: &str) -> Result<(), BackupError> {
        let below = below(folder, name);
        let (from, to) = (self.state.join(&below), self.to.join(&below));
        let earlier = self.before.as_ref().and_then(|before| {
            let file = before.files.get(&below)?;
            Some((before.state.join(&below), file))
        });
        let earlier = earlier.as_ref().map(|(place, file)| (place.as_path(), *file));
        if let Some(file) = copied_file::link(&from, earlier, &to) {
            self.files.push(file);
            self.linked += 1;
            return Ok(());
        }
        let (bytes, digest) = match copied_file::copy(&from, &to) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            copied => copied.map_err(BackupError::at("copy", &from))?,
        };
        if name.parse::<Digest>().is_ok_and(|named| named != digest) {
            self.note_damage(&below, "does not have the digest of its name".to_owned());
        }
        let modified_ns = fs::metadata(&to).ok().as_ref().and_then(modified_ns);
        self.files.push(BackupFile { path: below, bytes, digest, modified_ns });
        Ok(())
    }

    fn database(&mut self, folder: &Path, name: &str) -> Result<(), BackupError> {
        let path = below(folder, name);
        let to = self.to.join(&path);
        copy_database(&self.state.join(&path), &to)?;
        // The backup interface of SQLite copies pages as they are.
        if let Some(what) = damage(&to).map_err(|error| error.named(&self.state.join(&path)))? {
            self.note_damage(&path, format!("of {}: {what}", self.state.display()));
        }
        let (bytes, digest) = copied_file::digest(&to).map_err(BackupError::at("read", &to))?;
        self.files.push(BackupFile { path, bytes, digest, modified_ns: None });
        Ok(())
    }

    /// Findings in the journal's copy; none, if it is too damaged to be read.
    fn unless_damaged(
        &mut self,
        checked: Result<CheckedRequests, JournalError>,
    ) -> Result<CheckedRequests, BackupError> {
        match checked {
            Err(JournalError::Damaged { what, .. }) => {
                let what = format!("of {}: {what}", self.state.display());
                self.note_damage(Journal::FILE, what);
                Ok(CheckedRequests::default())
            }
            checked => Ok(checked.map_err(|error| error.named(&self.state.join(Journal::FILE)))?),
        }
    }

    /// Notes the first damage of a file.
    fn note_damage(&mut self, path: &str, what: String) {
        if self.damaged.iter().all(|file| file.path != path) {
            self.damaged.push(DamagedFile { path: path.to_owned(), what });
        }
    }
}

/// A path below the state folder. The names of its folders were found to be texts.
fn below(folder: &Path, name: &str) -> String {
    folder.join(name).to_string_lossy().into_owned()
}

fn manifest(state: Vec<PathBuf>, mut files: Vec<BackupFile>) -> BackupManifest {
    files.sort_by(|one, other| one.path.cmp(&other.path));
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let made_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    let flow = env!("CARGO_PKG_VERSION").to_owned();
    BackupManifest { format: BackupManifest::FORMAT, flow, made_ms, state, files }
}

fn write_manifest(folder: &Path, manifest: &BackupManifest) -> Result<(), BackupError> {
    let path = folder.join(BackupManifest::FILE);
    let text = serde_json::to_vec_pretty(manifest).expect("a manifest is made of texts and numbers");
    let written =
        File::create(&path).and_then(|mut file| file.write_all(&text).and_then(|()| file.sync_all()));
    written.map_err(BackupError::at("write", &path))?;
    sync_folder(folder)
}

/// All names by which the journal may know a state folder.
fn state_names(state: &Path) -> Vec<PathBuf> {
    let mut names = vec![state.to_owned()];
    names.extend(state.canonicalize().ok().filter(|canonical| canonical != state));
    names
}

fn lock(backups: &Path) -> Result<File, BackupError> {
    let path = backups.join("lock");
    let open = File::options().write(true).create(true).truncate(false).open(&path);
    let file = open.map_err(BackupError::at("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(BackupError::Busy(backups.to_owned())),
        Err(TryLockError::Error(error)) => Err(BackupError::at("lock", &path)(error)),
    }
}

pub(super) fn make_folder(folder: &Path) -> Result<(), BackupError> {
    fs::create_dir_all(folder).map_err(BackupError::at("make", folder))
}

pub(super) fn sync_folder(folder: &Path) -> Result<(), BackupError> {
    let synced: io::Result<()> = File::open(folder).and_then(|opened| opened.sync_all());
    synced.map_err(BackupError::at("sync", folder))
}
