//! The store: files of responses, and values of running requests, by digest.
//!
//! Each request has a folder, and each digest a file in it. So an operator can look with `ls`, and a request
//! can be removed as a whole. Several processes may share the store.
//!
//! ```text
//! STORE/REQUEST/DIGEST        a file of the response; kept as long as the request is remembered
//! STORE/REQUEST/work/DIGEST   a value on its way from step to step; removed when the request is answered
//! ```
//!
//! Small files of a response need not be on disk: while it is under way they are held in memory, and written
//! when somebody asks for their path.

mod held_files;
mod holes;

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::step::{Artifact, Digest};

pub use held_files::SMALL_FILE_BYTES_MAX;

use held_files::HeldFiles;
use holes::write_with_holes;

/// The least size of a file that the disk begins to write at once. Smaller ones are soon synced.
const LARGE_FILE_BYTES: usize = 256 << 10;

/// The store of one state folder.
///
/// ```
/// use flow::step::{Digest, ResponseFile};
/// use flow::store::Store;
///
/// let folder = tempfile::tempdir()?;
/// let store = Store::at(folder.path())?;
/// let request = Digest::of(b"request");
/// let report = ResponseFile::new("report.txt", "text/plain", b"no findings".to_vec());
///
/// store.put(request, report.digest(), &report.bytes)?;
/// store.secure(request, &[report.artifact()])?;
/// assert_eq!(store.get(request, report.digest()).as_deref(), Some(&b"no findings"[..]));
///
/// store.remove(request)?;
/// assert!(!store.is_whole(request, &[report.artifact()]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    temporary: AtomicU64,
    held: HeldFiles,
}

/// The error of an operation on the store.
#[derive(Debug, thiserror::Error)]
#[error("could not {what} {path}")]
pub struct StoreError {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl StoreError {
    /// Whether an operator can remove the cause: the disk is full, over its quota or read-only, or a limit of the size of
    /// files is too low.
    pub fn may_pass(&self) -> bool {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        matches!(self.source.kind(), FileTooLarge | StorageFull | QuotaExceeded | ReadOnlyFilesystem)
    }
}

impl Store {
    /// Opens the store in a folder, which is made if it is missing.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn at(folder: impl Into<PathBuf>) -> Result<Store, StoreError> {
        let folder = folder.into();
        make_folder(&folder).map_err(failed("make the store's folder", &folder))?;
        Ok(Store { folder, temporary: AtomicU64::new(0), held: HeldFiles::default() })
    }

    /// Writes a file of the response. The file appears whole or not at all.
    ///
    /// # Errors
    /// If it cannot be written; nothing is left behind then.
    pub fn put(&self, request: Digest, digest: Digest, bytes: &[u8]) -> Result<(), StoreError> {
        let file = self.write(&self.request(request), digest, bytes)?;
        if bytes.len() >= LARGE_FILE_BYTES {
            // The disk writes while other steps compute: then `secure` waits less.
            begin_writing(&file, 0, bytes.len() as u64);
        }
        Ok(())
    }

    /// Marks a request as under way: until [`Store::end_holding`], small files of its response are held in
    /// memory. The calls are counted.
    pub fn begin_holding(&self, request: Digest) {
        self.held.begin(request);
    }

    /// Ends one [`Store::begin_holding`]; after the last one the small files in memory are dropped. Files on
    /// the disk stay.
    pub fn end_holding(&self, request: Digest) {
        self.held.end(request);
    }

    /// Holds small files of a request's response in memory until the result is dropped.
    pub fn held(&self, request: Digest) -> RequestHold<'_> {
        self.begin_holding(request);
        RequestHold { store: self, request }
    }

    /// Keeps a file of the response: a small one of a request under way in memory, any other one on disk as
    /// [`Store::put`] does.
    ///
    /// ```
    /// use flow::step::{Digest, ResponseFile};
    /// use flow::store::Store;
    ///
    /// let folder = tempfile::tempdir()?;
    /// let (store, request) = (Store::at(folder.path())?, Digest::of(b"request"));
    /// let file = ResponseFile::new("note.txt", "text/plain", b"small".to_vec());
    /// store.begin_holding(request);
    /// store.hold(request, file.digest(), &file.bytes)?;
    /// assert_eq!(std::fs::read_dir(folder.path())?.count(), 0);
    /// assert_eq!(std::fs::read(store.path(request, &file.artifact()))?, b"small");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// If it cannot be written; nothing is left behind then.
    pub fn hold(&self, request: Digest, digest: Digest, bytes: &Arc<[u8]>) -> Result<(), StoreError> {
        let is_held = self.held.hold(request, digest, bytes);
        if is_held { Ok(()) } else { self.put(request, digest, bytes) }
    }

    /// Writes a value that is kept until [`Store::end_work`].
    ///
    /// ```
    /// use flow::step::Digest;
    /// use flow::store::Store;
    ///
    /// let folder = tempfile::tempdir()?;
    /// let store = Store::at(folder.path())?;
    /// let (request, value) = (Digest::of(b"request"), Digest::of(b"value"));
    /// store.put_work(request, value, b"value")?;
    /// assert!(store.get(request, value).is_some());
    /// store.end_work(request)?;
    /// assert!(store.get(request, value).is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// If it cannot be written; nothing is left behind then.
    pub fn put_work(&self, request: Digest, digest: Digest, bytes: &[u8]) -> Result<(), StoreError> {
        self.write(&self.work(request), digest, bytes).map(drop)
    }

    /// The size of a value that [`Store::put_work`] wrote, in bytes; `None` if it is missing.
    pub fn work_size(&self, request: Digest, digest: Digest) -> Option<u64> {
        Some(fs::metadata(self.work_path(request, digest)).ok()?.len())
    }

    /// The path of a file of the response, whether or not it is there.
    pub fn file(&self, request: Digest, digest: Digest) -> PathBuf {
        self.place(request, digest)
    }

    /// The path of a value that [`Store::put_work`] wrote.
    pub fn work_path(&self, request: Digest, digest: Digest) -> PathBuf {
        self.work(request).join(digest.to_string())
    }

    /// A piece of what is stored under this digest, at most so many bytes, with the size of the whole; `None` if it is
    /// missing.
    ///
    /// ```
    /// use flow::step::Digest;
    /// use flow::store::Store;
    ///
    /// let folder = tempfile::tempdir()?;
    /// let (store, request) = (Store::at(folder.path())?, Digest::of(b"request"));
    /// let value = Digest::of(b"value");
    /// store.put_work(request, value, b"value")?;
    /// assert_eq!(store.piece(request, value, 3, 10), Some((5, b"ue".to_vec())));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn piece(&self, request: Digest, digest: Digest, offset: u64, max: usize) -> Option<(u64, Vec<u8>)> {
        if let Some(held) = self.held.get(request, digest) {
            let begin = usize::try_from(offset).ok()?.min(held.len());
            let end = begin.saturating_add(max).min(held.len());
            return Some((held.len() as u64, held[begin..end].to_vec()));
        }
        let places = [self.place(request, digest), self.work_path(request, digest)];
        let mut file = places.iter().find_map(|path| File::open(path).ok())?;
        let total = file.metadata().ok()?.len();
        file.seek(SeekFrom::Start(offset)).ok()?;
        let mut piece = Vec::new();
        file.take(max as u64).read_to_end(&mut piece).ok()?;
        Some((total, piece))
    }

    /// The bytes with this digest; `None` if they are missing or damaged.
    pub fn get(&self, request: Digest, digest: Digest) -> Option<Vec<u8>> {
        if let Some(held) = self.held.get(request, digest) {
            return Some(held.to_vec());
        }
        let places = [self.request(request), self.work(request)];
        let mut found = places.iter().filter_map(|folder| fs::read(folder.join(digest.to_string())).ok());
        // After a power failure, a file may exist and be empty.
        found.find(|bytes| Digest::of(bytes) == digest)
    }

    /// The path of an artifact's content. A file that is held in memory is written there first, also over one
    /// with other bytes; where that fails, there is no such file.
    pub fn path(&self, request: Digest, artifact: &Artifact) -> PathBuf {
        let path = self.place(request, artifact.digest);
        if let Some(bytes) = self.held.get(request, artifact.digest)
            && fs::read(&path).ok().as_deref() != Some(&*bytes)
            && let Err(error) = self.put(request, artifact.digest, &bytes)
        {
            tracing::warn!(%error, %request, "a file of a response cannot be written");
        }
        path
    }

    /// Whether the disk has a file of the response with this digest.
    pub fn has_on_disk(&self, request: Digest, digest: Digest) -> bool {
        self.place(request, digest).exists()
    }

    /// Whether something is stored under this digest.
    pub fn has(&self, request: Digest, digest: Digest) -> bool {
        self.has_on_disk(request, digest) || self.work_size(request, digest).is_some()
    }

    fn place(&self, request: Digest, digest: Digest) -> PathBuf {
        self.request(request).join(digest.to_string())
    }

    /// Syncs these artifacts to disk, and checks that each has its size.
    ///
    /// # Errors
    /// If one is missing or has another size, or the disk does not sync.
    pub fn secure(&self, request: Digest, artifacts: &[Artifact]) -> Result<(), StoreError> {
        for artifact in artifacts {
            let path = self.path(request, artifact);
            let synced = File::open(&path).and_then(|file| {
                file.sync_data()?;
                let whole = file.metadata()?.len() == artifact.size;
                if whole { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
            });
            synced.map_err(failed("keep", &path))?;
        }
        let folders = [&self.request(request), &self.folder];
        let mut folders = folders.into_iter().filter(|_| !artifacts.is_empty());
        folders.try_for_each(|folder| sync(folder))
    }

    /// Whether all these artifacts exist and have their digest.
    pub fn is_whole(&self, request: Digest, artifacts: &[Artifact]) -> bool {
        let is_whole = |artifact: &Artifact| {
            let is_on_disk = || {
                let bytes = fs::read(self.place(request, artifact.digest));
                bytes.is_ok_and(|bytes| Digest::of(&bytes) == artifact.digest)
            };
            self.held.get(request, artifact.digest).is_some() || is_on_disk()
        };
        artifacts.iter().all(is_whole)
    }

    /// Removes the values of an answered request. The files of its response stay.
    ///
    /// # Errors
    /// If they cannot be removed.
    pub fn end_work(&self, request: Digest) -> Result<(), StoreError> {
        remove(&self.work(request))
    }

    /// Removes all files and values of a request.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn remove(&self, request: Digest) -> Result<(), StoreError> {
        remove(&self.request(request))
    }

    fn write(&self, folder: &Path, digest: Digest, bytes: &[u8]) -> Result<File, StoreError> {
        fs::create_dir_all(folder).map_err(failed("make", folder))?;
        let number = self.temporary.fetch_add(1, Ordering::Relaxed);
        let temporary = folder.join(format!("{}-{number}.part", std::process::id()));
        let written = File::create(&temporary).and_then(|mut file| {
            write_with_holes(&mut file, bytes)?;
            fs::rename(&temporary, folder.join(digest.to_string()))?;
            Ok(file)
        });
        written.map_err(|error| {
            // The first error is reported; the rest of the file is of no use.
            let _ = fs::remove_file(&temporary);
            failed("write", &temporary)(error)
        })
    }

    fn request(&self, request: Digest) -> PathBuf {
        self.folder.join(request.to_string())
    }

    fn work(&self, request: Digest) -> PathBuf {
        self.request(request).join("work")
    }
}

/// A request whose small files are held in memory.
pub struct RequestHold<'a> {
    store: &'a Store,
    request: Digest,
}

impl Drop for RequestHold<'_> {
    fn drop(&mut self) {
        self.store.end_holding(self.request);
    }
}

/// Makes a folder, and syncs its name to disk.
///
/// # Errors
/// If it cannot be made, or the folder above it does not sync.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    // Also for an existing folder: the process that made it may have been killed before the sync.
    let above = std::path::absolute(folder)?;
    above.parent().map_or(Ok(()), |above| File::open(above)?.sync_all())
}

/// Starts writing a piece of a file to disk, so that a later sync of the file waits less. Only Linux does
/// this; elsewhere the sync takes longer.
#[cfg(target_os = "linux")]
pub fn begin_writing(file: &File, offset: u64, length: u64) {
    // The advice is meant to drop these pages from the cache; Linux has to write them first, which is what is
    // wanted here.
    let _ = rustix::fs::fadvise(file, offset, std::num::NonZero::new(length), rustix::fs::Advice::DontNeed);
}

#[cfg(not(target_os = "linux"))]
pub fn begin_writing(_file: &File, _offset: u64, _length: u64) {}

/// The free bytes on the disk of a path; `u64::MAX` if the system does not say.
pub fn free_bytes(path: &Path) -> u64 {
    disk(path).map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// The size of the disk of a path in bytes; `u64::MAX` if the system does not say.
///
/// ```
/// use std::path::Path;
/// use flow::store::{free_bytes, total_bytes};
///
/// assert!(free_bytes(Path::new(".")) <= total_bytes(Path::new(".")));
/// ```
pub fn total_bytes(path: &Path) -> u64 {
    disk(path).map_or(u64::MAX, |disk| disk.f_blocks.saturating_mul(disk.f_frsize))
}

fn disk(path: &Path) -> Option<rustix::fs::StatVfs> {
    let folder = if path.is_dir() { path } else { path.parent()? };
    rustix::fs::statvfs(folder).ok()
}

fn sync(folder: &Path) -> Result<(), StoreError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("sync", folder))
}

fn remove(folder: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", folder)(error)),
        _ => Ok(()),
    }
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError { what, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::ResponseFile;

    #[test]
    fn work_ends_and_the_response_stays() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path()).unwrap();
        let request = Digest::of(b"request");
        let artifact = ResponseFile::new("a.txt", "text/plain", b"abc".to_vec()).artifact();
        store.put(request, artifact.digest, b"abc").unwrap();
        store.put_work(request, Digest::of(b"value"), b"value").unwrap();
        assert_eq!(store.get(request, Digest::of(b"value")).unwrap(), b"value");
        store.end_work(request).unwrap();
        assert_eq!(store.get(request, Digest::of(b"value")), None);
        store.secure(request, std::slice::from_ref(&artifact)).unwrap();
        store.remove(request).unwrap();
        assert!(store.secure(request, &[artifact]).is_err());
    }

    #[test]
    fn what_is_not_what_it_was_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path()).unwrap();
        let (request, digest) = (Digest::of(b"request"), Digest::of(b"abc"));
        store.put(request, digest, b"abc").unwrap();
        fs::write(folder.path().join(request.to_string()).join(digest.to_string()), b"abd").unwrap();
        assert_eq!(store.get(request, digest), None);
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
