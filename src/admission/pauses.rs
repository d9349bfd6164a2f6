//! What operators have paused, as a file in the state folder: it holds until it is resumed, also after a restart.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::{PausablePart, PauseBoard};

use super::StopSignal;

/// The time between two looks at the file.
const LOOK: Duration = Duration::from_millis(250);

/// A part that is paused, since when, and by whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PauseRecord {
    /// The part.
    pub paused: PausablePart,
    /// The time since which it is: milliseconds of Unix time.
    pub since_ms: i64,
    /// The one who has paused it.
    pub who: String,
}

/// What is paused on a state folder, in the order in which it was.
///
/// # Errors
/// If the file cannot be read, or is no such file.
pub fn pause_records(state: &Path) -> io::Result<Vec<PauseRecord>> {
    match fs::read(file(state)) {
        Ok(text) => serde_json::from_slice(&text).map_err(io::Error::from),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Pauses a part. When this returns, that is on the disk, and a running flow sees to it within a second. Gives whether it
/// was not paused yet.
///
/// ```
/// use flow::admission::{PauseRecord, pause_part, pause_records, resume_part};
/// use flow::engine::PausablePart;
///
/// let state = tempfile::tempdir()?;
/// let paused = PausablePart::Dataflow("ct-lung".to_owned());
/// let record = PauseRecord { paused: paused.clone(), since_ms: 0, who: "user".to_owned() };
/// assert!(pause_part(state.path(), record.clone())? && !pause_part(state.path(), record.clone())?);
/// assert_eq!(pause_records(state.path())?, [record]);
/// assert!(resume_part(state.path(), &paused)? && !resume_part(state.path(), &paused)?);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// If the file cannot be read or written.
pub fn pause_part(state: &Path, record: PauseRecord) -> io::Result<bool> {
    change(state, |records| {
        let is_new = !records.iter().any(|known| known.paused == record.paused);
        records.extend(is_new.then_some(record));
        is_new
    })
}

/// Resumes a part. Gives whether it was paused.
///
/// # Errors
/// If the file cannot be read or written.
pub fn resume_part(state: &Path, part: &PausablePart) -> io::Result<bool> {
    change(state, |records| {
        let before = records.len();
        records.retain(|record| record.paused != *part);
        records.len() < before
    })
}

/// Keeps a board as the file says, until `end` is requested. What cannot be read changes nothing.
pub(super) fn watch_pauses(state: &Path, board: &PauseBoard, end: &StopSignal) {
    let mut told = false;
    loop {
        match read_pauses(state, board) {
            Ok(()) => told = false,
            Err(error) if !std::mem::replace(&mut told, true) => {
                tracing::error!(%error, path = %file(state).display(), "what is paused cannot be read");
            }
            Err(_) => {}
        }
        if end.wait(LOOK) {
            return;
        }
    }
}

/// Sets a board as the file says.
pub(super) fn read_pauses(state: &Path, board: &PauseBoard) -> io::Result<()> {
    let parts = pause_records(state)?.into_iter().map(|record| record.paused);
    if board.set(parts.collect::<BTreeSet<PausablePart>>()) {
        tracing::info!(path = %file(state).display(), "what is paused has changed");
    }
    Ok(())
}

/// Changes the file while no other process does.
fn change(state: &Path, change: impl FnOnce(&mut Vec<PauseRecord>) -> bool) -> io::Result<bool> {
    let lock = File::options().write(true).create(true).truncate(false).open(state.join("pauses.lock"))?;
    lock.lock()?;
    let mut records = pause_records(state)?;
    let is_change = change(&mut records);
    if is_change {
        let draft = file(state).with_extension("part");
        let mut written = File::create(&draft)?;
        written.write_all(&serde_json::to_vec_pretty(&records)?)?;
        written.sync_all()?;
        fs::rename(&draft, file(state))?;
        File::open(state)?.sync_all()?;
    }
    Ok(is_change)
}

fn file(state: &Path) -> PathBuf {
    state.join("pauses.json")
}
