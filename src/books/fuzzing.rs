//! Entry point for the target in `fuzz`: the archive of a book.

use std::fs;
use std::io::sink;
use std::path::Path;

use crate::step::CancelToken;

use super::steps::extract_book::{ExtractLimits, unpack};
use super::steps::modify_book::pack;

const LIMITS: ExtractLimits = ExtractLimits { bytes: 1 << 20, files: 100 };

/// A tar, plain or compressed. Nothing may lie outside of its folder, be a link, or be more than allowed.
pub fn archive(folder: &Path, bytes: &[u8]) -> bool {
    let (file, to) = (folder.join("archive"), folder.join("to"));
    fs::write(&file, bytes).expect("the folder can be written");
    fs::create_dir(&to).expect("the folder can be written");
    let token = CancelToken::default();
    let unpacked = unpack(&file, &to, &LIMITS, &token);
    assert_eq!(fs::read_dir(folder).expect("the folder is there").count(), 2, "nothing lies outside");
    let written = bytes_below(&to);
    assert!(written <= LIMITS.bytes, "{written} bytes");
    if let Err(fault) = &unpacked {
        assert!(!fault.reason.is_empty());
    } else if let Err(fault) = pack(&to, "book", sink(), &token) {
        assert!(fault.reason.starts_with("bad path"), "{}", fault.reason);
    }
    unpacked.is_ok()
}

fn bytes_below(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).expect("the folder can be read").map(|entry| entry.expect("as above"));
    let bytes = entries.map(|entry| {
        let kind = entry.metadata().expect("it is there");
        assert!(kind.is_dir() || kind.is_file(), "neither file nor folder: {}", entry.path().display());
        if kind.is_dir() { bytes_below(&entry.path()) } else { kind.len() }
    });
    bytes.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_of_books_do_no_harm() {
        crate::fuzzed::check_in_folder("book_archive", archive);
    }
}
