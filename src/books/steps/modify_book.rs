//! `modify-book`: packs a book anew as a BagIt bag (RFC 8493): with checksums, without owners and times. The same
//! files give the same bytes.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use flate2::{Compression, GzBuilder};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

use crate::books::place::{BookPlace, storage};
use crate::step::{BuiltIn, Call, CancelToken, Fault, Step};
use crate::tokens::StageToken;

use super::extract_book::EXTRACTED;

/// The name of what it makes.
pub const BAG: &str = "bag.tar.gz";

fn step() -> Step {
    BookPlace::step("modify-book", 2, "Packs a book as a BagIt bag with checksums, always the same bytes.")
        .calls(|tokens, call, _| Ok(tokens.into_iter().map(|token| modify(token, call)).collect()))
}

inventory::submit! { BuiltIn(step) }

fn modify(token: StageToken, call: &Call) -> Result<StageToken, Fault> {
    let place = BookPlace::of(&token, call)?;
    let folder = place.existing(&token, EXTRACTED)?;
    let draft = place.draft(BAG);
    let packed = File::create(&draft).map_err(|error| storage(&error));
    let packed = packed.and_then(|file| pack(&folder, &token.barcode, BufWriter::new(file), call.token));
    let kept = packed.and_then(|()| place.replace(&draft, BAG));
    if kept.is_err() {
        let _ = fs::remove_file(&draft);
    }
    kept?;
    let located = place.locate(BAG)?;
    Ok(token.at(BAG, located))
}

/// Writes the files of a folder as a bag, a tar compressed with gzip.
///
/// # Errors
/// If a file cannot be read, or the bag not be written.
pub fn pack(folder: &Path, name: &str, to: impl Write, token: &CancelToken) -> Result<(), Fault> {
    let gzip = GzBuilder::new().mtime(0).write(to, Compression::fast());
    let mut bag = BagWriter { tar: Builder::new(gzip), name, manifest: String::new(), bytes: 0, files: 0 };
    let mut paths = Vec::new();
    list(folder, Path::new(""), &mut paths).map_err(|error| storage(&error))?;
    if let Some(path) = paths.iter().find(|path| path.to_str().is_none()) {
        let reason = format!("bad path: {} is not UTF-8, as the list of a bag has to be", path.display());
        return Err(Fault::new(
            reason,
            "Have the archive made with names in UTF-8, and run the token again.",
        ));
    }
    // The order of a directory is that of its file system.
    paths.sort();
    for path in paths {
        token.check()?;
        bag.file(folder, &path).map_err(|error| storage(&error))?;
    }
    bag.end().map_err(|error| storage(&error))
}

fn list(folder: &Path, below: &Path, paths: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        match entry.file_type()? {
            kind if kind.is_dir() => list(folder, &path, paths)?,
            _ => paths.push(path),
        }
    }
    Ok(())
}

struct BagWriter<'a, W: Write> {
    tar: Builder<W>,
    name: &'a str,
    manifest: String,
    bytes: u64,
    files: u64,
}

impl<W: Write> BagWriter<'_, W> {
    fn file(&mut self, folder: &Path, path: &Path) -> io::Result<()> {
        let text = path.to_str().ok_or(io::ErrorKind::InvalidFilename)?;
        let file = File::open(folder.join(path))?;
        let length = file.metadata()?.len();
        let inside = Path::new("data").join(path);
        let mut reader = HashedReader { from: BufReader::new(file), sha256: Sha256::new() };
        let target = Path::new(self.name).join(&inside);
        self.tar.append_data(&mut header(length), target, &mut reader)?;
        let line = format!("{}  data/{}\n", hex(&reader.sha256.finalize()), encoded(text));
        self.manifest.push_str(&line);
        (self.bytes, self.files) = (self.bytes + length, self.files + 1);
        Ok(())
    }

    /// The files about the bag come last, when the checksums are known.
    fn end(mut self) -> io::Result<()> {
        let declaration = "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n".to_owned();
        let info =
            format!("Payload-Oxum: {}.{}\nExternal-Identifier: {}\n", self.bytes, self.files, self.name);
        let manifest = std::mem::take(&mut self.manifest);
        let files = [("bagit.txt", declaration), ("bag-info.txt", info), ("manifest-sha256.txt", manifest)];
        let mut tags = String::new();
        for (name, text) in &files {
            writeln!(tags, "{}  {name}", hex(&Sha256::digest(text.as_bytes()))).map_err(io::Error::other)?;
        }
        for (name, text) in files.into_iter().chain([("tagmanifest-sha256.txt", tags)]) {
            let target = Path::new(self.name).join(name);
            self.tar.append_data(&mut header(text.len() as u64), target, text.as_bytes())?;
        }
        self.tar.into_inner()?.flush()
    }
}

/// A file of nobody, at no time.
fn header(length: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::Regular);
    header.set_size(length);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

struct HashedReader<R> {
    from: R,
    sha256: Sha256,
}

impl<R: Read> Read for HashedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.from.read(buffer)?;
        self.sha256.update(&buffer[..length]);
        Ok(length)
    }
}

/// A path as a manifest has it: line ends are encoded (RFC 8493, 2.1.3).
fn encoded(path: &str) -> String {
    path.replace('%', "%25").replace('\n', "%0A").replace('\r', "%0D")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_no_manifest_can_have_is_a_fault() {
        use std::os::unix::ffi::OsStringExt;
        let folder = tempfile::tempdir().unwrap();
        let name = std::ffi::OsString::from_vec(b"caf\xe9".to_vec());
        fs::write(folder.path().join(name), "1").unwrap();
        let fault = pack(folder.path(), "ark.1", Vec::new(), &CancelToken::default()).unwrap_err();
        assert!(fault.reason.starts_with("bad path: "), "{}", fault.reason);
    }

    #[test]
    fn the_same_files_give_the_same_bytes_and_a_bag_says_their_checksums() {
        let packed = |order: [&str; 2]| {
            let folder = tempfile::tempdir().unwrap();
            for name in order {
                fs::create_dir_all(folder.path().join("pages")).unwrap();
                fs::write(folder.path().join("pages").join(name), name).unwrap();
            }
            let mut bag = Vec::new();
            pack(folder.path(), "ark.1", &mut bag, &CancelToken::default()).unwrap();
            bag
        };
        let bag = packed(["b", "a"]);
        assert_eq!(bag, packed(["a", "b"]));
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bag.as_slice()));
        let mut files = std::collections::BTreeMap::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            assert_eq!((entry.header().mtime().unwrap(), entry.header().uid().unwrap()), (0, 0));
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            files.insert(entry.path().unwrap().display().to_string(), text);
        }
        let manifest = &files["ark.1/manifest-sha256.txt"];
        let line = format!("{}  data/pages/a\n", hex(&Sha256::digest(b"a")));
        assert!(manifest.starts_with(&line), "{manifest}");
        let tags = &files["ark.1/tagmanifest-sha256.txt"];
        let line = format!("{}  manifest-sha256.txt\n", hex(&Sha256::digest(manifest.as_bytes())));
        assert!(tags.contains(&line), "{tags}");
        assert!(files["ark.1/bag-info.txt"].contains("Payload-Oxum: 2.2\n"));
    }
}
