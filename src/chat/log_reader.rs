//! The conversation log, read: by devices, for the context of a message, and for operators.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::event::{ChatEvent, EventAuthor};
use super::event_count::EVENT_BYTES_MAX;
use super::log::{LOG_FILE, LogError, STATEMENTS, failed, last_of, signed};
use super::token::ChatMember;

/// The reading end, for several threads.
pub struct LogReader {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

/// A conversation, without what was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConversationSummary {
    pub name: String,
    /// The number of the last event.
    pub last: u64,
    /// Milliseconds of Unix time.
    pub last_ms: i64,
    pub last_type: String,
    /// The role of who said the last event.
    pub last_role: String,
}

/// The idle connections that are kept for reading.
const IDLE_MAX: usize = 4;

impl LogReader {
    pub(super) fn at(path: PathBuf) -> LogReader {
        LogReader { path, idle: Mutex::default() }
    }

    /// The log of a state folder, beside the process that writes it or without one; `None` if there is none.
    pub fn of_state(state: &Path) -> Option<LogReader> {
        let path = state.join(LOG_FILE);
        path.exists().then(|| LogReader::at(path))
    }

    /// All conversations, in the order of their names.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn summaries(&self) -> Result<Vec<ConversationSummary>, LogError> {
        let all = self.conversations()?;
        self.with(|connection| {
            let mut statement = connection
                .prepare_cached("SELECT time_ms, type, role FROM event WHERE conversation = ? AND seq = ?")?;
            let summary = |(name, last): (Arc<str>, u64)| {
                statement.query_row(params![name, signed(last)], |row| {
                    let (last_ms, last_type, last_role) = (row.get(0)?, row.get(1)?, row.get(2)?);
                    Ok(ConversationSummary { name: name.to_string(), last, last_ms, last_type, last_role })
                })
            };
            all.into_iter().map(summary).collect()
        })
    }

    /// Up to `limit` events after a number, in their order, and no further one once they are large.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn after(&self, conversation: &str, seq: u64, limit: u32) -> Result<Vec<ChatEvent>, LogError> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT seq, receiver, type, user, role, sender, answers, content FROM event \
                 WHERE conversation = ? AND seq > ? ORDER BY seq LIMIT ?",
            )?;
            let name: Arc<str> = conversation.into();
            let rows =
                statement.query_map(params![conversation, signed(seq), limit], |row| event(&name, row))?;
            until_large(rows)
        })
    }

    /// The last events that a member may see, the last one last, and no earlier one once they are large.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn context(
        &self,
        conversation: &str,
        member: &ChatMember,
        count: u32,
    ) -> Result<Vec<ChatEvent>, LogError> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT seq, receiver, type, user, role, sender, answers, content FROM event \
                 WHERE conversation = ? ORDER BY seq DESC LIMIT ?",
            )?;
            let name: Arc<str> = conversation.into();
            // Most events are for all; those that are not make the context a little shorter at worst.
            let rows = statement
                .query_map(params![conversation, count.saturating_mul(4)], |row| event(&name, row))?;
            let wanted = usize::try_from(count).unwrap_or(usize::MAX);
            let seen = rows.filter(|row| row.as_ref().map_or(true, |event| event.is_for(member)));
            let mut seen = until_large(seen.take(wanted))?;
            seen.reverse();
            Ok(seen)
        })
    }

    /// The last number of each of these conversations; 0 where there is none.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn last(&self, conversations: &[Arc<str>]) -> Result<Vec<u64>, LogError> {
        self.with(|connection| conversations.iter().map(|name| last_of(connection, name)).collect())
    }

    /// All conversations with their last numbers.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn conversations(&self) -> Result<Vec<(Arc<str>, u64)>, LogError> {
        self.with(|connection| {
            let mut next =
                connection.prepare_cached("SELECT min(conversation) FROM event WHERE conversation > ?")?;
            let (mut all, mut name) = (Vec::new(), String::new());
            while let Some(found) =
                next.query_row([&name], |row| row.get::<_, Option<String>>(0)).optional()?
                && let Some(found) = found
            {
                all.push((Arc::from(&*found), last_of(connection, &found)?));
                name = found;
            }
            Ok(all)
        })
    }

    fn with<T>(&self, read: impl FnOnce(&Connection) -> Result<T, rusqlite::Error>) -> Result<T, LogError> {
        let idle = self.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.connect().map_err(|error| failed(&self.path, &error))?,
        };
        let value = read(&connection).map_err(|error| failed(&self.path, &error));
        let mut idle = self.lock();
        if idle.len() < IDLE_MAX {
            idle.push(connection);
        }
        value
    }

    fn connect(&self) -> Result<Connection, rusqlite::Error> {
        let connection = Connection::open(&self.path)?;
        connection.busy_timeout(Duration::from_secs(30))?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        connection.pragma_update(None, "query_only", true)?;
        Ok(connection)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first of the events, and no further one once they have many bytes.
fn until_large(
    rows: impl Iterator<Item = Result<ChatEvent, rusqlite::Error>>,
) -> Result<Vec<ChatEvent>, rusqlite::Error> {
    let (mut events, mut bytes) = (Vec::new(), 0);
    for row in rows {
        let event = row?;
        bytes += event.bytes();
        events.push(event);
        if bytes >= EVENT_BYTES_MAX {
            break;
        }
    }
    Ok(events)
}

fn event(conversation: &Arc<str>, row: &Row) -> Result<ChatEvent, rusqlite::Error> {
    let text = |place: usize| row.get::<_, Arc<str>>(place);
    let content: String = row.get(7)?;
    Ok(ChatEvent {
        conversation: Arc::clone(conversation),
        seq: Some(row.get::<_, i64>(0)?.unsigned_abs()),
        to: text(1)?,
        event_type: text(2)?,
        from: EventAuthor { user: text(3)?, role: text(4)? },
        sender: text(5)?,
        answers: text(6)?,
        content: Arc::new(serde_json::from_str(&content).unwrap_or_default()),
    })
}
