//! Pictures for people, before they are written in any format.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::step::{Payload, shared_bytes};

/// An RGB image, 8 bits each, rows from the top.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    /// For example `axial`; a file name without its ending.
    pub name: String,
    /// One line for people: "Axial slice 140 of 275, lungs outlined".
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
