//! Files that a generation step makes: what a response is made of.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Digest, Payload, shared_bytes};

/// One file of a response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// A relative path with forward slashes, for example `pictures/axial.png`.
    pub name: String,
    /// An IANA media type: `application/dicom`, `image/png`, `application/json`.
    pub media_type: Cow<'static, str>,
    #[serde(with = "shared_bytes")]
    pub bytes: Arc<[u8]>,
    /// Of the bytes: it is asked for many times.
    digest: Digest,
}

impl File {
    pub fn new(name: impl Into<String>, media_type: impl Into<Cow<'static, str>>, bytes: Vec<u8>) -> File {
        let digest = Digest::of(&bytes);
        File { name: name.into(), media_type: media_type.into(), bytes: bytes.into(), digest }
    }

    pub fn digest(&self) -> Digest {
        self.digest
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
            media_type: self.media_type.clone().into_owned(),
            digest: self.digest,
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

impl Artifact {
    /// The digest of a list of files: that of the [`Files`] they are.
    pub fn digest_of(artifacts: &[Artifact]) -> Digest {
        let parts = artifacts.iter().flat_map(|artifact| {
            let Artifact { name, media_type, digest, .. } = artifact;
            [name.as_bytes(), media_type.as_bytes(), digest.as_bytes().as_slice()]
        });
        Digest::of_parts(parts)
    }
}

/// The files one step gives, in the order in which they are delivered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Files(pub Vec<File>);

impl Payload for Files {
    const TYPE: &'static str = "files";

    /// That of names, media types and contents, so that who has the artifacts knows it.
    fn digest(&self) -> Option<Digest> {
        let artifacts: Vec<Artifact> = self.0.iter().map(File::artifact).collect();
        Some(Artifact::digest_of(&artifacts))
    }
}
