//! Shared bytes as one byte string, for `#[serde(with = "shared_bytes")]`. (By itself serde makes a
//! list of numbers of them.)

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_bytes::{ByteBuf, Bytes};

/// # Errors
/// The serializer's.
pub fn serialize<S: Serializer>(bytes: &Arc<[u8]>, serializer: S) -> Result<S::Ok, S::Error> {
    Bytes::new(bytes).serialize(serializer)
}

/// # Errors
/// If there is no byte string.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<[u8]>, D::Error> {
    ByteBuf::deserialize(deserializer).map(|bytes| bytes.into_vec().into())
}
