//! Reads archives. The content is untrusted.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use tar::{Archive, Entry, EntryType};

use crate::replay::digester::RecordedDigester;
use crate::replay::{RecordingContent, RequestRecording};
use crate::step::{Digest, ItemPlace};

use super::{ArchiveFormat, ArchiveManifest, FORMAT, MANIFEST, MANIFEST_BYTES_MAX};

/// A recording with its bytes in a folder.
#[derive(Debug)]
pub struct UnpackedArchive {
    /// The recording, with the paths of items in the folder.
    pub recording: RequestRecording,
    paths: BTreeMap<Digest, PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    #[error("could not read the archive")]
    Read(#[source] io::Error),
    #[error("could not write {path}", path = path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("the file is not an exported request: {0}")]
    Foreign(&'static str),
    #[error("format {found} is not supported; this version of flow reads format {FORMAT}")]
    Format { found: u32 },
    #[error("could not read the manifest")]
    Manifest(#[source] serde_json::Error),
    #[error("{bytes} bytes exceed the limit of {most}")]
    Large { bytes: u64, most: u64 },
    #[error("{path:?} is not in the manifest")]
    Unannounced { path: String },
    #[error("{path:?} is not a valid file name")]
    Name { path: String },
    #[error("{path:?} is damaged: it does not match its digest")]
    Damaged { path: String },
    #[error("the archive is truncated: {path:?} is missing")]
    Missing { path: String },
}

impl UnpackedArchive {
    /// The recording, and a function that finds the bytes of a digest.
    pub fn into_parts(self) -> (RequestRecording, BTreeMap<Digest, PathBuf>) {
        (self.recording, self.paths)
    }
}

/// Unpacks an archive into an empty folder. At most `bytes_max` bytes are written.
///
/// # Errors
/// The archive is truncated or invalid. The caller may remove the files written so far.
pub fn unpack(from: impl Read, folder: &Path, bytes_max: u64) -> Result<UnpackedArchive, UnpackError> {
    let mut archive = Archive::new(from);
    let mut entries = archive.entries().map_err(UnpackError::Read)?.raw(true);
    let first = entries.next().ok_or(UnpackError::Foreign("it is empty"))?;
    let recording = manifest(first.map_err(UnpackError::Read)?)?;
    let mut announced = announced(&recording, bytes_max)?;
    let mut paths = BTreeMap::new();
    for entry in entries {
        let (digest, path) = content(entry.map_err(UnpackError::Read)?, &mut announced, folder)?;
        paths.insert(digest, path);
    }
    match announced.into_keys().next() {
        Some(path) => Err(UnpackError::Missing { path }),
        None => Ok(located(recording, paths)),
    }
}

fn manifest(entry: Entry<impl Read>) -> Result<RequestRecording, UnpackError> {
    if entry.path_bytes().as_ref() != MANIFEST.as_bytes() || !is_regular(&entry) {
        return Err(UnpackError::Foreign("it does not begin with manifest.json"));
    }
    if entry.size() > MANIFEST_BYTES_MAX {
        return Err(UnpackError::Large { bytes: entry.size(), most: MANIFEST_BYTES_MAX });
    }
    let mut text = Vec::new();
    entry.take(MANIFEST_BYTES_MAX).read_to_end(&mut text).map_err(UnpackError::Read)?;
    let ArchiveFormat { format } = serde_json::from_slice(&text).map_err(UnpackError::Manifest)?;
    if format != FORMAT {
        return Err(UnpackError::Format { found: format });
    }
    let manifest: ArchiveManifest<RequestRecording> =
        serde_json::from_slice(&text).map_err(UnpackError::Manifest)?;
    Ok(manifest.recording)
}

/// The files announced by the manifest, by path.
fn announced(
    recording: &RequestRecording,
    bytes_max: u64,
) -> Result<BTreeMap<String, (Digest, u64)>, UnpackError> {
    if let Some(name) = recording.misnamed() {
        return Err(UnpackError::Name { path: name.to_owned() });
    }
    let contents = recording.contents();
    let bytes = contents.values().fold(0, |sum: u64, content| sum.saturating_add(content.size));
    if bytes > bytes_max {
        return Err(UnpackError::Large { bytes, most: bytes_max });
    }
    let mut announced = BTreeMap::new();
    for (digest, RecordingContent { path, size }) in contents {
        if announced.insert(path.clone(), (digest, size)).is_some() {
            return Err(UnpackError::Name { path });
        }
    }
    Ok(announced)
}

/// Writes one announced file.
fn content(
    mut entry: Entry<impl Read>,
    announced: &mut BTreeMap<String, (Digest, u64)>,
    folder: &Path,
) -> Result<(Digest, PathBuf), UnpackError> {
    let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
    let Some((digest, size)) = announced.remove(&path).filter(|_| is_regular(&entry)) else {
        return Err(UnpackError::Unannounced { path });
    };
    if entry.size() != size {
        return Err(UnpackError::Damaged { path });
    }
    let place = folder.join(&path);
    let unwritten = |source| UnpackError::Write { path: place.clone(), source };
    place.parent().map_or(Ok(()), fs::create_dir_all).map_err(unwritten)?;
    let mut file = File::create_new(&place).map_err(unwritten)?;
    if !copy(&mut entry, &mut file, &place)?.is(digest) {
        return Err(UnpackError::Damaged { path });
    }
    Ok((digest, place))
}

/// Copies bytes and returns their digest.
fn copy(from: &mut impl Read, to: &mut File, place: &Path) -> Result<RecordedDigester, UnpackError> {
    let mut digester = RecordedDigester::default();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = from.read(&mut buffer).map_err(UnpackError::Read)?;
        if count == 0 {
            return Ok(digester);
        }
        digester.update(&buffer[..count]);
        let written = to.write_all(&buffer[..count]);
        written.map_err(|source| UnpackError::Write { path: place.to_owned(), source })?;
    }
}

/// Whether an entry is a regular file. Links and devices are refused: they lead out of the folder.
fn is_regular(entry: &Entry<impl Read>) -> bool {
    entry.header().entry_type() == EntryType::Regular
}

fn located(mut recording: RequestRecording, paths: BTreeMap<Digest, PathBuf>) -> UnpackedArchive {
    for item in &mut recording.request.items {
        if let Some(path) = paths.get(&item.digest) {
            item.place = ItemPlace::File(path.clone());
        }
    }
    UnpackedArchive { recording, paths }
}
