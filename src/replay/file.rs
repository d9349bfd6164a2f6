//! The comparison of two files of a response by media type: pictures by pixels, DICOM by elements, JSON
//! by values, text by lines, everything else by bytes.

use std::fmt;

use ciborium::Value;

use crate::dicom;
use crate::imaging::Picture;

use super::{PictureDifference, ValueDifference};

/// The difference between two files.
#[derive(Clone, Debug, PartialEq)]
pub enum FileDifference {
    Parts(ValueDifference),
    Picture(PictureDifference),
}

impl FileDifference {
    /// Compares two files of one media type; at most `listed` changes are listed. Files that do not conform
    /// to their media type are compared by bytes.
    pub fn between(
        name: &str,
        media_type: &str,
        before: &[u8],
        after: &[u8],
        listed: usize,
    ) -> FileDifference {
        if media_type == "image/png"
            && let Ok(difference) = PictureDifference::between(name, before, after)
        {
            return FileDifference::Picture(difference);
        }
        let both = tree(media_type, before).zip(tree(media_type, after));
        let bytes = || (Value::Bytes(before.to_vec()), Value::Bytes(after.to_vec()));
        let (old, new) = both.unwrap_or_else(bytes);
        let difference = ValueDifference::between(&old, &new, listed);
        if !difference.is_empty() || before == after {
            return FileDifference::Parts(difference);
        }
        // Equal content in another encoding.
        let (old, new) = bytes();
        FileDifference::Parts(ValueDifference::between(&old, &new, listed))
    }

    /// The picture that marks the differing pixels, if both pictures have the same size.
    pub fn marked(&self) -> Option<&Picture> {
        match self {
            FileDifference::Picture(PictureDifference::Pixels(pixels)) => Some(&pixels.marked),
            FileDifference::Picture(PictureDifference::Size { .. }) | FileDifference::Parts(_) => None,
        }
    }
}

fn tree(media_type: &str, bytes: &[u8]) -> Option<Value> {
    match media_type {
        "application/dicom" => dicom::contents(bytes).ok(),
        "application/json" => serde_json::from_slice(bytes).ok(),
        _ if media_type.starts_with("text/") => {
            let lines = std::str::from_utf8(bytes).ok()?.lines();
            Some(Value::Array(lines.map(Value::from).collect()))
        }
        _ => None,
    }
}

impl fmt::Display for FileDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileDifference::Parts(difference) => write!(f, "{difference}"),
            FileDifference::Picture(difference) => writeln!(f, "{difference}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(media_type: &str, before: &[u8], after: &[u8], expected: &[&str]) {
        let difference = FileDifference::between("file", media_type, before, after, 9).to_string();
        let lines = difference.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        assert_eq!(lines.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn by_what_they_are() {
        check(
            "application/json",
            br#"{"a": [1, 2]}"#,
            br#"{"a": [1, 3]}"#,
            &["a[1] 2 → 3 (+1.000, +50.00 %)"],
        );
        check("application/json", b"{}", b"{ }", &["2 → 3 bytes; 1 of the first 2 differ"]);
        check("application/json", b"{", b"[", &["1 of 1 bytes differ"]);
        check("text/csv", b"a\nb\nc", b"a\nc", &["[1] removed: \"b\""]);
        check("image/png", b"no picture", b"no pictuRe", &["1 of 10 bytes differ"]);
        check("application/dicom", b"x", b"x", &[]);
    }
}
