//! The private folders of programs that are running, below the state folder.

use std::path::{Path, absolute};
use std::{fs, io};

use crate::program::remove_left_folder;

/// Has the private folders of steps made below the state folder from now on, and removes those that this
/// process of the cluster left there when it was killed. One that cannot be removed stays: a program that
/// outlived flow may still be writing in it.
///
/// # Errors
/// If the folder cannot be made.
pub fn keep_step_folders(state: &Path, process: usize) -> io::Result<()> {
    let folder = absolute(state)?.join("steps").join(process.to_string());
    if let Err(error) = remove_left_folder(&folder) {
        tracing::warn!(%error, "folders of steps that were killed stay in {}", folder.display());
    }
    fs::create_dir_all(&folder)?;
    tempfile::env::override_temp_dir(&folder)
        .map_err(|other| io::Error::other(format!("temporary files are in {} already", other.display())))
}
