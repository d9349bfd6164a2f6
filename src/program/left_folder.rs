//! Removes what a program has left: it may have taken away its user's rights to folders of its own.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const OWN_RIGHTS: u32 = 0o700;

/// Removes a folder with all that is in it, if it is there, once the processes that wrote in it have ended.
///
/// # Errors
/// The folder, or something in it, is another user's, or the disk has a fault.
pub fn remove_left_folder(folder: &Path) -> io::Result<()> {
    let removed = match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            allow_removal(folder)?;
            fs::remove_dir_all(folder)
        }
        removed => removed,
    };
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// Gives flow's user its rights to a folder and to those below it. Links are not followed.
fn allow_removal(folder: &Path) -> io::Result<()> {
    fs::set_permissions(folder, Permissions::from_mode(OWN_RIGHTS))?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            allow_removal(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_without_rights_are_removed_and_links_stay_links() {
        let (place, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let left = place.path().join("left");
        let inner = left.join("one/two");
        fs::create_dir_all(&inner).unwrap();
        fs::write(inner.join("file"), "text").unwrap();
        std::os::unix::fs::symlink(other.path(), left.join("link")).unwrap();
        let mode = fs::metadata(other.path()).unwrap().permissions();
        for folder in [&inner, &left.join("one"), &left] {
            fs::set_permissions(folder, Permissions::from_mode(0o000)).unwrap();
        }
        // Root needs no rights: what gives them is tried alone.
        allow_removal(&left).unwrap();
        assert_eq!(fs::metadata(&inner).unwrap().permissions().mode() & 0o777, OWN_RIGHTS);
        assert_eq!(fs::metadata(other.path()).unwrap().permissions(), mode);
        remove_left_folder(&left).unwrap();
        assert!(!left.exists());
        remove_left_folder(&left).unwrap();
    }
}
