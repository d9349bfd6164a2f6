//! The backlog while a row runs: what has moved since the last look is brought into the views, and the numbers are
//! written into a file, from which `flow backlog` answers at once.

use std::collections::HashSet;
use std::fs;
use std::mem;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::FlockOperation;
use serde_json::{Map, Value as Json};

use crate::admission::StopSignal;
use crate::tokens::{TokenError, TokenStanding, list_tokens, open_plain};

use super::backlog::{BacklogClass, BacklogError, BookBacklog, BookSet};
use super::stages::StageRow;

/// A directory may change once more at the time that it has, while that is so recent.
const RECENT: Duration = Duration::from_secs(1);

/// The backlog of a row, looked at again and again by the process that chooses its books.
pub struct BacklogWatch {
    row: StageRow,
    backlog: BookBacklog,
    in_flight: HashSet<String>,
    failed: HashSet<String>,
    /// The time of the directory of those that are done, when they were last counted.
    counted: Option<SystemTime>,
    /// Books of which the store has not said whether it has them.
    unknown: Vec<String>,
    /// What the file has.
    written: String,
}

impl BacklogWatch {
    /// The backlog as directories, store and inventory have it now.
    ///
    /// # Errors
    /// If a directory or the store cannot be read, or the end is asked for meanwhile.
    pub fn new(
        row: &StageRow,
        inventory: &[String],
        stop: &StopSignal,
    ) -> Result<BacklogWatch, BacklogError> {
        let counted = settled_time(row);
        let mut watch = BacklogWatch {
            row: row.clone(),
            backlog: BookBacklog::at_rest(row, inventory, stop)?,
            in_flight: HashSet::new(),
            failed: HashSet::new(),
            counted,
            unknown: Vec::new(),
            written: String::new(),
        };
        watch.look()?;
        Ok(watch)
    }

    /// The books as of the last look.
    pub fn books(&self) -> &BookBacklog {
        &self.backlog
    }

    /// The inventory has changed.
    pub fn put_available(&mut self, inventory: &[String]) {
        self.backlog.put_available(inventory);
    }

    /// Notes a book before its token is made. It may be done before the next look.
    pub fn note_chosen(&mut self, barcode: &str) {
        self.backlog.add(BookSet::InFlight, barcode);
        self.in_flight.insert(barcode.to_owned());
    }

    /// Brings what has moved into the views, and writes the numbers if they have changed.
    ///
    /// # Errors
    /// If a directory cannot be read. A file that cannot be written is one that `flow backlog` does not use.
    pub fn look(&mut self) -> Result<(), TokenError> {
        let (mut in_flight, mut failed) = (HashSet::new(), HashSet::new());
        let (folders, last) = (self.row.folders(), self.row.last());
        for folder in folders.iter().filter(|folder| **folder != last) {
            list_tokens(folder, |barcode, standing| {
                let set = if standing == TokenStanding::Parked { &mut failed } else { &mut in_flight };
                set.insert(barcode.to_owned());
            })?;
        }
        // A token that is done has left the others, and one that is put back has left those that are done.
        let mut moved = mem::take(&mut self.unknown);
        moved.extend(in_flight.symmetric_difference(&self.in_flight).cloned());
        self.look_at(&moved);
        if in_flight.is_empty() {
            self.recount()?;
        }
        for (set, now, before) in
            [(BookSet::InFlight, &in_flight, &self.in_flight), (BookSet::Failed, &failed, &self.failed)]
        {
            now.difference(before).for_each(|barcode| self.backlog.add(set, barcode));
            before.difference(now).for_each(|barcode| self.backlog.remove(set, barcode));
        }
        (self.in_flight, self.failed) = (in_flight, failed);
        self.backlog.settle();
        self.write();
        Ok(())
    }

    fn look_at(&mut self, barcodes: &[String]) {
        let done = self.row.last().waiting();
        for (barcode, is_stored) in barcodes.iter().zip(self.row.stored_each(barcodes)) {
            let is_done = done.join(format!("{barcode}.json")).exists();
            self.backlog.put(BookSet::Converted, barcode, is_done.into());
            match is_stored {
                Some(is_stored) => self.backlog.put(BookSet::Stored, barcode, is_stored.into()),
                None => self.unknown.push(barcode.clone()),
            }
        }
    }

    /// Counts those that are done anew if their directory has changed: a token that somebody has put into the first
    /// one may have gone all the way between two looks.
    fn recount(&mut self) -> Result<(), TokenError> {
        let time = settled_time(&self.row);
        if time.is_some() && time == self.counted {
            return Ok(());
        }
        let mut done = HashSet::new();
        list_tokens(&self.row.last(), |barcode, _| _ = done.insert(barcode.to_owned()))?;
        let known: HashSet<String> = self.backlog.list(BacklogClass::Converted).map(str::to_owned).collect();
        let moved: Vec<String> = done.symmetric_difference(&known).cloned().collect();
        self.look_at(&moved);
        self.counted = time;
        Ok(())
    }

    fn write(&mut self) {
        let numbers = serde_json::to_string(&numbers(&self.backlog)).expect("numbers can be written as JSON");
        if numbers != self.written {
            let file = file(&self.row);
            let draft = file.with_extension("new");
            if fs::write(&draft, &numbers).and_then(|()| fs::rename(&draft, file)).is_ok() {
                self.written = numbers;
            }
        }
    }
}

/// The time at which the directory of those that are done was changed; `None` if that may be now.
fn settled_time(row: &StageRow) -> Option<SystemTime> {
    let time = fs::metadata(row.last().waiting()).and_then(|metadata| metadata.modified()).ok()?;
    let age = SystemTime::now().duration_since(time).ok()?;
    (age >= RECENT).then_some(time)
}

/// The numbers of a backlog, by name.
pub fn numbers(backlog: &BookBacklog) -> Map<String, Json> {
    let number = |class: BacklogClass| (class.name().to_owned(), backlog.count(class).into());
    BacklogClass::ALL.map(number).into_iter().collect()
}

/// The numbers that the process keeps that chooses books; `None` if there is no such process.
pub fn kept_numbers(row: &StageRow) -> Option<Map<String, Json>> {
    let is_kept = is_locked(&choosing(row));
    let text = fs::read_to_string(file(row)).ok().filter(|_| is_kept)?;
    serde_json::from_str(&text).ok()
}

/// The file that the process that chooses books has locked.
pub(super) fn choosing(row: &StageRow) -> PathBuf {
    row.root.join(".choosing")
}

/// The file with the numbers.
pub(super) fn file(row: &StageRow) -> PathBuf {
    row.root.join(".backlog")
}

fn is_locked(path: &Path) -> bool {
    let Ok(file) = open_plain(path) else { return false };
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared).is_err()
}
