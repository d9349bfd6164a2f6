//! The backlog while a row runs: what has moved since the last look is brought into the views, and the numbers are
//! written into a file, from which `flow backlog` answers at once.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use serde_json::{Map, Value as Json};

use crate::tokens::{TokenError, TokenStanding, list_tokens, open_plain};

use super::backlog::{BacklogClass, BookBacklog, BookSet};
use super::stages::StageRow;

/// The backlog of a row, looked at again and again by the process that chooses its books.
pub struct BacklogWatch {
    row: StageRow,
    backlog: BookBacklog,
    in_flight: HashSet<String>,
    failed: HashSet<String>,
    /// What the file has.
    written: String,
}

impl BacklogWatch {
    /// The backlog as directories, store and inventory have it now.
    ///
    /// # Errors
    /// If a directory cannot be read.
    pub fn new(row: &StageRow, inventory: &[String]) -> Result<BacklogWatch, TokenError> {
        let backlog = BookBacklog::at_rest(row, inventory)?;
        let (in_flight, failed, written) = (HashSet::new(), HashSet::new(), String::new());
        let mut watch = BacklogWatch { row: row.clone(), backlog, in_flight, failed, written };
        watch.look()?;
        Ok(watch)
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
        let moved: HashSet<&String> = in_flight.symmetric_difference(&self.in_flight).collect();
        for barcode in moved {
            // A token that is done has left the others, and one that is put back has left those that are done.
            let is_done = self.row.last().waiting().join(format!("{barcode}.json")).exists();
            self.backlog.put(BookSet::Converted, barcode, is_done.into());
            let is_stored = self.row.stored(barcode);
            self.backlog.put(BookSet::Stored, barcode, is_stored.into());
        }
        for (set, now, before) in
            [(BookSet::InFlight, &in_flight, &self.in_flight), (BookSet::Failed, &failed, &self.failed)]
        {
            now.difference(before).for_each(|barcode| self.backlog.add(set, barcode));
            before.difference(now).for_each(|barcode| self.backlog.remove(set, barcode));
        }
        (self.in_flight, self.failed) = (in_flight, failed);
        self.backlog.settle();
        let numbers = serde_json::to_string(&numbers(&self.backlog)).expect("numbers can be written as JSON");
        if numbers != self.written {
            let file = file(&self.row);
            let draft = file.with_extension("new");
            if fs::write(&draft, &numbers).and_then(|()| fs::rename(&draft, file)).is_ok() {
                self.written = numbers;
            }
        }
        Ok(())
    }
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
