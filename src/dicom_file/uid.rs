//! Unique identifiers as they are accepted from others.

/// Longest identifier that is accepted. The standard allows 64 characters (PS3.5 9.1), and there are systems
/// that make longer ones: what they send is stored, whatever way it comes.
pub const UID_BYTES_ACCEPTED_MAX: usize = 128;

/// Whether a text is an identifier that is accepted: digits and dots, safe as part of a file name.
pub fn is_accepted_uid(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_digit() || byte == b'.';
    (1..=UID_BYTES_ACCEPTED_MAX).contains(&text.len()) && text.bytes().all(allowed) && !text.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_may_be_longer_than_the_standard_allows() {
        assert!(
            is_accepted_uid("1.2") && is_accepted_uid(&"1".repeat(67)) && is_accepted_uid(&"1".repeat(128))
        );
        for refused in ["", ".1", "1.2/3", "1.2-x", "..", &"1".repeat(129)] {
            assert!(!is_accepted_uid(refused), "{refused}");
        }
    }
}
