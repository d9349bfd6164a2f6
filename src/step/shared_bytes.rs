//! Shared bytes as one byte string, for `#[serde(with = "shared_bytes")]`. Without it, serde writes a list
//! of numbers.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_bytes::{ByteBuf, Bytes};

/// Writes the bytes as one byte string.
///
/// # Errors
/// The serializer's error.
pub fn serialize<S: Serializer>(bytes: &Arc<[u8]>, serializer: S) -> Result<S::Ok, S::Error> {
    Bytes::new(bytes).serialize(serializer)
}

/// Reads the bytes from one byte string.
///
/// # Errors
/// If there is no byte string.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<[u8]>, D::Error> {
    ByteBuf::deserialize(deserializer).map(|bytes| bytes.into_vec().into())
}
