//! Application entity titles: how DICOM nodes call each other.

use std::fmt;
use std::str::FromStr;

/// A checked AE title (PS3.5 6.2, VR AE): 1 to 16 printable ASCII characters, no backslash, no
/// spaces around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AeTitle(String);

impl AeTitle {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AeTitle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("an AE title has 1 to 16 ASCII characters and no backslash; {0:?} has not")]
pub struct AeTitleError(String);

impl FromStr for AeTitle {
    type Err = AeTitleError;

    fn from_str(text: &str) -> Result<AeTitle, AeTitleError> {
        let title = text.trim_matches(' ');
        let printable = title.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'\\');
        if printable && (1..=16).contains(&title.len()) {
            Ok(AeTitle(title.to_owned()))
        } else {
            Err(AeTitleError(text.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_checked() {
        let title = |text: &str| text.parse::<AeTitle>().map(|title| title.to_string()).ok();
        assert_eq!(title(" FLOW "), Some("FLOW".to_owned()));
        assert_eq!(title("SIXTEEN_LETTERS_"), Some("SIXTEEN_LETTERS_".to_owned()));
        for bad in ["", "   ", "SEVENTEEN_LETTERS", "A\\B", "A\tB", "\u{c4}RZTE"] {
            assert_eq!(title(bad), None, "{bad:?}");
        }
    }
}
