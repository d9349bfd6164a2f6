//! The files of a program as they were when its steps were declared, so that further processes of it can be started
//! after they have changed.
//!
//! Scripts and the modules that were loaded are kept in memory, [`BYTES_MAX`] at most. A process is started from copies of
//! them in a folder of its own, in which all else that the program may read or write leads to where it lies. A program
//! that is no script, the interpreter, and files in `reads` are not kept: if one of them has changed, no further process
//! of the program as it was can be started.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::step::Digest;

use super::program_code::{CodeFile, KeptPlace, digest_of};
use super::sandbox_grants::ProgramGrants;

/// The most bytes of a program that are kept.
const BYTES_MAX: usize = 64 << 20;

pub struct KeptCode {
    /// The folder of the script.
    folder: PathBuf,
    /// The files by their paths below the folder.
    files: BTreeMap<PathBuf, KeptFile>,
}

struct KeptFile {
    digest: Digest,
    bytes: Vec<u8>,
}

impl KeptCode {
    /// Keeps the files that can be kept; `None` if there are none, or they are too large.
    ///
    /// # Errors
    /// One of them cannot be read.
    pub fn read(folder: Option<&Path>, files: &[CodeFile]) -> io::Result<Option<KeptCode>> {
        let Some(folder) = folder else { return Ok(None) };
        let (mut kept, mut left) = (BTreeMap::new(), BYTES_MAX);
        for path in files.iter().filter_map(|file| file.kept_at.as_ref()) {
            // Where a name leads out of the folder, a copy would, too.
            let Some(name) = path.strip_prefix(folder).ok().filter(|name| is_below(name)) else { continue };
            let bytes = fs::read(path)?;
            let Some(rest) = left.checked_sub(bytes.len()) else { return Ok(None) };
            left = rest;
            kept.insert(name.to_owned(), KeptFile { digest: Digest::of(&bytes), bytes });
        }
        Ok((!kept.is_empty()).then(|| KeptCode { folder: folder.to_owned(), files: kept }))
    }

    /// Whether what was kept is not what was declared.
    pub fn differs(&self, declared: &[CodeFile]) -> bool {
        self.files.iter().any(|(name, file)| {
            let path = self.folder.join(name);
            declared.iter().any(|it| it.kept_at.as_ref() == Some(&path) && it.digest != file.digest)
        })
    }

    /// Whether one of the files is no longer what was kept.
    pub fn has_changed(&self) -> bool {
        self.files.iter().any(|(name, file)| {
            digest_of(&self.folder.join(name)).map_or(true, |digest| digest != file.digest)
        })
    }

    /// Makes a folder with the files, in which what is granted beside them can be found as well.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn lay_out(&self, place: &Path, grants: &ProgramGrants) -> io::Result<KeptPlace> {
        fs::create_dir(place)?;
        let mut folders = BTreeSet::from([PathBuf::new()]);
        for (name, file) in &self.files {
            let parents = name.ancestors().skip(1).map(Path::to_owned);
            folders.extend(parents);
            let path = place.join(name);
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::write(path, &file.bytes)?;
        }
        let granted = grants.reads.iter().chain(&grants.writes);
        // What lies in a folder that is granted as well comes after it.
        let granted: BTreeSet<&Path> = granted
            .filter_map(|path| path.strip_prefix(&self.folder).ok())
            .filter(|name| is_below(name))
            .collect();
        granted.into_iter().try_for_each(|name| self.link(name, place, &folders))?;
        Ok(KeptPlace { folder: self.folder.clone(), place: place.to_owned() })
    }

    /// Has a name lead to where it lies. In a folder with files that are kept, so do all others.
    fn link(&self, name: &Path, place: &Path, folders: &BTreeSet<PathBuf>) -> io::Result<()> {
        let (from, to) = (self.folder.join(name), place.join(name));
        if folders.contains(name) {
            let entries = fs::read_dir(from).into_iter().flatten().flatten();
            // What Python has compiled is of other files.
            let mut names =
                entries.map(|entry| entry.file_name()).filter(|name| name != OsStr::new("__pycache__"));
            return names.try_for_each(|entry| self.link(&name.join(entry), place, folders));
        }
        if to.symlink_metadata().is_ok() || from.symlink_metadata().is_err() {
            return Ok(());
        }
        to.parent().map_or(Ok(()), fs::create_dir_all)?;
        symlink(from, to)
    }
}

/// Whether a relative path leads nowhere but down.
fn is_below(name: &Path) -> bool {
    name.components().all(|part| matches!(part, std::path::Component::Normal(_)))
}
