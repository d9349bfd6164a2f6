//! The claims of a token of the chat.

use serde::{Deserialize, Deserializer, Serialize};

#[derive(Serialize, Deserialize)]
pub(super) struct MemberClaims {
    pub sub: String,
    pub role: String,
    pub conversations: Vec<String>,
    #[serde(deserialize_with = "whole_seconds")]
    pub exp: u64,
    /// Read by the validation, as a text or a list of them.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub aud: Option<String>,
}

/// A time in seconds of Unix time, which may have a fraction (NumericDate, RFC 7519, 2).
fn whole_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    // A time before 1970 is past as well.
    Ok(seconds as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_may_have_a_fraction() {
        for (exp, expected) in
            [("1796099999", 1_796_099_999), ("1796099999.5", 1_796_099_999), ("2e9", 2_000_000_000)]
        {
            let text = format!(r#"{{"sub": "ann", "role": "patient", "conversations": [], "exp": {exp}}}"#);
            let claims: MemberClaims = serde_json::from_str(&text).unwrap();
            assert_eq!(claims.exp, expected);
        }
    }
}
