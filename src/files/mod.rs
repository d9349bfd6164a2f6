//! Plain files: requests that are no DICOM studies, and the folder of responses.

mod folder;
mod site;
mod source;

pub use folder::{ResponseFolder, ResponseFolderError};
pub use site::{FilesSection, FilesSite, OutputSetting};
pub use source::{FILE_ATTRIBUTES, FilesError, PlainFiles, SkippedFile};
