//! Plain files: the folder of responses.

mod folder;
mod site;

pub use folder::{Folder, FolderError};
pub use site::{FilesSection, FilesSite, OutputSetting};
