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

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::step::{Item, ResponseFile, ResponseFiles};

/// A temporary folder. Dropping it removes it with its contents.
pub struct ProgramFolder {
    folder: TempDir,
    /// Held open: the program may put something else in their places.
    stdout: File,
    stderr: File,
}

#[derive(Debug, thiserror::Error)]
pub enum ProgramFolderError {
    #[error("could not {what} {name}: {source}")]
    Access { what: &'static str, name: String, source: io::Error },
    #[error("the results exceed {0} bytes")]
    TooLarge(u64),
    #[error("out/ has more than {FILES_MAX} files")]
    TooMany,
    #[error("{0:?} in out/ is neither a file nor a folder, or has several names")]
    Strange(String),
    #[error("the program has put something else in the place of {0}")]
    Replaced(&'static str),
    #[error("the file name {0:?} in out/ is not valid UTF-8")]
    Name(PathBuf),
}

const FILES_MAX: usize = 10_000;
/// Length of the end of standard error that a fault quotes, in bytes.
const QUOTED_MAX: usize = 600;

impl ProgramFolder {
    /// # Errors
    /// The folder cannot be made.
    pub fn new() -> Result<ProgramFolder, ProgramFolderError> {
        let made = tempfile::Builder::new().prefix("flow-program-").tempdir();
        let folder = made.map_err(failed("make", "a folder for the program"))?;
        fs::create_dir(folder.path().join("out")).map_err(failed("make", "out"))?;
        let output = |name: &str| {
            let options = File::options().read(true).append(true).create_new(true).clone();
            options.open(folder.path().join(name)).map_err(failed("make", name))
        };
        let (stdout, stderr) = (output("stdout")?, output("stderr")?);
        Ok(ProgramFolder { folder, stdout, stderr })
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn stdout(&self) -> &File {
        &self.stdout
    }

    pub fn stderr(&self) -> &File {
        &self.stderr
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
        self.check_places()?;
        let printed = whole(&self.stdout).map_err(failed("read", "stdout"))?;
        let left =
            (bytes_most.checked_sub(printed.len() as u64)).ok_or(ProgramFolderError::TooLarge(bytes_most));
        let mut files = read_all(found(&self.path().join("out"))?, left?, bytes_most)?;
        if !printed.is_empty() {
            files.push(ResponseFile::new("stdout.txt", media_type("stdout.txt"), printed));
        }
        Ok(ResponseFiles(files))
    }

    /// The whole of the standard error. Its length is limited as that of every file that a program writes.
    pub fn errors(&self) -> Vec<u8> {
        // What cannot be read is treated as empty: the program has failed for another reason.
        whole(&self.stderr).unwrap_or_default()
    }

    /// Nothing stands in the place of the folder and files that the program was given: a link may lead
    /// anywhere, and a pipe never ends.
    fn check_places(&self) -> Result<(), ProgramFolderError> {
        let kind = fs::symlink_metadata(self.path().join("out")).map_err(failed("read", "out"))?;
        if !kind.is_dir() {
            return Err(ProgramFolderError::Replaced("out"));
        }
        for (name, file) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            let ours = file.metadata().map_err(failed("read", name))?;
            let found = fs::symlink_metadata(self.path().join(name)).ok();
            if found.is_none_or(|found| (found.dev(), found.ino()) != (ours.dev(), ours.ino())) {
                return Err(ProgramFolderError::Replaced(name));
            }
        }
        Ok(())
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

/// The end of a text, on one line.
pub fn last_words(text: &[u8]) -> String {
    let end = &text[text.len().saturating_sub(QUOTED_MAX)..];
    let text = String::from_utf8_lossy(end);
    let words = text.split(|letter: char| letter.is_whitespace() || letter.is_control());
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The whole file, wherever its position is: the program has the same one.
fn whole(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX)];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// The files below a folder with their names, sorted. Links are refused: they may lead anywhere.
fn found(out: &Path) -> Result<Vec<(String, PathBuf)>, ProgramFolderError> {
    let mut found = Vec::new();
    let mut folders = vec![out.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(failed("read the folder", "out"))? {
            let path = entry.map_err(failed("read the folder", "out"))?.path();
            let name = below(out, &path)?;
            match fs::symlink_metadata(&path).map_err(failed("read the metadata of", &name))? {
                kind if kind.is_dir() => folders.push(path),
                kind if kind.is_file() && kind.nlink() == 1 => found.push((name, path)),
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

fn read_all(
    found: Vec<(String, PathBuf)>,
    mut left: u64,
    bytes_most: u64,
) -> Result<Vec<ResponseFile>, ProgramFolderError> {
    let read = |(name, path): (String, PathBuf)| {
        let mut bytes = Vec::new();
        let file = File::open(&path).map_err(failed("read", &name))?;
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
