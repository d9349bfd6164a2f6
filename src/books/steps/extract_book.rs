//! `extract-book`: unpacks an archive. Nothing of it leaves its folder, and no link is made.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Component, Path, PathBuf};

use tar::{Archive, EntryType};

use crate::books::place::{BookPlace, storage};
use crate::step::{BuiltIn, Call, CancelToken, Fault, Parameter, Step};
use crate::tokens::StageToken;

use super::decrypt_book::ARCHIVE;

/// The name of what it makes.
pub const EXTRACTED: &str = "extracted";

fn step() -> Step {
    let number = Parameter::number;
    BookPlace::step("extract-book", 1, "Unpacks a tar archive, plain or compressed with gzip or zstd.")
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
    // What the archive says beside its files counts, too: names can be long.
    let mut archive = Archive::new(from.take(limits.bytes.saturating_mul(2).saturating_add(1 << 20)));
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
        let target = to.join(&inside);
        match entry.header().entry_type() {
            EntryType::Directory => fs::create_dir_all(&target).map_err(|error| made(&error, &path))?,
            EntryType::Regular | EntryType::Continuous => {
                if !known.insert(inside) {
                    return Err(fault(format!("the same path twice: {}", path.display())));
                }
                let left = limits.bytes.saturating_sub(bytes);
                target.parent().map_or(Ok(()), fs::create_dir_all).map_err(|error| made(&error, &path))?;
                let mut file = File::create_new(&target).map_err(|error| made(&error, &path))?;
                bytes += copy(&mut entry, &mut file, left, token)?;
            }
            EntryType::XGlobalHeader => {}
            other => return Err(fault(format!("link or device: {} is {other:?}", path.display()))),
        }
    }
    // The end of the stream has the checksum of what was compressed.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(|error| damaged(&error))?;
    if files == 0 { Err(fault("empty archive: there is no file in it".to_owned())) } else { Ok(()) }
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
