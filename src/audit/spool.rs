//! Messages that wait for the receiver, in a file: they outlive the process, though not a loss of power.
//!
//! Each stands after a mark and its length: `+` waits, `-` has been sent. A message that a stop has cut
//! off is no message. The file holds patients' names and is for its owner only.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const WAITS: u8 = b'+';
const SENT: u8 = b'-';

/// A mark, a length and a space.
const HEAD_BYTES_MAX: u64 = 16;

pub struct Spool {
    path: PathBuf,
    file: File,
    /// What waits, the oldest first.
    waiting: VecDeque<Entry>,
    /// Of all that wait.
    bytes: u64,
    bytes_max: u64,
    end: u64,
}

#[derive(Clone, Copy)]
struct Entry {
    mark: u64,
    text: u64,
    length: usize,
}

impl Entry {
    fn end(self) -> u64 {
        self.text + self.length as u64
    }
}

impl Spool {
    /// Opens the file, or makes it with its folder.
    ///
    /// # Errors
    /// If that cannot be done.
    pub fn open(path: &Path, bytes_max: u64) -> io::Result<Spool> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = private(path)?;
        let (waiting, end) = read(&file)?;
        file.set_len(end)?;
        let bytes = waiting.iter().map(|entry| entry.length as u64).sum();
        let mut spool = Spool { path: path.to_owned(), file, waiting, bytes, bytes_max, end };
        spool.tidy()?;
        Ok(spool)
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub fn has_room_for(&self, message: &str) -> bool {
        self.bytes + message.len() as u64 <= self.bytes_max
    }

    /// # Errors
    /// If it cannot be written; then it is as if it had not been.
    pub fn append(&mut self, message: &str) -> io::Result<()> {
        let head = format!("{}{} ", char::from(WAITS), message.len());
        self.file.write_all_at(format!("{head}{message}").as_bytes(), self.end)?;
        let entry = Entry { mark: self.end, text: self.end + head.len() as u64, length: message.len() };
        self.end = entry.end();
        self.bytes += message.len() as u64;
        self.waiting.push_back(entry);
        Ok(())
    }

    /// The oldest message that waits.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn first(&self) -> io::Result<Option<String>> {
        let Some(entry) = self.waiting.front() else { return Ok(None) };
        let mut bytes = vec![0; entry.length];
        self.file.read_exact_at(&mut bytes, entry.text)?;
        String::from_utf8(bytes).map(Some).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
    }

    /// The oldest message waits no more.
    ///
    /// # Errors
    /// If that cannot be noted: after the next start it waits again.
    pub fn remove_first(&mut self) -> io::Result<()> {
        let Some(entry) = self.waiting.pop_front() else { return Ok(()) };
        self.bytes -= entry.length as u64;
        if !self.waiting.is_empty() {
            self.file.write_all_at(&[SENT], entry.mark)?;
        }
        self.tidy()
    }

    /// Gives back the place of what has been sent: at once if nothing waits, else when it is as much as
    /// may wait, so that what waits is not copied again and again.
    fn tidy(&mut self) -> io::Result<()> {
        match self.waiting.front() {
            None if self.end > 0 => {
                self.file.set_len(0)?;
                self.end = 0;
                Ok(())
            }
            Some(first) if first.mark > self.bytes_max => self.copy(),
            _ => Ok(()),
        }
    }

    fn copy(&mut self) -> io::Result<()> {
        let path = self.path.with_extension("new");
        // What an earlier attempt has left.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let from = self.waiting.front().map_or(self.end, |entry| entry.mark);
        let mut old = &self.file;
        old.seek(io::SeekFrom::Start(from))?;
        let file = private(&path)?;
        io::copy(&mut old.take(self.end - from), &mut &file)?;
        fs::rename(&path, &self.path)?;
        for entry in &mut self.waiting {
            (entry.mark, entry.text) = (entry.mark - from, entry.text - from);
        }
        (self.file, self.end) = (file, self.end - from);
        Ok(())
    }
}

fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// What waits in a file, and where the last whole message ends.
fn read(file: &File) -> io::Result<(VecDeque<Entry>, u64)> {
    let size = file.metadata()?.len();
    let mut reader = BufReader::new(file);
    let (mut waiting, mut at) = (VecDeque::new(), 0);
    while let Some((mark, head, length)) = head(&mut reader)? {
        let entry = Entry { mark: at, text: at + head, length };
        if entry.end() > size {
            break;
        }
        if mark == WAITS {
            waiting.push_back(entry);
        }
        reader.seek_relative(length as i64)?;
        at = entry.end();
    }
    Ok((waiting, at))
}

/// The mark, the length of the head, and that of the message. `None` if none begins here.
fn head(reader: &mut impl BufRead) -> io::Result<Option<(u8, u64, usize)>> {
    let mut head = Vec::new();
    reader.take(HEAD_BYTES_MAX).read_until(b' ', &mut head)?;
    let parsed = head.split_first().and_then(|(mark, rest)| {
        let length: u32 = str::from_utf8(rest.strip_suffix(b" ")?).ok()?.parse().ok()?;
        matches!(*mark, WAITS | SENT).then_some((*mark, head.len() as u64, length as usize))
    });
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest(spool: &mut Spool) -> Vec<String> {
        let mut messages = Vec::new();
        while let Some(message) = spool.first().unwrap() {
            messages.push(message);
            spool.remove_first().unwrap();
        }
        messages
    }

    #[test]
    fn what_waits_is_there_after_a_restart_and_what_was_sent_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("below/spool");
        let mut spool = Spool::open(&path, 1000).unwrap();
        for message in ["one", "two ä\n+7 ", "three"] {
            spool.append(message).unwrap();
        }
        spool.remove_first().unwrap();
        drop(spool);
        let mut spool = Spool::open(&path, 1000).unwrap();
        spool.append("four").unwrap();
        assert_eq!(rest(&mut spool), ["two ä\n+7 ", "three", "four"]);
        assert_eq!(fs::metadata(&path).unwrap().len(), 0);
        assert!(Spool::open(&path, 1000).unwrap().is_empty());
    }

    #[test]
    fn a_message_that_was_cut_off_is_none_wherever_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool");
        let mut spool = Spool::open(&path, 1000).unwrap();
        spool.append("first").unwrap();
        spool.append("second").unwrap();
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let mut spool = Spool::open(&path, 1000).unwrap();
            spool.append("third").unwrap();
            let expected = if length < 8 { vec!["third"] } else { vec!["first", "third"] };
            assert_eq!(rest(&mut spool), expected, "{length}");
        }
        fs::write(&path, "what is this").unwrap();
        assert!(Spool::open(&path, 1000).unwrap().is_empty());
    }

    #[test]
    fn the_file_does_not_grow_with_what_has_been_sent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool");
        let mut spool = Spool::open(&path, 100).unwrap();
        spool.append("always one waits").unwrap();
        for number in 0..100 {
            let message = format!("{number:010}");
            assert!(spool.has_room_for(&message));
            spool.append(&message).unwrap();
            spool.remove_first().unwrap();
            assert!(fs::metadata(&path).unwrap().len() <= 200);
        }
        assert!(!spool.has_room_for(&"x".repeat(91)));
        drop(spool);
        assert_eq!(rest(&mut Spool::open(&path, 100).unwrap()), ["0000000099"]);
    }
}
