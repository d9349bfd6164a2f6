//! The conversation log: the events of all conversations, in a SQLite file of its own.
//!
//! The events of a conversation are numbered from 1 without a gap. A response is appended once, however often it is
//! delivered: its events carry the number of its request in the journal and the request's digest. An event is on the
//! disk before anybody sees it. The last event of a conversation stays when it is old, without its content, so that
//! numbers are never given twice.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, params};

use crate::journal::{ImmediateTransaction, WRITER_PAGES, WalCheckpointer};
use crate::step::Digest;

use super::event::ChatEvent;

/// The writing end; one for each file.
pub struct LogWriter {
    connection: Connection,
    path: PathBuf,
    /// The last number of the conversations that were written to lately.
    last: HashMap<Arc<str>, u64>,
}

/// The events that answer one message.
pub struct AnswerToAppend {
    /// The number of its request in the journal; `None` where nothing is recorded.
    pub number: Option<i64>,
    pub request: Digest,
    /// The number of answers that an operator has rejected before: each is another answer.
    pub edition: u32,
    /// Milliseconds of Unix time; `None`: never.
    pub expires_ms: Option<i64>,
    pub events: Vec<ChatEvent>,
}

#[derive(Clone, Debug, thiserror::Error)]
#[error("could not use the conversation log {}: {reason}", path.display())]
pub struct LogError {
    pub path: PathBuf,
    pub reason: String,
    /// Whether it may pass, as a full disk does.
    pub may_pass: bool,
}

/// The name of the file below the state folder.
pub const LOG_FILE: &str = "chat.sqlite";

/// "chat", in the header of the file (`PRAGMA application_id`).
const APPLICATION: i64 = 0x6368_6174;

const FORMAT: i64 = 1;

const TABLES: &str = "
CREATE TABLE event (
  conversation TEXT NOT NULL,
  seq          INTEGER NOT NULL,     -- from 1 in each conversation
  time_ms      INTEGER NOT NULL,     -- Unix time
  expires_ms   INTEGER,
  number       INTEGER,              -- of the request in the journal
  request      TEXT NOT NULL,        -- its digest, and after a retry which one it is
  receiver     TEXT NOT NULL,        -- all, sender, others or a role; '': nobody any more
  type         TEXT NOT NULL,
  user         TEXT NOT NULL,        -- who says it
  role         TEXT NOT NULL,
  sender       TEXT NOT NULL,        -- whose message it answers
  answers      TEXT NOT NULL,        -- the client's id of that message
  content      TEXT NOT NULL,        -- JSON
  PRIMARY KEY (conversation, seq)
) WITHOUT ROWID;
CREATE INDEX event_number ON event (number);
CREATE INDEX event_expiry ON event (expires_ms) WHERE expires_ms IS NOT NULL;
";

/// The conversations whose last numbers are held in memory, at most.
const LAST_MAX: usize = 100_000;

/// The statements that are cached: more than there are.
pub(super) const STATEMENTS: usize = 32;

/// The rows that one round of removing removes, at most.
const PRUNED_MAX: u32 = 500;

impl LogWriter {
    /// Opens the log of a state folder, and makes it if it is not there.
    ///
    /// # Errors
    /// If it cannot be used, or is something else.
    pub fn open(state: &Path) -> Result<LogWriter, LogError> {
        let path = state.join(LOG_FILE);
        let opened = open(&path).map_err(|error| failed(&path, &error))?;
        let read = |name| opened.pragma_query_value(None, name, |row| row.get(0));
        let application: i64 = read("application_id").map_err(|error| failed(&path, &error))?;
        let format: i64 = read("user_version").map_err(|error| failed(&path, &error))?;
        if (application, format) != (APPLICATION, FORMAT) {
            let reason = "it is no conversation log, or one of another version of flow".to_owned();
            return Err(LogError { path, reason, may_pass: false });
        }
        Ok(LogWriter { connection: opened, path, last: HashMap::new() })
    }

    /// Has checkpoints run on a thread of their own, until what is returned is dropped.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn checkpoint_apart(&self) -> io::Result<WalCheckpointer> {
        WalCheckpointer::start(&self.path)
    }

    /// Appends answers in their order, all in one commit, and gives the events that are new with their numbers. When
    /// this returns they are on the disk.
    ///
    /// # Errors
    /// If they cannot be written; then none is.
    pub fn append(&mut self, answers: Vec<AnswerToAppend>, now_ms: i64) -> Result<Vec<ChatEvent>, LogError> {
        if self.last.len() > LAST_MAX {
            self.last.clear();
        }
        let appended = append(&self.connection, &mut self.last, answers, now_ms);
        appended.map_err(|error| {
            // The numbers in memory may be of events that are not there.
            self.last.clear();
            failed(&self.path, &error)
        })
    }

    /// Removes events that have expired, up to a few hundred; gives whether there may be more.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn prune(&mut self, now_ms: i64) -> Result<bool, LogError> {
        prune(&self.connection, now_ms).map_err(|error| failed(&self.path, &error))
    }
}

fn open(path: &Path) -> Result<Connection, rusqlite::Error> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(30))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // With these settings a commit is on the disk when it returns.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", WRITER_PAGES)?;
    // What somebody has said is overwritten when it is removed.
    connection.pragma_update(None, "secure_delete", true)?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables == 0 {
        let transaction = connection.unchecked_transaction()?;
        transaction.execute_batch(TABLES)?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", FORMAT)?;
        transaction.commit()?;
    }
    Ok(connection)
}

fn append(
    connection: &Connection,
    last: &mut HashMap<Arc<str>, u64>,
    answers: Vec<AnswerToAppend>,
    now_ms: i64,
) -> Result<Vec<ChatEvent>, rusqlite::Error> {
    let transaction = ImmediateTransaction::begin(connection)?;
    let mut appended = Vec::new();
    for AnswerToAppend { number, request, edition, expires_ms, events } in answers {
        let request = match edition {
            0 => request.to_string(),
            edition => format!("{request}-{edition}"),
        };
        if is_known(&transaction, number, &request)? {
            continue;
        }
        for event in events {
            let conversation = &event.conversation;
            let before = match last.get(conversation) {
                Some(before) => *before,
                None => last_of(&transaction, conversation)?,
            };
            let seq = before + 1;
            last.insert(Arc::clone(conversation), seq);
            let mut insert =
                transaction.prepare_cached("INSERT INTO event VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)")?;
            let ChatEvent { to, event_type, from, sender, answers, content, .. } = &event;
            insert.execute(params![
                conversation,
                signed(seq),
                now_ms,
                expires_ms,
                number,
                request,
                to,
                event_type,
                from.user,
                from.role,
                sender,
                answers,
                content.to_string(),
            ])?;
            appended.push(ChatEvent { seq: Some(seq), ..event });
        }
    }
    transaction.commit()?;
    Ok(appended)
}

/// Whether the answer to a request was appended before. The digest tells a request of another journal.
fn is_known(transaction: &Connection, number: Option<i64>, request: &str) -> Result<bool, rusqlite::Error> {
    let Some(number) = number else { return Ok(false) };
    let mut statement =
        transaction.prepare_cached("SELECT 1 FROM event WHERE number = ? AND request = ? LIMIT 1")?;
    statement.exists(params![number, request])
}

pub(super) fn last_of(connection: &Connection, conversation: &str) -> Result<u64, rusqlite::Error> {
    let mut statement = connection.prepare_cached("SELECT max(seq) FROM event WHERE conversation = ?")?;
    let last: Option<i64> = statement.query_row([conversation], |row| row.get(0))?;
    Ok(last.map_or(0, i64::unsigned_abs))
}

fn prune(connection: &Connection, now_ms: i64) -> Result<bool, rusqlite::Error> {
    let transaction = ImmediateTransaction::begin(connection)?;
    let due: Vec<(String, i64)> = {
        let mut due = transaction.prepare_cached(
            "SELECT conversation, seq FROM event WHERE expires_ms <= ? ORDER BY expires_ms LIMIT ?",
        )?;
        let rows = due.query_map(params![now_ms, PRUNED_MAX], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<Result<_, _>>()?
    };
    for (conversation, seq) in &due {
        let is_last = last_of(&transaction, conversation)? == seq.unsigned_abs();
        let change = match is_last {
            true => {
                "UPDATE event SET expires_ms = NULL, receiver = '', type = '', user = '', role = '', \
                 content = 'null' WHERE conversation = ? AND seq = ?"
            }
            false => "DELETE FROM event WHERE conversation = ? AND seq = ?",
        };
        transaction.prepare_cached(change)?.execute(params![conversation, seq])?;
    }
    transaction.commit()?;
    Ok(u32::try_from(due.len()).is_ok_and(|count| count == PRUNED_MAX))
}

/// SQLite has signed numbers only; no conversation has so many events.
pub(super) fn signed(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

pub(super) fn failed(path: &Path, error: &rusqlite::Error) -> LogError {
    use rusqlite::ErrorCode::{DatabaseBusy, DiskFull};
    let may_pass = error.sqlite_error_code().is_some_and(|code| matches!(code, DiskFull | DatabaseBusy));
    LogError { path: path.to_owned(), reason: error.to_string(), may_pass }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::event::{AnsweredEvent, error_event};
    use super::super::event_count::EVENT_BYTES_MAX;
    use super::super::log_reader::LogReader;
    use super::super::message::MessageOrigin;
    use super::super::token::ChatMember;
    use super::super::token::MemberConversations;
    use super::*;

    fn answer(number: i64, conversation: &str, texts: &[&str]) -> AnswerToAppend {
        let origin = MessageOrigin {
            conversation: conversation.into(),
            user: "ann".into(),
            role: "patient".into(),
            id: number.to_string().into(),
            message_type: "text".into(),
            is_ordered: false,
        };
        let event = |text: &&str| {
            let to = if text.starts_with("secret") { "provider" } else { "all" };
            let answered =
                AnsweredEvent { to: to.to_owned(), content: json!({"text": text}), ..error_event("", "") };
            ChatEvent::of(answered, &origin)
        };
        AnswerToAppend {
            number: Some(number),
            request: Digest::of(&number.to_le_bytes()),
            edition: 0,
            expires_ms: Some(number * 10),
            events: texts.iter().map(event).collect(),
        }
    }

    fn numbers(events: &[ChatEvent]) -> Vec<(&str, u64)> {
        events.iter().map(|event| (&*event.conversation, event.seq.unwrap())).collect()
    }

    #[test]
    fn events_are_numbered_without_a_gap_and_appended_once_also_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = LogWriter::open(folder.path()).unwrap();
        let first = log.append(vec![answer(1, "a", &["x", "y"]), answer(2, "b", &["z"])], 0).unwrap();
        assert_eq!(numbers(&first), [("a", 1), ("a", 2), ("b", 1)]);
        assert_eq!(log.append(vec![answer(1, "a", &["x", "y"])], 0).unwrap(), []);
        drop(log);
        let mut log = LogWriter::open(folder.path()).unwrap();
        let again = log.append(vec![answer(2, "b", &["another"]), answer(3, "a", &["w"])], 0).unwrap();
        assert_eq!(numbers(&again), [("a", 3)]);
        let reader = LogReader::of_state(folder.path()).unwrap();
        assert_eq!(numbers(&reader.after("a", 1, 10).unwrap()), [("a", 2), ("a", 3)]);
        assert_eq!(numbers(&reader.after("a", 0, 1).unwrap()), [("a", 1)]);
        assert_eq!(reader.last(&["a".into(), "b".into(), "c".into()]).unwrap(), [3, 1, 0]);
        assert_eq!(reader.conversations().unwrap(), [("a".into(), 3), ("b".into(), 1)]);
        let retried = AnswerToAppend { edition: 1, ..answer(3, "a", &["mended"]) };
        assert_eq!(
            numbers(&log.append(vec![retried], 0).unwrap()),
            [("a", 4)],
            "an operator has asked for it"
        );
        // The same number in another journal is another request.
        let other = AnswerToAppend { request: Digest::of(b"other"), ..answer(1, "b", &["new"]) };
        assert_eq!(numbers(&log.append(vec![other], 0).unwrap()), [("b", 2)]);
    }

    #[test]
    fn what_is_old_goes_and_its_number_is_not_given_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = LogWriter::open(folder.path()).unwrap();
        log.append(vec![answer(1, "a", &["x"]), answer(2, "a", &["y"]), answer(9, "a", &["z"])], 0).unwrap();
        assert!(!log.prune(20).unwrap());
        let reader = LogReader::of_state(folder.path()).unwrap();
        assert_eq!(numbers(&reader.after("a", 0, 10).unwrap()), [("a", 3)]);
        assert!(!log.prune(90).unwrap());
        let rest = reader.after("a", 0, 10).unwrap();
        assert_eq!((numbers(&rest), &*rest[0].content), (vec![("a", 3)], &serde_json::Value::Null));
        drop(log);
        let mut log = LogWriter::open(folder.path()).unwrap();
        assert_eq!(numbers(&log.append(vec![answer(10, "a", &["w"])], 0).unwrap()), [("a", 4)]);
        assert_eq!(log.append(vec![answer(9, "a", &["z"])], 0).unwrap(), [], "it is still known");
    }

    #[test]
    fn what_is_removed_leaves_no_trace_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = LogWriter::open(folder.path()).unwrap();
        let long = format!("my secret {}", "is long ".repeat(2_000));
        log.append(vec![answer(1, "a", &["my secret", &long]), answer(2, "a", &["y"])], 0).unwrap();
        let is_there = |log: &LogWriter| {
            log.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
            let bytes = std::fs::read(folder.path().join(LOG_FILE)).unwrap();
            bytes.windows(9).any(|part| part == b"my secret")
                || bytes.windows(8).any(|part| part == b"is long ")
        };
        assert!(is_there(&log));
        log.prune(10).unwrap();
        assert!(!is_there(&log));
    }

    fn member(role: &str) -> ChatMember {
        let conversations = MemberConversations::All;
        ChatMember { user: "bo".into(), role: role.into(), conversations, expires_s: 0 }
    }

    #[test]
    fn the_context_is_what_the_member_may_see() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = LogWriter::open(folder.path()).unwrap();
        log.append(vec![answer(1, "a", &["1", "2", "secret", "3"])], 0).unwrap();
        let reader = LogReader::of_state(folder.path()).unwrap();
        let seen = |role: &str| {
            let events = reader.context("a", &member(role), 2).unwrap();
            events.iter().map(|event| event.content["text"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(seen("patient"), ["2", "3"]);
        assert_eq!(seen("provider"), ["secret", "3"]);
    }

    #[test]
    fn the_context_has_no_earlier_events_once_it_is_large() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = LogWriter::open(folder.path()).unwrap();
        let large = "x".repeat(EVENT_BYTES_MAX);
        log.append(vec![answer(1, "a", &["1", &large, "2", "3"])], 0).unwrap();
        let reader = LogReader::of_state(folder.path()).unwrap();
        let context = reader.context("a", &member("provider"), 4).unwrap();
        let texts: Vec<&str> = context.iter().filter_map(|event| event.content["text"].as_str()).collect();
        assert_eq!(texts, [&*large, "2", "3"]);
    }

    #[test]
    fn a_file_of_something_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let other = Connection::open(folder.path().join(LOG_FILE)).unwrap();
        other.execute_batch("CREATE TABLE x (y)").unwrap();
        assert!(LogWriter::open(folder.path()).err().unwrap().to_string().contains("no conversation log"));
    }
}
