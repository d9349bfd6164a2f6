//! Names of files that are tokens. The whole name counts: `ark.1.x1.json` and `ark.1.x2.json` are two tokens.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;

use crate::step::Digest;

/// The end of a token's name.
const EXTENSION: &str = ".json";

/// The character between a token's name and what is said about it: the reason why it is parked, or a time.
pub(super) const MARK: char = '~';

/// The longest name, in bytes: what is said about a token has room behind it.
const NAME_BYTES_MAX: usize = 160;

/// The longest reason in a name, in bytes.
const SLUG_BYTES_MAX: usize = 48;

/// The name of a token's file: its barcode and `.json`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenName(String);

/// A name that is no token's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameFault {
    #[error("the name is not made of letters, digits and punctuation")]
    Characters,
    #[error("the name does not end with .json")]
    Extension,
    #[error("the name is longer than {NAME_BYTES_MAX} bytes")]
    Length,
}

impl TokenName {
    /// The name for a barcode.
    ///
    /// # Errors
    /// If no file could be called so.
    pub fn of(barcode: &str) -> Result<TokenName, NameFault> {
        TokenName::read(OsStr::new(&format!("{barcode}{EXTENSION}")))
    }

    /// The name of the token that a file is. What stands behind a `~` is not a part of it, so that a parked file
    /// can be moved back by hand.
    ///
    /// # Errors
    /// If the file is no token.
    pub fn read(file: &OsStr) -> Result<TokenName, NameFault> {
        let text = file.to_str().ok_or(NameFault::Characters)?;
        let name = text.split(MARK).next().unwrap_or_default();
        if name.len() > NAME_BYTES_MAX {
            return Err(NameFault::Length);
        }
        let barcode = name.strip_suffix(EXTENSION).ok_or(NameFault::Extension)?;
        let is_fit = |letter: char| !letter.is_control() && letter != '/' && letter != '\\';
        let begins = barcode.chars().next().is_some_and(|first| first.is_alphanumeric() || first == '_');
        match begins && barcode.chars().all(is_fit) {
            true => Ok(TokenName(name.to_owned())),
            false => Err(NameFault::Characters),
        }
    }

    /// The barcode.
    pub fn barcode(&self) -> &str {
        self.0.strip_suffix(EXTENSION).unwrap_or(&self.0)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name with something said about it.
    pub(super) fn marked(&self, mark: &str) -> String {
        format!("{}{MARK}{mark}", self.0)
    }
}

impl fmt::Display for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name under which a file can be parked, whatever it is called.
pub(super) fn parkable(file: &OsStr) -> String {
    if let Ok(name) = TokenName::read(file) {
        return name.0;
    }
    let mut safe = String::new();
    for byte in file.as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' => safe.push(char::from(*byte)),
            _ => write!(safe, "%{byte:02X}").expect("memory takes everything"),
        }
    }
    if safe.len() > NAME_BYTES_MAX || safe.starts_with(['.', '-']) {
        let digest = Digest::of(file.as_bytes());
        safe = format!("%{}%{}", safe.chars().take(NAME_BYTES_MAX / 2).collect::<String>(), digest.short());
    }
    safe
}

/// What stands behind the mark of a file's name.
pub(super) fn mark_of(file: &OsString) -> Option<&str> {
    file.to_str()?.split_once(MARK).map(|(_, mark)| mark)
}

/// A reason as a part of a name: its words up to a colon, in small letters, joined by `-`.
///
/// ```
/// use flow::tokens::reason_slug;
///
/// assert_eq!(reason_slug("Wrong digest: 12 is not 34"), "wrong-digest");
/// assert_eq!(reason_slug("../"), "fault");
/// ```
pub fn reason_slug(reason: &str) -> String {
    let head = reason.split(':').next().unwrap_or_default();
    let words = head.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let mut slug = String::new();
    for word in words {
        if !slug.is_empty() && slug.len() + word.len() >= SLUG_BYTES_MAX {
            break;
        }
        slug.push_str(if slug.is_empty() { "" } else { "-" });
        slug.extend(word.chars().take(SLUG_BYTES_MAX).map(|letter| letter.to_ascii_lowercase()));
    }
    if slug.is_empty() { "fault".to_owned() } else { slug }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_behind_a_dot_are_different_tokens() {
        let one = TokenName::of("ark.88435.x1").unwrap();
        assert_ne!(one, TokenName::of("ark.88435.x2").unwrap());
        assert_eq!(one.barcode(), "ark.88435.x1");
        assert_eq!(TokenName::read(OsStr::new("ark.88435.x1.json~wrong-digest")), Ok(one));
    }

    #[test]
    fn hostile_names_are_no_tokens_and_can_be_parked() {
        let long = format!("{}.json", "x".repeat(200));
        for (name, fault) in [
            ("readme", NameFault::Extension),
            (".json", NameFault::Characters),
            ("-rf.json", NameFault::Characters),
            ("..json", NameFault::Characters),
            ("a\nb.json", NameFault::Characters),
            ("a\\b.json", NameFault::Characters),
            (long.as_str(), NameFault::Length),
        ] {
            assert_eq!(TokenName::read(OsStr::new(name)), Err(fault), "{name:?}");
            let parked = parkable(OsStr::new(name));
            assert!(parked.len() < 200 && !parked.contains(['\n', MARK]), "{parked}");
            assert!(!parked.starts_with(['.', '-']), "{parked}");
        }
        let bytes = OsStr::from_bytes(b"\xff.json");
        assert_eq!(TokenName::read(bytes), Err(NameFault::Characters));
        assert_eq!(parkable(bytes), "%FF.json");
    }
}
