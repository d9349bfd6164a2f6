//! Access to the files that flow writes: for flow's user alone, or for its group, too, because patient data
//! are in them.
//!
//! The file mode creation mask of the process applies to every file, folder, database and socket that is
//! made from now on, also by libraries and by programs that steps run: no call can forget it. The state
//! folder gets its mode explicitly, because it may have been made by another hand.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::Mode;
use rustix::process::umask;

use crate::site::FileReaders;

use super::exit::CommandError;

/// Restricts access to all files that this process makes from now on.
pub fn restrict(readers: FileReaders) {
    umask(mask(readers));
}

/// Makes the state folder, if it is not there, and gives it its mode: nobody else looks into it, whatever
/// the modes of files that an earlier version made in it.
///
/// # Errors
/// The folder cannot be made, or belongs to another user.
pub fn claim_folder(folder: &Path, readers: FileReaders) -> Result<(), CommandError> {
    std::fs::create_dir_all(folder).map_err(CommandError::at("make the state folder", folder))?;
    let claimed = std::fs::metadata(folder).and_then(|about| {
        let found = about.permissions().mode();
        let wanted = found & !mask(readers).bits();
        match wanted == found {
            true => Ok(()),
            false => std::fs::set_permissions(folder, Permissions::from_mode(wanted)),
        }
    });
    claimed.map_err(CommandError::at("close to others the state folder", folder))
}

fn mask(readers: FileReaders) -> Mode {
    match readers {
        FileReaders::Owner => Mode::RWXG | Mode::RWXO,
        FileReaders::Group => Mode::WGRP | Mode::RWXO,
    }
}
