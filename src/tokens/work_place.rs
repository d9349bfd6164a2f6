//! The place of a worker beside a stage: a directory with the tokens that it has claimed, and its lease.
//!
//! The lease is a file that its owner locks and changes every few seconds. A place whose lease is not locked any more
//! belongs to a process of this machine that has ended; one whose lease has not changed for the lease's time, as the
//! clock of the observer measures it, to a worker that is lost. No time of day is compared, so that clocks may jump
//! and differ. What is taken over is renamed as a whole: a worker that was only slow finds its place gone, and
//! nothing that it then does has an effect on tokens.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::FlockOperation;

use crate::step::Digest;

use super::draft_files::DraftFiles;
use super::rename::write_new;
use super::stage_folder::{StageFolder, TokenError, is_hidden, names, sync_folder};

/// The lease's file in a place.
pub(super) const LEASE: &str = ".lease";

/// The character between the owner of a place and those that have taken it over.
pub(super) const TAKEN: char = '~';

/// A place with its lease. The lease lapses when the process ends.
pub struct WorkPlace {
    stage: StageFolder,
    folder: PathBuf,
    owner: String,
    lease: File,
    beats: AtomicU64,
    drafts: DraftFiles,
}

impl WorkPlace {
    /// A new place of this process beside a stage.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn new(stage: &StageFolder) -> Result<WorkPlace, TokenError> {
        stage.prepare()?;
        let owner = new_owner();
        let folder = stage.work().join(&owner);
        let failed = TokenError::of("make", &folder);
        // The lease is locked before anybody can see it.
        let draft = stage.work().join(format!(".{owner}"));
        fs::create_dir(&draft).map_err(&failed)?;
        let lease = locked_lease(&draft.join(LEASE)).map_err(&failed)?;
        fs::rename(&draft, &folder).map_err(&failed)?;
        sync_folder(&stage.work())?;
        WorkPlace::with_lease(stage, folder, owner, lease)
    }

    /// The place of another owner, renamed to be this process's; `None` if somebody else was faster.
    pub(super) fn taken(stage: &StageFolder, place: &Path) -> Result<Option<WorkPlace>, TokenError> {
        let failed = TokenError::of("take over", place);
        let name = place.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let owner = name.split(TAKEN).next().unwrap_or_default().to_owned();
        let folder = stage.work().join(format!("{owner}{TAKEN}{}", new_owner()));
        match fs::rename(place, &folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            renamed => renamed.map_err(&failed)?,
        }
        let draft = folder.join(".lease.new");
        let lease = locked_lease(&draft);
        let lease = lease.and_then(|lease| fs::rename(&draft, folder.join(LEASE)).map(|()| lease));
        let lease = match lease {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            lease => lease.map_err(&failed)?,
        };
        WorkPlace::with_lease(stage, folder, owner, lease).map(Some)
    }

    fn with_lease(
        stage: &StageFolder,
        folder: PathBuf,
        owner: String,
        lease: File,
    ) -> Result<WorkPlace, TokenError> {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let holder = name.rsplit(TAKEN).next().unwrap_or_default();
        let drafts = DraftFiles::new(&folder, holder, &lease).map_err(TokenError::of("use", &folder))?;
        Ok(WorkPlace { stage: stage.clone(), folder, owner, lease, beats: AtomicU64::new(0), drafts })
    }

    pub fn stage(&self) -> &StageFolder {
        &self.stage
    }

    /// The name in the log of tokens: that of the first owner, where the place was taken over.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn drafts(&self) -> &DraftFiles {
        &self.drafts
    }

    /// Renews the lease.
    ///
    /// # Errors
    /// If the lease cannot be written, or somebody has taken the place over.
    pub fn beat(&self) -> Result<(), TokenError> {
        let beat = self.beats.fetch_add(1, Ordering::Relaxed) + 1;
        let failed = TokenError::of("renew the lease of", &self.folder);
        self.lease.write_all_at(&lease_bytes(beat), 0).map_err(&failed)?;
        fs::symlink_metadata(&self.folder).map_err(&failed).map(drop)
    }
}

/// A place that is empty is removed; one with tokens stays until its lease is found to have lapsed.
impl Drop for WorkPlace {
    fn drop(&mut self) {
        let is_empty = names(&self.folder).is_ok_and(|mut names| names.next().is_none());
        if is_empty {
            // What somebody has taken over meanwhile is not there any more.
            let _ = remove_drafts(&self.folder);
            let _ = fs::remove_file(self.folder.join(LEASE));
            let _ = fs::remove_dir(&self.folder);
        }
    }
}

/// Removes what is no token from a place: files that were being written, or are kept for that.
pub(super) fn remove_drafts(folder: &Path) -> Result<(), TokenError> {
    let failed = TokenError::of("tidy", folder);
    // A power failure must not give a token back a file that is removed now.
    sync_folder(folder)?;
    for entry in fs::read_dir(folder).map_err(&failed)? {
        let entry = entry.map_err(&failed)?;
        if is_hidden(&entry.file_name()) && entry.file_name() != LEASE {
            match fs::remove_file(entry.path()) {
                // Not flow's: it stays, and holds up nothing.
                Err(error) if error.kind() == ErrorKind::IsADirectory => {}
                removed => removed.map_err(&failed)?,
            }
        }
    }
    sync_folder(folder)
}

/// The kernel that a lease was written under: only there does its lock mean something.
pub(super) fn boot() -> &'static str {
    static BOOT: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    BOOT.get_or_init(|| {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        boot.trim().to_owned()
    })
}

fn lease_bytes(beat: u64) -> Vec<u8> {
    format!("{{\"boot\":\"{}\",\"pid\":{},\"beat\":{beat:020}}}\n", boot(), std::process::id()).into_bytes()
}

fn locked_lease(path: &Path) -> io::Result<File> {
    let file = write_new(path, &lease_bytes(0))?;
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    Ok(file)
}

/// Host, process, and a number that no earlier start has had.
fn new_owner() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let host: String = host.chars().filter(|letter| letter.is_ascii_alphanumeric()).take(24).collect();
    let seed = format!("{} {since} {count} {}", boot(), std::process::id());
    format!("{host}-{}-{}", std::process::id(), &Digest::of(seed.as_bytes()).to_string()[..8])
}
