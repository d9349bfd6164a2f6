//! Reading an archive, which anybody may have written.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use tar::{Archive, Entry, EntryType};

use crate::replay::{Content, Recording};
use crate::step::{Digest, Digester, ItemPlace};

use super::{FORMAT, Format, MANIFEST, MANIFEST_BYTES_MAX, Manifest};

/// A recording whose bytes lie in a folder.
#[derive(Debug)]
pub struct Unpacked {
    /// The items' paths are those in the folder.
    pub recording: Recording,
    paths: BTreeMap<Digest, PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    #[error("could not read the archive")]
    Read(#[source] io::Error),
    #[error("could not write {path}", path = path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("it is not an exported request: {0}")]
    Foreign(&'static str),
    #[error("it has the format {found}, and this flow knows {FORMAT}")]
    Format { found: u32 },
    #[error("its manifest cannot be read")]
    Manifest(#[source] serde_json::Error),
    #[error("it has {bytes} bytes, and {most} are allowed")]
    Large { bytes: u64, most: u64 },
    #[error("it has {path:?}, which its manifest does not announce")]
    Unannounced { path: String },
    #[error("{path:?} cannot be the name of a file")]
    Name { path: String },
    #[error("{path:?} in it is damaged: it is not what its digest says")]
    Damaged { path: String },
    #[error("it is cut off: {path:?} is missing")]
    Missing { path: String },
}

impl Unpacked {
    /// The recording, and where the bytes of each digest lie.
    pub fn into_parts(self) -> (Recording, BTreeMap<Digest, PathBuf>) {
        (self.recording, self.paths)
    }
}

/// Unpacks an archive below a folder, which has to be empty. At most `bytes_max` are written.
///
/// # Errors
/// If it is not a whole and sound archive. What has been written then may be removed.
pub fn unpack(from: impl Read, folder: &Path, bytes_max: u64) -> Result<Unpacked, UnpackError> {
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

fn manifest(entry: Entry<impl Read>) -> Result<Recording, UnpackError> {
    if entry.path_bytes().as_ref() != MANIFEST.as_bytes() || !is_regular(&entry) {
        return Err(UnpackError::Foreign("it does not begin with manifest.json"));
    }
    if entry.size() > MANIFEST_BYTES_MAX {
        return Err(UnpackError::Large { bytes: entry.size(), most: MANIFEST_BYTES_MAX });
    }
    let mut text = Vec::new();
    entry.take(MANIFEST_BYTES_MAX).read_to_end(&mut text).map_err(UnpackError::Read)?;
    let Format { format } = serde_json::from_slice(&text).map_err(UnpackError::Manifest)?;
    if format != FORMAT {
        return Err(UnpackError::Format { found: format });
    }
    let manifest: Manifest<Recording> = serde_json::from_slice(&text).map_err(UnpackError::Manifest)?;
    Ok(manifest.recording)
}

/// What has to follow, by path.
fn announced(recording: &Recording, bytes_max: u64) -> Result<BTreeMap<String, (Digest, u64)>, UnpackError> {
    if let Some(name) = recording.misnamed() {
        return Err(UnpackError::Name { path: name.to_owned() });
    }
    let contents = recording.contents();
    let bytes = contents.values().fold(0, |sum: u64, content| sum.saturating_add(content.size));
    if bytes > bytes_max {
        return Err(UnpackError::Large { bytes, most: bytes_max });
    }
    let mut announced = BTreeMap::new();
    for (digest, Content { path, size }) in contents {
        if announced.insert(path.clone(), (digest, size)).is_some() {
            return Err(UnpackError::Name { path });
        }
    }
    Ok(announced)
}

/// Writes one file of those announced.
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
    if copy(&mut entry, &mut file, &place)? != digest {
        return Err(UnpackError::Damaged { path });
    }
    Ok((digest, place))
}

/// Copies, and takes the digest of what it copies.
fn copy(from: &mut impl Read, to: &mut File, place: &Path) -> Result<Digest, UnpackError> {
    let mut digester = Digester::default();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = from.read(&mut buffer).map_err(UnpackError::Read)?;
        if count == 0 {
            return Ok(digester.digest());
        }
        digester.update(&buffer[..count]);
        let written = to.write_all(&buffer[..count]);
        written.map_err(|source| UnpackError::Write { path: place.to_owned(), source })?;
    }
}

/// No link, no device: nothing that leads elsewhere.
fn is_regular(entry: &Entry<impl Read>) -> bool {
    entry.header().entry_type() == EntryType::Regular
}

fn located(mut recording: Recording, paths: BTreeMap<Digest, PathBuf>) -> Unpacked {
    for item in &mut recording.request.items {
        if let Some(path) = paths.get(&item.digest) {
            item.place = ItemPlace::File(path.clone());
        }
    }
    Unpacked { recording, paths }
}
