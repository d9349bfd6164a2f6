//! One commit: records are added to the log, and the row of each request is written once, however many of
//! its records the commit has.

use std::collections::BTreeMap;

use rusqlite::Connection;

use crate::step::{Item, ItemPlace, Request};

use super::arrival::RequestArrival;
use super::cut::{self, JournalCommit};
use super::error::DatabaseError;
use super::health;
use super::known_reasons::KnownReasons;
use super::log::{PreparedEntry, now_ms};
use super::lookup;
use super::query;
use super::receipt::RequestStanding;
use super::row::{AnswerKind, RequestRow, RequestState};
use super::standing::{self, StandingCounts, StandingShare};
use super::summary::{RecordMeaning, RecordSummary};
use super::tally::{self, CountedRequest, TallyCounts};
use super::tally_fold;
use super::total::{JournalTotal, RowShare};

/// The rows of the requests in work, as they were written last. Only the writer thread changes them.
#[derive(Default)]
pub struct RowCache {
    rows: BTreeMap<i64, CachedRow>,
    total: Option<CachedTotal>,
    /// The reasons of faults that are counted apart.
    reasons: Option<KnownReasons>,
}

struct CachedTotal {
    now: JournalTotal,
    /// The sums in the table.
    written: JournalTotal,
    /// The number of commits so far.
    commits: i64,
}

struct CachedRow {
    row: RequestRow,
    /// The row's contribution to the sums in the table.
    written: RowShare,
    /// The row's share in the counts.
    counted: StandingShare,
    /// The time at which the request was last opened, if that was since the row is here.
    opened_ms: Option<i64>,
    is_changed: bool,
    has_new_claims: bool,
}

impl CachedRow {
    fn of(row: RequestRow, seal: [u8; 16]) -> CachedRow {
        let (written, counted) = (RowShare::of(&row, seal), StandingShare::of(&row));
        CachedRow { row, written, counted, opened_ms: None, is_changed: false, has_new_claims: false }
    }
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
    /// The changes so far.
    commit: JournalCommit,
    /// Changes of the counts that are not in the tables yet.
    standing: StandingCounts,
    tally: TallyCounts,
}

impl<'a> LogTransaction<'a> {
    pub fn new(connection: &'a Connection, cache: &'a mut RowCache) -> LogTransaction<'a> {
        let (standing, tally) = (StandingCounts::new(), TallyCounts::new());
        LogTransaction { connection, cache, commit: JournalCommit::default(), standing, tally }
    }

    /// The connection, after all changed rows are written, for queries.
    pub fn written(&mut self) -> Result<&'a Connection, DatabaseError> {
        self.flush()?;
        Ok(self.connection)
    }

    /// The connection, on which changed rows may not be written yet. Texts of sources always are.
    pub fn unwritten(&self) -> &'a Connection {
        self.connection
    }

    /// Records a request, new or known; `entries` are its acceptance, and what is recorded together with it.
    pub fn accept(
        &mut self,
        arrival: &RequestArrival,
        entries: &[PreparedEntry],
    ) -> Result<(i64, RequestStanding), DatabaseError> {
        let known = query::find(self.connection, arrival.request.id, &arrival.dataflow)?;
        let Some(known) = known else {
            return Ok((self.insert(arrival, entries)?, RequestStanding::New));
        };
        // The table may lack changes of this transaction, so the row in memory is used.
        let number = known.number;
        match self.cached(number)?.row.state {
            RequestState::Accepted | RequestState::Responded => {
                self.claim(number, &arrival.request.claims)?;
                Ok((number, RequestStanding::InWork))
            }
            RequestState::Answered | RequestState::Undelivered => {
                self.claim(number, &arrival.request.claims)?;
                entries.iter().try_for_each(|entry| self.append(number, entry))?;
                Ok((number, RequestStanding::Answered))
            }
            RequestState::Removed => {
                // Files of it that are left are found by their digests and do no harm.
                self.delete(number)?;
                Ok((self.insert(arrival, entries)?, RequestStanding::New))
            }
        }
    }

    fn insert(&mut self, arrival: &RequestArrival, entries: &[PreparedEntry]) -> Result<i64, DatabaseError> {
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
        // The row is written once, with all of them.
        let each = entries.iter().map(|entry| entry.add(self.connection, &mut row));
        let summaries = each.collect::<Result<Vec<RecordSummary>, DatabaseError>>()?;
        let (number, seal) = (row.number, row.seal());
        row.insert(self.connection, seal)?;
        lookup::insert(self.connection, number, &arrival.lookup_texts)?;
        let cached = CachedRow::of(row, seal);
        self.total()?.now.add(cached.written);
        cached.counted.add_to(&mut self.standing);
        self.cache.rows.insert(number, cached);
        for (place, summary) in summaries.into_iter().enumerate() {
            self.count(summary, place == 0)?;
        }
        Ok(number)
    }

    /// Adds claims to those of a known request: its source releases them together.
    fn claim(&mut self, request: i64, claims: &[String]) -> Result<(), DatabaseError> {
        let cached = self.cached(request)?;
        let new = claims.iter().filter(|claim| !cached.row.claims.contains(claim));
        let new: Vec<String> = new.cloned().collect();
        let is_more = !new.is_empty();
        cached.row.claims.extend(new);
        cached.is_changed |= is_more;
        cached.has_new_claims |= is_more;
        Ok(())
    }

    /// Adds an entry to a request's log.
    pub fn append(&mut self, request: i64, entry: &PreparedEntry) -> Result<(), DatabaseError> {
        let connection = self.connection;
        let cached = self.cached(request)?;
        cached.is_changed = true;
        let is_first = cached.row.records == 0;
        let summary = entry.add(connection, &mut cached.row)?;
        self.count(summary, is_first)
    }

    /// Adds a record to the counts, and to what observers are told. `is_first`: its request has no record before it.
    fn count(&mut self, summary: RecordSummary, is_first: bool) -> Result<(), DatabaseError> {
        let connection = self.connection;
        let cached = self.cached(summary.request)?;
        if summary.meaning.opens() {
            cached.opened_ms = Some(summary.time_ms);
        }
        let opened_ms = match (cached.opened_ms, &summary.meaning) {
            (Some(opened_ms), _) => opened_ms,
            (None, RecordMeaning::Answered) => query::opened_ms(connection, summary.request)?,
            (None, _) => 0,
        };
        let (dataflow, answer) = (cached.row.dataflow.clone(), cached.row.answer);
        let counted = CountedRequest { dataflow: &dataflow, answer, opened_ms, is_new: is_first };
        let reasons = match self.cache.reasons.take() {
            Some(reasons) => reasons,
            None => tally_fold::known_reasons(connection)?,
        };
        let reasons = self.cache.reasons.insert(reasons);
        tally::add(&mut self.tally, &summary, &counted, reasons);
        health::note(connection, &summary)?;
        self.commit.records.push(summary);
        Ok(())
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
        let (row, written, counted) = (cached.row.clone(), cached.written, cached.counted.clone());
        row.delete(self.connection)?;
        self.total()?.now.subtract(written);
        counted.subtract_from(&mut self.standing);
        self.cache.rows.remove(&request);
        Ok(())
    }

    /// The row of a request, if it is remembered.
    pub fn row(&mut self, request: i64) -> Result<Option<&RequestRow>, DatabaseError> {
        if !self.cache.rows.contains_key(&request) {
            let Some(row) = query::at(self.connection, request)? else { return Ok(None) };
            let seal = row.seal();
            self.cache.rows.insert(request, CachedRow::of(row, seal));
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
                CachedTotal { now: written, written, commits: cut::commits(self.connection)? }
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
            if std::mem::take(&mut cached.has_new_claims) {
                cached.row.write_claims(connection)?;
            }
            now.subtract(cached.written);
            cached.written = RowShare::of(&cached.row, seal);
            now.add(cached.written);
            let counted = StandingShare::of(&cached.row);
            if counted != cached.counted {
                std::mem::replace(&mut cached.counted, counted).subtract_from(&mut self.standing);
                cached.counted.add_to(&mut self.standing);
            }
            cached.is_changed = false;
        }
        self.flush_counts()?;
        let is_first = self.commit.number == 0;
        let has_counted = !self.commit.tally.is_empty();
        let total = self.total()?;
        total.now = now;
        if total.now != total.written || (is_first && has_counted) {
            // A transaction may write its rows several times; it is one commit.
            let commits = total.commits + i64::from(is_first);
            total.now.write(connection, commits)?;
            (total.written, total.commits) = (total.now, commits);
            self.commit.number = commits;
        }
        Ok(())
    }

    /// Adds old hours of the counts up, and merges reasons of faults that are rare and old.
    pub fn fold_tally(&mut self) -> Result<(), DatabaseError> {
        self.flush()?;
        let changes = tally_fold::fold(self.connection)?;
        if !changes.is_empty() {
            self.cache.reasons = None;
        }
        for (key, count) in changes {
            *self.commit.tally.entry(key).or_default() += count;
        }
        Ok(())
    }

    fn flush_counts(&mut self) -> Result<(), DatabaseError> {
        standing::write(self.connection, &self.standing)?;
        tally::write(self.connection, &self.tally)?;
        for (key, totals) in std::mem::take(&mut self.standing) {
            self.commit.standing.entry(key).or_default().add(totals);
        }
        for (key, count) in std::mem::take(&mut self.tally) {
            *self.commit.tally.entry(key).or_default() += count;
        }
        Ok(())
    }

    /// What the transaction has changed, once it is flushed; `None` if that is nothing.
    pub fn into_commit(self) -> Option<JournalCommit> {
        (self.commit.number > 0).then_some(self.commit)
    }
}

/// Bytes that are kept for a request: its inline items, and all its items if the source keeps their files.
fn bytes_kept(request: &Request) -> u64 {
    let is_kept = |item: &&Item| !request.claims.is_empty() || matches!(item.place, ItemPlace::Inline(_));
    request.items.iter().filter(is_kept).map(|item| item.size).fold(0, u64::saturating_add)
}
