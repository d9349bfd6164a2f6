//! `extract-book`: unpacks an archive. Nothing of it leaves its folder, and no link is made.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use tar::{Archive, EntryType};

use crate::books::place::{BookPlace, storage};
use crate::step::{BuiltIn, Call, CancelToken, Fault, Parameter, Step};
use crate::tokens::StageToken;

use super::decrypt_book::ARCHIVE;

/// The name of what it makes.
pub const EXTRACTED: &str = "extracted";

fn step() -> Step {
    let number = Parameter::number;
    BookPlace::step("extract-book", 2, "Unpacks a tar archive, plain or compressed with gzip or zstd.")
        .parameter(
            number("gib_max", 16.0, 0.000_001, 1024.0, "GiB").about("The largest content of an archive."),
        )
        .parameter(
            number("files_max", 100_000.0, 1.0, 10_000_000.0, "").about("The largest number of files."),
        )
        .calls(|tokens, call, _| Ok(tokens.into_iter().map(|token| extract(token, call)).collect()))
}

inventory::submit! { BuiltIn(step) }

fn extract(token: StageToken, call: &Call) -> Result<StageToken, Fault> {
    let place = BookPlace::of(&token, call)?;
    let archive = place.existing(&token, ARCHIVE)?;
    let draft = place.draft(EXTRACTED);
    let limits = ExtractLimits {
        bytes: (call.number("gib_max") * f64::from(1 << 30)) as u64,
        files: call.number("files_max") as u64,
    };
    let unpacked = fs::create_dir(&draft).map_err(|error| storage(&error));
    let unpacked = unpacked.and_then(|()| unpack(&archive, &draft, &limits, call.token));
    let kept = unpacked.and_then(|()| place.replace(&draft, EXTRACTED));
    if kept.is_err() {
        let _ = fs::remove_dir_all(&draft);
    }
    kept?;
    let located = place.locate(EXTRACTED)?;
    Ok(token.at(EXTRACTED, located))
}

/// What an archive may make.
pub struct ExtractLimits {
    pub bytes: u64,
    pub files: u64,
}

/// The largest window of zstd, as a power of two: 128 MiB.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// Unpacks an archive into an empty folder.
///
/// # Errors
/// If it is none, has a path or an entry that it must not have, or is larger than allowed.
pub fn unpack(archive: &Path, to: &Path, limits: &ExtractLimits, token: &CancelToken) -> Result<(), Fault> {
    let mut file = BufReader::new(File::open(archive).map_err(|error| storage(&error))?);
    let mut magic = [0; 4];
    let length = file.read(&mut magic).map_err(|error| storage(&error))?;
    file.seek(SeekFrom::Start(0)).map_err(|error| storage(&error))?;
    match &magic[..length] {
        [0x1f, 0x8b, ..] => unpack_tar(flate2::bufread::MultiGzDecoder::new(file), to, limits, token),
        [0x28, 0xb5, 0x2f, 0xfd] => {
            let mut decoder = zstd::Decoder::with_buffer(file).map_err(|error| damaged(&error))?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(|error| damaged(&error))?;
            unpack_tar(decoder, to, limits, token)
        }
        _ => unpack_tar(file, to, limits, token),
    }
}

fn unpack_tar(from: impl Read, to: &Path, limits: &ExtractLimits, token: &CancelToken) -> Result<(), Fault> {
    // The names of entries are read into memory, and can be as long as the archive says.
    let head_left = Rc::new(Cell::new(HEAD_BYTES_MAX));
    let bounded = HeadBound { from, left: Rc::clone(&head_left) };
    let mut archive = Archive::new(bounded);
    let (mut bytes, mut files, mut known) = (0_u64, 0_u64, BTreeSet::new());
    for entry in archive.entries().map_err(|error| damaged(&error))? {
        token.check()?;
        let mut entry = entry.map_err(|error| damaged(&error))?;
        let path = entry.path().map_err(|error| damaged(&error))?.into_owned();
        files += 1;
        if files > limits.files {
            return Err(fault(format!("too many files: more than {}", limits.files)));
        }
        let Some(inside) = inside(&path) else {
            return Err(fault(format!("path leaves the folder: {}", path.display())));
        };
        if inside.components().count() > DEPTH_MAX {
            return Err(fault(format!("bad path: more than {DEPTH_MAX} folders: {}", path.display())));
        }
        let target = to.join(&inside);
        match entry.header().entry_type() {
            EntryType::Directory => fs::create_dir_all(&target).map_err(|error| made(&error, &path))?,
            EntryType::Regular | EntryType::Continuous => {
                if !known.insert(inside) {
                    return Err(fault(format!("the same path twice: {}", path.display())));
                }
                // Of all other entries nothing is counted but what is passed over.
                head_left.set(u64::MAX);
                let left = limits.bytes.saturating_sub(bytes);
                target.parent().map_or(Ok(()), fs::create_dir_all).map_err(|error| made(&error, &path))?;
                let mut file = File::create_new(&target).map_err(|error| made(&error, &path))?;
                bytes += copy(&mut entry, &mut file, left, token)?;
            }
            EntryType::XGlobalHeader => {}
            other => return Err(fault(format!("link or device: {} is {other:?}", path.display()))),
        }
        head_left.set(HEAD_BYTES_MAX);
    }
    // The end of the stream has the checksum of what was compressed, after some padding.
    head_left.set(limits.bytes.saturating_add(HEAD_BYTES_MAX));
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(|error| damaged(&error))?;
    if files == 0 { Err(fault("empty archive: there is no file in it".to_owned())) } else { Ok(()) }
}

/// The most bytes between the contents of two entries: padding, heads, long names and attributes.
const HEAD_BYTES_MAX: u64 = 2 << 20;

/// The deepest path: each entry may make as many folders, which no limit counts.
const DEPTH_MAX: usize = 64;

/// A reader that fails where an archive has more bytes beside its contents than it may have.
struct HeadBound<R> {
    from: R,
    left: Rc<Cell<u64>>,
}

impl<R: Read> Read for HeadBound<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.from.read(buffer)?;
        match self.left.get().checked_sub(length as u64) {
            Some(left) => self.left.set(left),
            None => return Err(io::Error::other("too long: there is too much beside the files in it")),
        }
        Ok(length)
    }
}

fn copy(from: &mut impl Read, to: &mut File, left: u64, token: &CancelToken) -> Result<u64, Fault> {
    let mut piece = vec![0; 128 << 10];
    let mut bytes = 0;
    loop {
        token.check()?;
        let length = from.read(&mut piece).map_err(|error| damaged(&error))?;
        if length == 0 {
            return Ok(bytes);
        }
        bytes += length as u64;
        if bytes > left {
            return Err(fault("too large: there is more in it than it may have".to_owned()));
        }
        to.write_all(&piece[..length]).map_err(|error| storage(&error))?;
    }
}

/// The path below the folder; `None` if it would leave it.
fn inside(path: &Path) -> Option<PathBuf> {
    let mut inside = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => inside.push(name),
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::ParentDir => return None,
        }
    }
    Some(inside)
}

fn damaged(error: &io::Error) -> Fault {
    fault(format!("damaged archive: {error}"))
}

/// An entry that cannot be made beside what came before it is a fault of the archive.
fn made(error: &io::Error, path: &Path) -> Fault {
    use io::ErrorKind::{AlreadyExists, InvalidFilename, InvalidInput, IsADirectory, NotADirectory};
    match error.kind() {
        AlreadyExists | InvalidFilename | InvalidInput | IsADirectory | NotADirectory => {
            fault(format!("bad path: {}: {error}", path.display()))
        }
        _ => storage(error),
    }
}

fn fault(reason: String) -> Fault {
    Fault::new(reason, "See to the archive, and run the token again.")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ExtractLimits = ExtractLimits { bytes: 1_000, files: 5 };

    fn header(kind: EntryType, name: &[u8], length: u64) -> tar::Header {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name);
        header.set_entry_type(kind);
        header.set_size(length);
        header.set_mode(0o644);
        if kind.is_symlink() || kind.is_hard_link() {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_cksum();
        header
    }

    /// Kind, path and size.
    type TarEntry<'a> = (EntryType, &'a str, usize);

    fn archive(entries: &[TarEntry]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (kind, name, length) in entries {
            let bytes = vec![b'x'; *length];
            tar.append(&header(*kind, name.as_bytes(), *length as u64), bytes.as_slice()).unwrap();
        }
        tar.into_inner().unwrap()
    }

    fn unpacked(archive: &[u8]) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().unwrap();
        let (file, to) = (folder.path().join("archive"), folder.path().join("to"));
        fs::write(&file, archive).unwrap();
        fs::create_dir(&to).unwrap();
        let end = unpack(&file, &to, &LIMITS, &CancelToken::default());
        let names = |folder: &Path| {
            let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
            let mut names: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
            names.sort();
            names
        };
        assert_eq!(names(folder.path()), ["archive", "to"], "nothing lies outside");
        end.map(|()| names(&to)).map_err(|fault| fault.reason)
    }

    #[test]
    fn an_archive_is_unpacked_plain_or_compressed() {
        let plain = archive(&[
            (EntryType::Directory, "a/", 0),
            (EntryType::Regular, "a/b", 5),
            (EntryType::Regular, "./c", 0),
        ]);
        let mut gzip = flate2::GzBuilder::new().write(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&plain).unwrap();
        for archive in [plain.clone(), gzip.finish().unwrap(), zstd::encode_all(plain.as_slice(), 1).unwrap()]
        {
            assert_eq!(unpacked(&archive).unwrap(), ["a", "c"]);
            let cut = unpacked(&archive[..archive.len().min(700) / 2]).unwrap_err();
            assert!(cut.starts_with("damaged archive"), "{cut}");
        }
    }

    #[test]
    fn what_leaves_the_folder_or_fills_the_disk_is_refused() {
        let file = EntryType::Regular;
        let cases: [(&[TarEntry], &str); 10] = [
            (&[(file, "../x", 1)], "path leaves the folder"),
            (&[(file, "/tmp/x", 1)], "path leaves the folder"),
            (&[(file, "a/../../x", 1)], "path leaves the folder"),
            (&[(EntryType::Symlink, "x", 0)], "link or device"),
            (&[(EntryType::Link, "x", 0)], "link or device"),
            (&[(EntryType::Char, "x", 0)], "link or device"),
            (&[(file, "x", 600), (file, "y", 600)], "too large"),
            (&[(file, "x", 1), (file, "./x", 1)], "the same path twice"),
            (&[(file, "x", 1), (file, "x/y", 1)], "bad path"),
            (&[], "empty archive"),
        ];
        for (entries, expected) in cases {
            let reason = unpacked(&archive(entries)).unwrap_err();
            assert!(reason.starts_with(expected), "{reason}, not {expected}");
        }
        let many: Vec<(EntryType, String, usize)> =
            (0..6).map(|number| (file, format!("{number}"), 0)).collect();
        let many: Vec<(EntryType, &str, usize)> =
            many.iter().map(|(kind, name, size)| (*kind, name.as_str(), *size)).collect();
        assert!(unpacked(&archive(&many)).unwrap_err().starts_with("too many files"));
        // A name of a hundred million bytes.
        let mut long = header(EntryType::GNULongName, b"././@LongLink", 100_000_000).as_bytes().to_vec();
        long.resize(100_000_512, b'x');
        let reason = unpacked(&zstd::encode_all(long.as_slice(), 1).unwrap()).unwrap_err();
        assert!(reason.contains("too much beside the files"), "{reason}");
        // A folder that has content, which is passed over.
        let mut folder = header(EntryType::Directory, b"a/", 100_000_000).as_bytes().to_vec();
        folder.resize(100_000_512, 0);
        let reason = unpacked(&zstd::encode_all(folder.as_slice(), 1).unwrap()).unwrap_err();
        assert!(reason.contains("too much beside the files"), "{reason}");
        let deep = |folders: usize| {
            let (mut tar, mut header) = (tar::Builder::new(Vec::new()), tar::Header::new_gnu());
            header.set_size(1);
            let path = format!("{}x", "d/".repeat(folders));
            tar.append_data(&mut header, path, b"x".as_slice()).unwrap();
            unpacked(&tar.into_inner().unwrap())
        };
        assert_eq!(deep(DEPTH_MAX - 1).unwrap(), ["d"]);
        assert!(deep(DEPTH_MAX).unwrap_err().starts_with("bad path: more than 64 folders"));
        // A bomb: a hundred million zeros in a few kilobytes.
        let mut bomb = archive(&[]);
        bomb.splice(..0, header(file, b"bomb", 100_000_000).as_bytes().iter().copied());
        let mut gzip = flate2::GzBuilder::new().write(Vec::new(), flate2::Compression::best());
        gzip.write_all(&bomb[..512]).unwrap();
        gzip.write_all(&vec![0; 100_000_000]).unwrap();
        assert!(unpacked(&gzip.finish().unwrap()).unwrap_err().starts_with("too large"));
    }
}
