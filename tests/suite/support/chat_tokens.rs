//! Tokens (JWT, RFC 7519) written by hand, so that there can be wrong ones, and the server's library is not its own
//! judge.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Claims that hold for an hour.
pub fn claims(user: &str, role: &str, conversations: &[&str]) -> Value {
    json!({ "sub": user, "role": role, "conversations": conversations, "exp": now() + 3600 })
}

/// Seconds since 1970, as claims have them.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs()
}

/// A token signed with HS256.
pub fn signed(key: &[u8], claims: &Value) -> String {
    let text = unsigned(&json!({ "alg": "HS256", "typ": "JWT" }), claims);
    let signature = encode(&hmac(key, text.as_bytes()));
    format!("{text}.{signature}")
}

/// Header and claims, which a signature is made of.
pub fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()))
}

pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// HMAC with SHA-256 (RFC 2104).
fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut block = [0_u8; 64];
    match key.len() > block.len() {
        true => block[..32].copy_from_slice(&Sha256::digest(key)),
        false => block[..key.len()].copy_from_slice(key),
    }
    let hash = |pad: u8, text: &[u8]| {
        let padded = block.map(|byte| byte ^ pad);
        Sha256::new().chain_update(padded).chain_update(text).finalize()
    };
    hash(0x5c, &hash(0x36, text)).into()
}
