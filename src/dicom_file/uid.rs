//! The form of unique identifiers (PS3.5 section 9), and what is accepted from others.

/// Most characters of a UID by the standard (PS3.5 9.1).
pub const UID_CHARACTERS_MAX: usize = 64;

/// Most characters that are accepted: there are systems that make longer UIDs than the standard allows, and what
/// they send is stored, whatever way it comes.
pub const UID_BYTES_ACCEPTED_MAX: usize = 128;

/// Whether a text serves as a UID: digits and dots, safe as part of a file name. Many devices write components
/// with leading zeros or leave one empty; such identifiers are told apart and found as well as others.
pub fn is_uid(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_digit() || byte == b'.';
    (1..=UID_BYTES_ACCEPTED_MAX).contains(&text.len()) && text.bytes().all(allowed) && !text.starts_with('.')
}

/// Whether a text is a UID as the standard wants it: short enough, and no component is empty or begins with a
/// needless zero.
pub fn is_standard_uid(text: &str) -> bool {
    let is_component = |part: &str| !part.is_empty() && (part == "0" || !part.starts_with('0'));
    is_uid(text) && text.len() <= UID_CHARACTERS_MAX && text.split('.').all(is_component)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_devices_write_serves_and_what_the_standard_wants_is_stricter() {
        let long = "1.2".repeat(50);
        for (text, serves, is_standard) in [
            ("1.2.840.10008.1.2", true, true),
            ("1.0.2", true, true),
            ("1.02", true, false),
            ("1..2", true, false),
            (".1", false, false),
            ("", false, false),
            ("..", false, false),
            ("1.2.x", false, false),
            ("1.2/3", false, false),
            (&long[..64], true, true),
            (&long[..67], true, false),
            (&long[..128], true, false),
            (&long[..129], false, false),
        ] {
            assert_eq!((is_uid(text), is_standard_uid(text)), (serves, is_standard), "{text}");
        }
    }
}
