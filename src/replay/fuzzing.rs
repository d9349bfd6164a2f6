//! Entry point for the target in `fuzz`: an exported request of somebody else.

use std::fs;
use std::io;
use std::path::Path;

use super::{PastRequest, pack, unpack};

const BYTES_MAX: u64 = 1 << 20;

/// An archive. Its files lie in the folder, are plain, and as large as announced. Its dataflow is not read: it may
/// name programs.
pub fn archive(folder: &Path, bytes: &[u8]) -> bool {
    let to = folder.join("to");
    fs::create_dir(&to).expect("the folder can be written");
    let unpacked = unpack(bytes, &to, BYTES_MAX);
    assert_eq!(fs::read_dir(folder).expect("the folder is there").count(), 1, "nothing lies outside");
    let Ok(unpacked) = unpacked else { return false };
    let announced = unpacked.recording.contents();
    let past = PastRequest::of_archive(unpacked);
    for (digest, content) in announced {
        let kind = fs::symlink_metadata(to.join(&content.path)).expect("all that is announced is there");
        assert!(kind.is_file() && kind.len() == content.size, "{}", content.path);
        assert_eq!(past.bytes(digest).map(|bytes| bytes.len() as u64), Some(content.size));
    }
    past.check_items().expect("the items were compared with their digests");
    pack(&past.recording, |digest| past.open(digest), io::sink()).expect("it can be packed again");
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exported_requests_do_no_harm() {
        crate::fuzzed::check_in_folder("request_archive", archive);
    }
}
