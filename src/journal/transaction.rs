//! One commit: records are added to the log, and the row of each request is written once, however many of
//! its records the commit has.

use std::collections::BTreeMap;

use rusqlite::Connection;

use crate::step::{Item, ItemPlace, Request};

use super::arrival::RequestArrival;
use super::error::DatabaseError;
use super::log::{PreparedEntry, now_ms};
use super::lookup;
use super::query;
use super::receipt::RequestStanding;
use super::row::{AnswerKind, RequestRow, RequestState};
use super::total::{JournalTotal, RowShare};

/// The rows of the requests in work, as they were written last. Only the writer thread changes them.
#[derive(Default)]
pub struct RowCache {
    rows: BTreeMap<i64, CachedRow>,
    total: Option<CachedTotal>,
}

struct CachedTotal {
    now: JournalTotal,
    /// The sums in the table.
    written: JournalTotal,
}

struct CachedRow {
    row: RequestRow,
    /// The row's contribution to the sums in the table.
    written: RowShare,
    is_changed: bool,
}

impl RowCache {
    /// Keeps only the rows of open requests, after a commit.
    pub fn trim(&mut self) {
        let is_in_work =
            |row: &RequestRow| matches!(row.state, RequestState::Accepted | RequestState::Responded);
        self.rows.retain(|_, cached| is_in_work(&cached.row));
    }

    /// Drops all rows, after a failed commit.
    pub fn clear(&mut self) {
        *self = RowCache::default();
    }
}

pub struct LogTransaction<'a> {
    connection: &'a Connection,
    cache: &'a mut RowCache,
}

impl<'a> LogTransaction<'a> {
    pub fn new(connection: &'a Connection, cache: &'a mut RowCache) -> LogTransaction<'a> {
        LogTransaction { connection, cache }
    }

    /// The connection, after all changed rows are written, for queries.
    pub fn written(&mut self) -> Result<&'a Connection, DatabaseError> {
        self.flush()?;
        Ok(self.connection)
    }

    /// Records a request, new or known; `entry` is its acceptance.
    pub fn accept(
        &mut self,
        arrival: &RequestArrival,
        entry: &PreparedEntry,
    ) -> Result<(i64, RequestStanding), DatabaseError> {
        let known = query::find(self.connection, arrival.request.id, &arrival.dataflow)?;
        let Some(known) = known else {
            return Ok((self.insert(arrival, entry)?, RequestStanding::New));
        };
        // The table may lack changes of this transaction, so the row in memory is used.
        let number = known.number;
        match self.cached(number)?.row.state {
            RequestState::Accepted | RequestState::Responded => Ok((number, RequestStanding::InWork)),
            RequestState::Answered | RequestState::Undelivered => {
                self.append(number, entry)?;
                Ok((number, RequestStanding::Answered))
            }
            RequestState::Removed => {
                // Files of it that are left are found by their digests and do no harm.
                self.delete(number)?;
                Ok((self.insert(arrival, entry)?, RequestStanding::New))
            }
        }
    }

    fn insert(&mut self, arrival: &RequestArrival, entry: &PreparedEntry) -> Result<i64, DatabaseError> {
        let (now, request) = (now_ms(), &arrival.request);
        let mut row = RequestRow {
            number: query::next_number(self.connection)?,
            id: request.id,
            dataflow: arrival.dataflow.clone(),
            name: request.name.clone(),
            subject: request.subject.clone(),
            state: RequestState::Accepted,
            accepted_ms: now,
            changed_ms: now,
            answer: AnswerKind::default(),
            kept: false,
            bytes: bytes_kept(request),
            claims: request.claims.clone(),
            records: 0,
            head: Vec::new(),
        };
        entry.add(self.connection, &mut row)?;
        let (number, seal) = (row.number, row.seal());
        row.insert(self.connection, seal)?;
        lookup::insert(self.connection, number, &arrival.lookup_texts)?;
        let written = RowShare::of(&row, seal);
        self.total()?.now.add(written);
        self.cache.rows.insert(number, CachedRow { row, written, is_changed: false });
        Ok(number)
    }

    /// Adds an entry to a request's log.
    pub fn append(&mut self, request: i64, entry: &PreparedEntry) -> Result<(), DatabaseError> {
        let connection = self.connection;
        let cached = self.cached(request)?;
        cached.is_changed = true;
        entry.add(connection, &mut cached.row)
    }

    /// Marks a request as one whose files are being removed.
    pub fn mark_removed(&mut self, request: i64) -> Result<RequestRow, DatabaseError> {
        let cached = self.cached(request)?;
        cached.is_changed |= cached.row.state != RequestState::Removed;
        cached.row.state = RequestState::Removed;
        Ok(cached.row.clone())
    }

    /// Deletes a marked request with all its records, if it has not changed since.
    pub fn forget(&mut self, marked: &RequestRow) -> Result<(), DatabaseError> {
        match self.row(marked.number)? {
            Some(row) if row == marked => self.delete(marked.number),
            Some(_) | None => Ok(()),
        }
    }

    fn delete(&mut self, request: i64) -> Result<(), DatabaseError> {
        let cached = self.cached(request)?;
        let (row, written) = (cached.row.clone(), cached.written);
        row.delete(self.connection)?;
        self.total()?.now.subtract(written);
        self.cache.rows.remove(&request);
        Ok(())
    }

    /// The row of a request, if it is remembered.
    pub fn row(&mut self, request: i64) -> Result<Option<&RequestRow>, DatabaseError> {
        if !self.cache.rows.contains_key(&request) {
            let Some(row) = query::at(self.connection, request)? else { return Ok(None) };
            let written = RowShare::of(&row, row.seal());
            self.cache.rows.insert(request, CachedRow { row, written, is_changed: false });
        }
        Ok(self.cache.rows.get(&request).map(|cached| &cached.row))
    }

    fn cached(&mut self, request: i64) -> Result<&mut CachedRow, DatabaseError> {
        self.row(request)?;
        let missing = || DatabaseError::Damaged(format!("request {request} is missing"));
        self.cache.rows.get_mut(&request).ok_or_else(missing)
    }

    /// Bytes of all requests that are not being removed.
    pub fn bytes(&mut self) -> Result<u64, DatabaseError> {
        self.flush()?;
        Ok(self.total()?.now.bytes())
    }

    fn total(&mut self) -> Result<&mut CachedTotal, DatabaseError> {
        let total = match self.cache.total.take() {
            Some(total) => total,
            None => {
                let written = JournalTotal::read(self.connection)?;
                CachedTotal { now: written, written }
            }
        };
        Ok(self.cache.total.insert(total))
    }

    /// Writes the changed rows, and the sums over all.
    pub fn flush(&mut self) -> Result<(), DatabaseError> {
        let connection = self.connection;
        let mut now = self.total()?.now;
        for cached in self.cache.rows.values_mut().filter(|cached| cached.is_changed) {
            let seal = cached.row.seal();
            cached.row.update(connection, seal)?;
            now.subtract(cached.written);
            cached.written = RowShare::of(&cached.row, seal);
            now.add(cached.written);
            cached.is_changed = false;
        }
        let total = self.total()?;
        total.now = now;
        if total.now != total.written {
            total.now.write(connection)?;
            total.written = total.now;
        }
        Ok(())
    }
}

/// Bytes that are kept for a request: its inline items, and all its items if the source keeps their files.
fn bytes_kept(request: &Request) -> u64 {
    let is_kept = |item: &&Item| !request.claims.is_empty() || matches!(item.place, ItemPlace::Inline(_));
    request.items.iter().filter(is_kept).map(|item| item.size).fold(0, u64::saturating_add)
}
