//! Unsent messages in a file. They survive a crash of the process, but not a power failure.
//!
//! A record is a mark, a length and the message. The mark `+` means unsent, `-` means sent. A record that
//! a crash has truncated is ignored. The file names patients, so only its owner can read it.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const WAITS: u8 = b'+';
const SENT: u8 = b'-';

/// Limit of the length of a record's head: a mark, a length and a space.
const HEAD_BYTES_MAX: u64 = 16;

pub struct AuditSpool {
    path: PathBuf,
    file: File,
    /// The unsent messages, oldest first.
    waiting: VecDeque<SpoolEntry>,
    /// The total size of all unsent messages.
    bytes: u64,
    bytes_max: u64,
    end: u64,
}

#[derive(Clone, Copy)]
struct SpoolEntry {
    mark: u64,
    text: u64,
    length: usize,
}

impl SpoolEntry {
    fn end(self) -> u64 {
        self.text + self.length as u64
    }
}

impl AuditSpool {
    /// Opens the file, or creates it with its folder.
    ///
    /// # Errors
    /// The file cannot be opened, created or read.
    pub fn open(path: &Path, bytes_max: u64) -> io::Result<AuditSpool> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = private(path)?;
        let (waiting, end) = read(&file)?;
        file.set_len(end)?;
        let bytes = waiting.iter().map(|entry| entry.length as u64).sum();
        let mut spool = AuditSpool { path: path.to_owned(), file, waiting, bytes, bytes_max, end };
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
    /// The message cannot be written; the file is then unchanged.
    pub fn append(&mut self, message: &str) -> io::Result<()> {
        let head = format!("{}{} ", char::from(WAITS), message.len());
        self.file.write_all_at(format!("{head}{message}").as_bytes(), self.end)?;
        let entry = SpoolEntry { mark: self.end, text: self.end + head.len() as u64, length: message.len() };
        self.end = entry.end();
        self.bytes += message.len() as u64;
        self.waiting.push_back(entry);
        Ok(())
    }

    /// The oldest unsent message.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn first(&self) -> io::Result<Option<String>> {
        let Some(entry) = self.waiting.front() else { return Ok(None) };
        let mut bytes = vec![0; entry.length];
        self.file.read_exact_at(&mut bytes, entry.text)?;
        String::from_utf8(bytes).map(Some).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
    }

    /// Marks the oldest unsent message as sent.
    ///
    /// # Errors
    /// The mark cannot be written: the message is sent again after the next start.
    pub fn remove_first(&mut self) -> io::Result<()> {
        let Some(entry) = self.waiting.pop_front() else { return Ok(()) };
        self.bytes -= entry.length as u64;
        if !self.waiting.is_empty() {
            self.file.write_all_at(&[SENT], entry.mark)?;
        }
        self.tidy()
    }

    /// Frees the space of sent messages: at once if no message is unsent, otherwise when they take as much
    /// space as `bytes_max`, so that unsent messages are not copied again and again.
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
        // Remove the leftover of an earlier attempt.
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

/// The unsent messages in a file, and the position after the last complete record.
fn read(file: &File) -> io::Result<(VecDeque<SpoolEntry>, u64)> {
    let size = file.metadata()?.len();
    let mut reader = BufReader::new(file);
    let (mut waiting, mut at) = (VecDeque::new(), 0);
    while let Some((mark, head, length)) = head(&mut reader)? {
        let entry = SpoolEntry { mark: at, text: at + head, length };
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

/// The mark, the length of the head and the length of the message; `None` if no record begins here.
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

    fn rest(spool: &mut AuditSpool) -> Vec<String> {
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
        let mut spool = AuditSpool::open(&path, 1000).unwrap();
        for message in ["one", "two ä\n+7 ", "three"] {
            spool.append(message).unwrap();
        }
        spool.remove_first().unwrap();
        drop(spool);
        let mut spool = AuditSpool::open(&path, 1000).unwrap();
        spool.append("four").unwrap();
        assert_eq!(rest(&mut spool), ["two ä\n+7 ", "three", "four"]);
        assert_eq!(fs::metadata(&path).unwrap().len(), 0);
        assert!(AuditSpool::open(&path, 1000).unwrap().is_empty());
    }

    #[test]
    fn a_message_that_was_cut_off_is_none_wherever_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool");
        let mut spool = AuditSpool::open(&path, 1000).unwrap();
        spool.append("first").unwrap();
        spool.append("second").unwrap();
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let mut spool = AuditSpool::open(&path, 1000).unwrap();
            spool.append("third").unwrap();
            let expected = if length < 8 { vec!["third"] } else { vec!["first", "third"] };
            assert_eq!(rest(&mut spool), expected, "{length}");
        }
        fs::write(&path, "what is this").unwrap();
        assert!(AuditSpool::open(&path, 1000).unwrap().is_empty());
    }

    #[test]
    fn the_file_does_not_grow_with_what_has_been_sent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool");
        let mut spool = AuditSpool::open(&path, 100).unwrap();
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
        assert_eq!(rest(&mut AuditSpool::open(&path, 100).unwrap()), ["0000000099"]);
    }
}
