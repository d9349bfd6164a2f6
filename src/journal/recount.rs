//! Counting all records once, for a journal of an earlier format.

use rusqlite::Connection;

use super::entry::JournalEntry;
use super::error::DatabaseError;
use super::health;
use super::known_reasons::KnownReasons;
use super::row::AnswerKind;
use super::summary::{RecordMeaning, RecordSummary};
use super::tally::{self, CountedRequest, TallyCounts};

/// What the records of a request so far say.
#[derive(Default)]
struct RecountedRequest {
    number: i64,
    opened_ms: i64,
    answer: AnswerKind,
    /// Whether no record of it has been seen before.
    is_new: bool,
}

/// Fills the tables of counts and of destinations from the records.
pub fn fill(connection: &Connection) -> Result<(), DatabaseError> {
    deliveries(connection)?;
    tally::write(connection, &count(connection)?)
}

/// Notes the destinations in the order of their tries.
fn deliveries(connection: &Connection) -> Result<(), DatabaseError> {
    let text = "SELECT request, time_ms, body FROM record WHERE kind = 'delivered' ORDER BY number";
    let mut statement = connection.prepare(text)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let entry = row.get_ref(2)?.as_str().ok().and_then(|body| serde_json::from_str(body).ok());
        let Some(meaning) = entry.map(|entry: JournalEntry| RecordMeaning::of(&entry)) else { continue };
        health::note(connection, &RecordSummary { request: row.get(0)?, time_ms: row.get(1)?, meaning })?;
    }
    Ok(())
}

/// The counts of all records of remembered requests. A record that cannot be read is noticed by whoever needs
/// it.
fn count(connection: &Connection) -> Result<TallyCounts, DatabaseError> {
    let text = "SELECT record.request, record.time_ms, record.body, request.dataflow \
                FROM record JOIN request ON request.number = record.request \
                WHERE record.kind IN ('accepted', 'run', 'responded', 'delivered', 'answered', 'asked') \
                ORDER BY record.request, record.number";
    let mut statement = connection.prepare(text)?;
    let (mut rows, mut counts) = (statement.query([])?, TallyCounts::new());
    let (mut so_far, mut reasons) = (RecountedRequest::default(), KnownReasons::default());
    while let Some(row) = rows.next()? {
        let (request, time_ms) = (row.get::<_, i64>(0)?, row.get::<_, i64>(1)?);
        let entry = row.get_ref(2)?.as_str().ok().and_then(|body| serde_json::from_str(body).ok());
        let Some(meaning) = entry.map(|entry: JournalEntry| RecordMeaning::of(&entry)) else { continue };
        if so_far.number != request {
            let answer = AnswerKind::default();
            so_far = RecountedRequest { number: request, opened_ms: time_ms, answer, is_new: true };
        }
        if meaning.opens() {
            so_far.opened_ms = time_ms;
        }
        if let RecordMeaning::Responded(answer) = meaning {
            so_far.answer = answer;
        }
        let dataflow = row.get::<_, String>(3)?;
        let RecountedRequest { opened_ms, answer, is_new, .. } = so_far;
        so_far.is_new = false;
        let counted = CountedRequest { dataflow: &dataflow, answer, opened_ms, is_new };
        tally::add(&mut counts, &RecordSummary { request, time_ms, meaning }, &counted, &mut reasons);
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::dataflow::{Response, ResponseVerdict};
    use crate::journal::{Journal, RequestArrival, RunRecord};
    use crate::step::{Digest, Fault, Item, Outcome, Request};
    use crate::store::Store;

    fn run(step: &str, outcome: Outcome) -> JournalEntry {
        let (key, inputs) = (Digest::of(step.as_bytes()), Default::default());
        let (item, outputs, version) = (None, Vec::new(), 1);
        let step = step.to_owned();
        JournalEntry::Run(RunRecord {
            step,
            item,
            key,
            version,
            inputs,
            outcome,
            outputs,
            lacking: None,
            took_us: 1500,
            place: None,
            batches: Vec::new(),
            logs: Vec::new(),
        })
    }

    fn response(request: Digest, verdict: ResponseVerdict) -> Response {
        Response {
            request,
            name: "r".to_owned(),
            dataflow: "d".into(),
            version: Digest::of(b"version"),
            verdict,
            steps: Vec::new(),
            reservations: Vec::new(),
            streams: Vec::new(),
            files: Vec::new(),
            supersedes: None,
            revises: None,
        }
    }

    #[test]
    fn what_each_commit_counts_is_what_a_recount_finds() {
        let state = tempfile::tempdir().unwrap();
        let journal =
            Journal::open(state.path(), Arc::new(Store::at(state.path().join("store")).unwrap()), 0);
        let journal = journal.unwrap();
        for number in 0..20_u8 {
            let request = Arc::new(Request::new("r", Default::default(), vec![Item::inline("i", [number])]));
            let version = Digest::of(b"version");
            let arrival = || RequestArrival {
                request: Arc::clone(&request),
                dataflow: format!("d{}", number % 3),
                version,
                program: version,
                lookup_texts: Vec::new(),
            };
            let receipt = journal.accept(arrival()).unwrap();
            let fault = Fault::new(format!("slice {number} is missing"), "Send it.");
            let outcome = if number % 4 == 0 { Outcome::Failed(fault) } else { Outcome::Done };
            journal.append(&receipt, run("a", outcome)).unwrap();
            journal.note(receipt.number().unwrap(), run("b", Outcome::Done), Vec::new());
            if number % 5 > 0 {
                let verdict =
                    if number % 4 == 0 { ResponseVerdict::Failed } else { ResponseVerdict::Complete };
                let id = receipt.request().id;
                let response = response(id, verdict);
                journal.append(&receipt, JournalEntry::Responded { response }).unwrap();
                journal.append(&receipt, JournalEntry::Answered).unwrap();
            }
            if number % 5 == 1 {
                // It is known, and its response goes out again.
                journal.accept(arrival()).unwrap();
                journal.append(&receipt, JournalEntry::Answered).unwrap();
            }
        }
        drop(journal);
        let connection = Connection::open(state.path().join(Journal::FILE)).unwrap();
        let recounted = count(&connection).unwrap();
        assert_eq!(tally::read(&connection).unwrap(), recounted);
        let faults =
            recounted.iter().filter(|(key, _)| matches!(key.event, tally::TallyEvent::Failed { .. }));
        assert_eq!(faults.map(|(_, n)| n).sum::<i64>(), 5);
        let accepted =
            recounted.iter().filter(|(key, _)| matches!(key.event, tally::TallyEvent::Accepted { .. }));
        assert_eq!(accepted.map(|(_, n)| n).sum::<i64>(), 20, "a request counts once");
        assert!(recounted.len() > 15);
    }
}
