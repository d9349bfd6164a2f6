//! Copying a file with its digest.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::step::{Digest, Digester};

use super::manifest::BackupFile;

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 1 << 18;

/// Copies a file with its mode and the time of its last change, and syncs it; gives its size and digest.
///
/// # Errors
/// If it cannot be read or written.
pub fn copy(from: &Path, to: &Path) -> io::Result<(u64, Digest)> {
    let mut source = File::open(from)?;
    let about = source.metadata()?;
    let mut copy = File::options().write(true).create_new(true).open(to)?;
    let read = digested(&mut source, |chunk| copy.write_all(chunk))?;
    copy.set_permissions(about.permissions())?;
    copy.set_modified(about.modified()?)?;
    copy.sync_all()?;
    Ok(read)
}

/// The size and digest of a file.
///
/// # Errors
/// If it cannot be read.
pub fn digest(path: &Path) -> io::Result<(u64, Digest)> {
    digested(&mut File::open(path)?, |_| Ok(()))
}

fn digested(source: &mut File, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<(u64, Digest)> {
    let (mut chunk, mut digester, mut bytes) = (vec![0; CHUNK_BYTES], Digester::default(), 0);
    loop {
        match source.read(&mut chunk)? {
            0 => return Ok((bytes, digester.digest())),
            count => {
                digester.update(&chunk[..count]);
                take(&chunk[..count])?;
                bytes += count as u64;
            }
        }
    }
}

/// Links to the file of an earlier backup, if the file has not changed since.
pub fn link(from: &Path, earlier: Option<(&Path, &BackupFile)>, to: &Path) -> Option<BackupFile> {
    let (place, file) = earlier?;
    let about = fs::metadata(from).ok()?;
    let is_same = file.modified_ns.is_some()
        && file.modified_ns == modified_ns(&about)
        && about.len() == file.bytes
        && fs::metadata(place).ok()?.len() == file.bytes;
    // Where links cannot be made, the file is copied.
    (is_same && fs::hard_link(place, to).is_ok()).then(|| file.clone())
}

/// When a file was last changed, in nanoseconds of Unix time.
pub fn modified_ns(about: &fs::Metadata) -> Option<u64> {
    let since = about.modified().unwrap_or(SystemTime::UNIX_EPOCH).duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_nanos()).ok()
}
