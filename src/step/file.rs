//! Files that steps make: the parts of a response.

use std::borrow::Cow;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Digest, Payload, shared_bytes};

/// One file of a response.
///
/// ```
/// use flow::step::{Digest, ResponseFile};
///
/// let file = ResponseFile::new("pictures/axial.png", "image/png", vec![1, 2, 3]);
/// assert_eq!(file.digest(), Digest::of(&[1, 2, 3]));
/// assert_eq!(file.artifact().size, 3);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResponseFile {
    /// The name: a relative path with forward slashes, for example `pictures/axial.png`.
    pub name: String,
    /// The IANA media type, for example `application/dicom`, `image/png` or `application/json`.
    pub media_type: Cow<'static, str>,
    /// The content.
    #[serde(with = "shared_bytes")]
    pub bytes: Arc<[u8]>,
    /// The digest of the bytes, computed once.
    digest: Digest,
}

impl ResponseFile {
    /// A file with its content.
    pub fn new(
        name: impl Into<String>,
        media_type: impl Into<Cow<'static, str>>,
        bytes: Vec<u8>,
    ) -> ResponseFile {
        ResponseFile::shared(name, media_type, bytes.into())
    }

    /// A file whose content is shared already: a large one is not copied.
    pub fn shared(
        name: impl Into<String>,
        media_type: impl Into<Cow<'static, str>>,
        bytes: Arc<[u8]>,
    ) -> ResponseFile {
        let digest = Digest::of(&bytes);
        ResponseFile { name: name.into(), media_type: media_type.into(), bytes, digest }
    }

    /// The digest of the content.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Whether the name is valid, see [`ResponseFile::fits_as_name`].
    pub fn has_fitting_name(&self) -> bool {
        ResponseFile::fits_as_name(&self.name)
    }

    /// Whether a name is valid for a file below a folder: parts of at most 200 bytes between single
    /// slashes, none of them `.` or `..`, without a backslash or NUL.
    ///
    /// ```
    /// use flow::step::ResponseFile;
    ///
    /// assert!(ResponseFile::fits_as_name("pictures/axial.png"));
    /// assert!(!ResponseFile::fits_as_name("../axial.png"));
    /// assert!(!ResponseFile::fits_as_name("/axial.png"));
    /// ```
    pub fn fits_as_name(name: &str) -> bool {
        let fits = |part: &str| {
            let plain = !part.contains(['\\', '\0']) && part != "." && part != "..";
            plain && (1..=200).contains(&part.len())
        };
        name.split('/').all(fits)
    }

    /// The file without its content.
    pub fn artifact(&self) -> Artifact {
        Artifact {
            name: self.name.clone(),
            media_type: self.media_type.clone().into_owned(),
            digest: self.digest,
            size: self.bytes.len() as u64,
        }
    }
}

/// A file by its digest, as the journal and the response record it. The content is in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Artifact {
    /// The name: a relative path with forward slashes.
    pub name: String,
    /// The IANA media type.
    pub media_type: String,
    /// The digest of the content.
    pub digest: Digest,
    /// The size of the content in bytes.
    pub size: u64,
}

impl Artifact {
    /// The digest of a list of files. It equals the digest of the [`ResponseFiles`] value with the same files.
    pub fn digest_of(artifacts: &[Artifact]) -> Digest {
        let parts = artifacts.iter().flat_map(|artifact| {
            let Artifact { name, media_type, digest, .. } = artifact;
            [name.as_bytes(), media_type.as_bytes(), digest.as_bytes().as_slice()]
        });
        Digest::of_parts(parts)
    }
}

/// The files that a step gives, in the order of delivery.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResponseFiles(pub Vec<ResponseFile>);

impl Payload for ResponseFiles {
    const TYPE: &'static str = "files";

    /// The digest of names, media types and content digests, which can be computed from the artifacts alone.
    fn digest(&self) -> Option<Digest> {
        let artifacts: Vec<Artifact> = self.0.iter().map(ResponseFile::artifact).collect();
        Some(Artifact::digest_of(&artifacts))
    }
}
