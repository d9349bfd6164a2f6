//! The list of all books: expensive to make, so fetched once, kept beside the directories, and fetched again when it
//! is old or somebody asks for it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, SystemTime};

use crate::admission::StopSignal;
use crate::calls::{DownloadEnd, FileDownload};
use crate::step::{CallAttempt, CancelToken, Digest};
use crate::tokens::TokenName;

use super::sample_service::{check_book_address, sample_url};
use super::stages::StageRow;

/// The list of a row.
pub struct BookInventory {
    source: String,
    file: PathBuf,
    age_max: Duration,
}

/// The largest list, in bytes.
const LIST_BYTES_MAX: u64 = 4 << 30;

/// The time for a list that has to be made first.
const LIST_TIME: Duration = Duration::from_secs(3_600);

/// How often a service that still makes the list is asked.
const ASKED_MAX: u32 = 1_000;

/// The time between two looks whether a fetch is to be given up.
const LOOK: Duration = Duration::from_millis(50);

impl BookInventory {
    /// The list of a row; `None` if the row has none.
    pub fn of(row: &StageRow) -> Option<BookInventory> {
        let source = row.choice.inventory.clone();
        let age_max = Duration::from_secs_f64(row.choice.refresh_h * 3_600.0);
        let file = row.root.join(".inventory").join("all_books");
        (!source.is_empty()).then_some(BookInventory { source, file, age_max })
    }

    /// The barcodes, in the order of the list. A list that cannot be fetched again is used as it is; `tell` gets what
    /// a person may want to know.
    ///
    /// # Errors
    /// If there is no list, or the end is asked for while it is fetched.
    pub fn load(&self, tell: &dyn Fn(&str), stop: &StopSignal) -> io::Result<Vec<String>> {
        let path =
            if is_address(&self.source) { self.fetched(tell, stop)? } else { self.source.clone().into() };
        read(&path, tell)
    }

    /// The time of the list. It changes with the list.
    pub fn time(&self) -> Option<SystemTime> {
        let file = if is_address(&self.source) { self.mark() } else { PathBuf::from(&self.source) };
        fs::metadata(file).and_then(|metadata| metadata.modified()).ok()
    }

    /// Whether the list is to be loaded again that had this time: it is old, was asked for, or was changed by hand.
    pub fn is_due(&self, time: Option<SystemTime>) -> bool {
        if is_address(&self.source) { !self.is_fresh() } else { self.time() != time }
    }

    /// The barcodes of the list as it is known, however old; none if it was never fetched.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn known(&self, tell: &dyn Fn(&str)) -> io::Result<Vec<String>> {
        let path: &Path = if is_address(&self.source) { &self.file } else { Path::new(&self.source) };
        match read(path, tell) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            list => list,
        }
    }

    /// Has the list fetched again at the next use.
    ///
    /// # Errors
    /// If its mark cannot be removed.
    pub fn refresh(&self) -> io::Result<()> {
        match fs::remove_file(self.mark()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn is_fresh(&self) -> bool {
        // A time in the future is that of another clock.
        let age = self.time().and_then(|time| SystemTime::now().duration_since(time).ok());
        self.file.exists() && age.is_some_and(|age| age < self.age_max)
    }

    fn fetched(&self, tell: &dyn Fn(&str), stop: &StopSignal) -> io::Result<PathBuf> {
        if self.is_fresh() {
            return Ok(self.file.clone());
        }
        self.file.parent().map_or(Ok(()), fs::create_dir_all)?;
        tell("inventory: fetching the list of all books");
        match self.fetch(tell, stop) {
            Ok(bytes) => {
                fs::write(self.mark(), "")?;
                tell(&format!("inventory: {bytes} bytes"));
            }
            Err(error) if self.file.exists() && !stop.is_requested() => {
                tell(&format!("inventory: {error}; the list of before is used"));
            }
            Err(error) => return Err(error),
        }
        Ok(self.file.clone())
    }

    fn fetch(&self, tell: &dyn Fn(&str), stop: &StopSignal) -> io::Result<u64> {
        let url = sample_url(&self.source)?;
        for _ in 0..ASKED_MAX {
            match self.attempt(&url, stop)? {
                DownloadEnd::Whole { bytes, .. } => return Ok(bytes),
                DownloadEnd::NotReady(wait) => {
                    tell(&format!("inventory: it is being made; asking again in {} s", wait.as_secs()));
                    if stop.wait(wait) {
                        return Err(stopped());
                    }
                }
            }
        }
        Err(io::Error::other("the list was not made in time"))
    }

    /// One attempt, on a thread of its own: a service that says nothing does not hold up the end.
    fn attempt(&self, url: &str, stop: &StopSignal) -> io::Result<DownloadEnd> {
        let (url, file) = (url.to_owned(), self.file.clone());
        let (token, (end, ended)) = (CancelToken::default(), channel());
        let cancelled = token.clone();
        std::thread::Builder::new().name("flow:inventory".to_owned()).spawn(move || {
            let attempt = CallAttempt { key: Digest::of(url.as_bytes()), timeout: LIST_TIME };
            let download = FileDownload { url: &url, file: &file, bytes_max: LIST_BYTES_MAX };
            // Nobody waits for what comes after the end.
            let _ = end.send(download.fetch(&attempt, &token));
        })?;
        loop {
            match ended.recv_timeout(LOOK) {
                Ok(end) => return end.map_err(|fault| io::Error::other(fault.fault.reason)),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(io::Error::other("the download has panicked"));
                }
                Err(RecvTimeoutError::Timeout) if stop.is_requested() => {
                    cancelled.cancel();
                    return Err(stopped());
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// An empty file whose time is that of the last fetch: a service may say that the list itself has not changed.
    fn mark(&self) -> PathBuf {
        self.file.with_extension("fetched")
    }
}

fn stopped() -> io::Error {
    io::Error::new(io::ErrorKind::Interrupted, "it was told to end")
}

/// Says what is wrong with the place of an inventory: an address that nobody can call. A file may come later.
pub fn check_inventory(source: &str) -> Result<(), String> {
    if is_address(source) { check_book_address(source) } else { Ok(()) }
}

fn is_address(source: &str) -> bool {
    ["http://", "https://", "sample:"].iter().any(|scheme| source.starts_with(scheme))
        && !Path::new(source).exists()
}

fn read(path: &Path, tell: &dyn Fn(&str)) -> io::Result<Vec<String>> {
    let bytes = fs::read(path)?;
    // Editors of some systems begin a file with a byte order mark.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let mut unfit = 0;
    let barcode = |line: &[u8]| {
        let barcode = str::from_utf8(line).ok().filter(|barcode| TokenName::of(barcode).is_ok());
        unfit += usize::from(barcode.is_none());
        barcode.map(str::to_owned)
    };
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with(b"#"));
    let barcodes: Vec<String> = lines.filter_map(barcode).collect();
    if unfit > 0 {
        tell(&format!("inventory: {unfit} lines are no barcodes and are left out"));
    }
    Ok(barcodes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_no_barcodes_do_not_stop_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("all_books");
        fs::write(&path, b"\xef\xbb\xbfark.1\r\n# a note\n\n\xff.2\n../3\n  ark.4  \n").unwrap();
        let told = std::cell::RefCell::new(Vec::new());
        let barcodes = read(&path, &|text| told.borrow_mut().push(text.to_owned())).unwrap();
        assert_eq!(barcodes, ["ark.1", "ark.4"]);
        assert_eq!(told.into_inner(), ["inventory: 2 lines are no barcodes and are left out"]);
    }

    #[test]
    fn a_service_that_says_nothing_does_not_hold_up_the_end() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let inventory = BookInventory {
            source: format!("http://{}/all_books", silent.local_addr().unwrap()),
            file: folder.path().join("all_books"),
            age_max: Duration::ZERO,
        };
        let stop = StopSignal::default();
        std::thread::scope(|scope| {
            let loading = scope.spawn(|| inventory.load(&|_| {}, &stop));
            let asked = silent.accept().unwrap();
            stop.request();
            assert_eq!(loading.join().unwrap().unwrap_err().kind(), io::ErrorKind::Interrupted);
            drop(asked);
        });
    }
}
