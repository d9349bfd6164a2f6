//! Bytes by digest: where the files of a response wait until they are delivered.
//!
//! A folder per request and in it a file per digest, so that an operator can look with `ls`, and a
//! request can be removed as a whole. Several processes may share the folder.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::step::{Artifact, Digest};

#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    /// How many times each request is open here: the same request may be under way twice.
    open: Mutex<HashMap<Digest, usize>>,
    temporary: AtomicU64,
}

#[derive(Debug, thiserror::Error)]
#[error("could not {what} {path}")]
pub struct StoreError {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl Store {
    /// # Errors
    /// If the folder cannot be made.
    pub fn at(folder: impl Into<PathBuf>) -> Result<Store, StoreError> {
        let folder = folder.into();
        fs::create_dir_all(&folder).map_err(failed("make the store's folder", &folder))?;
        Ok(Store { folder, open: Mutex::default(), temporary: AtomicU64::new(0) })
    }

    /// Notes that a request's files are wanted until [`Store::close`].
    pub fn open(&self, request: Digest) {
        *self.lock().entry(request).or_default() += 1;
    }

    /// Removes the request's files, unless the same request is open once more.
    ///
    /// # Errors
    /// If they cannot be removed.
    pub fn close(&self, request: Digest) -> Result<(), StoreError> {
        let mut open = self.lock();
        let last = open.get_mut(&request).is_none_or(|count| {
            *count -= 1;
            *count == 0
        });
        if !last {
            return Ok(());
        }
        open.remove(&request);
        let folder = self.request(request);
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", &folder)(error)),
            _ => Ok(()),
        }
    }

    /// Keeps bytes under their digest. They appear whole or not at all.
    ///
    /// # Errors
    /// If they cannot be written; nothing is left behind then.
    pub fn put(&self, request: Digest, digest: Digest, bytes: &[u8]) -> Result<(), StoreError> {
        let folder = self.request(request);
        fs::create_dir_all(&folder).map_err(failed("make", &folder))?;
        let number = self.temporary.fetch_add(1, Ordering::Relaxed);
        let temporary = folder.join(format!("{}-{number}.part", std::process::id()));
        let written = fs::File::create(&temporary).and_then(|mut file| file.write_all(bytes));
        let kept = written.and_then(|()| fs::rename(&temporary, folder.join(digest.to_string())));
        kept.map_err(|error| {
            // The first error is the one that matters; what is left of the file is of no use.
            let _ = fs::remove_file(&temporary);
            failed("write", &temporary)(error)
        })
    }

    /// Where an artifact's bytes are.
    pub fn path(&self, request: Digest, artifact: &Artifact) -> PathBuf {
        self.request(request).join(artifact.digest.to_string())
    }

    fn request(&self, request: Digest) -> PathBuf {
        self.folder.join(request.to_string())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, usize>> {
        self.open.lock().expect("nothing panics while it holds the store's lock")
    }
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError { what, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::File;

    #[test]
    fn a_request_open_twice_keeps_its_files_until_both_are_closed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path()).unwrap();
        let request = Digest::of(b"request");
        let artifact = File::new("a.txt", "text/plain", b"abc".to_vec()).artifact();
        store.open(request);
        store.open(request);
        store.put(request, artifact.digest, b"abc").unwrap();
        store.close(request).unwrap();
        assert_eq!(fs::read(store.path(request, &artifact)).unwrap(), b"abc");
        store.close(request).unwrap();
        assert!(!store.path(request, &artifact).exists());
    }

    #[test]
    fn a_file_that_cannot_be_written_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path()).unwrap();
        let request = Digest::of(b"request");
        let digest = Digest::of(b"abc");
        // A folder stands where the file should go.
        fs::create_dir_all(folder.path().join(request.to_string()).join(digest.to_string()).join("x"))
            .unwrap();
        let error = store.put(request, digest, b"abc").unwrap_err();
        assert!(error.to_string().starts_with("could not write"), "{error}");
        assert_eq!(fs::read_dir(folder.path().join(request.to_string())).unwrap().count(), 1);
    }
}
