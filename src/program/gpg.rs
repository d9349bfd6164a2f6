//! OpenPGP by the program `gpg`: it holds up on truncated and tampered messages of any size.
//!
//! A passphrase goes through its standard input. Without a home of its own, keys are not used and no agent is
//! started: a message can only be opened with the passphrase.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::step::CancelToken;

use super::piped::{PipedEnd, PipedProgram};

/// Files of OpenPGP, opened and made.
pub struct GpgFiles<'a> {
    /// The home with the secret keys. `None`: an empty one, for passphrases only.
    pub home: Option<&'a Path>,
    pub passphrase: &'a [u8],
}

/// A limit that no file reaches.
const NO_LIMIT: u64 = u64::MAX >> 1;

/// A home that is not there, and the options with which gpg needs none.
const NO_HOME: &str = "/nonexistent";
const WITHOUT_KEYS: [&str; 4] = ["--no-options", "--no-keyring", "--no-random-seed-file", "--no-autostart"];

/// What gpg says of a disk that is full: its status is then that of a message that is not sound.
const FULL: [&str; 2] = ["No space left on device", "Disk quota exceeded"];

/// What gpg says of a content that is larger than `--max-output`.
const TOO_LARGE: &str = "exceeded --max-output limit";

/// The error of an operation on a file.
#[derive(Debug, thiserror::Error)]
pub enum GpgError {
    /// The file is no sound message for this passphrase or key. Nothing of its content is left.
    #[error("{reason}: {detail}")]
    Message { reason: &'static str, detail: String },
    #[error("the run was cancelled")]
    Cancelled,
    #[error("could not run gpg")]
    Program(#[source] io::Error),
    #[error("could not use {}", .0.display())]
    Disk(PathBuf, #[source] io::Error),
}

impl GpgFiles<'_> {
    /// Opens a message into a file, which appears only if the whole message is sound.
    ///
    /// # Errors
    /// If it is not, its content has more than `bytes_max`, or gpg cannot be run.
    pub fn open(
        &self,
        message: &Path,
        to: &Path,
        bytes_max: u64,
        token: &CancelToken,
    ) -> Result<(), GpgError> {
        let draft = draft(to);
        let most = bytes_max.min(NO_LIMIT).to_string();
        let arguments = ["--max-output", &most, "--status-fd", "1", "--decrypt"];
        let end = self.run(&arguments, message, &draft, token);
        let sound = end.and_then(|end| {
            let status = String::from_utf8_lossy(&end.output).into_owned();
            let says = |word: &str| status.lines().any(|line| line.contains(word));
            if end.succeeded && says("DECRYPTION_OKAY") && !says("DECRYPTION_FAILED") {
                return Ok(());
            }
            let reason = match () {
                () if says("BADMDC") => "integrity failure",
                () if says("BAD_PASSPHRASE") => "wrong passphrase",
                () if says("NO_SECKEY") => "no secret key",
                () if says("NODATA") => "not OpenPGP",
                () if says("BEGIN_DECRYPTION") => "integrity failure",
                () => "decryption failed",
            };
            let errors = String::from_utf8_lossy(&end.errors).into_owned();
            if FULL.iter().any(|full| errors.contains(full)) {
                return Err(GpgError::Disk(to.to_owned(), io::ErrorKind::StorageFull.into()));
            }
            if errors.contains(TOO_LARGE) {
                let detail = format!("the content has more than {bytes_max} bytes");
                return Err(GpgError::Message { reason: "too large", detail });
            }
            let last = errors.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
            Err(GpgError::Message { reason, detail: last.trim_start_matches("gpg: ").to_owned() })
        });
        let moved =
            sound.and_then(|()| fs::rename(&draft, to).map_err(|error| GpgError::Disk(to.to_owned(), error)));
        if moved.is_err() {
            // Nothing of a message that is not sound may be left.
            let _ = fs::remove_file(&draft);
        }
        moved
    }

    /// Makes a message of a file, with the passphrase.
    ///
    /// # Errors
    /// If gpg cannot be run or refuses.
    pub fn seal(&self, file: &Path, to: &Path, token: &CancelToken) -> Result<(), GpgError> {
        let arguments =
            ["--s2k-count", "65536", "--cipher-algo", "AES256", "--compress-level", "1", "--symmetric"];
        let end = self.run(&arguments, file, to, token)?;
        match end.succeeded {
            true => Ok(()),
            false => {
                let detail = String::from_utf8_lossy(&end.errors).trim().to_owned();
                Err(GpgError::Message { reason: "encryption failed", detail })
            }
        }
    }

    fn run(
        &self,
        arguments: &[&str],
        from: &Path,
        to: &Path,
        token: &CancelToken,
    ) -> Result<PipedEnd, GpgError> {
        let home = self.home.unwrap_or(Path::new(NO_HOME));
        let text = |path: &Path| {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            path.to_str().map(str::to_owned)
        };
        let (Some(home), Some(from), Some(to)) = (text(home), text(from), text(to)) else {
            let error = io::Error::new(io::ErrorKind::InvalidInput, "the path is no text");
            return Err(GpgError::Disk(from.to_owned(), error));
        };
        let mut all = vec!["--batch", "--no-tty", "--yes", "--homedir", &home];
        all.extend(["--pinentry-mode", "loopback", "--passphrase-fd", "0"]);
        if self.home.is_none() {
            all.extend(WITHOUT_KEYS);
        }
        let (last, options) = arguments.split_last().unwrap_or((&"--version", &[]));
        all.extend(options.iter().copied());
        all.extend(["--output", &to, last, "--", &from]);
        let folder = Path::new("/");
        let program = PipedProgram { program: "gpg", arguments: &all, folder, input: self.passphrase };
        program.run(token).map_err(GpgError::Program)?.ok_or(GpgError::Cancelled)
    }
}

/// A name that no other attempt has, beside the file.
fn draft(to: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    to.with_file_name(format!(".{name}.{}-{count}.part", std::process::id()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_is_not_sound_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let token = CancelToken::default();
        let content: Vec<u8> =
            (0..200_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        fs::write(path("book"), &content).unwrap();
        let files = GpgFiles { home: None, passphrase: b"open sesame" };
        files.seal(&path("book"), &path("book.gpg"), &token).unwrap();
        files.open(&path("book.gpg"), &path("again"), content.len() as u64, &token).unwrap();
        assert_eq!(fs::read(path("again")).unwrap(), content);
        let too_large = files.open(&path("book.gpg"), &path("bad"), content.len() as u64 - 1, &token);
        assert!(matches!(too_large, Err(GpgError::Message { reason: "too large", .. })), "{too_large:?}");
        let message = fs::read(path("book.gpg")).unwrap();
        let mut tampered = message.clone();
        tampered[message.len() / 2] ^= 1;
        let cases: [(&[u8], &[u8], &str); 5] = [
            (&message[..message.len() / 2], b"open sesame", "integrity failure"),
            (&message[..message.len() - 1], b"open sesame", "integrity failure"),
            (&tampered, b"open sesame", "integrity failure"),
            (&message, b"other", "wrong passphrase"),
            (b"no message at all", b"open sesame", "not OpenPGP"),
        ];
        for (bytes, passphrase, expected) in cases {
            fs::write(path("bad.gpg"), bytes).unwrap();
            let files = GpgFiles { home: None, passphrase };
            let error = files.open(&path("bad.gpg"), &path("bad"), NO_LIMIT, &token);
            let GpgError::Message { reason, .. } = error.unwrap_err() else { panic!("{expected}") };
            assert_eq!(reason, expected);
            let left: Vec<_> =
                fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            assert_eq!(left.len(), 4, "{left:?}");
        }
    }

    #[test]
    fn a_message_to_a_key_is_opened_with_the_home_that_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let token = CancelToken::default();
        let gpg = |program: &str, arguments: &[&str]| {
            let home = folder.path().to_str().unwrap();
            let all = [&["--homedir", home], arguments].concat();
            let (folder, input) = (folder.path(), b"".as_slice());
            let end = PipedProgram { program, arguments: &all, folder, input }.run(&token).unwrap().unwrap();
            assert!(end.succeeded, "{}", String::from_utf8_lossy(&end.errors));
        };
        gpg(
            "gpg",
            &["--batch", "--passphrase", "", "--quick-gen-key", "a@example.org", "rsa2048", "encr", "never"],
        );
        fs::write(path("book"), b"a book").unwrap();
        for options in [&["--armor"][..], &["--compress-level", "0"], &[]] {
            let to = ["--batch", "--yes", "--trust-model", "always", "--recipient", "a@example.org"];
            gpg("gpg", &[&to, options, &["--output", "book.gpg", "--encrypt", "book"]].concat());
            let files = GpgFiles { home: Some(folder.path()), passphrase: b"" };
            files.open(&path("book.gpg"), &path("again"), NO_LIMIT, &token).unwrap();
            assert_eq!(fs::read(path("again")).unwrap(), b"a book");
            let files = GpgFiles { home: None, passphrase: b"" };
            let error = files.open(&path("book.gpg"), &path("no"), NO_LIMIT, &token);
            assert!(error.unwrap_err().to_string().starts_with("no secret key"));
        }
        gpg("gpgconf", &["--kill", "all"]);
    }
}
