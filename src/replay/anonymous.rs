//! Anonymization of a past request: its files are de-identified and processed again, and no recorded
//! result is kept.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::dataflow::Dataflow;
use crate::dicom::folder::{self, NoSuchInput};
use crate::dicom::{self, BurnedIn, Deidentified, Key};
use crate::step::{Item, Request};

use super::{Past, Recording, Scope, Watch, again};

#[derive(Debug, thiserror::Error)]
pub enum NotAnonymous {
    #[error("could not read {name} of the request")]
    Read { name: String, source: io::Error },
    #[error("could not de-identify {name}")]
    Unreadable { name: String, source: dicom::Unreadable },
    #[error("could not write {path}", path = path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error(transparent)]
    NotFound(#[from] NoSuchInput),
    #[error("the de-identified files belong to {0} studies, not to one")]
    Studies(usize),
}

/// An anonymized request.
pub struct Anonymous {
    pub past: Past,
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
    past: &Past,
    dataflow: &Dataflow,
    folder: &Path,
    key: &Key,
) -> Result<Anonymous, NotAnonymous> {
    let (mut burned_in, mut unsaid) = (0, 0);
    for (number, item) in past.recording.request.items.iter().enumerate() {
        let Deidentified { bytes, burned_in: said } = deidentified(item, key)?;
        match said {
            BurnedIn::Yes => burned_in += 1,
            BurnedIn::Unsaid => unsaid += 1,
            BurnedIn::No => {}
        }
        let path = folder.join(format!("{:05}.dcm", number + 1));
        fs::write(&path, bytes).map_err(|source| NotAnonymous::Write { path, source })?;
    }
    let request = found(folder)?;
    let recording = Recording { request, runs: Vec::new(), response: None, ..past.recording.clone() };
    let unrun = Past::new(recording, |_| None);
    let run = again(&unrun, dataflow, Scope::Whole, Watch::default()).expect("the whole has every step");
    Ok(Anonymous { past: run.into_past(&unrun), burned_in, unsaid })
}

fn deidentified(item: &Item, key: &Key) -> Result<Deidentified, NotAnonymous> {
    let name = || item.name.clone();
    let bytes = item.open().map_err(|source| NotAnonymous::Read { name: name(), source })?;
    dicom::deidentify(&bytes, key).map_err(|source| NotAnonymous::Unreadable { name: name(), source })
}

/// The request of the de-identified files: its name and attributes come from them.
fn found(folder: &Path) -> Result<Request, NotAnonymous> {
    let mut studies = folder::find(&[folder.to_owned()])?.studies;
    match (studies.pop(), studies.len()) {
        (Some(request), 0) => Ok(request),
        (_, others) => Err(NotAnonymous::Studies(others + 1)),
    }
}
