//! Downloads: one attempt at a GET into a file, which goes on where an earlier one stopped.
//!
//! The bytes come into `FILE.part` beside an entity tag in `FILE.part.tag`; a later attempt asks for the rest, if the
//! entity is still the same (RFC 9110, 13.1.5 and 14). The file has its name only when it is whole and, where the
//! service says a digest of it (RFC 9530), has that digest.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::step::{CallAttempt, CallFault, CancelToken, Digest, Digester, Fault, FaultKind};

use super::client::{agent, service, unanswered};

/// A GET into a file.
pub struct FileDownload<'a> {
    pub url: &'a str,
    pub file: &'a Path,
    /// The largest file that is taken, in bytes.
    pub bytes_max: u64,
}

/// The end of a download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DownloadEnd {
    /// The file is there.
    Whole { digest: Digest, bytes: u64 },
    /// The service has accepted the question and has nothing yet: ask again after so long.
    NotReady(Duration),
}

/// The wait before a service that is not ready is asked again, if it does not say.
const NOT_READY: Duration = Duration::from_secs(60);

/// Bytes that are read at a time.
const PIECE_BYTES: usize = 128 << 10;

impl FileDownload<'_> {
    /// Makes one attempt.
    ///
    /// # Errors
    /// A temporary fault if the service does not answer, is busy, or breaks off; what came is kept. A fault in the
    /// data if it refuses, or gives bytes that have another digest than it says.
    pub fn fetch(&self, attempt: &CallAttempt, token: &CancelToken) -> Result<DownloadEnd, CallFault> {
        let _lock = self.lock()?;
        let known = self.known_tag();
        let part = self.part();
        let have = fs::metadata(&part).map_or(0, |metadata| metadata.len());
        let resumed = fs::read_to_string(self.part_tag()).ok().filter(|tag| have > 0 && !tag.is_empty());
        let get = agent().get(self.url).config().timeout_global(Some(attempt.timeout)).build();
        let get = match (&known, &resumed) {
            (Some(tag), _) => get.header("If-None-Match", tag),
            (None, Some(tag)) => get.header("Range", format!("bytes={have}-")).header("If-Range", tag),
            (None, None) => get,
        };
        let service = service(self.url);
        let mut answer = get.call().map_err(|error| unanswered(service, &error))?;
        let header = |name: &str| {
            let value = answer.headers().get(name).and_then(|value| value.to_str().ok());
            value.map(|value| value.trim().to_owned())
        };
        let wait = header("Retry-After").and_then(|text| text.parse().ok()).map(Duration::from_secs);
        let entity = EntityHead {
            tag: header("ETag"),
            sha256: header("Repr-Digest").as_deref().and_then(sha256),
            length: header("Content-Length").and_then(|text| text.parse().ok()),
            range: header("Content-Range"),
        };
        match answer.status().as_u16() {
            304 if known.is_some() => {
                let (digest, _, bytes) = digests(self.file).map_err(|error| storage(&error))?;
                Ok(DownloadEnd::Whole { digest, bytes })
            }
            202 => Ok(DownloadEnd::NotReady(wait.unwrap_or(NOT_READY))),
            200 => {
                let mut body = answer.body_mut().as_reader();
                self.take(&entity, 0, &mut body, token)
            }
            206 if entity.begins_at(have) => {
                let mut body = answer.body_mut().as_reader();
                self.take(&entity, have, &mut body, token)
            }
            206 | 416 => {
                self.forget();
                let reason = format!("{service} gave another part than was asked for");
                Err(Fault::transient(reason, REMEDY).into())
            }
            status => Err(refused(service, status, wait)),
        }
    }

    /// One download of a file at a time: a worker that was taken for lost may still be at it.
    fn lock(&self) -> Result<File, Fault> {
        let lock =
            OpenOptions::new().write(true).create(true).truncate(false).open(beside(self.file, "lock"));
        let lock = lock.map_err(|error| storage(&error))?;
        match lock.try_lock() {
            Ok(()) => Ok(lock),
            Err(TryLockError::WouldBlock) => {
                Err(Fault::transient(BUSY, "Nothing need be done: it is tried again."))
            }
            Err(TryLockError::Error(error)) => Err(storage(&error)),
        }
    }

    /// Takes the body, which begins at this byte of the file.
    fn take(
        &self,
        entity: &EntityHead,
        begin: u64,
        body: &mut dyn Read,
        token: &CancelToken,
    ) -> Result<DownloadEnd, CallFault> {
        let expected = entity.length.map(|length| begin + length);
        if expected.is_some_and(|bytes| bytes > self.bytes_max) {
            return Err(self.too_large(expected.unwrap_or_default()).into());
        }
        let stored = (|| {
            fs::write(self.part_tag(), entity.tag.as_deref().unwrap_or_default())?;
            OpenOptions::new()
                .create(true)
                .append(begin > 0)
                .write(true)
                .truncate(begin == 0)
                .open(self.part())
        })();
        let mut file = stored.map_err(|error| storage(&error))?;
        let mut bytes = begin;
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            token.check()?;
            let length = match body.read(&mut piece) {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(broken_off(bytes, &error.to_string()).into()),
            };
            if length == 0 {
                break;
            }
            bytes += length as u64;
            if bytes > self.bytes_max {
                self.forget();
                return Err(self.too_large(bytes).into());
            }
            file.write_all(&piece[..length]).map_err(|error| storage(&error))?;
        }
        drop(file);
        if expected.is_some_and(|expected| expected != bytes) {
            return Err(broken_off(bytes, "the connection was closed").into());
        }
        self.whole(entity.sha256.as_deref()).map_err(CallFault::from)
    }

    /// Checks the part, and gives it its name.
    fn whole(&self, expected: Option<&[u8]>) -> Result<DownloadEnd, Fault> {
        let (digest, sha256, bytes) = digests(&self.part()).map_err(|error| storage(&error))?;
        if let Some(expected) = expected.filter(|expected| *expected != sha256) {
            self.forget();
            let reason = format!("wrong digest: SHA-256 is {}, not {}", hex(&sha256), hex(expected));
            return Err(Fault::new(reason, "See to the service, and run the token again."));
        }
        let kept = (|| {
            // Without its tag, a file is fetched again; the tag of another file must not stay beside it.
            let _ = fs::remove_file(self.tag());
            fs::rename(self.part(), self.file)?;
            fs::rename(self.part_tag(), self.tag())
        })();
        kept.map_err(|error| storage(&error))?;
        Ok(DownloadEnd::Whole { digest, bytes })
    }

    /// The entity tag of the file, if it is there as a whole.
    fn known_tag(&self) -> Option<String> {
        let tag = fs::read_to_string(self.tag()).ok().filter(|tag| !tag.is_empty())?;
        self.file.is_file().then_some(tag)
    }

    fn forget(&self) {
        // What is not there need not be removed, and what cannot be is found out at the next attempt.
        let _ = fs::remove_file(self.part());
        let _ = fs::remove_file(self.part_tag());
    }

    fn too_large(&self, bytes: u64) -> Fault {
        let reason = format!("too large: {bytes} bytes, {} at most", self.bytes_max);
        Fault::new(reason, "Raise the limit in the dataflow file, if it is meant to be so large.")
    }

    fn part(&self) -> PathBuf {
        beside(self.file, "part")
    }

    fn part_tag(&self) -> PathBuf {
        beside(self.file, "part.tag")
    }

    fn tag(&self) -> PathBuf {
        beside(self.file, "tag")
    }
}

/// What a service says about the bytes that follow.
struct EntityHead {
    tag: Option<String>,
    sha256: Option<Vec<u8>>,
    length: Option<u64>,
    range: Option<String>,
}

impl EntityHead {
    fn begins_at(&self, byte: u64) -> bool {
        let range = self.range.as_deref().unwrap_or_default();
        range.strip_prefix("bytes ").and_then(|range| range.split('-').next()) == Some(&byte.to_string())
    }
}

const BUSY: &str = "another process is downloading the same file";

const REMEDY: &str = "See to the service and the network, and run the token again.";

fn refused(service: &str, status: u16, wait: Option<Duration>) -> CallFault {
    match status {
        408 | 425 | 429 | 500.. => {
            let fault = Fault::transient(format!("status {status}: {service} is busy"), REMEDY);
            CallFault::busy(fault, wait)
        }
        404 | 410 => Fault::new(format!("not found: {service} has status {status}"), REMEDY).into(),
        _ => Fault::new(format!("status {status}: {service} refused"), REMEDY).into(),
    }
}

fn broken_off(bytes: u64, why: &str) -> Fault {
    Fault::transient(format!("broken off: after {bytes} bytes, {why}"), REMEDY)
}

fn storage(error: &io::Error) -> Fault {
    Fault::of(FaultKind::Storage, format!("disk: {error}"), "See to the disk, and run the token again.")
}

fn beside(file: &Path, end: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".");
    name.push(end);
    name.into()
}

/// The value of `sha-256=:BASE64:` in a list of digests.
fn sha256(text: &str) -> Option<Vec<u8>> {
    let values = text.split(',').filter_map(|one| one.trim().strip_prefix("sha-256=:")?.strip_suffix(':'));
    values.filter_map(|value| STANDARD.decode(value).ok()).next()
}

fn digests(path: &Path) -> io::Result<(Digest, Vec<u8>, u64)> {
    let (mut own, mut sha256) = (Digester::default(), Sha256::new());
    let (mut file, mut bytes) = (File::open(path)?, 0);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let length = file.read(&mut piece)?;
        if length == 0 {
            return Ok((own.digest(), sha256.finalize().to_vec(), bytes));
        }
        own.write_all(&piece[..length])?;
        sha256.update(&piece[..length]);
        bytes += length as u64;
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_another_process_downloads_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("book");
        let download = FileDownload { url: "http://127.0.0.1:1/book", file: &file, bytes_max: 10 };
        let other = download.lock().unwrap();
        let attempt = CallAttempt { key: Digest::of(b"book"), timeout: Duration::from_secs(1) };
        let fault = download.fetch(&attempt, &CancelToken::default()).unwrap_err().fault;
        assert_eq!((fault.kind, &*fault.reason), (FaultKind::Transient, BUSY));
        drop(other);
        assert_ne!(download.fetch(&attempt, &CancelToken::default()).unwrap_err().fault.reason, BUSY);
    }
}
