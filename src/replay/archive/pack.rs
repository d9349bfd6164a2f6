//! Writing an archive.

use std::io::{self, Read, Write};
use std::path::PathBuf;

use tar::{Builder, EntryType, Header};

use crate::replay::{Content, Recording};
use crate::step::{Digest, Digester, ItemPlace};

use super::{FORMAT, MANIFEST, Manifest};

#[derive(Debug, thiserror::Error)]
pub enum PackError {
    #[error("could not write the archive")]
    Write(#[source] io::Error),
    #[error("could not read {path} of the recording, {digest}")]
    Read { path: String, digest: Digest, source: io::Error },
    #[error("{path} of the recording is not what its digest {digest} says")]
    Changed { path: String, digest: Digest },
}

/// Writes an archive. `open` gives the bytes of a digest.
///
/// # Errors
/// If bytes cannot be had, are not those of their digest, or cannot be written. What has been written is
/// of no use then.
pub fn pack<R: Read>(
    recording: &Recording,
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

/// Where files lie on this machine does not belong into it.
fn manifest(recording: &Recording) -> Vec<u8> {
    let mut recording = recording.clone();
    for item in &mut recording.request.items {
        item.place = ItemPlace::File(PathBuf::new());
    }
    recording.request.claims.clear();
    let manifest = Manifest { format: FORMAT, recording: &recording };
    serde_json::to_vec_pretty(&manifest).expect("a recording is made of texts and numbers")
}

fn copy<R: Read>(
    archive: &mut Builder<impl Write>,
    digest: Digest,
    content: &Content,
    open: &mut impl FnMut(Digest) -> io::Result<R>,
) -> Result<(), PackError> {
    let path = || content.path.clone();
    let unreadable = |source| PackError::Read { path: path(), digest, source };
    let mut bytes =
        Measured { from: open(digest).map_err(unreadable)?, digester: Digester::default(), count: 0 };
    // Were there less, the archive would be filled up with zeros without a word.
    append(archive, &content.path, content.size, (&mut bytes).take(content.size))
        .map_err(PackError::Write)?;
    if bytes.count == content.size && bytes.digester.digest() == digest {
        return Ok(());
    }
    Err(PackError::Changed { path: path(), digest })
}

/// Without times, owners and rights, which would differ from machine to machine.
fn append(archive: &mut Builder<impl Write>, path: &str, size: u64, bytes: impl Read) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_size(size);
    archive.append_data(&mut header, path, bytes)
}

/// Takes the digest of what is read through it.
struct Measured<R> {
    from: R,
    digester: Digester,
    count: u64,
}

impl<R: Read> Read for Measured<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.digester.update(&buffer[..count]);
        self.count += count as u64;
        Ok(count)
    }
}
