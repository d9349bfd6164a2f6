//! Removing old requests: those that are answered, with their results. The files that a source keeps for them
//! are released by the source.
//!
//! A request is marked first, then its files are removed, then its records. So after a crash at any instant,
//! no record promises files that are gone, and every file that is left belongs to a record.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::ops::AddAssign;
use std::path::Path;
use std::time::Duration;

use crate::step::Digest;
use crate::store::Store;

use super::error::JournalError;
use super::process_journal::Journal;
use super::row::RequestRow;
use super::transaction::LogTransaction;
use super::{log, query};

/// The limits within which answered requests are remembered.
#[derive(Clone, Copy, Debug)]
pub struct RetentionLimits {
    pub age_max: Duration,
    /// Bytes of received files and results, of all requests together.
    pub bytes_max: u64,
}

/// A callback that asks the source of a request to release these claims, which no other request has.
pub type Release<'a> = &'a (dyn Fn(&RequestRow, &[String]) -> io::Result<()> + Sync);

/// The number of requests, and of their bytes, that one collection removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CollectedTotals {
    pub requests: usize,
    pub bytes: u64,
}

/// The most requests that are removed in one go; acceptance waits meanwhile.
const TOGETHER_MAX: u32 = 256;

/// The most rows that are read in one transaction of the writer thread.
const ROWS_MAX: u32 = 10_000;

impl Journal {
    /// Removes answered requests that exceed the retention limits, those first that changed longest ago.
    /// Requests that an operator keeps stay, and nothing is removed while a replay is under way. `release`
    /// is given the claims that no other remembered request has; it must leave alone whatever it does not
    /// own.
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
        // Requests whose removal an earlier process, or an earlier collection, has begun.
        let begun = self.within(|transaction| {
            transaction.fold_tally()?;
            query::removed(transaction.written()?)
        })?;
        let mut collected = CollectedTotals::default();
        let mut marked = begun.unwrap_or_default();
        loop {
            for some in marked.chunks(TOGETHER_MAX as usize) {
                let _held = self.hold_alone();
                collected += self.remove(some, release)?;
            }
            marked = self.mark(retention)?;
            if marked.is_empty() {
                return Ok(collected);
            }
        }
    }

    /// Marks some of the requests that exceed the limits.
    fn mark(&self, retention: RetentionLimits) -> Result<Vec<RequestRow>, JournalError> {
        let _held = self.hold_alone();
        let marked = self.within(move |transaction| {
            let bytes = transaction.bytes()?;
            let oldest = query::oldest_answered(transaction.written()?, TOGETHER_MAX)?;
            let due = due(oldest, bytes, retention, log::now_ms());
            due.iter().map(|row| transaction.mark_removed(row.number)).collect()
        });
        marked.map(Option::unwrap_or_default)
    }

    /// Removes marked requests: their files, then their records.
    fn remove(&self, marked: &[RequestRow], release: Release) -> Result<CollectedTotals, JournalError> {
        let claimed = self.claimed_by_others(marked)?;
        let twins = self.twins(marked)?;
        let mut removed = Vec::new();
        for row in marked {
            match remove_files(row, &claimed, twins.contains(&row.id), self.store(), release) {
                Ok(()) => removed.push(row.clone()),
                // The request stays marked, and its removal is tried again at the next collection.
                Err(error) => {
                    tracing::warn!(%error, request = row.name, "files of an old request cannot be removed");
                }
            }
        }
        let (requests, bytes) = (removed.len(), removed.iter().map(|row| row.bytes).sum());
        self.within(move |transaction| removed.iter().try_for_each(|row| transaction.forget(row)))?;
        Ok(CollectedTotals { requests, bytes })
    }

    /// Those of these requests whose items another request has, too, in another dataflow.
    fn twins(&self, marked: &[RequestRow]) -> Result<BTreeSet<Digest>, JournalError> {
        let ids: Vec<Digest> = marked.iter().map(|row| row.id).collect();
        let twins = self.within(move |transaction| {
            let connection = transaction.written()?;
            let twin = |id: Digest| query::is_remembered(connection, id).map(|is| is.then_some(id));
            ids.into_iter().filter_map(|id| twin(id).transpose()).collect()
        });
        twins.map(Option::unwrap_or_default)
    }

    /// Those claims of these requests that another request has, too. If there are no claims, no rows are
    /// read.
    fn claimed_by_others(&self, marked: &[RequestRow]) -> Result<BTreeSet<String>, JournalError> {
        let claims: BTreeSet<&String> = marked.iter().flat_map(|row| &row.claims).collect();
        let mut claimed = BTreeSet::new();
        let mut last = (!claims.is_empty()).then_some(0);
        while let Some(after) = last {
            let read = move |transaction: &mut LogTransaction| {
                query::claiming(transaction.written()?, after, ROWS_MAX)
            };
            let rows = self.within(read)?.unwrap_or_default();
            last = rows.last().map(|row| row.number);
            claimed
                .extend(rows.into_iter().flat_map(|row| row.claims).filter(|claim| claims.contains(claim)));
        }
        Ok(claimed)
    }
}

impl AddAssign for CollectedTotals {
    fn add_assign(&mut self, other: CollectedTotals) {
        self.requests += other.requests;
        self.bytes += other.bytes;
    }
}

/// Takes a lock under which nothing is removed. Held by commands that read old requests.
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

/// The requests to remove, of the oldest that may be; `bytes` is the size of all remembered requests.
fn due(oldest: Vec<RequestRow>, mut bytes: u64, retention: RetentionLimits, now_ms: i64) -> Vec<RequestRow> {
    let age_max_ms = i64::try_from(retention.age_max.as_millis()).unwrap_or(i64::MAX);
    let is_due = |row: &RequestRow| {
        let is_old = now_ms.saturating_sub(row.changed_ms) >= age_max_ms;
        let is_due = is_old || bytes > retention.bytes_max;
        bytes = bytes.saturating_sub(row.bytes);
        is_due
    };
    oldest.into_iter().take_while(is_due).collect()
}

/// Removes the files of a marked request that no other one has.
fn remove_files(
    row: &RequestRow,
    claimed: &BTreeSet<String>,
    has_twin: bool,
    store: &Store,
    release: Release,
) -> io::Result<()> {
    let unclaimed: Vec<String> =
        row.claims.iter().filter(|claim| !claimed.contains(*claim)).cloned().collect();
    if !unclaimed.is_empty() {
        release(row, &unclaimed)?;
    }
    if has_twin { Ok(()) } else { store.remove(row.id).map_err(io::Error::other) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{AnswerKind, RequestState};

    fn row(number: i64, bytes: u64) -> RequestRow {
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
            state: RequestState::Answered,
            accepted_ms,
            changed_ms,
            answer: AnswerKind::default(),
            kept: false,
            bytes,
            claims,
            records,
            head,
        }
    }

    fn due_numbers(rows: &[RequestRow], age_ms: u64, bytes_max: u64) -> Vec<i64> {
        let retention = RetentionLimits { age_max: Duration::from_millis(age_ms), bytes_max };
        let bytes = rows.iter().map(|row| row.bytes).sum();
        due(rows.to_vec(), bytes, retention, 10).iter().map(|row| row.number).collect()
    }

    #[test]
    fn the_oldest_go_first_and_no_more_than_need_be() {
        let rows = [row(3, 10), row(5, 10), row(6, 0)];
        assert_eq!(due_numbers(&rows, 100, 1000), [0; 0], "neither old nor too much");
        assert_eq!(due_numbers(&rows, 6, 1000), [3], "old");
        assert_eq!(due_numbers(&rows, 100, 15), [3], "too much by one");
        assert_eq!(due_numbers(&rows, 0, 0), [3, 5, 6], "all that may go");
        assert_eq!(due_numbers(&rows[..0], 0, 0), [0; 0]);
    }
}
