//! Instances that a power cut has left under the names that they had while they were received.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::folder::{first_study, instances};
use super::inbox::StudyInbox;
use super::partial_file::sync_folder;

/// Moves such instances into their studies, which lie in these folders or get new ones. An instance that is
/// there already stays: it arrived later, or the other one was not answered. Nothing is read or synced when nothing was left.
pub(in crate::dicom) fn restore(inbox: &StudyInbox, studies: &[PathBuf]) -> io::Result<()> {
    let left = instances(&inbox.incoming())?;
    if left.is_empty() {
        return Ok(());
    }
    let mut folders: BTreeMap<String, PathBuf> = BTreeMap::new();
    for folder in studies {
        folders.extend(first_study(folder)?.map(|study| (study, folder.clone())));
    }
    for instance in left {
        let Some(path) = instance.item.path() else { continue };
        let study = &instance.study.study_instance_uid;
        if !folders.contains_key(study) {
            folders.insert(study.clone(), inbox.new_folder()?);
        }
        put(Path::new(path), &folders[study], &instance.sop_instance_uid)?;
    }
    sync_folder(&inbox.incoming())
}

fn put(path: &Path, folder: &Path, sop_instance_uid: &str) -> io::Result<()> {
    let place = folder.join(format!("{sop_instance_uid}.dcm"));
    match place.exists() {
        true => fs::remove_file(path),
        false => {
            fs::rename(path, &place)?;
            sync_folder(folder)
        }
    }
}
