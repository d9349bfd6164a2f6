//! Media types with their parameters, as header fields have them (RFC 9110 8.3).

/// A parsed `Content-Type`, in lower case except for the values of parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MediaType {
    pub name: String,
    parameters: Vec<(String, String)>,
}

impl MediaType {
    /// `None` if this is not a media type.
    pub fn read(text: &str) -> Option<MediaType> {
        let (name, mut rest) = text.split_at(text.find(';').unwrap_or(text.len()));
        let name = name.trim().to_ascii_lowercase();
        let (main, sub) = name.split_once('/')?;
        if !is_token(main) || !is_token(sub) {
            return None;
        }
        let mut parameters = Vec::new();
        while let Some(after) = rest.trim_start().strip_prefix(';') {
            rest = after.trim_start();
            if rest.is_empty() || rest.starts_with(';') {
                continue;
            }
            let (key, after) = rest.split_once('=')?;
            // Spaces around `=` are not allowed, but occur.
            let (value, after) = value(after.trim_start())?;
            let key = key.trim_end();
            if !is_token(key) {
                return None;
            }
            parameters.push((key.to_ascii_lowercase(), value));
            rest = after;
        }
        rest.trim().is_empty().then_some(MediaType { name, parameters })
    }

    /// The first parameter of this name.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// A token, or a quoted text with backslashes before escaped characters.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|letter: char| letter == ';' || letter.is_ascii_whitespace());
        let (token, rest) = text.split_at(end.unwrap_or(text.len()));
        // Many senders omit the quotes around `application/dicom`.
        let is_readable =
            !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
        return is_readable.then(|| (token.to_owned(), rest));
    };
    let mut value = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(letters.next()?.1),
            _ => value.push(letter),
        }
    }
    None
}

fn is_token(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_with_and_without_quotes() {
        let text = r#"Multipart/Related; Type="application/dicom" ;boundary="a b\"c;d"; start=<1@x>;"#;
        let read = MediaType::read(text).unwrap();
        assert_eq!(read.name, "multipart/related");
        assert_eq!(read.parameter("type"), Some("application/dicom"));
        assert_eq!(read.parameter("boundary"), Some("a b\"c;d"));
        assert_eq!(read.parameter("start"), Some("<1@x>"));
        assert_eq!(read.parameter("none"), None);
        let spaced =
            MediaType::read("multipart/related; type = \"application/dicom\"; boundary = x").unwrap();
        assert_eq!(
            (spaced.parameter("type"), spaced.parameter("boundary")),
            (Some("application/dicom"), Some("x"))
        );
        let bare = MediaType::read("multipart/related;type=application/dicom;boundary==_x").unwrap();
        assert_eq!(
            (bare.parameter("type"), bare.parameter("boundary")),
            (Some("application/dicom"), Some("=_x"))
        );
    }

    #[test]
    fn what_is_no_media_type_is_not_read() {
        for wrong in [
            "",
            "dicom",
            "a/b/c",
            "a/ b",
            "a/b; c",
            "a/b; c=",
            "a/b; c=\"d",
            "a/b; c=\"d\\",
            "a/b x",
            "a/b; c=\"d\"e",
        ] {
            assert_eq!(MediaType::read(wrong), None, "{wrong:?}");
        }
    }
}
