//! Whether all is there that the journal of a backup names.

use std::path::{Path, PathBuf};

use crate::journal::{JournalError, JournalReader, RequestHistory, RequestState};

/// The requests of a backup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckedRequests {
    pub all: usize,
    /// Unanswered requests: the flow that uses the backup goes on with them.
    pub open: usize,
    /// Files that the journal names and that are not there, with the names of their requests.
    pub missing: Vec<String>,
}

/// Reads every record of the journal of a copied state folder, which verifies their digests, and looks for the
/// files of each request. `names` are those of the folder that was copied; `has` says whether a file below it is
/// in the backup.
///
/// # Errors
/// If the journal cannot be read, or is damaged.
pub fn check(
    state: &Path,
    names: &[PathBuf],
    has: impl Fn(&Path) -> bool,
) -> Result<CheckedRequests, JournalError> {
    let reader = JournalReader::open(state)?;
    let rows = reader.requests()?;
    let mut checked = CheckedRequests { all: rows.len(), ..CheckedRequests::default() };
    for row in rows.iter().filter(|row| row.state != RequestState::Removed) {
        checked.open += usize::from(row.is_open());
        let history = reader.history(row.number)?;
        let missing = files(&history, names).into_iter().filter(|file| !has(file));
        checked.missing.extend(missing.map(|file| format!("{} of {}", file.display(), row.name)));
    }
    Ok(checked)
}

/// The files below the state folder that a request needs.
fn files(history: &RequestHistory, names: &[PathBuf]) -> Vec<PathBuf> {
    let below = |path: &Path| names.iter().find_map(|name| path.strip_prefix(name).ok()).map(PathBuf::from);
    let mut files = Vec::new();
    if let Ok((request, _)) = history.request() {
        files.extend(request.items.iter().filter_map(|item| below(item.path()?)));
    }
    let small = history.small_files();
    let artifacts = history.response().map(|response| response.files.as_slice()).unwrap_or_default();
    let stored = artifacts.iter().filter(|file| small.iter().all(|(other, _)| other.digest != file.digest));
    let folder = Path::new("store").join(history.row.id.to_string());
    files.extend(stored.map(|file| folder.join(file.digest.to_string())));
    files
}
