//! Plain files: the folder of responses.

mod folder;

pub use folder::{Folder, FolderError};
