//! Replacements for identifiers.

use std::fmt;

use crate::step::Digest;

/// The secret key of the replacements. With one key, equal identifiers get equal replacements; without the
/// key, nobody can find an identifier by trying candidates.
#[derive(Clone)]
pub struct PseudonymKey([u8; 32]);

/// The root of the UIDs that the standard itself defines (PS3.6 annex A). They are not replaced.
const STANDARD_ROOT: &str = "1.2.840.10008.";

impl PseudonymKey {
    pub fn new(secret: [u8; 32]) -> PseudonymKey {
        PseudonymKey(secret)
    }

    /// The replacement of a UID, or of several separated by `\`.
    pub(super) fn uids(&self, old: &[u8]) -> String {
        let old = String::from_utf8_lossy(old);
        trimmed(&old).split('\\').map(|uid| self.uid(uid)).collect::<Vec<_>>().join("\\")
    }

    /// The replacement of a patient's name or ID.
    pub(super) fn pseudonym(&self, old: &str) -> String {
        match trimmed(old) {
            "" => String::new(),
            old => format!("ANON-{}", self.digest("pseudonym", old).short().to_uppercase()),
        }
    }

    fn uid(&self, old: &str) -> String {
        let stays = old.is_empty() || old.starts_with(STANDARD_ROOT);
        if stays { old.to_owned() } else { self.digest("uid", old).uid() }
    }

    fn digest(&self, what: &str, old: &str) -> Digest {
        Digest::of_parts([self.0.as_slice(), what.as_bytes(), old.as_bytes()])
    }
}

/// The secret is not shown.
impl fmt::Debug for PseudonymKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

fn trimmed(text: &str) -> &str {
    text.trim_matches([' ', '\0'])
}
