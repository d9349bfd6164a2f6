//! Real studies for tests: archives in a folder beside the project, or none.
//!
//! The folder is named by `FLOW_TEST_DATA`, else it is `../shared/data`; it holds `NAME.tar.xz`
//! archives. Without it a test says that it skipped.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// An unpacked archive, removed when dropped.
pub struct Data(TempDir);

impl Data {
    /// Unpacks an archive; prints that the test skips where it is absent.
    ///
    /// # Panics
    /// If the archive is there and cannot be unpacked.
    pub fn unpack(name: &str) -> Option<Data> {
        let archive = folder().join(format!("{name}.tar.xz"));
        if !archive.is_file() {
            println!("skipped: there is no {name}.tar.xz in the folder of test data (FLOW_TEST_DATA)");
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let tar = Command::new("tar").arg("-xJf").arg(&archive).arg("-C").arg(folder.path()).status();
        assert!(tar.expect("tar runs").success(), "{name}.tar.xz cannot be unpacked");
        Some(Data(folder))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// All files below a folder of the archive, sorted by path.
    ///
    /// # Panics
    /// If the folder cannot be read.
    pub fn files(&self, below: &str) -> Vec<PathBuf> {
        files_below(&self.path().join(below))
    }
}

/// All files below a folder, sorted by path.
///
/// # Panics
/// If the folder cannot be read.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    collect(folder, &mut files);
    files.sort();
    files
}

fn folder() -> PathBuf {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    std::env::var_os("FLOW_TEST_DATA").map_or(beside, PathBuf::from)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}
