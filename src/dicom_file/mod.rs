//! DICOM files as bytes (PS3.10; PS3.5 section 7): the one reader of their elements, for all who read files.
//!
//! No declared length is trusted: a value is there before it is used, and nothing is allocated for one.

pub mod content;
pub mod encoding;
pub mod inflate;
pub mod part10;
pub mod reader;
pub mod representation;
pub mod uid;
