//! Bytes that are mostly text, as text where they are: paths and small messages in JSON.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes to be written: as text if they are UTF-8, otherwise as bytes (in JSON a list of numbers).
pub(super) struct Octets<'a>(pub &'a [u8]);

/// Bytes read back from text, bytes or a list of numbers.
#[derive(Clone)]
pub(super) struct OctetString(pub Vec<u8>);

impl Octets<'_> {
    pub fn of_path(path: &Path) -> Octets<'_> {
        Octets(path.as_os_str().as_bytes())
    }
}

impl OctetString {
    pub fn into_path(self) -> PathBuf {
        OsString::from_vec(self.0).into()
    }
}

impl Serialize for Octets<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match str::from_utf8(self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => serializer.serialize_bytes(self.0),
        }
    }
}

impl<'de> Deserialize<'de> for OctetString {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<OctetString, D::Error> {
        deserializer.deserialize_any(OctetVisitor).map(OctetString)
    }
}

struct OctetVisitor;

impl<'de> Visitor<'de> for OctetVisitor {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text or bytes")
    }

    fn visit_str<E>(self, text: &str) -> Result<Vec<u8>, E> {
        Ok(text.as_bytes().to_vec())
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut numbers: A) -> Result<Vec<u8>, A::Error> {
        let mut bytes = Vec::with_capacity(numbers.size_hint().unwrap_or(0).min(4096));
        while let Some(byte) = numbers.next_element()? {
            bytes.push(byte);
        }
        Ok(bytes)
    }
}
