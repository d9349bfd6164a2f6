//! Adding to the log, and where it leaves a request.

use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, params};

use crate::dataflow::ResponseVerdict;
use crate::step::{Digest, Item, ItemPlace, Request};

use super::row::{self, RequestRow, RequestState};
use super::{DatabaseError, JournalEntry, OperatorRequest, RequestArrival, RequestStanding, collector};

/// Records a request, new or known.
pub fn accept(
    connection: &Connection,
    arrival: &RequestArrival,
) -> Result<(i64, RequestStanding), DatabaseError> {
    let mut known = row::find(connection, arrival.request.id, &arrival.dataflow)?;
    if let Some(removed) = known.take_if(|row| row.state == RequestState::Removed) {
        // Its files are known by their content: what is left of them does no harm.
        collector::forget(connection, &removed)?;
    }
    let standing = match &known {
        None => RequestStanding::New,
        Some(row) if matches!(row.state, RequestState::Answered | RequestState::Undelivered) => {
            RequestStanding::Answered
        }
        Some(row) => return Ok((row.number, RequestStanding::InWork)),
    };
    let number = match &known {
        Some(row) => row.number,
        None => insert(connection, arrival)?,
    };
    let entry = JournalEntry::Accepted {
        request: (*arrival.request).clone(),
        dataflow: arrival.dataflow.clone(),
        version: arrival.version,
        program: arrival.program,
        supersedes: arrival.request.supersedes,
    };
    append(connection, number, &entry, &[])?;
    Ok((number, standing))
}

fn insert(connection: &Connection, arrival: &RequestArrival) -> Result<i64, DatabaseError> {
    let now = now_ms();
    let row = RequestRow {
        number: row::next_number(connection)?,
        id: arrival.request.id,
        dataflow: arrival.dataflow.clone(),
        name: arrival.request.name.clone(),
        subject: arrival.request.subject.clone(),
        state: RequestState::Accepted,
        accepted_ms: now,
        changed_ms: now,
        failed: false,
        kept: false,
        bytes: bytes_kept(&arrival.request),
        claims: arrival.request.claims.clone(),
        records: 0,
        head: Vec::new(),
    };
    row.insert(connection)?;
    Ok(row.number)
}

/// Bytes kept for a request: its inline items, and all its items if the source keeps something for it.
fn bytes_kept(request: &Request) -> u64 {
    let is_kept = |item: &&Item| !request.claims.is_empty() || matches!(item.place, ItemPlace::Inline(_));
    request.items.iter().filter(is_kept).map(|item| item.size).fold(0, u64::saturating_add)
}

/// Adds an entry, and brings the request's row up to date.
pub fn append(
    connection: &Connection,
    request: i64,
    entry: &JournalEntry,
    content: &[u8],
) -> Result<(), DatabaseError> {
    let before = row::get(connection, request)?;
    let body = serde_json::to_string(entry).expect("an entry is made of texts and numbers");
    let time_ms = now_ms();
    let kind = entry.kind();
    let chain = chain(&before.head, request, time_ms, kind, &body, content);
    connection
        .prepare_cached(
            "INSERT INTO record (request, time_ms, kind, body, content, chain) VALUES (?,?,?,?,?,?)",
        )?
        .execute(params![request, time_ms, kind, body, content, chain])?;
    let after = RequestRow {
        state: state_after(before.state, entry),
        failed: failed_after(before.failed, entry),
        kept: kept_after(before.kept, entry),
        bytes: before.bytes.saturating_add(bytes_of(entry)),
        changed_ms: time_ms,
        records: before.records + 1,
        head: chain.to_vec(),
        ..before.clone()
    };
    after.update(connection, &before)
}

fn state_after(before: RequestState, entry: &JournalEntry) -> RequestState {
    match entry {
        JournalEntry::Accepted { .. } => RequestState::Accepted,
        JournalEntry::Responded { .. } => RequestState::Responded,
        JournalEntry::Undelivered => RequestState::Undelivered,
        JournalEntry::Answered => RequestState::Answered,
        JournalEntry::Asked { what } if what == OperatorRequest::Retry.name() => RequestState::Accepted,
        JournalEntry::TakenUp
        | JournalEntry::Began
        | JournalEntry::Run(_)
        | JournalEntry::Interim { .. }
        | JournalEntry::Sent { .. }
        | JournalEntry::Delivered { .. }
        | JournalEntry::Late { .. }
        | JournalEntry::Asked { .. } => before,
    }
}

fn failed_after(before: bool, entry: &JournalEntry) -> bool {
    match entry {
        JournalEntry::Responded { response } => response.verdict == ResponseVerdict::Failed,
        _ => before,
    }
}

fn kept_after(before: bool, entry: &JournalEntry) -> bool {
    match entry {
        JournalEntry::Asked { what } if what == OperatorRequest::Keep.name() => true,
        JournalEntry::Asked { what } if what == OperatorRequest::Release.name() => false,
        _ => before,
    }
}

/// Bytes of the files of a final response; 0 for every other entry.
fn bytes_of(entry: &JournalEntry) -> u64 {
    match entry {
        JournalEntry::Responded { response } => {
            response.files.iter().map(|file| file.size).fold(0, u64::saturating_add)
        }
        _ => 0,
    }
}

/// The digest of a record and of all before it of the same request.
pub fn chain(before: &[u8], request: i64, time_ms: i64, kind: &str, body: &str, content: &[u8]) -> [u8; 16] {
    let (request, time_ms) = (request.to_le_bytes(), time_ms.to_le_bytes());
    let parts: [&[u8]; 6] = [before, &request, &time_ms, kind.as_bytes(), body.as_bytes(), content];
    row::short(Digest::of_parts(parts))
}

pub fn remember(
    connection: &Connection,
    version: Digest,
    name: &str,
    text: &str,
) -> Result<(), DatabaseError> {
    connection.prepare_cached("INSERT OR IGNORE INTO dataflow VALUES (?,?,?)")?.execute(params![
        version.to_string(),
        name,
        text
    ])?;
    Ok(())
}

/// By the clock on the wall, for people: nothing is decided by it but what is old enough to be removed.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
