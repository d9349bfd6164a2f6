//! Looking into a journal, beside the process that writes it or without one.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};

use crate::step::{Digest, Request};

use super::row::{self, Row, State};
use super::{History, Journal, JournalError, Trouble, log, schema};

pub struct Reader {
    connection: Connection,
    path: PathBuf,
}

/// What an operator may ask of a request. A running flow sees to it at once, a stopped one when it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// To be ended, with an error response.
    Cancel,
    /// What failed to be run again, and what is not delivered to be delivered.
    Retry,
    /// Not to be removed, however old it is.
    Keep,
    /// To be removed when its time has come, like others.
    Release,
}

impl Wish {
    const ALL: [Wish; 4] = [Wish::Cancel, Wish::Retry, Wish::Keep, Wish::Release];

    pub fn name(self) -> &'static str {
        match self {
            Wish::Cancel => "cancel",
            Wish::Retry => "retry",
            Wish::Keep => "keep",
            Wish::Release => "release",
        }
    }

    pub(super) fn named(name: &str) -> Option<Wish> {
        Wish::ALL.into_iter().find(|wish| wish.name() == name)
    }
}

/// Gives texts by which a person may call a request.
pub type RequestNames<'a> = dyn Fn(&Request) -> Vec<String> + 'a;

impl Reader {
    /// Opens the journal of a state folder.
    ///
    /// # Errors
    /// If there is none, or it was made by another version of flow.
    pub fn open(state: &Path) -> Result<Reader, JournalError> {
        let path = state.join(Journal::FILE);
        let connection = schema::open_to_read(&path)?;
        Ok(Reader { connection, path })
    }

    /// Every request that is remembered, in the order of their acceptance.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn requests(&self) -> Result<Vec<Row>, JournalError> {
        row::all(&self.connection).map_err(|trouble| trouble.at(&self.path))
    }

    /// The requests that a person may mean: by number, by name or a part of it, by the first digits of the id;
    /// or else by what they are about, or one of the texts that `names` gives for a request.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn find(&self, text: &str, names: &RequestNames) -> Result<Vec<Row>, JournalError> {
        let rows = self.requests()?;
        let exact = |row: &&Row| row.name == text || text.parse() == Ok(row.number);
        let found: Vec<Row> = rows.iter().filter(exact).cloned().collect();
        if !found.is_empty() {
            return Ok(found);
        }
        let like = |row: &&Row| row.name.contains(text) || row.id.to_string().starts_with(text);
        let found: Vec<Row> = rows.iter().filter(like).cloned().collect();
        if !found.is_empty() {
            return Ok(found);
        }
        rows.into_iter()
            .filter_map(|row| self.is_of(&row, text, names).map(|is| is.then_some(row)).transpose())
            .collect()
    }

    /// Whether a request is about something, or somebody, that is called so.
    fn is_of(&self, row: &Row, text: &str, names: &RequestNames) -> Result<bool, JournalError> {
        let history = self.history(row.number)?;
        let Ok((request, _)) = history.request() else { return Ok(false) };
        let is_called = || names(request).iter().any(|name| name == text);
        Ok(!text.is_empty() && (request.subject == text || is_called()))
    }

    /// All that is recorded of a request.
    ///
    /// # Errors
    /// If it cannot be read, or is damaged.
    pub fn history(&self, number: i64) -> Result<History, JournalError> {
        History::read(&self.connection, number).map_err(|trouble| trouble.at(&self.path))
    }

    /// Name and text of the dataflow with this version.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn dataflow(&self, version: Digest) -> Result<Option<(String, String)>, JournalError> {
        row::dataflow(&self.connection, version).map_err(|trouble| trouble.at(&self.path))
    }

    /// Notes a wish. When this returns it is on the disk.
    ///
    /// # Errors
    /// If it cannot be noted.
    pub fn wish(&self, wish: Wish, number: i64) -> Result<(), JournalError> {
        let text = "INSERT INTO wish (time_ms, kind, request) VALUES (?,?,?)";
        let noted = self.connection.execute(text, params![log::now_ms(), wish.name(), number]);
        noted.map(drop).map_err(|error| Trouble::from(error).at(&self.path))
    }
}

/// Takes the wishes that have been noted, and adds them to the records of their requests.
pub(super) fn take_wishes(connection: &Connection) -> Result<Vec<(Row, Wish)>, Trouble> {
    let mut statement =
        connection.prepare_cached("SELECT number, kind, request FROM wish ORDER BY number")?;
    let noted = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?, row.get(2)?)))?;
    let noted: Vec<(i64, String, i64)> = noted.collect::<Result<_, _>>()?;
    let mut wishes = Vec::new();
    for (number, kind, request) in noted {
        connection.prepare_cached("DELETE FROM wish WHERE number = ?")?.execute([number])?;
        // Since then it may have been removed.
        let (Some(wish), Some(row)) = (Wish::named(&kind), row::at(connection, request)?) else { continue };
        match (wish, row.state) {
            (_, State::Removed) | (Wish::Retry, State::Accepted) => continue,
            // The response is on its way: it is only to be hurried.
            (Wish::Retry, State::Responded) => {
                wishes.push((row, wish));
                continue;
            }
            _ => {}
        }
        log::append(connection, request, &super::Entry::Asked { what: kind }, &[])?;
        wishes.push((row::get(connection, request)?, wish));
    }
    Ok(wishes)
}
