//! Files that a generation step makes: what a response is made of.

use std::sync::Arc;

use super::Payload;

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
}

/// The files one step gives, in the order in which they are delivered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files(pub Vec<File>);

impl Payload for Files {
    const TYPE: &'static str = "files";
}
