//! Counts over all requests, also over those that are no longer remembered: what happened in which hour.
//!
//! Each record adds to them in its own transaction, so that a start need not read old records. They are
//! derived from the records and carry no digest. Older hours are added up, see `tally_fold`.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use super::error::DatabaseError;
use super::known_reasons::KnownReasons;
use super::row::AnswerKind;
use super::summary::{RecordMeaning, RecordSummary};

/// Something that is counted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TallyKey {
    /// The hour since 1970 in which it happened, or the first hour of the day.
    pub hour: i64,
    pub dataflow: String,
    pub event: TallyEvent,
}

/// A kind of events that are counted together. Times are counted by [`bucket`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TallyEvent {
    Accepted { source: String },
    Answered { answer: AnswerKind, bucket: u16 },
    Ran { step: String, bucket: u16 },
    Failed { step: String, kind: String, reason: String },
    Delivered { destination: String },
    NotDelivered { destination: String },
}

/// Counts by what is counted.
pub type TallyCounts = BTreeMap<TallyKey, i64>;

pub(super) const TABLE: &str = "
CREATE TABLE tally (                -- derived from the records: how often what happened in an hour
  hour INTEGER NOT NULL, dataflow TEXT NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL,
  detail TEXT NOT NULL, bucket INTEGER NOT NULL, n INTEGER NOT NULL,
  PRIMARY KEY (hour, dataflow, kind, subject, detail, bucket)
) WITHOUT ROWID;
";

const HOUR_MS: i64 = 3_600_000;

/// The hour since 1970.
pub fn hour(time_ms: i64) -> i64 {
    time_ms.div_euclid(HOUR_MS)
}

/// The bucket of a time: four for each power of two, so that a quantile is off by 12 % at most.
pub fn bucket(took_us: u64) -> u16 {
    let us = took_us.max(1);
    let octave = 63 - us.leading_zeros();
    let part = if octave >= 2 { (us >> (octave - 2)) & 3 } else { (us << (2 - octave)) & 3 };
    (octave * 4) as u16 + part as u16
}

/// The time at which a bucket ends, in microseconds.
pub fn bucket_end_us(bucket: u16) -> f64 {
    f64::from(bucket / 4).exp2() * (1.0 + (f64::from(bucket % 4) + 1.0) / 4.0)
}

/// The counts that a record adds. A request counts as accepted once, however often its response goes out.
pub(super) fn add(
    counts: &mut TallyCounts,
    record: &RecordSummary,
    counted: &CountedRequest,
    reasons: &mut KnownReasons,
) {
    let mut count = |event: TallyEvent| {
        let key = TallyKey { hour: hour(record.time_ms), dataflow: counted.dataflow.to_owned(), event };
        *counts.entry(key).or_default() += 1;
    };
    match &record.meaning {
        RecordMeaning::Accepted(_) if !counted.is_new => {}
        RecordMeaning::Accepted(accepted) => count(TallyEvent::Accepted { source: accepted.source.clone() }),
        RecordMeaning::Answered => {
            let took_us = record.time_ms.saturating_sub(counted.opened_ms).max(0).unsigned_abs() * 1000;
            count(TallyEvent::Answered { answer: counted.answer, bucket: bucket(took_us) });
        }
        RecordMeaning::Ran(run) => {
            count(TallyEvent::Ran { step: run.step.clone(), bucket: bucket(run.took_us) });
            if let Some((kind, reason)) = &run.fault {
                let reason = reasons.counted(kind, reason.clone());
                let (step, kind) = (run.step.clone(), (*kind).to_owned());
                count(TallyEvent::Failed { step, kind, reason });
            }
        }
        RecordMeaning::Delivered { destination, detail } => {
            let destination = destination.clone();
            count(match detail {
                None => TallyEvent::Delivered { destination },
                Some(_) => TallyEvent::NotDelivered { destination },
            });
        }
        RecordMeaning::TakenUp
        | RecordMeaning::Began
        | RecordMeaning::Interim
        | RecordMeaning::Responded(_)
        | RecordMeaning::Undelivered
        | RecordMeaning::Cancelled
        | RecordMeaning::Retried
        | RecordMeaning::Other => {}
    }
}

/// The request of a record that is counted.
pub(super) struct CountedRequest<'a> {
    pub dataflow: &'a str,
    pub answer: AnswerKind,
    /// The time at which it was last opened.
    pub opened_ms: i64,
    /// Whether the record is its first.
    pub is_new: bool,
}

/// Adds counts to the table.
pub(super) fn write(connection: &Connection, counts: &TallyCounts) -> Result<(), DatabaseError> {
    let text = "INSERT INTO tally VALUES (?,?,?,?,?,?,?) \
                ON CONFLICT DO UPDATE SET n = n + excluded.n";
    let mut statement = connection.prepare_cached(text)?;
    for (key, n) in counts {
        let (kind, subject, detail, bucket) = columns(&key.event);
        statement.execute(params![key.hour, key.dataflow, kind, subject, detail, bucket, n])?;
    }
    Ok(())
}

fn columns(event: &TallyEvent) -> (&'static str, &str, String, u16) {
    match event {
        TallyEvent::Accepted { source } => ("accepted", source, String::new(), 0),
        TallyEvent::Answered { answer, bucket } => ("answered", answer.name(), String::new(), *bucket),
        TallyEvent::Ran { step, bucket } => ("ran", step, String::new(), *bucket),
        TallyEvent::Failed { step, kind, reason } => ("failed", step, format!("{kind}: {reason}"), 0),
        TallyEvent::Delivered { destination } => ("delivered", destination, String::new(), 0),
        TallyEvent::NotDelivered { destination } => ("not delivered", destination, String::new(), 0),
    }
}

/// All counts. A row of a later version is left out.
pub(super) fn read(connection: &Connection) -> Result<TallyCounts, DatabaseError> {
    let mut statement =
        connection.prepare_cached("SELECT hour, dataflow, kind, subject, detail, bucket, n FROM tally")?;
    let (mut rows, mut counts) = (statement.query([])?, TallyCounts::new());
    while let Some(row) = rows.next()? {
        let (kind, subject, detail) = (row.get_ref(2)?.as_str(), row.get::<_, String>(3)?, row.get(4)?);
        let event = event(kind.unwrap_or_default(), subject, detail, row.get(5)?);
        if let Some(event) = event {
            *counts.entry(TallyKey { hour: row.get(0)?, dataflow: row.get(1)?, event }).or_default() +=
                row.get::<_, i64>(6)?;
        }
    }
    Ok(counts)
}

fn event(kind: &str, subject: String, detail: String, bucket: u16) -> Option<TallyEvent> {
    Some(match kind {
        "accepted" => TallyEvent::Accepted { source: subject },
        "answered" => TallyEvent::Answered { answer: AnswerKind::named(&subject)?, bucket },
        "ran" => TallyEvent::Ran { step: subject, bucket },
        "failed" => {
            let (kind, reason) = detail.split_once(": ")?;
            TallyEvent::Failed { step: subject, kind: kind.to_owned(), reason: reason.to_owned() }
        }
        "delivered" => TallyEvent::Delivered { destination: subject },
        "not delivered" => TallyEvent::NotDelivered { destination: subject },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_lies_below_the_end_of_its_bucket_and_not_below_that_of_the_one_before() {
        for us in (1..3000).chain([1_000_000, 7_777_777, u64::from(u32::MAX)]) {
            let bucket = bucket(us);
            assert!((us as f64) < bucket_end_us(bucket), "{us}");
            assert!(bucket == 0 || us as f64 >= bucket_end_us(bucket - 1) || us < 4, "{us}");
        }
    }
}
