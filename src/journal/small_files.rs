//! Small files of a response: they are safe as the content of its record, without a sync of each.
//!
//! The store has them, too, for those who deliver the response. After a power failure it may have lost
//! them; then they are put back from the record.

use crate::step::{Artifact, Digest};
use crate::store::{Store, StoreError};

/// The most bytes of a file that is in the record of its response.
pub const SMALL_FILE_BYTES_MAX: u64 = 8 << 10;

/// The most bytes of all such files of one response.
const BYTES_MAX: usize = 64 << 10;

/// Makes the files of a response safe, once the content that is given is recorded with it: the small files
/// one after the other. The others are synced where they are.
///
/// # Errors
/// If a file is missing or not as it was written, or the disk does not sync.
pub fn secure(store: &Store, request: Digest, files: &[Artifact]) -> Result<Vec<u8>, StoreError> {
    let mut content = Vec::new();
    let mut others = Vec::new();
    for file in files {
        let is_small = file.size <= SMALL_FILE_BYTES_MAX && content.len() < BYTES_MAX;
        match is_small.then(|| store.get(request, file.digest)).flatten() {
            Some(bytes) => content.extend(bytes),
            None => others.push(file.clone()),
        }
    }
    store.secure(request, &others).map(|()| content)
}

/// The files of a response that are in the content of its record: those whose digest fits.
pub fn recorded<'a>(
    files: &'a [Artifact],
    content: &'a [u8],
) -> impl Iterator<Item = (&'a Artifact, &'a [u8])> {
    let mut content = content;
    files.iter().filter_map(move |file| {
        let bytes = content.get(..usize::try_from(file.size).ok()?)?;
        if bytes.len() as u64 > SMALL_FILE_BYTES_MAX || Digest::of(bytes) != file.digest {
            return None;
        }
        content = &content[bytes.len()..];
        Some((file, bytes))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::ResponseFile;

    #[test]
    fn small_files_are_found_in_the_content_and_others_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let (store, request) = (Store::at(folder.path()).unwrap(), Digest::of(b"request"));
        let sizes = [3, 0, SMALL_FILE_BYTES_MAX as usize + 1, 3, 5];
        let bytes = sizes.map(|size| vec![size as u8; size]);
        let files: Vec<Artifact> = bytes
            .iter()
            .map(|bytes| ResponseFile::new("x", "text/plain", bytes.clone()).artifact())
            .collect();
        for (file, bytes) in files.iter().zip(&bytes) {
            store.put(request, file.digest, bytes).unwrap();
        }
        let content = secure(&store, request, &files).unwrap();
        let found: Vec<usize> = recorded(&files, &content).map(|(_, bytes)| bytes.len()).collect();
        assert_eq!(found, [3, 0, 3, 5]);
        assert_eq!(recorded(&files, &[]).map(|(_, bytes)| bytes.len()).collect::<Vec<_>>(), [0]);
        store.remove(request).unwrap();
        assert!(secure(&store, request, &files).is_err());
    }
}
