//! Forgetting what is old: requests that are answered, with their results. What their sources keep for
//! them is released by the sources.
//!
//! A request is marked first, then its files are removed, then its records. So whatever instant a
//! process is killed at, no record is left that promises files that are not there, and no files that
//! nobody knows of.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use crate::store::Store;

use super::row::{self, RequestRow, RequestState};
use super::{DatabaseError, Journal, JournalError, log};

/// How long, and how much, is remembered of what is answered.
#[derive(Clone, Copy, Debug)]
pub struct RetentionLimits {
    pub age_max: Duration,
    /// Of received files and results, all requests together.
    pub bytes_max: u64,
}

/// The callback that lets a source release what these claims of a request name, once no request needs it.
pub type Release<'a> = &'a (dyn Fn(&RequestRow, &[String]) -> io::Result<()> + Sync);

/// The number of requests, and of their bytes, that one collection removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CollectedTotals {
    pub requests: usize,
    pub bytes: u64,
}

impl Journal {
    /// Removes answered requests that exceed the retention limits, the oldest first. Requests that an
    /// operator keeps stay, and nothing is removed while a replay is under way. `release` is given the
    /// claims that no other remembered request has; it must leave alone whatever it does not own.
    ///
    /// # Errors
    /// If the journal cannot be written, or files cannot be removed.
    pub fn collect(
        &self,
        retention: RetentionLimits,
        release: Release,
    ) -> Result<CollectedTotals, JournalError> {
        let Some(state) = self.state() else { return Ok(CollectedTotals::default()) };
        let Some(_alone) = alone(state) else { return Ok(CollectedTotals::default()) };
        let _held = self.hold();
        let marked = self.within(move |connection| {
            let due = due(&row::all(connection)?, retention, log::now_ms());
            due.into_iter()
                .map(|row| row.marked_removed(connection))
                .collect::<Result<Vec<RequestRow>, DatabaseError>>()
        })?;
        let marked = marked.unwrap_or_default();
        let rows = self.requests()?;
        let mut collected = CollectedTotals::default();
        for row in marked {
            if let Err(error) = remove_files(&row, &rows, self.store(), release) {
                // It is tried again the next time; nobody misses the request until then.
                tracing::warn!(%error, request = row.name, "files of an old request cannot be removed");
                continue;
            }
            collected.requests += 1;
            collected.bytes += row.bytes;
            self.within(move |connection| forget(connection, &row))?;
        }
        Ok(collected)
    }
}

/// Held by those who read old requests; the collector does nothing then.
///
/// # Errors
/// If the lock cannot be had.
pub fn hold_back_collector(state: &Path) -> io::Result<File> {
    let lock = lock_file(state)?;
    lock.lock_shared()?;
    Ok(lock)
}

fn alone(state: &Path) -> Option<File> {
    let lock = lock_file(state).ok()?;
    lock.try_lock().is_ok().then_some(lock)
}

fn lock_file(state: &Path) -> io::Result<File> {
    File::options().write(true).create(true).truncate(false).open(state.join("replay.lock"))
}

/// The requests whose time has come, and those that an earlier process had begun to remove.
fn due(rows: &[RequestRow], retention: RetentionLimits, now_ms: i64) -> Vec<RequestRow> {
    let age_max_ms = i64::try_from(retention.age_max.as_millis()).unwrap_or(i64::MAX);
    let mut bytes: u64 = rows.iter().map(|row| row.bytes).fold(0, u64::saturating_add);
    let mut due = Vec::new();
    for row in rows {
        let is_old = now_ms.saturating_sub(row.changed_ms) >= age_max_ms;
        let may_go =
            row.state == RequestState::Answered && !row.kept && (is_old || bytes > retention.bytes_max);
        if may_go || row.state == RequestState::Removed {
            bytes -= row.bytes;
            due.push(row.clone());
        }
    }
    due
}

/// Removes the files of a marked request that no other one has.
fn remove_files(row: &RequestRow, rows: &[RequestRow], store: &Store, release: Release) -> io::Result<()> {
    let others =
        rows.iter().filter(|other| other.number != row.number && other.state != RequestState::Removed);
    let wanted: BTreeSet<&String> = others.clone().flat_map(|other| &other.claims).collect();
    let unclaimed: Vec<String> = row.claims.iter().filter(|one| !wanted.contains(one)).cloned().collect();
    if !unclaimed.is_empty() {
        release(row, &unclaimed)?;
    }
    if others.clone().any(|other| other.id == row.id) {
        return Ok(());
    }
    store.remove(row.id).map_err(io::Error::other)
}

/// Removes the records of a marked request, if it is still what it was.
pub(super) fn forget(connection: &Connection, row: &RequestRow) -> Result<(), DatabaseError> {
    match row::at(connection, row.number)? {
        Some(now) if now == *row => row.delete(connection),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::Digest;

    fn row(number: i64, state: RequestState, kept: bool, bytes: u64) -> RequestRow {
        let id = Digest::of(&number.to_le_bytes());
        let text = || number.to_string();
        let (claims, head) = (Vec::new(), Vec::new());
        let (name, subject, dataflow) = (text(), text(), text());
        let (accepted_ms, changed_ms, records) = (number, number, 0);
        RequestRow {
            number,
            id,
            dataflow,
            name,
            subject,
            state,
            accepted_ms,
            changed_ms,
            failed: false,
            kept,
            bytes,
            claims,
            records,
            head,
        }
    }

    fn due_numbers(rows: &[RequestRow], age_ms: u64, bytes_max: u64) -> Vec<i64> {
        let retention = RetentionLimits { age_max: Duration::from_millis(age_ms), bytes_max };
        due(rows, retention, 10).iter().map(|row| row.number).collect()
    }

    #[test]
    fn only_what_is_answered_and_not_wanted_goes_and_the_oldest_first() {
        let rows = [
            row(1, RequestState::Accepted, false, 10),
            row(2, RequestState::Answered, true, 10),
            row(3, RequestState::Answered, false, 10),
            row(4, RequestState::Undelivered, false, 10),
            row(5, RequestState::Answered, false, 10),
            row(6, RequestState::Removed, false, 0),
        ];
        assert_eq!(due_numbers(&rows, 100, 1000), [6], "neither old nor too much");
        assert_eq!(due_numbers(&rows, 6, 1000), [3, 6], "old");
        assert_eq!(due_numbers(&rows, 100, 45), [3, 6], "too much by one");
        assert_eq!(due_numbers(&rows, 0, 0), [3, 5, 6], "all that may go");
        assert_eq!(due_numbers(&rows[..0], 0, 0), [0; 0]);
    }
}
