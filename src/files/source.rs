//! Plain files as requests: a file alone, or all files of a folder.
//!
//! A request has the attributes `source`, which is `files`, `file_name`, the name of each file without its
//! folder, and `bytes`. Its subject is the path: the same path with other content is a revision, which
//! is run on what is there now.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::admission::{Admission, BuiltInSource, Intake, Source};
use crate::step::{
    AttributeDeclaration, AttributeValues, BuiltInAttributes, Digest, Digester, Item, ItemPlace, Request,
};

/// The attribute `source` of such requests.
const SOURCE: &str = "files";

/// Attributes of plain files, for `when`.
pub const FILE_ATTRIBUTES: &[AttributeDeclaration] = &[
    AttributeDeclaration::text("source", "How it came in: here `files`."),
    AttributeDeclaration::text("file_name", "The name of each file, without its folder."),
    AttributeDeclaration::number("bytes", "The bytes of all files together."),
];

inventory::submit! { BuiltInAttributes(FILE_ATTRIBUTES) }
inventory::submit! { BuiltInSource(|| Arc::new(PlainFiles::default())) }

/// A source of files of any kind. The files are read where they are, and stay there.
///
/// ```
/// use flow::files::PlainFiles;
///
/// let folder = tempfile::tempdir()?;
/// std::fs::create_dir(folder.path().join("letters"))?;
/// std::fs::write(folder.path().join("letters/a.txt"), "first")?;
/// std::fs::write(folder.path().join("letters/b.txt"), "second")?;
///
/// let files = PlainFiles::find(&[folder.path().join("letters")])?;
/// let [request] = files.requests() else { panic!("a folder is one request") };
/// assert_eq!(request.items.len(), 2);
/// assert_eq!(request.attribute("bytes"), "11");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct PlainFiles(Vec<Request>);

/// A path whose files cannot be a request.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    #[error("could not read {}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} has no files", path.display())]
    Empty { path: PathBuf },
}

impl FilesError {
    /// Whether there is nothing at the path.
    pub fn is_missing(&self) -> bool {
        match self {
            FilesError::Unreadable { source, .. } => source.kind() == io::ErrorKind::NotFound,
            FilesError::Empty { .. } => true,
        }
    }
}

impl PlainFiles {
    /// Reads each path once, for the digests of its files, and makes a request of it. Links are followed,
    /// but not to folders below a path.
    ///
    /// # Errors
    /// If a path or a file below it cannot be read, or a folder has no files.
    pub fn find(paths: &[PathBuf]) -> Result<PlainFiles, FilesError> {
        paths.iter().map(|path| request(path)).collect::<Result<_, _>>().map(PlainFiles)
    }

    /// In the order of the paths.
    pub fn requests(&self) -> &[Request] {
        &self.0
    }
}

impl Source for PlainFiles {
    fn name(&self) -> &'static str {
        SOURCE
    }

    fn feed(&self, admission: &Admission) -> Intake {
        admission.accept_all(self.0.iter().cloned())
    }

    fn attributes(&self) -> &'static [AttributeDeclaration] {
        FILE_ATTRIBUTES
    }

    fn lookup_texts(&self, request: &Request) -> Vec<String> {
        let names = request.attributes.get("file_name").into_iter().flat_map(AttributeValues::iter);
        names.map(str::to_owned).collect()
    }
}

fn request(path: &Path) -> Result<Request, FilesError> {
    // Other processes of a cluster may have another working directory.
    let path = std::path::absolute(path).map_err(unreadable(path))?;
    let root = if path.is_dir() { path.as_path() } else { path.parent().unwrap_or(&path) };
    let files = files(&path)?;
    let items: Vec<Item> = files.iter().map(|file| item(root, file)).collect::<Result<_, _>>()?;
    if items.is_empty() {
        return Err(FilesError::Empty { path });
    }
    let bytes = items.iter().fold(0u64, |sum, item| sum.saturating_add(item.size));
    let names = files.iter().filter_map(|file| Some(file.file_name()?.to_string_lossy().into_owned()));
    let attributes = BTreeMap::from([
        ("source".to_owned(), AttributeValues::from(SOURCE)),
        ("file_name".to_owned(), names.collect()),
        ("bytes".to_owned(), AttributeValues::from(bytes.to_string())),
    ]);
    let mut request = Request::new("", attributes, items);
    request.name = name(&path, request.id);
    request.subject = path.to_string_lossy().into_owned();
    Ok(request)
}

/// The file itself, or all files below a folder in the order of their paths.
fn files(path: &Path) -> Result<Vec<PathBuf>, FilesError> {
    if !fs::metadata(path).map_err(unreadable(path))?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let (mut files, mut folders) = (Vec::new(), vec![path.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(unreadable(&folder))? {
            let entry = entry.map_err(unreadable(&folder))?;
            let (path, kind) = (entry.path(), entry.file_type().map_err(unreadable(&folder))?);
            match kind.is_dir() {
                true => folders.push(path),
                // Links to folders are not followed, because they may form a circle. Pipes are left out,
                // because opening one blocks.
                false if path.is_file() => files.push(path),
                false => {}
            }
        }
    }
    files.sort();
    Ok(files)
}

fn item(root: &Path, path: &Path) -> Result<Item, FilesError> {
    let mut digester = Digester::default();
    let copied = File::open(path).and_then(|mut file| io::copy(&mut file, &mut digester));
    let size = copied.map_err(unreadable(path))?;
    let name = path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned();
    let digest = digester.digest();
    Ok(Item { name, place: ItemPlace::File(path.to_owned()), digest, size, decoded: size })
}

/// The name of the folder of responses: the last part of the path, without letters that some systems forbid,
/// and a piece of the digest that makes it unique.
fn name(path: &Path, id: Digest) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let safe = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
    let safe: String = stem.chars().map(safe).take(40).collect();
    match safe.trim_matches('-') {
        "" => id.short(),
        safe => format!("{safe}_{}", id.short()),
    }
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> FilesError {
    let path = path.to_owned();
    move |source| FilesError::Unreadable { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_and_a_folder_are_a_request_each() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        fs::create_dir_all(folder.join("books/deep")).unwrap();
        fs::write(folder.join("books/b.txt"), "b").unwrap();
        fs::write(folder.join("books/deep/a\\b.txt"), "ab").unwrap();
        fs::write(folder.join("a letter.txt"), "letter").unwrap();
        std::os::unix::fs::symlink(folder.join("books"), folder.join("books/round")).unwrap();

        let found = PlainFiles::find(&[folder.join("books"), folder.join("a letter.txt")]).unwrap();
        let [books, letter] = found.requests() else { panic!("{found:?}") };
        let names: Vec<&str> = books.items.iter().map(|item| item.name.as_str()).collect();
        assert_eq!(names, ["b.txt", "deep/a\\b.txt"]);
        assert_eq!(found.lookup_texts(books), ["b.txt", "a\\b.txt"]);
        assert_eq!((books.attribute("bytes"), letter.attribute("source")), ("3", "files"));
        assert_eq!(letter.name, format!("a-letter_{}", letter.id.short()));
        assert_eq!(letter.subject, folder.join("a letter.txt").display().to_string());
        assert_eq!(letter.items[0].digest, Digest::of(b"letter"));
    }

    #[test]
    fn what_has_no_files_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let find = |path: PathBuf| PlainFiles::find(&[path]).unwrap_err();
        assert!(matches!(find(folder.path().to_owned()), FilesError::Empty { .. }));
        assert!(matches!(find(folder.path().join("none")), FilesError::Unreadable { .. }));
    }
}
