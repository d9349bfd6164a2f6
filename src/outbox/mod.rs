//! Where responses go: a folder each, and on to a PACS.

mod folder;

pub use folder::{Folder, FolderError};
