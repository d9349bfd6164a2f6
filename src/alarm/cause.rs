//! What is wrong at a time, by the rules of a site.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ledger::{LedgerSnapshot, OldestRequest};

use super::site::{AlarmRules, ErrorRule};

/// What the rules look at.
pub struct AlarmInput<'a> {
    pub ledger: LedgerInput<'a>,
    pub free_bytes: u64,
    /// Milliseconds of Unix time.
    pub now_ms: i64,
}

/// The rows of the ledger.
pub enum LedgerInput<'a> {
    Complete {
        snapshot: &'a LedgerSnapshot,
        /// Unanswered requests of each dataflow: the oldest, and how many were opened before the rule's time.
        overdue: &'a [(OldestRequest, usize)],
    },
    /// Rows may be missing, for this time now.
    Incomplete(Duration),
}

/// What is wrong in words, by its cause: a text that stays the same while it lasts.
pub type AlarmCauses = BTreeMap<String, String>;

const HOUR_MS: i64 = 3_600_000;

/// The longest time in which the journal is read.
const INCOMPLETE_TIME_MAX: Duration = Duration::from_secs(600);

const DISK: &str = "disk";

const LEDGER: &str = "ledger";

/// Whether a cause can be told by the rows of the ledger only.
pub fn is_of_ledger(cause: &str) -> bool {
    !matches!(cause, DISK | LEDGER)
}

/// What is wrong. While rows of the ledger may be missing, only what does not need them.
pub fn causes(rules: &AlarmRules, input: &AlarmInput) -> AlarmCauses {
    let mut causes = AlarmCauses::new();
    match input.ledger {
        LedgerInput::Complete { snapshot, overdue } => {
            causes.extend(
                rules.unanswered.into_iter().flat_map(|limit| unanswered(limit, overdue, input.now_ms)),
            );
            causes.extend(
                rules.destination_down.into_iter().flat_map(|limit| down(limit, snapshot, input.now_ms)),
            );
            causes.extend(rules.errors.and_then(|rule| errors(rule, snapshot, input.now_ms)));
        }
        LedgerInput::Incomplete(time) if time > INCOMPLETE_TIME_MAX && rules.need_ledger() => {
            let text = format!(
                "the journal has not been read for {}: no other alarm but that of the disk can be told",
                shown(time)
            );
            causes.insert(LEDGER.to_owned(), text);
        }
        LedgerInput::Incomplete(_) => {}
    }
    if let Some(limit) = rules.free.filter(|limit| input.free_bytes < *limit) {
        let (free, limit) = (input.free_bytes >> 20, limit >> 20);
        let text = format!("{free} MiB are free on the disk of the state folder, fewer than {limit} MiB");
        causes.insert(DISK.to_owned(), text);
    }
    causes
}

fn unanswered(limit: Duration, overdue: &[(OldestRequest, usize)], now_ms: i64) -> AlarmCauses {
    let each = overdue.iter().map(|(oldest, count)| {
        let (dataflow, age) = (&oldest.dataflow, age(oldest.opened_ms, now_ms));
        let text = format!(
            "{count} requests of the dataflow {dataflow} are unanswered for more than {}; the oldest, number {}, \
             for {age}",
            shown(limit),
            oldest.request
        );
        (format!("unanswered {dataflow}"), text)
    });
    each.collect()
}

fn down(limit: Duration, snapshot: &LedgerSnapshot, now_ms: i64) -> AlarmCauses {
    let down = snapshot.destinations.iter().filter_map(|one| {
        let (reason, since_ms) = (one.down.as_ref()?, one.down_since_ms?);
        let is_long = now_ms.saturating_sub(since_ms) > ms(limit) && one.queued > 0;
        let (name, since) = (&one.name, age(since_ms, now_ms));
        let text = format!("{name} takes nothing for {since}: {reason}; {} requests wait for it", one.queued);
        is_long.then(|| (format!("destination {name}"), text))
    });
    down.collect()
}

fn errors(rule: ErrorRule, snapshot: &LedgerSnapshot, now_ms: i64) -> Option<(String, String)> {
    let begin_ms = (now_ms.div_euclid(HOUR_MS) - 1) * HOUR_MS;
    let hours = snapshot.hours.iter().filter(|hour| hour.begin_ms >= begin_ms);
    let (answered, failed) =
        hours.fold((0, 0), |(answered, failed), hour| (answered + hour.answered, failed + hour.failed));
    let enough = usize::try_from(answered).is_ok_and(|answered| answered >= rule.answers_min);
    let text = format!("{failed} of {answered} answers of this hour and the last are error responses");
    (enough && failed as f64 > rule.share * answered as f64).then(|| ("errors".to_owned(), text))
}

pub fn ms(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn age(since_ms: i64, now_ms: i64) -> String {
    shown(Duration::from_millis(now_ms.saturating_sub(since_ms).max(0).unsigned_abs()))
}

fn shown(time: Duration) -> String {
    match time.as_secs() {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{DestinationSummary, HourSummary};

    const NOW: i64 = 1000 * HOUR_MS;

    fn found(rules: &AlarmRules, snapshot: &LedgerSnapshot, free_bytes: u64) -> Vec<String> {
        let oldest = OldestRequest { request: 7, dataflow: "d".to_owned(), opened_ms: NOW - HOUR_MS };
        let overdue = [(oldest, 3)];
        let ledger = LedgerInput::Complete { snapshot, overdue: &overdue };
        let input = AlarmInput { ledger, free_bytes, now_ms: NOW };
        causes(rules, &input).into_keys().collect()
    }

    #[test]
    fn each_rule_finds_its_cause_and_no_other() {
        let hour = Duration::from_secs(3600);
        let down = |since_ms, queued| DestinationSummary {
            name: "PACS".to_owned(),
            queued,
            down: Some("no answer".to_owned()),
            down_since_ms: Some(since_ms),
            ..DestinationSummary::default()
        };
        let answers = |begin_ms, answered, failed| HourSummary { begin_ms, accepted: 0, answered, failed };
        let snapshot = |destination, hours| LedgerSnapshot {
            destinations: vec![destination],
            hours,
            ..LedgerSnapshot::default()
        };
        let bad =
            snapshot(down(NOW - 2 * HOUR_MS, 1), vec![answers(NOW, 6, 2), answers(NOW - HOUR_MS, 6, 2)]);
        let all = AlarmRules {
            unanswered: Some(hour / 2),
            destination_down: Some(hour),
            errors: Some(ErrorRule { share: 0.25, answers_min: 10 }),
            free: Some(100),
        };
        assert_eq!(found(&all, &bad, 99), ["destination PACS", "disk", "errors", "unanswered d"]);
        assert!(found(&AlarmRules::default(), &bad, 0).is_empty());
        let unread = |minutes: u32| {
            let ledger = LedgerInput::Incomplete(minutes * Duration::from_secs(60));
            let input = AlarmInput { ledger, free_bytes: 99, now_ms: NOW };
            causes(&all, &input).into_keys().collect::<Vec<String>>()
        };
        assert_eq!(
            (unread(9), unread(11)),
            (vec!["disk".to_owned()], vec!["disk".to_owned(), "ledger".to_owned()])
        );
        let rules = AlarmRules { unanswered: None, ..all };
        for good in [
            snapshot(down(NOW - HOUR_MS / 2, 1), vec![answers(NOW, 12, 3)]),
            snapshot(down(NOW - 2 * HOUR_MS, 0), vec![answers(NOW, 9, 9)]),
            snapshot(DestinationSummary::default(), vec![answers(NOW - 2 * HOUR_MS, 100, 100)]),
        ] {
            assert_eq!(found(&rules, &good, 100), Vec::<String>::new());
        }
    }
}
