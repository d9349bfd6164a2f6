//! Pictures for human readers, before they are written in a file format.

use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use crate::step::{Payload, shared_bytes};

use super::png_file;

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
    #[serde(skip)]
    png: PictureFile,
}

/// The picture as a PNG file, once somebody has asked for it; nothing if it cannot be one.
#[derive(Clone, Debug, Default)]
struct PictureFile(OnceLock<Option<Arc<[u8]>>>);

/// A picture is the same with and without its file.
impl PartialEq for PictureFile {
    fn eq(&self, _other: &PictureFile) -> bool {
        true
    }
}

impl Eq for PictureFile {}

impl Picture {
    /// A picture of a width and a height.
    pub fn new(
        name: impl Into<String>,
        title: impl Into<String>,
        [width, height]: [usize; 2],
        rgb: Arc<[u8]>,
    ) -> Picture {
        Picture { name: name.into(), title: title.into(), width, height, rgb, png: PictureFile::default() }
    }

    /// The picture as a PNG file, encoded once.
    ///
    /// # Errors
    /// If the number of bytes does not match the picture's size.
    pub fn png(&self) -> Result<Arc<[u8]>, png::EncodingError> {
        let encode = || png_file::encode([self.width, self.height], &self.rgb).map(Arc::from);
        self.png.0.get_or_init(|| encode().ok()).clone().map_or_else(encode, Ok)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pictures(pub Vec<Picture>);

impl Payload for Pictures {
    const TYPE: &'static str = "pictures";
}
