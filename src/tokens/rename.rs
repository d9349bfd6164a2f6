//! Moving a file to a name that is free, so that nothing is replaced; and a new text to the name of the old one.

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
        // A crash may leave a file with two names.
        Err(Errno::EXIST) if is_same_file(from, to)? => fs::remove_file(from),
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => link_new(from, to),
        renamed => Ok(renamed?),
    }
}

/// Exchanges the names of two files: `true`. Where the file system cannot, the first file takes the name of the second:
/// `false`.
///
/// # Errors
/// [`ErrorKind::NotFound`] if one of them is not there.
pub fn exchange_or_replace(from: &Path, to: &Path) -> io::Result<bool> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::EXCHANGE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            fs::symlink_metadata(to)?;
            fs::rename(from, to).map(|()| false)
        }
        renamed => Ok(renamed.map(|()| true)?),
    }
}

/// [`rename_new`] in two steps, for file systems that know no better. If it ends between them, the file has two names, and
/// nobody else can move it until the next try has removed the old one.
fn link_new(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return if is_same_file(from, to)? { fs::remove_file(from) } else { Err(error) };
        }
        linked => linked?,
    }
    // A third name is that of another who moves it, or of a worker that was lost meanwhile.
    let is_shared = fs::symlink_metadata(to)?.nlink() > 2;
    let moved = if is_shared { Err(ErrorKind::NotFound.into()) } else { fs::remove_file(from) };
    if moved.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        // Whoever takes the old name away has it.
        fs::remove_file(to)?;
    }
    moved
}

/// Whether two names are those of one file.
///
/// # Errors
/// If one of them is not there.
pub fn is_same_file(one: &Path, other: &Path) -> io::Result<bool> {
    let (one, other) = (fs::symlink_metadata(one)?, fs::symlink_metadata(other)?);
    Ok((one.dev(), one.ino()) == (other.dev(), other.ino()))
}

/// Opens a file for reading that is neither a link nor one that opening would wait for.
///
/// # Errors
/// If it cannot be opened.
pub fn open_plain(path: &Path) -> io::Result<File> {
    let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits();
    OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path)
}

/// Makes a new file that others cannot see whole before it is moved, with these bytes. What has the name is removed, and
/// never written into or waited for: it may be a link or a pipe.
///
/// # Errors
/// If it cannot be written.
pub fn write_new(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let _ = fs::remove_file(path);
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
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
    fn a_file_takes_a_name_and_gives_its_own_to_what_had_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("new"), "new").unwrap();
        // Somebody has moved it away.
        assert_eq!(exchange_or_replace(&path("new"), &path("own")).unwrap_err().kind(), ErrorKind::NotFound);
        assert!(!path("own").exists());
        fs::write(path("own"), "old").unwrap();
        assert!(exchange_or_replace(&path("new"), &path("own")).unwrap());
        assert_eq!(fs::read_to_string(path("own")).unwrap(), "new");
        assert_eq!(fs::read_to_string(path("new")).unwrap(), "old");
        assert_eq!(exchange_or_replace(&path("gone"), &path("own")).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_file_that_a_crash_left_with_two_names_has_one_after_the_next_try() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("a"), "a").unwrap();
        fs::hard_link(path("a"), path("b")).unwrap();
        assert_eq!(link_new(&path("a"), &path("c")).unwrap_err().kind(), ErrorKind::NotFound);
        for rename in [rename_new, link_new] {
            rename(&path("a"), &path("b")).unwrap();
            assert!(!path("a").exists() && path("b").exists() && !path("c").exists());
            fs::hard_link(path("b"), path("a")).unwrap();
        }
    }

    #[test]
    fn a_file_that_several_link_at_the_same_time_is_moved_by_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str, number: usize| folder.path().join(format!("{name}{number}"));
        for number in 0..200 {
            fs::write(path("file", number), "").unwrap();
        }
        let moved = |worker: usize| {
            let moves =
                |number| link_new(&path("file", number), &path(&format!("own{worker}-"), number)).is_ok();
            (0..200).filter(|number| moves(*number)).count()
        };
        let moved: usize = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4).map(|worker| scope.spawn(move || moved(worker))).collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).sum()
        });
        let left = (0..200).filter(|number| path("file", *number).exists()).count();
        assert_eq!(moved + left, 200);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 200);
    }
}
