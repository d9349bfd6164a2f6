//! The list of all books: expensive to make, so fetched once, kept beside the directories, and fetched again when it
//! is old or somebody asks for it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::calls::{DownloadEnd, FileDownload};
use crate::step::{CallAttempt, CancelToken, Digest};
use crate::tokens::TokenName;

use super::sample_service::sample_url;
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
    /// If there is no list.
    pub fn load(&self, tell: &dyn Fn(&str)) -> io::Result<Vec<String>> {
        let path = if is_address(&self.source) { self.fetched(tell)? } else { PathBuf::from(&self.source) };
        read(&path, tell)
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

    fn fetched(&self, tell: &dyn Fn(&str)) -> io::Result<PathBuf> {
        // A time in the future is that of another clock.
        let age = fs::metadata(self.mark()).and_then(|mark| mark.modified());
        let age = age.ok().and_then(|time| SystemTime::now().duration_since(time).ok());
        let is_fresh = self.file.exists() && age.is_some_and(|age| age < self.age_max);
        if is_fresh {
            return Ok(self.file.clone());
        }
        self.file.parent().map_or(Ok(()), fs::create_dir_all)?;
        tell("inventory: fetching the list of all books");
        match self.fetch(tell) {
            Ok(bytes) => {
                fs::write(self.mark(), "")?;
                tell(&format!("inventory: {bytes} bytes"));
            }
            Err(error) if self.file.exists() => {
                tell(&format!("inventory: {error}; the list of before is used"));
            }
            Err(error) => return Err(error),
        }
        Ok(self.file.clone())
    }

    fn fetch(&self, tell: &dyn Fn(&str)) -> io::Result<u64> {
        let url = sample_url(&self.source)?;
        let download = FileDownload { url: &url, file: &self.file, bytes_max: LIST_BYTES_MAX };
        let attempt = CallAttempt { key: Digest::of(url.as_bytes()), timeout: LIST_TIME };
        for _ in 0..ASKED_MAX {
            let end = download.fetch(&attempt, &CancelToken::default());
            match end.map_err(|fault| io::Error::other(fault.fault.reason))? {
                DownloadEnd::Whole { bytes, .. } => return Ok(bytes),
                DownloadEnd::NotReady(wait) => {
                    tell(&format!("inventory: it is being made; asking again in {} s", wait.as_secs()));
                    std::thread::sleep(wait);
                }
            }
        }
        Err(io::Error::other("the list was not made in time"))
    }

    /// An empty file whose time is that of the last fetch: a service may say that the list itself has not changed.
    fn mark(&self) -> PathBuf {
        self.file.with_extension("fetched")
    }
}

fn is_address(source: &str) -> bool {
    ["http://", "https://", "sample:"].iter().any(|scheme| source.starts_with(scheme))
        && !Path::new(source).exists()
}

fn read(path: &Path, tell: &dyn Fn(&str)) -> io::Result<Vec<String>> {
    let text = fs::read_to_string(path)?;
    let mut unfit = 0;
    let barcodes = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let barcodes: Vec<String> = barcodes
        .filter(|barcode| TokenName::of(barcode).inspect_err(|_| unfit += 1).is_ok())
        .map(str::to_owned)
        .collect();
    if unfit > 0 {
        tell(&format!("inventory: {unfit} lines are no barcodes and are left out"));
    }
    Ok(barcodes)
}
