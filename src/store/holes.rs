//! Files with holes: blocks of zeros that take no place on the disk.
//!
//! Results are full of zeros: two thirds of a Segmentation, and the black around a picture. A hole is neither copied
//! nor synced, and reads as zeros.

use std::fs::File;
use std::io::{self, Seek, Write};

/// The size of a block of usual file systems.
const BLOCK_BYTES: usize = 4 << 10;

/// Writes the bytes of a new file, with holes for blocks of zeros. Where the file system has no holes, it writes the
/// zeros itself.
///
/// # Errors
/// If the file cannot be written.
pub fn write_with_holes(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    let blocks: Vec<(&[u8], bool)> = bytes.chunks(BLOCK_BYTES).map(|block| (block, is_zero(block))).collect();
    let mut at = 0;
    for stretch in blocks.chunk_by(|(_, one), (_, next)| one == next) {
        let length: usize = stretch.iter().map(|(block, _)| block.len()).sum();
        match stretch[0] {
            (_, true) => file.seek_relative(length as i64)?,
            (_, false) => file.write_all(&bytes[at..at + length])?,
        }
        at += length;
    }
    // A hole at the end is no part of the file yet.
    if let Some((_, true)) = blocks.last() { file.set_len(bytes.len() as u64) } else { Ok(()) }
}

/// All bytes are joined: that is faster than to look for the first one that is not zero.
fn is_zero(block: &[u8]) -> bool {
    block.first() == Some(&0) && block.iter().fold(0, |any, byte| any | byte) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_reads_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let (some, none) = (vec![7; BLOCK_BYTES], vec![0; 64 * BLOCK_BYTES]);
        let parts: [&[&[u8]]; 7] = [
            &[],
            &[&[0]],
            &[&some, &none],
            &[&none, &some],
            &[&some, &none, &some, &[0; 9]],
            &[&[0; 5], &none, &some[..3]],
            &[&none, &[0; 77]],
        ];
        for (number, parts) in parts.iter().enumerate() {
            let (path, bytes) = (folder.path().join(number.to_string()), parts.concat());
            write_with_holes(&mut File::create(&path).unwrap(), &bytes).unwrap();
            assert!(std::fs::read(&path).unwrap() == bytes, "file {number}");
        }
    }

    #[test]
    #[cfg(unix)]
    fn zeros_take_no_place() {
        use std::os::unix::fs::MetadataExt;

        let mut file = tempfile::tempfile().unwrap();
        let zeros = vec![0; 256 * BLOCK_BYTES];
        let bytes = [&zeros[..], &[7; BLOCK_BYTES], &zeros].concat();
        write_with_holes(&mut file, &bytes).unwrap();
        let metadata = file.metadata().unwrap();
        assert_eq!(metadata.len(), bytes.len() as u64);
        assert!(metadata.blocks() * 512 <= 8 * BLOCK_BYTES as u64, "{} blocks", metadata.blocks());
    }
}
