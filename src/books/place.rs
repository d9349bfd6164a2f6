//! The folder of a book on its way through the steps, `FOLDER/BARCODE`, and the parts of its steps that are alike.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::step::{Call, Digest, Digester, Fault, FaultKind, Parameter, Step};
use crate::tokens::{LocatedFile, StageToken, TokenName};

/// The folder of one book.
pub struct BookPlace {
    folder: PathBuf,
    barcode: String,
}

impl BookPlace {
    /// A step that takes a token, works in the folder of its book, and gives the token.
    pub fn step(name: &'static str, version: u32, about: &'static str) -> Step {
        Step::new(name, version, about)
            .takes::<StageToken>("token")
            .gives::<StageToken>("token")
            .parameter(
                Parameter::text("to", "", &[])
                    .required()
                    .about("The directory in which tokens wait when the step has done its work."),
            )
            .parameter(
                Parameter::text("folder", "processing_bucket", &[])
                    .about("The folder with a folder for each book under way."),
            )
    }

    /// The folder of a token's book.
    ///
    /// # Errors
    /// If the barcode cannot be the name of a folder.
    pub fn of(token: &StageToken, call: &Call) -> Result<BookPlace, Fault> {
        TokenName::of(&token.barcode).map_err(|fault| {
            Fault::new(format!("hostile name: {fault}"), "Correct the barcode of the token.")
        })?;
        let folder = Path::new(call.text("folder")).join(&token.barcode);
        Ok(BookPlace { folder, barcode: token.barcode.clone() })
    }

    /// Makes the folder.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn make(&self) -> Result<(), Fault> {
        fs::create_dir_all(&self.folder).map_err(|error| storage(&error))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A path as a token has it: below the folder of all books.
    pub fn relative(&self, name: &str) -> PathBuf {
        Path::new(&self.barcode).join(name)
    }

    /// A name that no other attempt has.
    pub fn draft(&self, name: &str) -> PathBuf {
        BookPlace::draft_of(&self.path(name))
    }

    /// A name beside a file that no other attempt has.
    pub fn draft_of(path: &Path) -> PathBuf {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        path.with_file_name(format!(".{name}.{}-{count}.part", std::process::id()))
    }

    /// The path of what an earlier stage has made.
    ///
    /// # Errors
    /// If the token does not say so, or it is not there.
    pub fn existing(&self, token: &StageToken, name: &str) -> Result<PathBuf, Fault> {
        let remedy = "Put the token back into the stage that makes it.";
        if !token.locations.contains_key(name) {
            return Err(Fault::new(format!("no {name}: the token does not say where it is"), remedy));
        }
        let path = self.path(name);
        match path.try_exists() {
            Ok(true) => Ok(path),
            Ok(false) => Err(Fault::new(format!("no {name}: {} is not there", path.display()), remedy)),
            Err(error) => Err(storage(&error)),
        }
    }

    /// Gives a draft its name; what has the name is removed.
    ///
    /// # Errors
    /// If it cannot be renamed.
    pub fn replace(&self, draft: &Path, name: &str) -> Result<(), Fault> {
        let path = self.path(name);
        if path.is_dir() {
            fs::remove_dir_all(&path).map_err(|error| storage(&error))?;
        }
        fs::rename(draft, path).map_err(|error| storage(&error))
    }

    /// The digest and size of what a stage has made.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn locate(&self, name: &str) -> Result<LocatedFile, Fault> {
        let (digest, bytes) = digest_of(&self.path(name)).map_err(|error| storage(&error))?;
        Ok(LocatedFile { path: self.relative(name), digest, bytes })
    }

    /// Removes the folder; one that is gone already is no error.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn remove(&self) -> Result<(), Fault> {
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(|error| storage(&error)),
        }
    }
}

/// The digest and size of a file, or of the paths and files of a folder.
///
/// # Errors
/// If it cannot be read.
pub fn digest_of(path: &Path) -> io::Result<(Digest, u64)> {
    if !path.is_dir() {
        let mut digester = Digester::default();
        let bytes = io::copy(&mut File::open(path)?, &mut digester)?;
        return Ok((digester.digest(), bytes));
    }
    let mut entries: Vec<PathBuf> =
        fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>()?;
    entries.sort();
    let mut parts: Vec<Vec<u8>> = Vec::new();
    let mut bytes = 0;
    for entry in entries {
        let (digest, size) = digest_of(&entry)?;
        bytes += size;
        parts.push(entry.file_name().unwrap_or_default().as_encoded_bytes().to_vec());
        parts.push(digest.as_bytes().to_vec());
    }
    Ok((Digest::of_parts(parts.iter().map(Vec::as_slice)), bytes))
}

/// A disk that could not be written or read.
pub fn storage(error: &io::Error) -> Fault {
    Fault::of(
        FaultKind::Storage,
        format!("disk: {error}"),
        "See to the disk; the token waits and is tried again.",
    )
}
