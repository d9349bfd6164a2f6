//! The private folder of a program: its inputs are written there, its results read from there.
//!
//! ```text
//! item        the item, if the step has an input for one
//! items/00001 the items of the request, in order or by names, if the step has an input for the request
//! files/…     files of other steps, by name
//! out/…       the results of the program
//! stdout, stderr
//! ```
//!
//! Inputs are copies: a program that changes them changes nothing for other steps.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Dir, Mode, OFlags};
use rustix::io::Errno;
use tempfile::TempDir;

use crate::step::{Item, ResponseFile, ResponseFiles};

use super::hidden_places::HiddenPlaces;
use super::left_folder::remove_left_folder;

/// A temporary folder. Dropping it removes it with its contents.
pub struct ProgramFolder {
    folder: TempDir,
    /// Held open: the program may put something else in their places.
    out: File,
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
        let out = File::open(folder.path().join("out")).map_err(failed("open", "out"))?;
        let output = |name: &str| {
            let options = File::options().read(true).append(true).create_new(true).clone();
            options.open(folder.path().join(name)).map_err(failed("make", name))
        };
        let (stdout, stderr) = (output("stdout")?, output("stderr")?);
        Ok(ProgramFolder { folder, out, stdout, stderr })
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

    /// Copies the items of a request: by these names, which were checked, or numbered.
    pub fn lay_items(&self, items: &[Item], names: Option<&[&str]>) -> Result<(), ProgramFolderError> {
        fs::create_dir(self.path().join("items")).map_err(failed("make", "items"))?;
        let mut numbered = items.iter().enumerate();
        numbered.try_for_each(|(index, item)| match names {
            Some(names) => self.copy(item, &format!("items/{}", names[index])),
            None => self.copy(item, &format!("items/{:05}", index + 1)),
        })
    }

    /// Writes the files of other steps. Their names were checked when the files were made.
    pub fn lay_files(&self, files: &ResponseFiles) -> Result<(), ProgramFolderError> {
        files.0.iter().try_for_each(|file| self.lay_given(&format!("files/{}", file.name), &file.bytes))
    }

    /// Writes a file of the dataflow. Its path was checked.
    pub fn lay_given(&self, path: &str, bytes: &[u8]) -> Result<(), ProgramFolderError> {
        let place = self.path().join(path);
        let parent = place.parent().expect("it lies in a folder");
        fs::create_dir_all(parent).map_err(failed("make the folder of", path))?;
        fs::write(&place, bytes).map_err(failed("write", path))
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
        let mut files = read_all(&self.out, found(&self.out)?, left?, bytes_most)?;
        if !printed.is_empty() {
            files.push(ResponseFile::new("stdout.txt", media_type("stdout.txt"), printed));
        }
        Ok(ResponseFiles(files))
    }

    /// The standard error, or the end of a long one.
    pub fn errors(&self) -> Vec<u8> {
        HiddenPlaces::of(&[self.path()]).hidden(&log_end(&self.stderr))
    }

    /// Nothing stands in the place of the folder and files that the program was given: a link may lead
    /// anywhere, and a pipe never ends.
    fn check_places(&self) -> Result<(), ProgramFolderError> {
        for (name, file) in [("out", &self.out), ("stdout", &self.stdout), ("stderr", &self.stderr)] {
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

impl Drop for ProgramFolder {
    fn drop(&mut self) {
        // What stays is removed with the state's folders of steps, when flow starts again.
        let _ = remove_left_folder(self.folder.path());
    }
}

/// The end of a text, on one line. It begins with a whole letter.
pub fn last_words(text: &[u8]) -> String {
    let mut end = &text[text.len().saturating_sub(QUOTED_MAX)..];
    while end.len() < text.len() && end.first().is_some_and(|byte| byte & 0xC0 == 0x80) {
        end = &end[1..];
    }
    on_one_line(&String::from_utf8_lossy(end))
}

/// A text on one line. Of a long one, the begin and the end.
pub fn both_ends(text: &str) -> String {
    let half = QUOTED_MAX / 2;
    if text.len() <= QUOTED_MAX {
        return on_one_line(text);
    }
    let is_boundary = |at: &usize| text.is_char_boundary(*at);
    let begin = (0..=half).rev().find(is_boundary).unwrap_or_default();
    let end = (text.len() - half..text.len()).find(is_boundary).unwrap_or(text.len());
    format!("{} … {}", on_one_line(&text[..begin]), on_one_line(&text[end..]))
}

fn on_one_line(text: &str) -> String {
    let words = text.split(|letter: char| letter.is_whitespace() || letter.is_control());
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The whole file, wherever its position is: the program has the same one.
pub(super) fn whole(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX)];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// The most of what a program has said that is kept, in bytes.
const LOG_BYTES_MAX: u64 = 4 << 20;

/// What a program has said. Of much, the end is kept, and how much is left out is said before it.
pub(super) fn log_end(file: &File) -> Vec<u8> {
    let read = || -> io::Result<Vec<u8>> {
        let left_out = file.metadata()?.len().saturating_sub(LOG_BYTES_MAX);
        let mut log = match left_out {
            0 => Vec::new(),
            bytes => format!("[the first {bytes} bytes are left out]\n").into_bytes(),
        };
        let mut end = vec![0; usize::try_from(file.metadata()?.len() - left_out).unwrap_or(0)];
        file.read_exact_at(&mut end, left_out)?;
        log.extend(end);
        Ok(log)
    };
    // What cannot be read is treated as empty: the program has failed for another reason.
    read().unwrap_or_default()
}

/// The names of the files below a folder, sorted. Links are refused: they may lead anywhere.
pub(super) fn found(out: &File) -> Result<Vec<String>, ProgramFolderError> {
    let mut found = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let listed = open_below(out, &folder).and_then(|folder| Ok(Dir::read_from(folder)?));
        for entry in listed.map_err(failed("read the folder", "out"))? {
            let entry = entry.map_err(io::Error::from).map_err(failed("read the folder", "out"))?;
            let own = entry.file_name().to_bytes();
            if matches!(own, b"." | b"..") {
                continue;
            }
            let name = below(&folder, own)?;
            match open_below(out, &name).and_then(|file| file.metadata()) {
                Ok(kind) if kind.is_dir() => folders.push(name),
                Ok(kind) if kind.is_file() && kind.nlink() == 1 => found.push(name),
                Ok(_) => return Err(ProgramFolderError::Strange(name)),
                Err(error) => return Err(not_opened(name, error)),
            }
            if found.len() + folders.len() > FILES_MAX {
                return Err(ProgramFolderError::TooMany);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The name of a result: that of its folder below `out/`, and its own.
fn below(folder: &str, own: &[u8]) -> Result<String, ProgramFolderError> {
    let own = std::str::from_utf8(own)
        .map_err(|_| ProgramFolderError::Name(Path::new(folder).join(std::ffi::OsStr::from_bytes(own))))?;
    Ok(if folder.is_empty() { own.to_owned() } else { format!("{folder}/{own}") })
}

/// Opens a file or folder below another one, folder by folder. None of them is a link, whatever a program that
/// still runs puts in their places meanwhile. A pipe is opened without waiting for its other end.
pub(super) fn open_below(out: &File, name: &str) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let open = |folder: &File, part: &str| {
        rustix::fs::openat(folder, part, flags, Mode::empty()).map(File::from).map_err(io::Error::from)
    };
    let mut opened = open(out, ".")?;
    for part in name.split('/').filter(|part| !part.is_empty()) {
        opened = open(&opened, part)?;
    }
    Ok(opened)
}

/// The error of a file or folder that cannot be opened: a link, a socket, or a fault of the disk.
fn not_opened(name: String, error: io::Error) -> ProgramFolderError {
    let is_strange = [Errno::LOOP, Errno::NXIO, Errno::OPNOTSUPP].map(Errno::raw_os_error);
    match error.raw_os_error() {
        Some(code) if is_strange.contains(&code) => ProgramFolderError::Strange(name),
        _ => failed("read", &name)(error),
    }
}

pub(super) fn read_all(
    out: &File,
    found: Vec<String>,
    mut left: u64,
    bytes_most: u64,
) -> Result<Vec<ResponseFile>, ProgramFolderError> {
    let read = |name: String| {
        let mut bytes = Vec::new();
        let file = open_below(out, &name).map_err(|error| not_opened(name.clone(), error))?;
        // What is open is what is read: it may be another than that which was found.
        let kind = file.metadata().map_err(failed("read the metadata of", &name))?;
        if !kind.is_file() || kind.nlink() != 1 {
            return Err(ProgramFolderError::Strange(name));
        }
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
pub(super) fn failed(what: &'static str, name: &str) -> impl FnOnce(io::Error) -> ProgramFolderError {
    let name = name.to_owned();
    move |source| ProgramFolderError::Access { what, name, source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn files_in_folders_are_results_by_their_names() {
        let folder = ProgramFolder::new().unwrap();
        let out = folder.path().join("out");
        fs::create_dir_all(out.join("a/b")).unwrap();
        fs::write(out.join("a/b/c.txt"), "c").unwrap();
        fs::write(out.join("z.txt"), "z").unwrap();
        let names: Vec<String> = folder.results(10).unwrap().0.into_iter().map(|file| file.name).collect();
        assert_eq!(names, ["a/b/c.txt", "z.txt"]);
        assert!(matches!(folder.results(1), Err(ProgramFolderError::TooLarge(1))));
    }

    #[test]
    fn long_texts_are_cut_between_letters() {
        let long = format!("ValueError: {}ß\n(steps.py, line 3)", "ü".repeat(1 << 20));
        let both = both_ends(&long);
        assert!(both.starts_with("ValueError: üü") && both.ends_with("üß (steps.py, line 3)"), "{both}");
        assert!(both.len() < QUOTED_MAX + 10 && both.contains("ü … ü"), "{both}");
        for odd in ["", "x"] {
            let last = last_words(format!("{long}{odd}").as_bytes());
            assert!(last.starts_with("üü") && last.len() <= QUOTED_MAX, "{last}");
        }
        assert_eq!(both_ends("a\n b"), "a b");
    }

    #[test]
    fn of_a_long_log_the_end_is_kept() {
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, b"short").unwrap();
        assert_eq!(log_end(&file), b"short");
        io::Write::write_all(&mut file, &vec![b'x'; LOG_BYTES_MAX as usize]).unwrap();
        let log = log_end(&file);
        assert!(log.starts_with(b"[the first 5 bytes are left out]\nxx"));
        assert!(log.len() < LOG_BYTES_MAX as usize + 100);
    }

    #[test]
    fn a_link_that_takes_the_place_of_a_file_or_folder_is_not_followed() {
        let (folder, secret) = (ProgramFolder::new().unwrap(), tempfile::tempdir().unwrap());
        fs::write(secret.path().join("file"), "secret").unwrap();
        let out = folder.path().join("out");
        // What was found is replaced before it is read.
        for (found, link, target) in [
            ("file", "file", secret.path().join("file")),
            ("folder/file", "folder", secret.path().to_owned()),
        ] {
            symlink(target, out.join(link)).unwrap();
            let read = read_all(&folder.out, vec![found.to_owned()], 100, 100);
            assert!(read.is_err(), "{found}");
            assert!(matches!(folder.results(100), Err(ProgramFolderError::Strange(_))), "{found}");
            fs::remove_file(out.join(link)).unwrap();
        }
        fs::rename(&out, folder.path().join("moved")).unwrap();
        symlink(secret.path(), &out).unwrap();
        assert!(matches!(folder.results(100), Err(ProgramFolderError::Replaced("out"))));
    }
}
