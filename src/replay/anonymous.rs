//! Anonymization of a past request: its files are de-identified and processed again, and no recorded
//! result is kept.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::dataflow::Dataflow;
use crate::dicom::folder::{self, InputError};
use crate::dicom::{self, BurnedIn, DeidentifiedFile, PseudonymKey};
use crate::step::{Item, Request};

use super::{PastRequest, ReplayObserver, ReplayScope, RequestRecording, again};

#[derive(Debug, thiserror::Error)]
pub enum AnonymizeError {
    #[error("could not read {name} of the request")]
    Read { name: String, source: io::Error },
    #[error("could not de-identify {name}")]
    Unreadable { name: String, source: dicom::DataSetError },
    #[error("could not write {path}", path = path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error(transparent)]
    NotFound(#[from] InputError),
    #[error("the de-identified files belong to {0} studies, not to one")]
    Studies(usize),
}

/// An anonymized request.
pub struct AnonymousRequest {
    pub past: PastRequest,
    /// The number of files that declare identifying information in their pixels (0028,0301).
    pub burned_in: usize,
    /// The number of files that declare nothing about it.
    pub unsaid: usize,
}

/// Anonymizes a request into `folder` and runs it.
///
/// # Errors
/// A file cannot be read to its end, so it cannot be de-identified.
pub fn anonymous(
    past: &PastRequest,
    dataflow: &Dataflow,
    folder: &Path,
    key: &PseudonymKey,
) -> Result<AnonymousRequest, AnonymizeError> {
    let (mut burned_in, mut unsaid) = (0, 0);
    for (number, item) in past.recording.request.items.iter().enumerate() {
        let DeidentifiedFile { bytes, burned_in: said } = deidentified(item, key)?;
        match said {
            BurnedIn::Yes => burned_in += 1,
            BurnedIn::Unsaid => unsaid += 1,
            BurnedIn::No => {}
        }
        let path = folder.join(format!("{:05}.dcm", number + 1));
        fs::write(&path, bytes).map_err(|source| AnonymizeError::Write { path, source })?;
    }
    let request = found(folder)?;
    let recording = RequestRecording { request, runs: Vec::new(), response: None, ..past.recording.clone() };
    let unrun = PastRequest::new(recording, |_| None);
    let run = again(&unrun, dataflow, ReplayScope::Whole, ReplayObserver::default())
        .expect("the whole has every step");
    Ok(AnonymousRequest { past: run.into_past(&unrun), burned_in, unsaid })
}

fn deidentified(item: &Item, key: &PseudonymKey) -> Result<DeidentifiedFile, AnonymizeError> {
    let name = || item.name.clone();
    let bytes = item.open().map_err(|source| AnonymizeError::Read { name: name(), source })?;
    dicom::deidentify(&bytes, key).map_err(|source| AnonymizeError::Unreadable { name: name(), source })
}

/// The request of the de-identified files: its name and attributes come from them.
fn found(folder: &Path) -> Result<Request, AnonymizeError> {
    let mut studies = folder::find(&[folder.to_owned()])?.studies;
    match (studies.pop(), studies.len()) {
        (Some(request), 0) => Ok(request),
        (_, others) => Err(AnonymizeError::Studies(others + 1)),
    }
}
