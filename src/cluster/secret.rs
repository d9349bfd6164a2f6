//! The secret that all processes of a cluster share.

use std::io;
use std::path::{Path, PathBuf};

/// The secret of a cluster. The key that proves it is made of it, so that it has to be long and random: whoever can
/// guess it is a process of the cluster.
#[derive(Clone)]
pub struct ClusterSecret([u8; 32]);

/// Why a file has no secret.
#[derive(Debug, thiserror::Error)]
pub enum ClusterSecretError {
    /// The file cannot be read.
    #[error("could not read the secret of the cluster in {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The text in the file can be guessed.
    #[error(
        "the secret of the cluster in {} has {length} bytes, and {} are needed",
        path.display(), ClusterSecret::LENGTH_MIN
    )]
    Short {
        /// The file.
        path: PathBuf,
        /// Bytes of the text without leading and trailing white space.
        length: usize,
    },
}

impl ClusterSecret {
    /// The fewest bytes of a secret in a file, as of the token of the status page.
    pub const LENGTH_MIN: usize = 32;

    /// The secret that is made of these bytes, however many there are.
    pub fn new(text: &[u8]) -> ClusterSecret {
        ClusterSecret(blake3::derive_key("flow cluster key, second version", text))
    }

    /// Reads the secret from a file, without leading and trailing white space.
    ///
    /// # Errors
    /// The file cannot be read, or its text is shorter than [`ClusterSecret::LENGTH_MIN`].
    pub fn read(path: &Path) -> Result<ClusterSecret, ClusterSecretError> {
        let text = std::fs::read(path)
            .map_err(|source| ClusterSecretError::Read { path: path.to_owned(), source })?;
        match text.trim_ascii() {
            text if text.len() >= ClusterSecret::LENGTH_MIN => Ok(ClusterSecret::new(text)),
            text => Err(ClusterSecretError::Short { path: path.to_owned(), length: text.len() }),
        }
    }

    /// The private key of all processes.
    pub fn key(&self) -> &[u8; 32] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_can_be_guessed_is_no_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            ClusterSecret::read(&path)
        };
        let spaces = " ".repeat(40);
        for text in ["", " \n", "1234567890123456789012345678901\n", spaces.as_str()] {
            let error = read(text).err().expect(text).to_string();
            assert!(error.contains("bytes, and 32 are needed"), "{error}");
        }
        let secret = read("12345678901234567890123456789012\n").unwrap();
        assert_eq!(secret.key(), ClusterSecret::new(b"12345678901234567890123456789012").key());
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(ClusterSecret::read(&path), Err(ClusterSecretError::Read { .. })));
    }
}
