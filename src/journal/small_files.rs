//! Small files in the content of records: those of a response are safe with its record, without a file and a
//! sync for each. The content has the files one after the other, in the order of the response. Which ones are
//! there is told by their digests: a file whose digest does not match the next bytes is elsewhere.

use crate::step::{Artifact, Digest};
use crate::store::{SMALL_FILE_BYTES_MAX, Store, StoreError};

/// The most bytes of files in the content of one record. Further files are stored elsewhere.
const BYTES_MAX: usize = 64 << 10;

/// Whether a file of this size goes into a record that has this content.
pub fn fits(size: u64, content: &[u8]) -> bool {
    size <= SMALL_FILE_BYTES_MAX && content.len() < BYTES_MAX
}

/// Makes the files of a response safe, once the content that is given is recorded with it: the small files
/// one after the other. The others are synced where they are.
///
/// # Errors
/// If a file is missing or not as it was written, or the disk does not sync.
pub fn secure(store: &Store, request: Digest, files: &[Artifact]) -> Result<Vec<u8>, StoreError> {
    let mut content = Vec::new();
    let mut others = Vec::new();
    for file in files {
        match fits(file.size, &content).then(|| store.get(request, file.digest)).flatten() {
            Some(bytes) => content.extend(bytes),
            None => others.push(file.clone()),
        }
    }
    store.secure(request, &others).map(|()| content)
}

/// Takes the files at the beginning of a content.
pub fn take<'a, 'b>(files: &'a [Artifact], content: &mut &'b [u8]) -> Vec<(&'a Artifact, &'b [u8])> {
    let mut next = |file: &Artifact| {
        let length = usize::try_from(file.size).ok().filter(|_| file.size <= SMALL_FILE_BYTES_MAX)?;
        let (bytes, rest) = content.split_at_checked(length)?;
        let is_file = Digest::of(bytes) == file.digest;
        if is_file {
            *content = rest;
        }
        is_file.then_some(bytes)
    };
    files.iter().filter_map(|file| next(file).map(|bytes| (file, bytes))).collect()
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
        let lengths = |content: &[u8]| -> Vec<usize> {
            take(&files, &mut &*content).iter().map(|(_, bytes)| bytes.len()).collect()
        };
        assert_eq!(lengths(&content), [3, 0, 3, 5]);
        assert_eq!(lengths(&[]), [0]);
        store.remove(request).unwrap();
        assert!(secure(&store, request, &files).is_err());
    }
}
