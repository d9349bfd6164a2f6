//! Digests: BLAKE3 hashes of bytes, written as 64 hexadecimal digits.

use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A BLAKE3 hash of 32 bytes. Requests, values, files and dataflows are identified by their digest.
///
/// ```
/// use flow::step::Digest;
///
/// let digest = Digest::of(b"abc");
/// assert_eq!(digest.short(), "6437b3ac3846");
/// assert_eq!(digest.to_string().parse::<Digest>().ok(), Some(digest));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(into = "String", try_from = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of some bytes.
    pub fn of(bytes: &[u8]) -> Digest {
        let hash = match bytes.len() {
            ..PARALLEL_BYTES => blake3::hash(bytes),
            _ => blake3::Hasher::new().update_rayon(bytes).finalize(),
        };
        Digest(*hash.as_bytes())
    }

    /// The digest of several parts, each with its length, so that other parts of the same bytes differ.
    ///
    /// ```
    /// use flow::step::Digest;
    ///
    /// assert_ne!(Digest::of_parts([&b"ab"[..]]), Digest::of_parts([&b"a"[..], b"b"]));
    /// ```
    pub fn of_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Digest {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Digest(*hasher.finalize().as_bytes())
    }

    /// The 32 bytes of the hash.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first twelve digits, for people and for the names of folders.
    pub fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }

    /// A DICOM UID made of the first 128 bits (PS3.5 B.2: `2.25.` and an integer), at most 44 characters.
    ///
    /// ```
    /// use flow::step::Digest;
    ///
    /// let uid = Digest::of(b"abc").uid();
    /// assert!(uid.starts_with("2.25.") && uid.len() <= 44);
    /// ```
    pub fn uid(&self) -> String {
        let mut high = [0; 16];
        high.copy_from_slice(&self.0[..16]);
        format!("2.25.{}", u128::from_be_bytes(high))
    }
}

impl From<[u8; 32]> for Digest {
    fn from(bytes: [u8; 32]) -> Digest {
        Digest(bytes)
    }
}

/// Computes the digest of bytes that come in pieces.
///
/// ```
/// use std::io::Write;
/// use flow::step::{Digest, Digester};
///
/// let mut digester = Digester::default();
/// digester.write_all(b"ab")?;
/// digester.write_all(b"c")?;
/// assert_eq!(digester.digest(), Digest::of(b"abc"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Default)]
pub struct Digester(blake3::Hasher);

/// With fewer bytes, sharing the work takes longer than it saves.
const PARALLEL_BYTES: usize = 1 << 20;

impl Write for Digester {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Digester {
    /// Adds bytes; many of them on all cores.
    pub fn update(&mut self, bytes: &[u8]) {
        if bytes.len() < PARALLEL_BYTES {
            self.0.update(bytes);
        } else {
            self.0.update_rayon(bytes);
        }
    }

    /// The digest of all bytes so far.
    pub fn digest(&self) -> Digest {
        Digest(*self.0.finalize().as_bytes())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digits = self.0.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        // Written at once: each record of a journal has several digests.
        let mut text = String::with_capacity(2 * self.0.len());
        text.extend(digits.map(|digit| char::from(DIGITS[usize::from(digit)])));
        f.write_str(&text)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", self.short())
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.to_string()
    }
}

/// The error for a text that is not a digest.
#[derive(Debug, thiserror::Error)]
#[error("a digest has 64 hexadecimal digits, this has {0:?}")]
pub struct DigestError(String);

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Digest, DigestError> {
        let refuse = || DigestError(text.to_owned());
        if text.len() != 64 || !text.is_ascii() {
            return Err(refuse());
        }
        let mut bytes = [0; 32];
        for (index, byte) in bytes.iter_mut().enumerate() {
            let pair = &text[2 * index..2 * index + 2];
            *byte = u8::from_str_radix(pair, 16).map_err(|_| refuse())?;
        }
        Ok(Digest(bytes))
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Digest, DigestError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let digest = Digest::of(b"abc");
        assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
        assert!("zz".parse::<Digest>().is_err());
        assert!("zz".repeat(32).parse::<Digest>().is_err());
    }

    #[test]
    fn parts_do_not_run_together() {
        let together = Digest::of_parts([b"ab".as_slice()]);
        let apart = Digest::of_parts([b"a".as_slice(), b"b".as_slice()]);
        assert_ne!(together, apart);
    }

    #[test]
    fn a_uid_fits_in_64_characters() {
        assert!(Digest::of(b"abc").uid().len() <= 44);
    }
}
