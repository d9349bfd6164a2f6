//! Archives that do not give what is fetched from them, noted in the inbox for those who look from outside.
//!
//! ```text
//! INBOX/archives.json         the archives that fail now, or have failed to give a study; absent without any
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// An archive that fails, or has failed to give what was asked of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveTrouble {
    /// Its address.
    pub archive: String,
    /// Why its last failure was one.
    pub reason: String,
    /// The time of the first failure since it last gave all: milliseconds of Unix time.
    pub since_ms: i64,
    /// Entries of lists that are given up. Their number is 0 while all of them are tried again.
    pub given_up: BTreeSet<String>,
}

/// The troubles of all archives, in memory and in the inbox.
pub(in crate::dicom) struct ArchiveTroubles {
    path: PathBuf,
    /// By the archive's address.
    troubles: Mutex<BTreeMap<String, ArchiveTrouble>>,
}

impl ArchiveTroubles {
    /// Those of an earlier process are forgotten: what it had not fetched is fetched anew.
    pub fn open(inbox: &Path) -> io::Result<ArchiveTroubles> {
        let troubles = ArchiveTroubles { path: place(inbox), troubles: Mutex::default() };
        match fs::remove_file(&troubles.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(troubles),
        }
    }

    /// A try has failed. Gives whether this is the first failure since the archive last gave all.
    pub fn failed(&self, archive: &str, reason: &str) -> bool {
        self.change(|troubles| {
            let known = troubles.get_mut(archive);
            let is_first = known.is_none();
            match known {
                Some(known) => reason.clone_into(&mut known.reason),
                None => {
                    let (archive, reason) = (archive.to_owned(), reason.to_owned());
                    let since_ms = now_ms();
                    let trouble = ArchiveTrouble { archive, reason, since_ms, given_up: BTreeSet::default() };
                    troubles.insert(trouble.archive.clone(), trouble);
                }
            }
            is_first
        })
    }

    /// An entry that has failed is not tried again.
    pub fn given_up(&self, archive: &str, entry: &str) {
        self.change(|troubles| {
            troubles.get_mut(archive).is_some_and(|known| known.given_up.insert(entry.to_owned()))
        });
    }

    /// The archive has given what this entry asks for.
    pub fn worked(&self, archive: &str, entry: &str) {
        if self.lock().contains_key(archive) {
            self.change(|troubles| {
                let Some(known) = troubles.get_mut(archive) else { return };
                known.given_up.remove(entry);
                if known.given_up.is_empty() {
                    troubles.remove(archive);
                }
            });
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, ArchiveTrouble>> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut BTreeMap<String, ArchiveTrouble>) -> T) -> T {
        let mut troubles = self.lock();
        let before = troubles.clone();
        let result = change(&mut troubles);
        if *troubles != before
            && let Err(error) = self.write(&troubles)
        {
            tracing::warn!(%error, path = %self.path.display(), "trouble with an archive is not noted");
        }
        result
    }

    /// The file appears whole. It says what is so now, so it need not outlive a crash of the machine.
    fn write(&self, troubles: &BTreeMap<String, ArchiveTrouble>) -> io::Result<()> {
        if troubles.is_empty() {
            return fs::remove_file(&self.path);
        }
        let draft = self.path.with_extension("part");
        let all: Vec<&ArchiveTrouble> = troubles.values().collect();
        File::create(&draft)?.write_all(&serde_json::to_vec(&all)?)?;
        fs::rename(&draft, &self.path)
    }
}

/// The archives that fail, as the receiver of an inbox has noted them. What cannot be read is no trouble.
pub fn archive_troubles(inbox: &Path) -> Vec<ArchiveTrouble> {
    let text = fs::read(place(inbox)).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

fn place(inbox: &Path) -> PathBuf {
    inbox.join("archives.json")
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_in_trouble_until_it_gives_what_it_failed_to_give() {
        let inbox = tempfile::tempdir().unwrap();
        let seen = || archive_troubles(inbox.path());
        let troubles = ArchiveTroubles::open(inbox.path()).unwrap();
        assert!(troubles.failed("PACS", "refused"));
        assert!(!troubles.failed("PACS", "timed out"), "it is told once");
        let [trouble] = &seen()[..] else { panic!("{:?}", seen()) };
        assert_eq!((&*trouble.reason, trouble.given_up.len()), ("timed out", 0));
        troubles.worked("PACS", "1.2");
        assert_eq!(seen(), []);

        assert!(troubles.failed("PACS", "refused"));
        troubles.given_up("PACS", "1.2");
        troubles.worked("PACS", "1.3");
        assert_eq!(seen()[0].given_up.len(), 1, "it is still not here");
        troubles.worked("PACS", "1.2");
        assert_eq!(seen(), []);

        troubles.failed("PACS", "refused");
        ArchiveTroubles::open(inbox.path()).unwrap();
        assert_eq!(seen(), [], "the next process begins anew");
    }
}
