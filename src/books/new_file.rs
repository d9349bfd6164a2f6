//! Files that appear under a name when they are whole, and replace nothing.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use crate::tokens::rename_new;

use super::place::BookPlace;

/// Copies a file to a path, and makes the folder for it. What is there already stays as it is.
///
/// The copy has no name until it is whole and synced, so that nothing is left of one that was interrupted. A file system
/// that knows no files without a name (NFS) gets a draft beside the path, which a crash leaves behind.
///
/// # Errors
/// If it cannot be written.
pub fn copy_new(from: &Path, to: &Path) -> io::Result<()> {
    let folder = to.parent().unwrap_or(Path::new("."));
    if !to.exists() {
        fs::create_dir_all(folder)?;
        match copy_without_name(from, to, folder) {
            Err(error) if needs_draft(&error) => copy_by_draft(from, to)?,
            // Another process was faster: it has stored the same book.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            copied => copied?,
        }
    }
    // What gave a file its name before may have been killed before it synced that.
    File::open(folder)?.sync_all()
}

fn copy_without_name(from: &Path, to: &Path, folder: &Path) -> io::Result<()> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let mut copy = File::from(rustix::fs::open(folder, flags, Mode::RUSR | Mode::WUSR)?);
    let mut original = File::open(from)?;
    io::copy(&mut original, &mut copy)?;
    copy.set_permissions(original.metadata()?.permissions())?;
    copy.sync_all()?;
    let unnamed = format!("/proc/self/fd/{}", copy.as_raw_fd());
    Ok(rustix::fs::linkat(CWD, unnamed, CWD, to, AtFlags::SYMLINK_FOLLOW)?)
}

/// Whether it failed for what the file system or the machine cannot do.
fn needs_draft(error: &io::Error) -> bool {
    const CANNOT: [Errno; 6] =
        [Errno::OPNOTSUPP, Errno::ISDIR, Errno::INVAL, Errno::NOSYS, Errno::PERM, Errno::NOENT];
    Errno::from_io_error(error).is_some_and(|error| CANNOT.contains(&error))
}

fn copy_by_draft(from: &Path, to: &Path) -> io::Result<()> {
    let draft = BookPlace::draft_of(to);
    let written = write(from, &draft, to);
    if written.is_err() {
        let _ = fs::remove_file(&draft);
    }
    written
}

fn write(from: &Path, draft: &Path, to: &Path) -> io::Result<()> {
    fs::copy(from, draft)?;
    File::open(draft)?.sync_all()?;
    match rename_new(draft, to) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => fs::remove_file(draft),
        renamed => renamed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type CopyFile = fn(&Path, &Path) -> io::Result<()>;

    #[test]
    fn a_file_is_copied_once_and_nothing_else_is_there() {
        for copy in [copy_new as CopyFile, copy_by_draft] {
            let folder = tempfile::tempdir().unwrap();
            let store = folder.path().join("store");
            fs::create_dir(&store).unwrap();
            for text in ["first", "second"] {
                fs::write(folder.path().join("from"), text).unwrap();
                copy(&folder.path().join("from"), &store.join("book")).unwrap();
                assert_eq!(fs::read_to_string(store.join("book")).unwrap(), "first");
            }
            assert_eq!(fs::read_dir(&store).unwrap().count(), 1);
        }
    }

    #[test]
    fn a_file_that_is_not_there_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let error = copy_new(&folder.path().join("from"), &folder.path().join("store/book")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(fs::read_dir(folder.path().join("store")).unwrap().count(), 0);
    }
}
