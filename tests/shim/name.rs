//! The names of operations: what is done, and to which path, without what differs from run to run.

use std::ffi::{CStr, OsStr, c_char, c_int};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::AT_FDCWD;
use crate::plan::Plan;

/// A change of the disk below one of the plan's folders.
pub struct Operation {
    pub kind: &'static str,
    /// `rename output/#/results.json`.
    pub name: String,
    pub path: PathBuf,
    /// Where it was, if it is moved.
    pub from: Option<PathBuf>,
}

unsafe extern "C" {
    fn readlink(path: *const c_char, buffer: *mut c_char, size: usize) -> isize;
}

const PATH_BYTES_MAX: usize = 4096;

/// An operation on a path, which may be relative to an open folder.
pub fn at_path(kind: &'static str, folder: c_int, path: *const c_char) -> Option<Operation> {
    named(kind, &absolute(folder, path)?)
}

/// A path that takes the place of another.
pub fn moving(folder: c_int, from: *const c_char, other: c_int, to: *const c_char) -> Option<Operation> {
    let operation = at_path("rename", other, to)?;
    Some(Operation { from: absolute(folder, from).map(|path| owned(&path)), ..operation })
}

fn absolute(folder: c_int, path: *const c_char) -> Option<Vec<u8>> {
    let path = unsafe { CStr::from_ptr(path) }.to_bytes();
    if path.starts_with(b"/") {
        return Some(path.to_owned());
    }
    let mut buffer = [0; PATH_BYTES_MAX];
    let here = folder == AT_FDCWD;
    let base = if here { link(b"/proc/self/cwd\0", &mut buffer)? } else { opened(folder, &mut buffer)? };
    Some([base, b"/", path].concat())
}

/// An operation on an open file. Allocates nothing where it is not one: signal handlers write, too.
pub fn of_file(kind: &'static str, file: c_int) -> Option<Operation> {
    let mut buffer = [0; PATH_BYTES_MAX];
    named(kind, opened(file, &mut buffer)?)
}

fn opened(file: c_int, buffer: &mut [u8; PATH_BYTES_MAX]) -> Option<&[u8]> {
    let mut path = [0; 32];
    write!(&mut path[..], "/proc/self/fd/{file}\0").ok()?;
    link(&path, buffer)
}

fn link<'a>(path: &[u8], buffer: &'a mut [u8; PATH_BYTES_MAX]) -> Option<&'a [u8]> {
    let length = unsafe { readlink(path.as_ptr().cast(), buffer.as_mut_ptr().cast(), buffer.len()) };
    buffer.get(..usize::try_from(length).ok()?)
}

fn named(kind: &'static str, path: &[u8]) -> Option<Operation> {
    let (label, below) = Plan::get().below(path)?;
    let name = format!("{kind} {label}{}", plain(&String::from_utf8_lossy(below)));
    Some(Operation { kind, name, path: owned(path), from: None })
}

fn owned(path: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(path))
}

/// As long as this a run of hexadecimal digits is a digest, or a part of one.
const DIGEST_DIGITS_MIN: usize = 8;

/// Puts `#` for digests, numbers and UIDs.
fn plain(path: &str) -> String {
    let mut plain = String::new();
    let mut rest = path;
    while let Some(first) = rest.chars().next() {
        let digest = run(rest, |letter| matches!(letter, '0'..='9' | 'a'..='f'));
        let number = run(rest, |letter| letter.is_ascii_digit() || letter == '.');
        let length = match (digest, number) {
            (DIGEST_DIGITS_MIN.., _) => digest,
            (_, 1..) if first.is_ascii_digit() => rest[..number].trim_end_matches('.').len(),
            _ => {
                plain.push(first);
                rest = &rest[first.len_utf8()..];
                continue;
            }
        };
        if !plain.ends_with('#') {
            plain.push('#');
        }
        rest = &rest[length..];
    }
    plain
}

/// How many bytes at the beginning of a text are such letters.
fn run(text: &str, such: impl Fn(char) -> bool) -> usize {
    text.find(|letter| !such(letter)).unwrap_or(text.len())
}
