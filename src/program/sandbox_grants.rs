//! The grants of a dataflow to a program.

use std::path::PathBuf;

/// What a dataflow grants to a program besides its folder.
#[derive(Clone)]
pub struct ProgramGrants {
    /// Files and folders that it may read and execute.
    pub reads: Vec<PathBuf>,
    /// Folders whose lists of files it may read, with those of the folders below, and nothing else of them.
    pub lists: Vec<PathBuf>,
    /// Files and folders that it may also write.
    pub writes: Vec<PathBuf>,
    pub network: NetworkAccess,
    /// The folder whose files it sees instead of the system's.
    pub root: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkAccess {
    None,
    All,
}
