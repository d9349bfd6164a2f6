//! Names in messages and tokens: of users, roles, conversations and messages.

/// The most bytes of the name of a user or a conversation, and of the id of a message.
pub const NAME_BYTES_MAX: usize = 80;
pub const ID_BYTES_MAX: usize = 64;

/// The conversation in a token that stands for all.
pub const ALL_CONVERSATIONS: &str = "*";

/// The reason why a text is no name of at most so many bytes; it does not have the text in it.
pub fn name_problem(text: &str, bytes_max: usize) -> Option<String> {
    let is_odd = |letter: char| letter == '/' || letter.is_control();
    match text.len() {
        0 => Some("it is empty".to_owned()),
        length if length > bytes_max => Some(format!("it has {length} bytes, {bytes_max} at most")),
        _ if text.contains(is_odd) => Some("it has a slash or a control character in it".to_owned()),
        _ if text == ALL_CONVERSATIONS => Some("it stands for all conversations".to_owned()),
        _ => None,
    }
}

/// Whether a text may be the name of a user or a conversation.
pub fn is_name(text: &str) -> bool {
    name_problem(text, NAME_BYTES_MAX).is_none()
}

/// Whether a text may be a role: small letters, digits and hyphens, and none of the words for receivers.
pub fn is_role(text: &str) -> bool {
    let is_word = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    let is_receiver = ["all", "sender", "others"].contains(&text);
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.chars().all(is_word) && !is_receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_and_has_no_slash() {
        for name in ["c1", "Ward 7: night", "µ", &"x".repeat(80)] {
            assert_eq!(name_problem(name, NAME_BYTES_MAX), None, "{name}");
        }
        for name in ["", "a/b", "a\nb", "*", &"x".repeat(81)] {
            assert!(name_problem(name, NAME_BYTES_MAX).is_some(), "{name}");
        }
        assert!(is_role("care-team") && !is_role("all") && !is_role("Patient") && !is_role(""));
    }
}
