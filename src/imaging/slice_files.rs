//! Files of slices, read once where one file holds several of them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::InstanceHeader;

/// Files that hold several slices of a set, in memory: each is read once.
#[derive(Default)]
pub struct SharedFiles(BTreeMap<PathBuf, Vec<u8>>);

impl SharedFiles {
    /// Reads the files of those slices that are frames.
    ///
    /// # Errors
    /// The slice whose file cannot be read, and why.
    pub fn read<'a>(
        slices: impl IntoIterator<Item = &'a InstanceHeader>,
    ) -> Result<SharedFiles, (&'a InstanceHeader, io::Error)> {
        let mut files = BTreeMap::new();
        for slice in slices.into_iter().filter(|slice| slice.frame.is_some()) {
            if !files.contains_key(&slice.path) {
                files.insert(slice.path.clone(), fs::read(&slice.path).map_err(|error| (slice, error))?);
            }
        }
        Ok(SharedFiles(files))
    }

    /// The content of a file, if it is here.
    pub fn get(&self, path: &Path) -> Option<&[u8]> {
        self.0.get(path).map(Vec::as_slice)
    }
}
