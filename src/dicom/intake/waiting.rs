//! The incomplete studies in an inbox, read by another process than the receiver.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::imaging::{HeaderError, read_instance};

use super::inbox;

/// A study that is not complete yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingStudy {
    pub study_instance_uid: String,
    pub instances: usize,
    names: [String; 2],
    folder: PathBuf,
}

/// The bytes at the beginning of a file that are read for the study's attributes.
const BEGINNING_BYTES: u64 = 1 << 20;

/// The studies in an inbox whose folders belong to no request that is `known`.
///
/// # Errors
/// If the inbox cannot be read.
pub fn waiting(inbox: &Path, known: &BTreeSet<PathBuf>) -> io::Result<Vec<WaitingStudy>> {
    let inbox = std::path::absolute(inbox)?;
    let folders = match fs::read_dir(&inbox) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        folders => folders?,
    };
    let mut waiting = Vec::new();
    for folder in folders {
        let folder = folder?.path();
        let is_study = folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with("study-"));
        if is_study && !known.contains(&folder) {
            waiting.extend(WaitingStudy::of(folder)?);
        }
    }
    waiting.sort_by(|a, b| a.folder.cmp(&b.folder));
    Ok(waiting)
}

impl WaitingStudy {
    /// A waiting study as its first instance describes it. `None` if there is no instance yet, or the study
    /// has just been handed over.
    fn of(folder: PathBuf) -> io::Result<Option<WaitingStudy>> {
        let Ok(entries) = fs::read_dir(&folder) else { return Ok(None) };
        let paths: io::Result<Vec<PathBuf>> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
        let files: Vec<PathBuf> =
            paths?.into_iter().filter(|path| path.extension().is_some_and(|it| it == "dcm")).collect();
        let Some(first) = files.first() else { return Ok(None) };
        let mut bytes = Vec::new();
        File::open(first)?.take(BEGINNING_BYTES).read_to_end(&mut bytes)?;
        let study = match read_instance("", first, &bytes) {
            // A file that is cut off may still have the study's attributes.
            Ok((_, study)) => study,
            Err(HeaderError::Damaged { study, .. }) => *study,
            Err(HeaderError::NotDicom) => return Ok(None),
        };
        Ok(Some(WaitingStudy {
            study_instance_uid: study.study_instance_uid,
            instances: files.len(),
            names: [study.patient_id, study.accession_number],
            folder,
        }))
    }

    /// Whether the name identifies the study.
    pub fn is_called(&self, name: &str) -> bool {
        !name.is_empty() && (self.study_instance_uid == name || self.names.iter().any(|own| own == name))
    }

    /// Orders the study to be handed over as it is, and notes who does: the request says so as `completed_by`. The
    /// receiver notices the order within a second.
    ///
    /// # Errors
    /// If that cannot be noted in its folder.
    pub fn complete(&self, who: &str) -> io::Result<()> {
        inbox::order(&self.folder, who)
    }
}
