//! Moving a file to a name that is free: nothing is ever replaced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;

/// Moves a file, if nothing has the name that it is to get.
///
/// # Errors
/// [`ErrorKind::AlreadyExists`] if something has; [`ErrorKind::NotFound`] if there is no such file any more.
pub fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => link_new(from, to),
        renamed => Ok(renamed?),
    }
}

/// The same in two steps, for file systems that know no better. If it ends between them, the file has two names, and
/// the next try removes the old one.
fn link_new(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let (old, new) = (fs::symlink_metadata(from)?, fs::symlink_metadata(to)?);
            if (old.dev(), old.ino()) != (new.dev(), new.ino()) {
                return Err(error);
            }
        }
        linked => linked?,
    }
    fs::remove_file(from)
}

/// Opens a file for reading that is neither a link nor one that opening would wait for.
///
/// # Errors
/// If it cannot be opened.
pub fn open_plain(path: &Path) -> io::Result<File> {
    let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits();
    OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path)
}

/// Makes a new file that others cannot see whole before it is moved, with these bytes.
///
/// # Errors
/// If it cannot be written.
pub fn write_new(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    io::Write::write_all(&mut file, bytes)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_replaced_either_way() {
        for rename in [rename_new, link_new] {
            let folder = tempfile::tempdir().unwrap();
            let path = |name: &str| folder.path().join(name);
            fs::write(path("a"), "a").unwrap();
            fs::write(path("b"), "b").unwrap();
            assert_eq!(rename(&path("a"), &path("b")).unwrap_err().kind(), ErrorKind::AlreadyExists);
            rename(&path("a"), &path("c")).unwrap();
            assert_eq!(fs::read_to_string(path("b")).unwrap(), "b");
            assert_eq!(fs::read_to_string(path("c")).unwrap(), "a");
            assert_eq!(rename(&path("a"), &path("d")).unwrap_err().kind(), ErrorKind::NotFound);
        }
    }

    #[test]
    fn a_file_that_a_crash_left_with_two_names_has_one_after_the_next_try() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("a"), "a").unwrap();
        fs::hard_link(path("a"), path("b")).unwrap();
        link_new(&path("a"), &path("b")).unwrap();
        assert!(!path("a").exists() && path("b").exists());
    }
}
