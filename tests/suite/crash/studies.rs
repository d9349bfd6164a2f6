//! Small chest studies, good ones and some with a slice missing, as files and as objects to send.

use std::fs;
use std::path::{Path, PathBuf};

use flow::dicom::{DicomObject, SendOutcome, send};
use flow::imaging::phantom::{PhantomChest, PhantomOptions, PhantomSyntax};

use super::ListeningAddress;
use crate::support::peers::until;

/// So many slices has a study.
const SLICES: usize = 16;

/// Studies in folders of their own below a folder.
pub struct Studies {
    pub folder: PathBuf,
    pub each: Vec<Vec<DicomObject>>,
}

impl Studies {
    /// Every third has a slice missing.
    pub fn write(folder: &Path, count: usize) -> Studies {
        let write = |number: usize| {
            let options = PhantomOptions {
                size: [32, 32, SLICES],
                seed: number as u64,
                spots: 4,
                ..PhantomOptions::default()
            };
            let place = folder.join(number.to_string());
            let mut files = PhantomChest::new(&options)
                .write(&place, PhantomSyntax::Explicit)
                .expect("it can be written");
            if number % 3 == 2 {
                fs::remove_file(files.remove(SLICES / 2)).expect("it was there");
            }
            files.iter().map(|file| object(file)).collect()
        };
        Studies { folder: folder.to_owned(), each: (1..=count).map(write).collect() }
    }
}

fn object(file: &Path) -> DicomObject {
    let bytes = fs::read(file).expect("the file was written");
    DicomObject::read(file.display().to_string(), bytes.into()).expect("it is a DICOM file")
}

/// Sends a study as a modality does: again and again, until each object was answered with success.
/// Gives how many times it was sent.
pub fn send_until_acknowledged(listener: &ListeningAddress, study: &[DicomObject]) -> usize {
    let mut times = 0;
    until("the study is acknowledged", || {
        times += 1;
        let destination = format!("FLOW@{}", listener.address()).parse().expect("it is a destination");
        let sent = send(&destination, study).ok()?;
        sent.iter().all(|one| one.outcome == SendOutcome::Stored).then_some(times)
    })
}
