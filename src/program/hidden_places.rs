//! Private folders of a program in what it says: their paths differ in each process, and a reason is to be the same when
//! a request is run again.

use std::cmp::Reverse;
use std::path::{Path, PathBuf};

/// What stands in the place of such a folder, as in the book's page about the protocol.
const SHOWN: &str = "/…";

/// The paths of private folders, the longest first.
pub struct HiddenPlaces(Vec<String>);

impl HiddenPlaces {
    pub fn of(folders: &[&Path]) -> HiddenPlaces {
        let resolved = folders.iter().filter_map(|folder| folder.canonicalize().ok());
        let given = folders.iter().map(|folder| folder.to_path_buf());
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        let mut paths: Vec<String> = resolved.chain(given).map(text).collect();
        paths.sort_by_key(|path| Reverse(path.len()));
        paths.dedup();
        HiddenPlaces(paths)
    }

    /// Takes these paths out of a text.
    pub fn hide(&self, text: &mut String) {
        for path in &self.0 {
            if text.contains(path) {
                *text = text.replace(path, SHOWN);
            }
        }
    }

    /// What a program wrote, without these paths.
    pub fn hidden(&self, written: &[u8]) -> Vec<u8> {
        let mut text = String::from_utf8_lossy(written).into_owned();
        self.hide(&mut text);
        text.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_hidden_by_each_of_its_paths() {
        let place = tempfile::tempdir().unwrap();
        let (folder, link) = (place.path().join("folder"), place.path().join("link"));
        std::fs::create_dir(&folder).unwrap();
        std::os::unix::fs::symlink(&folder, &link).unwrap();
        let places = HiddenPlaces::of(&[&link]);
        let text = format!("{}/a and {}/b, not /tmp/c", link.display(), folder.display());
        assert_eq!(places.hidden(text.as_bytes()), "/…/a and /…/b, not /tmp/c".as_bytes());
    }
}
