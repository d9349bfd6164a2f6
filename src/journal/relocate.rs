//! A journal whose state folder has moved: the places of received files are written anew.
//!
//! A request names its files by absolute paths. Nothing else in the journal is a path: values that steps made
//! name a file by its digest.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};

use crate::step::{ItemPlace, Request};

use super::entry::JournalEntry;
use super::error::{DatabaseError, JournalError};
use super::row::RequestRow;
use super::total::JournalTotal;
use super::{cut, log, query, schema};

/// The state folder that a journal was written in, and the one in which it is used from now on.
#[derive(Clone, Debug)]
pub struct StateMove {
    /// All names of the earlier folder: absolute ones, with and without links.
    pub from: Vec<PathBuf>,
    /// The later folder, absolute.
    pub to: PathBuf,
}

impl StateMove {
    /// Changes the paths of received files in the journal of a state folder, in one transaction; gives the number
    /// of requests that had any. The folder need not be at its later place yet.
    ///
    /// # Errors
    /// If the journal cannot be written, or is damaged.
    pub fn apply(&self, state: &Path) -> Result<usize, JournalError> {
        let path = state.join(schema::FILE);
        let connection = schema::open(&path)?;
        self.rewrite(&connection).map_err(|error| error.at(&path))
    }

    fn rewrite(&self, connection: &Connection) -> Result<usize, DatabaseError> {
        let transaction = connection.unchecked_transaction()?;
        let mut rows = query::all(&transaction)?;
        let mut moved = 0;
        for row in &mut rows {
            moved += usize::from(self.rewrite_request(&transaction, row)?);
        }
        JournalTotal::of(&rows).write(&transaction, cut::commits(&transaction)? + 1)?;
        transaction.commit()?;
        Ok(moved)
    }

    /// Writes the records and the row of a request anew, if a path of them changes.
    fn rewrite_request(&self, connection: &Connection, row: &mut RequestRow) -> Result<bool, DatabaseError> {
        let damaged =
            || DatabaseError::Damaged(format!("a record of request {} is not as it was written", row.number));
        let records = records(connection, row.number)?;
        let (mut before, mut head) = (Vec::new(), Vec::new());
        let mut changes = Vec::new();
        for record in &records {
            let LogRecord { time_ms, kind, body, content, .. } = record;
            before = log::chain(&before, row.number, *time_ms, kind, body, content).to_vec();
            if before != record.chain {
                return Err(damaged());
            }
            let moved = self.moved(body).map_err(|_| damaged())?;
            let body = moved.as_ref().unwrap_or(body);
            head = log::chain(&head, row.number, *time_ms, kind, body, content).to_vec();
            if head != record.chain {
                changes.push((record.number, body.clone(), head.clone()));
            }
        }
        let claims: Vec<String> = row.claims.iter().map(|claim| self.claim(claim)).collect();
        if changes.is_empty() && claims == row.claims {
            return Ok(false);
        }
        for (number, body, chain) in changes {
            let text = "UPDATE record SET body = ?, chain = ? WHERE number = ?";
            connection.prepare_cached(text)?.execute(params![body, chain, number])?;
        }
        (row.claims, row.head) = (claims, head);
        let folders = serde_json::to_string(&row.claims).map_err(|_| damaged())?;
        let text = "UPDATE request SET folders = ?, head = ?, seal = ? WHERE number = ?";
        let values = params![folders, row.head, row.seal(), row.number];
        connection.prepare_cached(text)?.execute(values)?;
        Ok(true)
    }

    /// The text of a record with other paths; `None` if it has none that changes.
    fn moved(&self, body: &str) -> serde_json::Result<Option<String>> {
        let mut entry: JournalEntry = serde_json::from_str(body)?;
        let JournalEntry::Accepted { request, .. } = &mut entry else { return Ok(None) };
        if self.move_request(request) { serde_json::to_string(&entry).map(Some) } else { Ok(None) }
    }

    fn move_request(&self, request: &mut Request) -> bool {
        let mut is_moved = false;
        for item in &mut request.items {
            if let ItemPlace::File(path) = &mut item.place
                && let Some(place) = self.place(path)
            {
                (*path, is_moved) = (place, true);
            }
        }
        for claim in &mut request.claims {
            let place = self.claim(claim);
            is_moved |= place != *claim;
            *claim = place;
        }
        is_moved
    }

    /// The later place of a file of the state folder; `None` for any other file.
    fn place(&self, path: &Path) -> Option<PathBuf> {
        let rest = self.from.iter().find_map(|from| path.strip_prefix(from).ok())?;
        Some(self.to.join(rest))
    }

    fn claim(&self, claim: &str) -> String {
        let place = self.place(Path::new(claim));
        place.map_or_else(|| claim.to_owned(), |place| place.to_string_lossy().into_owned())
    }
}

/// A row of the table `record`.
struct LogRecord {
    number: i64,
    time_ms: i64,
    kind: String,
    body: String,
    content: Vec<u8>,
    chain: Vec<u8>,
}

fn records(connection: &Connection, request: i64) -> Result<Vec<LogRecord>, DatabaseError> {
    let text =
        "SELECT number, time_ms, kind, body, content, chain FROM record WHERE request = ? ORDER BY number";
    let mut statement = connection.prepare_cached(text)?;
    let rows = statement.query_map([request], |row| {
        Ok(LogRecord {
            number: row.get(0)?,
            time_ms: row.get(1)?,
            kind: row.get(2)?,
            body: row.get(3)?,
            content: row.get(4)?,
            chain: row.get(5)?,
        })
    })?;
    Ok(rows.collect::<Result<Vec<LogRecord>, rusqlite::Error>>()?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::journal::{Journal, JournalReader, RequestArrival};
    use crate::step::{Digest, Item};
    use crate::store::Store;

    #[test]
    fn received_files_are_where_the_folder_is_and_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path();
        let journal = Journal::open(state, Arc::new(Store::at(state.join("store")).unwrap()), 0).unwrap();
        let accept = |name: &str, path: &str, claims: &[&str]| {
            let place = ItemPlace::File(path.into());
            let item = Item { place, ..Item::inline(name, name.as_bytes()) };
            let mut request = Request::new(name, Default::default(), vec![item]);
            request.claims = claims.iter().map(|claim| (*claim).to_owned()).collect();
            let (version, dataflow) = (Digest::of(b"version"), "test".to_owned());
            let request = Arc::new(request);
            let arrival =
                RequestArrival { request, dataflow, version, program: version, lookup_texts: Vec::new() };
            let receipt = journal.accept(arrival).unwrap();
            journal.append(&receipt, JournalEntry::Began).unwrap();
        };
        accept("received", "/old/inbox/study-1/a.dcm", &["/old/inbox/study-1"]);
        accept("of the user", "/older/a.dcm", &[]);
        drop(journal);
        let moved = StateMove { from: vec!["/other".into(), "/old".into()], to: "/new/place".into() };
        assert_eq!(moved.apply(state).unwrap(), 1);
        assert_eq!(moved.apply(state).unwrap(), 0, "a second time changes nothing");

        let reader = JournalReader::open(state).unwrap();
        let histories: Vec<_> =
            reader.requests().unwrap().iter().map(|row| reader.history(row.number).unwrap()).collect();
        let paths = histories.iter().map(|history| {
            let (request, _) = history.request().unwrap();
            request.items[0].path().unwrap().display().to_string()
        });
        assert_eq!(paths.collect::<Vec<_>>(), ["/new/place/inbox/study-1/a.dcm", "/older/a.dcm"]);
        assert_eq!(histories[0].row.claims, ["/new/place/inbox/study-1"]);
        let (request, _) = histories[0].request().unwrap();
        assert_eq!(request.claims, histories[0].row.claims);
        drop(reader);
        let store = Arc::new(Store::at(state.join("store")).unwrap());
        let journal = Journal::open(state, store, 0).unwrap();
        assert_eq!(journal.open_requests().unwrap().len(), 2, "its sums are right");
    }
}
