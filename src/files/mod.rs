//! Files of any kind: requests that are no DICOM studies.

mod source;

pub use source::{FILE_ATTRIBUTES, FilesError, PlainFiles};
