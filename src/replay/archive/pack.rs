//! Writes archives.

use std::io::{self, Read, Write};
use std::path::PathBuf;

use tar::{Builder, EntryType, Header};

use crate::replay::digester::RecordedDigester;
use crate::replay::{RecordingContent, RequestRecording};
use crate::step::{Digest, ItemPlace};

use super::{ArchiveManifest, FORMAT, MANIFEST};

#[derive(Debug, thiserror::Error)]
pub enum PackError {
    #[error("could not write the archive")]
    Write(#[source] io::Error),
    #[error("could not read {path} of the recording, {digest}")]
    Read { path: String, digest: Digest, source: io::Error },
    #[error("{path} of the recording does not match its digest {digest}")]
    Changed { path: String, digest: Digest },
}

/// Writes an archive. `open` gives the bytes of a digest.
///
/// # Errors
/// Bytes cannot be read, do not match their digest, or cannot be written. The partial archive is useless.
pub fn pack<R: Read>(
    recording: &RequestRecording,
    mut open: impl FnMut(Digest) -> io::Result<R>,
    to: impl Write,
) -> Result<(), PackError> {
    let mut archive = Builder::new(to);
    let manifest = manifest(recording);
    append(&mut archive, MANIFEST, manifest.len() as u64, manifest.as_slice()).map_err(PackError::Write)?;
    for (digest, content) in recording.contents() {
        copy(&mut archive, digest, &content, &mut open)?;
    }
    archive.into_inner().and_then(|mut to| to.flush()).map_err(PackError::Write)
}

/// The manifest, without the paths of this machine.
fn manifest(recording: &RequestRecording) -> Vec<u8> {
    let mut recording = recording.clone();
    for item in &mut recording.request.items {
        item.place = ItemPlace::File(PathBuf::new());
    }
    recording.request.claims.clear();
    let manifest = ArchiveManifest { format: FORMAT, recording: &recording };
    serde_json::to_vec_pretty(&manifest).expect("a recording is made of texts and numbers")
}

fn copy<R: Read>(
    archive: &mut Builder<impl Write>,
    digest: Digest,
    content: &RecordingContent,
    open: &mut impl FnMut(Digest) -> io::Result<R>,
) -> Result<(), PackError> {
    let path = || content.path.clone();
    let unreadable = |source| PackError::Read { path: path(), digest, source };
    let mut bytes = MeasuredReader {
        from: open(digest).map_err(unreadable)?,
        digester: RecordedDigester::default(),
        count: 0,
    };
    // A shorter file would be padded with zeros silently.
    append(archive, &content.path, content.size, (&mut bytes).take(content.size))
        .map_err(PackError::Write)?;
    if bytes.count == content.size && bytes.digester.is(digest) {
        return Ok(());
    }
    Err(PackError::Changed { path: path(), digest })
}

/// A file's head, without times, owners and permissions, which differ between machines.
fn append(archive: &mut Builder<impl Write>, path: &str, size: u64, bytes: impl Read) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_size(size);
    archive.append_data(&mut header, path, bytes)
}

/// A reader that computes the digest of the bytes read through it.
struct MeasuredReader<R> {
    from: R,
    digester: RecordedDigester,
    count: u64,
}

impl<R: Read> Read for MeasuredReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.digester.update(&buffer[..count]);
        self.count += count as u64;
        Ok(count)
    }
}
