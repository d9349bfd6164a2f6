//! The form of unique identifiers (PS3.5 section 9).

/// Most characters of a UID.
pub const UID_CHARACTERS_MAX: usize = 64;

/// Whether a text serves as a UID: digits and dots that fit into the element. Many devices write components
/// with leading zeros or leave one empty; such identifiers are told apart and found as well as others.
pub fn is_uid(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_digit() || byte == b'.';
    (1..=UID_CHARACTERS_MAX).contains(&text.len()) && text.bytes().all(allowed) && !text.starts_with('.')
}

/// Whether a text is a UID as the standard wants it: no component is empty or begins with a needless zero.
pub fn is_standard_uid(text: &str) -> bool {
    let is_component = |part: &str| !part.is_empty() && (part == "0" || !part.starts_with('0'));
    is_uid(text) && text.split('.').all(is_component)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_devices_write_serves_and_what_the_standard_wants_is_stricter() {
        let long = "1.2".repeat(22);
        for (text, serves, is_standard) in [
            ("1.2.840.10008.1.2", true, true),
            ("1.0.2", true, true),
            ("1.02", true, false),
            ("1..2", true, false),
            (".1", false, false),
            ("", false, false),
            ("1.2.x", false, false),
            (&long[..64], true, true),
            (&long[..65], false, false),
        ] {
            assert_eq!((is_uid(text), is_standard_uid(text)), (serves, is_standard), "{text}");
        }
    }
}
