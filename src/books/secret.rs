//! Secrets by reference: a dataflow file says where a passphrase is, and nothing else has it.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::program::{GpgError, GpgFiles};
use crate::step::{CancelToken, Fault, FaultKind};

use super::place::storage;
use super::sample::PASSPHRASE;

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretReference {
    /// There is none: a message to a key needs no passphrase.
    Empty,
    /// That of the sample books, which is not secret.
    Sample,
    File(PathBuf),
    Environment(String),
    /// A file that gpg decrypts.
    Encrypted(PathBuf),
}

/// A secret. It is not shown.
pub struct SecretBytes(Vec<u8>);

impl SecretReference {
    /// Reads `file:PATH`, `env:NAME`, `gpg:PATH` or `sample:`.
    ///
    /// # Errors
    /// If it is none of these. What it is instead is not said: it may be the secret itself.
    pub fn read(text: &str) -> Result<SecretReference, Fault> {
        match text.split_once(':') {
            None if text.is_empty() => Ok(SecretReference::Empty),
            Some(("sample", "")) => Ok(SecretReference::Sample),
            Some(("file", path)) => Ok(SecretReference::File(path.into())),
            Some(("env", name)) => Ok(SecretReference::Environment(name.to_owned())),
            Some(("gpg", path)) => Ok(SecretReference::Encrypted(path.into())),
            _ => Err(Fault::new("bad reference: a secret has to be a reference", REMEDY)),
        }
    }

    /// Says what is wrong with a reference, without its words.
    pub fn check(text: &str) -> Result<(), String> {
        SecretReference::read(text).map(drop).map_err(|fault| fault.reason)
    }

    /// The secret: a line end behind it does not count.
    ///
    /// # Errors
    /// If it is not there or cannot be read.
    pub fn open(&self, gpg_home: Option<&Path>, token: &CancelToken) -> Result<SecretBytes, Fault> {
        let unread = |what: &dyn fmt::Display, error: &dyn fmt::Display| {
            Fault::new(format!("no secret: could not read {what}: {error}"), REMEDY)
        };
        let bytes = match self {
            SecretReference::Empty => Vec::new(),
            SecretReference::Sample => PASSPHRASE.to_vec(),
            SecretReference::File(path) => fs::read(path).map_err(|error| unread(&path.display(), &error))?,
            SecretReference::Environment(name) => {
                let value = std::env::var(name).map_err(|error| unread(&format!("${name}"), &error))?;
                value.into_bytes()
            }
            SecretReference::Encrypted(path) => {
                let folder = tempfile::tempdir().map_err(|error| unread(&path.display(), &error))?;
                let plain = folder.path().join("secret");
                let files = GpgFiles { home: gpg_home, passphrase: b"" };
                files.open(path, &plain, SECRET_BYTES_MAX, token).map_err(gpg_fault)?;
                fs::read(&plain).map_err(|error| unread(&path.display(), &error))?
            }
        };
        let end = bytes.trim_ascii_end().len();
        Ok(SecretBytes(bytes[..end].to_vec()))
    }
}

/// The largest secret in a file that gpg decrypts, in bytes.
const SECRET_BYTES_MAX: u64 = 1 << 20;

const REMEDY: &str =
    "Write `file:PATH`, `env:NAME` or `gpg:PATH` in the dataflow file, and see that it can be read.";

impl SecretBytes {
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a secret")
    }
}

/// An error of gpg as a fault.
pub fn gpg_fault(error: GpgError) -> Fault {
    let text = error.to_string();
    match error {
        GpgError::Message { .. } => {
            Fault::new(text, "See to the file and the passphrase, and run the token again.")
        }
        GpgError::Cancelled => Fault::cancelled(),
        GpgError::Program(error) => {
            let reason = format!("no gpg: {error}");
            Fault::of(FaultKind::Broken, reason, "Install gpg, and run the token again.")
        }
        GpgError::Disk(_, error) => storage(&error),
    }
}
