//! Files that a generation step makes: what a response is made of.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Digest, Payload};

/// One file of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// A relative path with forward slashes, for example `pictures/axial.png`.
    pub name: String,
    /// An IANA media type: `application/dicom`, `image/png`, `application/json`.
    pub media_type: &'static str,
    pub bytes: Arc<[u8]>,
}

impl File {
    pub fn new(name: impl Into<String>, media_type: &'static str, bytes: Vec<u8>) -> File {
        File { name: name.into(), media_type, bytes: bytes.into() }
    }

    pub fn has_fitting_name(&self) -> bool {
        File::fits_as_name(&self.name)
    }

    /// Whether a name can be that of a file below a folder, on any machine: parts of at most 200
    /// bytes between single slashes, none of them `.` or `..`.
    pub fn fits_as_name(name: &str) -> bool {
        let fits = |part: &str| {
            let plain = !part.contains(['\\', '\0']) && part != "." && part != "..";
            plain && (1..=200).contains(&part.len())
        };
        name.split('/').all(fits)
    }

    pub fn artifact(&self) -> Artifact {
        Artifact {
            name: self.name.clone(),
            media_type: self.media_type.to_owned(),
            digest: Digest::of(&self.bytes),
            size: self.bytes.len() as u64,
        }
    }
}

/// A file by its digest: what travels and is recorded. The bytes are in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    pub name: String,
    pub media_type: String,
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
}

/// The files one step gives, in the order in which they are delivered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files(pub Vec<File>);

impl Payload for Files {
    const TYPE: &'static str = "files";
}
