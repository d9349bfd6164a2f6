//! Pictures for human readers, before they are written in a file format.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::step::{Payload, shared_bytes};

/// An RGB image with 8 bits per sample, rows from the top.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    /// A file name without its extension, for example `axial`.
    pub name: String,
    /// A title of one line: "Axial slice 140 of 275, lungs outlined".
    pub title: String,
    pub width: usize,
    pub height: usize,
    /// `3 * width * height` bytes.
    #[serde(with = "shared_bytes")]
    pub rgb: Arc<[u8]>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pictures(pub Vec<Picture>);

impl Payload for Pictures {
    const TYPE: &'static str = "pictures";
}
