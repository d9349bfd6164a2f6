//! The bounds of the counts: old hours are added up, and only so many reasons of faults are counted apart.
//!
//! Peers have a say in reasons: without a bound, files with ever new faults would let the counts grow without end.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;

use super::error::DatabaseError;
use super::known_reasons::{KnownReasons, OTHER_REASONS};
use super::tally::{self, TallyCounts, TallyEvent, TallyKey};

/// Hours further back than the first number before the last hour are added up to spans of the second: days after
/// a week, spans of thirty days after a quarter, and everything before three years is one span.
const SPANS: [(i64, i64); 3] = [(7 * 24, 24), (90 * 24, 30 * 24), (1080 * 24, i64::MAX)];

/// The reasons of the days that go on being counted apart: those that were most frequent.
const OLD_REASONS_MAX: usize = 50;

/// The reasons that are counted apart in the table.
pub fn known_reasons(connection: &Connection) -> Result<KnownReasons, DatabaseError> {
    let counts = tally::read(connection)?;
    let reasons = counts.into_keys().filter_map(|key| match key.event {
        TallyEvent::Failed { kind, reason, .. } => Some((kind, reason)),
        _ => None,
    });
    Ok(reasons.collect())
}

/// Adds up what is old, in the table. Gives the changes of the counts; there are none on most calls.
pub fn fold(connection: &Connection) -> Result<TallyCounts, DatabaseError> {
    let last: Option<i64> = connection.query_row("SELECT max(hour) FROM tally", [], |row| row.get(0))?;
    let before = begin_of_days(last.unwrap_or(0));
    let is_old = "SELECT EXISTS (SELECT 1 FROM tally WHERE hour < ? AND hour % 24 <> 0)";
    if last.is_none() || !connection.query_row(is_old, [before], |row| row.get(0))? {
        return Ok(TallyCounts::new());
    }
    let counts = tally::read(connection)?;
    let changes = difference(folded(&counts, before), &counts);
    // A transaction of its own, or a part of one that is under way.
    connection.execute_batch("SAVEPOINT tally_fold")?;
    let written = write(connection, &changes);
    let end =
        if written.is_ok() { "RELEASE tally_fold" } else { "ROLLBACK TO tally_fold; RELEASE tally_fold" };
    connection.execute_batch(end)?;
    written.map(|()| changes)
}

fn write(connection: &Connection, changes: &TallyCounts) -> Result<(), DatabaseError> {
    tally::write(connection, changes)?;
    Ok(connection.execute_batch("DELETE FROM tally WHERE n = 0")?)
}

/// The hour before which hours are added up to days.
fn begin_of_days(last: i64) -> i64 {
    let (kept, width) = SPANS[0];
    (last - kept).div_euclid(width) * width
}

/// The counts with old hours added up, and with old rare reasons merged.
fn folded(counts: &TallyCounts, before: i64) -> TallyCounts {
    let last = counts.keys().map(|key| key.hour).max().unwrap_or(0);
    let apart = reasons_apart(counts, before);
    let mut folded = TallyCounts::new();
    for (key, count) in counts {
        let event = match &key.event {
            TallyEvent::Failed { step, kind, reason } if !apart.contains(&(kind, reason)) => {
                let (step, kind, reason) = (step.clone(), kind.clone(), OTHER_REASONS.to_owned());
                TallyEvent::Failed { step, kind, reason }
            }
            event => event.clone(),
        };
        let key = TallyKey { hour: span(key.hour, last), dataflow: key.dataflow.clone(), event };
        *folded.entry(key).or_default() += count;
    }
    folded
}

/// The first hour of the span in which an hour is counted.
fn span(hour: i64, last: i64) -> i64 {
    // A span that is not wholly past its limit stays as it is.
    let begin = |(kept, width): &(i64, i64)| {
        let unit = (*width).min(30 * 24);
        (hour < (last - kept).div_euclid(unit) * unit).then(|| hour / width * width)
    };
    SPANS.iter().rev().find_map(begin).unwrap_or(hour)
}

/// The reasons of the hours that are kept, and the most frequent ones before.
fn reasons_apart(counts: &TallyCounts, before: i64) -> BTreeSet<(&String, &String)> {
    let mut apart = BTreeSet::new();
    let mut old: BTreeMap<(&String, &String), i64> = BTreeMap::new();
    for (key, count) in counts {
        let TallyEvent::Failed { kind, reason, .. } = &key.event else { continue };
        match key.hour < before {
            true => *old.entry((kind, reason)).or_default() += count,
            false => _ = apart.insert((kind, reason)),
        }
    }
    let mut old: Vec<_> = old.into_iter().collect();
    old.sort_by_key(|(reason, count)| (-count, *reason));
    apart.extend(old.into_iter().take(OLD_REASONS_MAX).map(|(reason, _)| reason));
    apart
}

/// What has to be added to counts to get others.
fn difference(mut to: TallyCounts, from: &TallyCounts) -> TallyCounts {
    for (key, count) in from {
        *to.entry(key.clone()).or_default() -= count;
    }
    to.retain(|_, count| *count != 0);
    to
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(tally::TABLE).unwrap();
        connection
    }

    fn ran(hour: i64, step: &str) -> TallyKey {
        let event = TallyEvent::Ran { step: step.to_owned(), bucket: 3 };
        TallyKey { hour, dataflow: "d".to_owned(), event }
    }

    fn failed(hour: i64, reason: String) -> TallyKey {
        let event = TallyEvent::Failed { step: "a".to_owned(), kind: "data".to_owned(), reason };
        TallyKey { hour, dataflow: "d".to_owned(), event }
    }

    #[test]
    fn old_hours_become_days_and_nothing_is_lost() {
        let connection = table();
        let counts: TallyCounts =
            (0..400).map(|hour| (ran(hour, ["a", "b"][hour as usize % 2]), 1)).collect();
        tally::write(&connection, &counts).unwrap();
        let changes = fold(&connection).unwrap();
        let folded = tally::read(&connection).unwrap();
        assert_eq!(folded.values().sum::<i64>(), 400);
        assert_eq!(folded[&ran(24, "a")], 12);
        assert_eq!(folded[&ran(399, "b")], 1);
        assert!(folded.len() < 230, "{}", folded.len());
        assert_eq!(changes, difference(folded.clone(), &counts), "observers are told the same");
        assert!(fold(&connection).unwrap().is_empty(), "once");
        assert_eq!(tally::read(&connection).unwrap(), folded);
    }

    #[test]
    fn ten_years_of_hours_are_a_few_hundred_rows() {
        let connection = table();
        let years = 10 * 365 * 24;
        for hour in (0..years).step_by(7) {
            tally::write(&connection, &[(ran(hour, "a"), 1)].into()).unwrap();
            if hour % 24 == 0 {
                fold(&connection).unwrap();
            }
        }
        let counts = tally::read(&connection).unwrap();
        assert_eq!(counts.values().sum::<i64>(), (years + 6) / 7);
        assert!(counts.len() < 300, "{}", counts.len());
    }

    #[test]
    fn ever_new_reasons_do_not_let_the_counts_grow() {
        let connection = table();
        let mut reasons = KnownReasons::default();
        let mut count = 0;
        for hour in 0..30 * 24 {
            let mut counts = TallyCounts::new();
            for number in 0..100 {
                let reason = reasons.counted("data", format!("hostile {hour} {number}"));
                *counts.entry(failed(hour, reason)).or_default() += 1;
                count += 1;
            }
            let frequent = reasons.counted("data", "frequent".to_owned());
            *counts.entry(failed(hour, frequent)).or_default() += 1000;
            count += 1000;
            tally::write(&connection, &counts).unwrap();
            if !fold(&connection).unwrap().is_empty() {
                reasons = known_reasons(&connection).unwrap();
            }
        }
        let counts = tally::read(&connection).unwrap();
        assert_eq!(counts.values().sum::<i64>(), count);
        let distinct: BTreeSet<&TallyEvent> = counts.keys().map(|key| &key.event).collect();
        assert!(distinct.len() <= KnownReasons::MAX + 1, "{}", distinct.len());
        assert!(counts.len() < 3_000, "{}", counts.len());
    }
}
