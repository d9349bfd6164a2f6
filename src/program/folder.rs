//! The private folder of a program: its inputs are written there, its results read from there.
//!
//! ```text
//! item        the item, if the step has an input for one
//! items/00001 the items of the request, in order, if the step has an input for the request
//! files/…     files of other steps, by name
//! out/…       the results of the program
//! stdout, stderr
//! ```
//!
//! Inputs are copies: a program that changes them changes nothing for other steps.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::step::{Item, ResponseFile, ResponseFiles};

/// A temporary folder. Dropping it removes it with its contents.
pub struct ProgramFolder(TempDir);

#[derive(Debug, thiserror::Error)]
pub enum ProgramFolderError {
    #[error("could not {what} {name}: {source}")]
    Access { what: &'static str, name: String, source: io::Error },
    #[error("the results exceed {0} bytes")]
    TooLarge(u64),
    #[error("out/ has more than {FILES_MAX} files")]
    TooMany,
    #[error("{0:?} in out/ is neither a file nor a folder")]
    Strange(String),
    #[error("the file name {0:?} in out/ is not valid UTF-8")]
    Name(PathBuf),
}

const FILES_MAX: usize = 10_000;
/// Length of the end of standard error that a fault quotes, in bytes.
const QUOTED_MAX: u64 = 600;

impl ProgramFolder {
    /// # Errors
    /// The folder cannot be made.
    pub fn new() -> Result<ProgramFolder, ProgramFolderError> {
        let made = tempfile::Builder::new().prefix("flow-program-").tempdir();
        let folder = ProgramFolder(made.map_err(failed("make", "a folder for the program"))?);
        fs::create_dir(folder.path().join("out")).map_err(failed("make", "out"))?;
        Ok(folder)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn lay_item(&self, item: &Item) -> Result<(), ProgramFolderError> {
        self.copy(item, "item")
    }

    pub fn lay_items(&self, items: &[Item]) -> Result<(), ProgramFolderError> {
        fs::create_dir(self.path().join("items")).map_err(failed("make", "items"))?;
        let mut numbered = items.iter().zip(1..);
        numbered.try_for_each(|(item, number)| self.copy(item, &format!("items/{number:05}")))
    }

    /// Writes the files of other steps. Their names were checked when the files were made.
    pub fn lay_files(&self, files: &ResponseFiles) -> Result<(), ProgramFolderError> {
        for file in &files.0 {
            let path = self.path().join("files").join(&file.name);
            let parent = path.parent().expect("it lies in a folder");
            fs::create_dir_all(parent).map_err(failed("make the folder of", &file.name))?;
            fs::write(&path, &file.bytes).map_err(failed("write", &file.name))?;
        }
        Ok(())
    }

    /// The files in `out/` by name, and the standard output if there is any.
    ///
    /// # Errors
    /// The results exceed a limit, or cannot be read.
    pub fn results(&self, bytes_most: u64) -> Result<ResponseFiles, ProgramFolderError> {
        let mut found = found(&self.path().join("out"))?;
        found.push(("stdout.txt".to_owned(), self.path().join("stdout")));
        let mut files = read_all(found, bytes_most)?;
        files.pop_if(|printed| printed.bytes.is_empty());
        Ok(ResponseFiles(files))
    }

    /// The end of the standard error, on one line.
    pub fn last_words(&self) -> String {
        let read = || -> io::Result<Vec<u8>> {
            let mut file = fs::File::open(self.path().join("stderr"))?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(QUOTED_MAX)))?;
            let mut bytes = Vec::new();
            file.take(QUOTED_MAX).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        // An unreadable file is treated as empty.
        let text = String::from_utf8_lossy(&read().unwrap_or_default()).into_owned();
        let words = text.split(|letter: char| letter.is_whitespace() || letter.is_control());
        words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    }

    fn copy(&self, item: &Item, name: &str) -> Result<(), ProgramFolderError> {
        let to = self.path().join(name);
        let copied = match item.path() {
            Some(path) => fs::copy(path, to).map(drop),
            None => item.open().and_then(|content| fs::write(to, content)),
        };
        copied.map_err(failed("copy", &item.name))
    }
}

/// The files below a folder with their names, sorted. Symbolic links are refused: they may lead anywhere.
fn found(out: &Path) -> Result<Vec<(String, PathBuf)>, ProgramFolderError> {
    let mut found = Vec::new();
    let mut folders = vec![out.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(failed("read the folder", "out"))? {
            let path = entry.map_err(failed("read the folder", "out"))?.path();
            let name = below(out, &path)?;
            match fs::symlink_metadata(&path).map_err(failed("read the metadata of", &name))?.file_type() {
                kind if kind.is_dir() => folders.push(path),
                kind if kind.is_file() => found.push((name, path)),
                _ => return Err(ProgramFolderError::Strange(name)),
            }
            if found.len() + folders.len() > FILES_MAX {
                return Err(ProgramFolderError::TooMany);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The name of a result, from its path.
fn below(out: &Path, path: &Path) -> Result<String, ProgramFolderError> {
    let name = path.strip_prefix(out).unwrap_or(path);
    name.to_str().map(str::to_owned).ok_or_else(|| ProgramFolderError::Name(name.to_owned()))
}

fn read_all(found: Vec<(String, PathBuf)>, bytes_most: u64) -> Result<Vec<ResponseFile>, ProgramFolderError> {
    let mut left = bytes_most;
    let read = |(name, path): (String, PathBuf)| {
        let mut bytes = Vec::new();
        let file = fs::File::open(&path).map_err(failed("read", &name))?;
        file.take(left + 1).read_to_end(&mut bytes).map_err(failed("read", &name))?;
        left = left.checked_sub(bytes.len() as u64).ok_or(ProgramFolderError::TooLarge(bytes_most))?;
        let media_type = media_type(&name);
        Ok(ResponseFile::new(name, media_type, bytes))
    };
    found.into_iter().map(read).collect()
}

/// The media type by the extension of a name. DICOM files are sent on to the PACS.
fn media_type(name: &str) -> &'static str {
    const TYPES: [(&str, &str); 12] = [
        ("csv", "text/csv"),
        ("dcm", "application/dicom"),
        ("gz", "application/gzip"),
        ("html", "text/html"),
        ("jpg", "image/jpeg"),
        ("json", "application/json"),
        ("pdf", "application/pdf"),
        ("png", "image/png"),
        ("svg", "image/svg+xml"),
        ("tar", "application/x-tar"),
        ("txt", "text/plain"),
        ("xml", "application/xml"),
    ];
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    let found = TYPES.iter().find(|(known, _)| known.eq_ignore_ascii_case(ending));
    found.map_or("application/octet-stream", |(_, media_type)| media_type)
}

/// Makes an error that names a file as the program sees it: the path of the folder differs each time.
fn failed(what: &'static str, name: &str) -> impl FnOnce(io::Error) -> ProgramFolderError {
    let name = name.to_owned();
    move |source| ProgramFolderError::Access { what, name, source }
}
