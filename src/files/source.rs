//! Plain files as requests: a file alone, or all files of a folder.
//!
//! A request has the attributes `source`, which is `files`, `file_name`, the name of each file without its
//! folder, and `bytes`. Its subject is the path: the same path with other content is a revision, which
//! is run on what is there now.

use std::collections::{BTreeMap, BTreeSet};
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
pub struct PlainFiles {
    requests: Vec<Request>,
    skipped: Vec<SkippedFile>,
}

/// A path below a folder that is left out.
#[derive(Debug)]
pub struct SkippedFile {
    pub path: PathBuf,
    /// A fragment that fits after "was skipped: ".
    pub reason: String,
}

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
    /// Reads each path once, for the digests of its files, and makes a request of it. Links are followed; a folder counts
    /// once, however many lead to it.
    ///
    /// # Errors
    /// If a path or a file below it cannot be read, or a folder has no files.
    pub fn find(paths: &[PathBuf]) -> Result<PlainFiles, FilesError> {
        let mut found = PlainFiles::default();
        for path in paths {
            found.requests.push(request(path, &mut found.skipped)?);
        }
        Ok(found)
    }

    /// In the order of the paths.
    pub fn requests(&self) -> &[Request] {
        &self.requests
    }

    /// Links that lead nowhere, and what is neither a file nor a folder.
    pub fn skipped(&self) -> &[SkippedFile] {
        &self.skipped
    }
}

impl Source for PlainFiles {
    fn name(&self) -> &'static str {
        SOURCE
    }

    fn feed(&self, admission: &Admission) -> Intake {
        admission.accept_all(self.requests.iter().cloned())
    }

    fn attributes(&self) -> &'static [AttributeDeclaration] {
        FILE_ATTRIBUTES
    }

    fn lookup_texts(&self, request: &Request) -> Vec<String> {
        let names = request.attributes.get("file_name").into_iter().flat_map(AttributeValues::iter);
        names.map(str::to_owned).collect()
    }
}

fn request(path: &Path, skipped: &mut Vec<SkippedFile>) -> Result<Request, FilesError> {
    // Other processes of a cluster may have another working directory.
    let path = std::path::absolute(path).map_err(unreadable(path))?;
    let root = if path.is_dir() { path.as_path() } else { path.parent().unwrap_or(&path) };
    let files = files(&path, skipped)?;
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
fn files(path: &Path, skipped: &mut Vec<SkippedFile>) -> Result<Vec<PathBuf>, FilesError> {
    if !fs::metadata(path).map_err(unreadable(path))?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut walk = FileWalk { folders: vec![path.to_owned()], ..FileWalk::default() };
    // Links come after all other folders, in their order: otherwise the name of a file to which two ways lead would depend
    // on the file system.
    while let Some(folder) = walk.folders.pop().or_else(|| walk.links.pop_first()) {
        let real = fs::canonicalize(&folder).map_err(unreadable(&folder))?;
        if walk.seen.insert(real) {
            walk.enter(&folder)?;
        }
    }
    walk.files.sort();
    walk.skipped.sort_by(|a, b| a.path.cmp(&b.path));
    skipped.append(&mut walk.skipped);
    Ok(walk.files)
}

/// The folders below a path that are still to be entered, and what was found.
#[derive(Default)]
struct FileWalk {
    folders: Vec<PathBuf>,
    /// Links to folders.
    links: BTreeSet<PathBuf>,
    /// Folders that were entered, by their real paths: links can lead in a circle.
    seen: BTreeSet<PathBuf>,
    files: Vec<PathBuf>,
    skipped: Vec<SkippedFile>,
}

impl FileWalk {
    fn enter(&mut self, folder: &Path) -> Result<(), FilesError> {
        for entry in fs::read_dir(folder).map_err(unreadable(folder))? {
            let entry = entry.map_err(unreadable(folder))?;
            let (path, kind) = (entry.path(), entry.file_type().map_err(unreadable(folder))?);
            match fs::metadata(&path) {
                Ok(found) if found.is_dir() && kind.is_symlink() => _ = self.links.insert(path),
                Ok(found) if found.is_dir() => self.folders.push(path),
                Ok(found) if found.is_file() => self.files.push(path),
                // Opening a pipe would wait for somebody to write into it.
                Ok(_) => self.skip(path, "it is neither a file nor a folder".to_owned()),
                Err(error) => self.skip(path, format!("it could not be read: {error}")),
            }
        }
        Ok(())
    }

    fn skip(&mut self, path: PathBuf, reason: String) {
        self.skipped.push(SkippedFile { path, reason });
    }
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
    fn linked_folders_are_followed_once_and_what_is_left_out_is_named() {
        let (place, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let link = |to: &Path, name: &str| std::os::unix::fs::symlink(to, place.path().join(name)).unwrap();
        fs::create_dir(place.path().join("real")).unwrap();
        fs::write(place.path().join("real/a.txt"), "a").unwrap();
        fs::write(elsewhere.path().join("b.txt"), "b").unwrap();
        link(elsewhere.path(), "linked");
        link(elsewhere.path(), "linked again");
        link(&place.path().join("real"), "a link to real");
        link(place.path(), "round");
        link(&place.path().join("none"), "broken");
        let _socket = std::os::unix::net::UnixListener::bind(place.path().join("socket")).unwrap();

        let found = PlainFiles::find(&[place.path().to_owned()]).unwrap();
        let names: Vec<&str> = found.requests()[0].items.iter().map(|item| item.name.as_str()).collect();
        assert_eq!(names, ["linked/b.txt", "real/a.txt"]);
        let skipped = found.skipped().iter();
        let skipped: Vec<_> =
            skipped.map(|one| (one.path.file_name().unwrap().to_str().unwrap(), &*one.reason)).collect();
        let [("broken", broken), ("socket", "it is neither a file nor a folder")] = skipped[..] else {
            panic!("{skipped:?}")
        };
        assert!(broken.starts_with("it could not be read: No such file"), "{broken}");
    }

    #[test]
    fn what_has_no_files_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let find = |path: PathBuf| PlainFiles::find(&[path]).unwrap_err();
        assert!(matches!(find(folder.path().to_owned()), FilesError::Empty { .. }));
        assert!(matches!(find(folder.path().join("none")), FilesError::Unreadable { .. }));
    }
}
