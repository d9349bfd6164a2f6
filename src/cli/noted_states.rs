//! The state folders of this user's flows, noted where commands find them from any folder.
//!
//! A file for each below the user's state directory (`$XDG_STATE_HOME/flow/states`, else
//! `~/.local/state/flow/states`; XDG Base Directory Specification 0.8), with the path in it. What cannot be
//! noted or read is left out: commands can always be told the folder.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::journal::Journal;
use crate::step::Digest;

/// The most notes that are kept; the oldest are removed first.
const NOTES_MAX: usize = 32;

/// Notes a state folder, and removes the notes of folders that are gone.
pub fn note(state: &Path) {
    let noted = folder().map(|folder| note_in(&folder, state));
    if let Some(Err(error)) = noted {
        tracing::debug!(%error, "the state folder is not noted in the user's state directory");
    }
}

/// The noted folders that have a journal.
pub fn all() -> Vec<PathBuf> {
    let notes = folder().map(|folder| notes(&folder)).unwrap_or_default();
    notes.into_iter().map(|note| note.state).filter(|state| has_journal(state)).collect()
}

/// Whether there is a journal in a folder.
pub fn has_journal(state: &Path) -> bool {
    state.join(Journal::FILE).exists()
}

struct StateNote {
    file: PathBuf,
    state: PathBuf,
}

fn folder() -> Option<PathBuf> {
    let given = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let base = given.or_else(|| Some(std::env::home_dir()?.join(".local/state")))?;
    Some(base.join("flow/states"))
}

fn note_in(folder: &Path, state: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let state = fs::canonicalize(state)?;
    let text = state.as_os_str().as_bytes();
    fs::write(folder.join(Digest::of(text).short()), text)?;
    let notes = notes(folder);
    let (known, gone): (Vec<StateNote>, Vec<StateNote>) =
        notes.into_iter().partition(|note| has_journal(&note.state) || note.state == state);
    let too_many = known.iter().skip(NOTES_MAX);
    gone.iter().chain(too_many).try_for_each(|note| fs::remove_file(&note.file))
}

/// The notes in a folder, the newest first.
fn notes(folder: &Path) -> Vec<StateNote> {
    let mut notes: Vec<_> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let file = entry.ok()?.path();
            let written = fs::metadata(&file).and_then(|metadata| metadata.modified()).ok()?;
            let state = PathBuf::from(OsStr::from_bytes(&fs::read(&file).ok()?));
            Some((written, StateNote { file, state }))
        })
        .collect();
    notes.sort_by_key(|(written, _)| std::cmp::Reverse(*written));
    notes.into_iter().map(|(_, note)| note).collect()
}
