//! The ledger's views beside a journal: each equals a plain recount, at every commit, for whoever reads, for
//! whoever follows, and after a restart.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use flow::dataflow::{Response, ResponseVerdict};
use flow::journal::{
    Journal, JournalEntry, JournalReader, OperatorRequest, Receipt, RequestArrival, RequestState,
    RetentionLimits, RunRecord,
};
use flow::ledger::{
    DeclaredView, EventField, EventName, Ledger, LedgerMirror, LedgerNotice, LedgerSettings, LedgerSnapshot,
    MirrorStart, RowCounts, StepWiring, ViewRow, add_declared_rows, plain_rows,
};
use flow::step::{AttributeValues, Digest, Fault, Item, Outcome, Request};
use flow::store::Store;
use serde_json::json;

use crate::support::random::Dice;

const PATIENCE: Duration = Duration::from_secs(60);

fn wiring(_: Digest) -> Option<StepWiring> {
    Some(StepWiring::chain(&["read", "measure", "write"]))
}

/// Views as a site declares them.
fn declared() -> Vec<DeclaredView> {
    let view = |name: &str, event, by: &[EventField], only: &[(EventField, &str)]| DeclaredView {
        name: name.to_owned(),
        event,
        by: by.to_vec(),
        only: only.iter().map(|(field, value)| (*field, (*value).to_owned())).collect(),
    };
    vec![
        view("all", EventName::Accepted, &[EventField::Source, EventField::Day], &[]),
        view("runs", EventName::Ran, &[EventField::Step], &[(EventField::Dataflow, "d1")]),
        view("faults", EventName::Failed, &[EventField::Step, EventField::Reason, EventField::Hour], &[]),
    ]
}

fn open(state: &Path) -> Journal {
    let store = Arc::new(Store::at(state.join("store")).unwrap());
    Journal::open(state, store, 0).unwrap()
}

fn ledger(journal: &Journal, state: &Path) -> Ledger {
    let settings = LedgerSettings {
        state: state.to_owned(),
        wirings: Box::new(wiring),
        declared: declared(),
        apart: Duration::ZERO,
    };
    Ledger::start(journal, settings).unwrap()
}

fn accept(journal: &Journal, number: u64) -> Receipt {
    let source = ["dicom", "files"][(number % 2) as usize];
    let attributes = [("source".to_owned(), AttributeValues::from(source))];
    let items = vec![Item::inline("a", number.to_le_bytes())];
    let request = Arc::new(Request::new(format!("r{number}"), attributes.into(), items));
    let version = Digest::of(b"version");
    let (dataflow, lookup_texts) = (format!("d{}", number % 3), Vec::new());
    journal.accept(RequestArrival { request, dataflow, version, program: version, lookup_texts }).unwrap()
}

fn run(step: &str, failed: bool, took_us: u64) -> JournalEntry {
    let fault = Fault::new(format!("slice {took_us} is missing"), "Send it.");
    JournalEntry::Run(RunRecord {
        step: step.to_owned(),
        item: None,
        key: Digest::of(step.as_bytes()),
        version: 1,
        inputs: Default::default(),
        outcome: if failed { Outcome::Failed(fault) } else { Outcome::Done },
        outputs: Vec::new(),
        lacking: None,
        took_us,
        place: None,
        batches: Vec::new(),
        logs: Vec::new(),
    })
}

fn responded(receipt: &Receipt, verdict: ResponseVerdict) -> JournalEntry {
    let response = Response {
        request: receipt.request().id,
        name: receipt.request().name.clone(),
        dataflow: "d".into(),
        version: Digest::of(b"version"),
        verdict,
        steps: Vec::new(),
        reservations: Vec::new(),
        streams: Vec::new(),
        files: Vec::new(),
        supersedes: None,
        revises: None,
    };
    JournalEntry::Responded { response }
}

fn delivered(destination: &str, complete: bool) -> JournalEntry {
    let trouble = (!complete).then_some("could not connect to 10.0.0.1");
    let detail = json!({"destination": destination, "complete": complete, "tries": 1, "files": [], "trouble": trouble});
    JournalEntry::Delivered { destination: destination.to_owned(), complete, response: None, detail }
}

/// One random record of a random request, or something else that changes the journal.
fn act(journal: &Journal, state: &Path, receipts: &mut Vec<Receipt>, random: &mut Dice, next: &mut u64) {
    let receipt = match random.below(8) {
        0 => None,
        _ if receipts.is_empty() => None,
        _ => Some(receipts[random.below(receipts.len())].clone()),
    };
    let Some(receipt) = receipt else {
        *next += 1;
        return receipts.push(accept(journal, *next));
    };
    let step = ["read", "measure", "write"][random.below(3)];
    let destination = ["archive", "workstation"][random.below(2)];
    let wish = |operator_request| {
        let reader = JournalReader::open(state).unwrap();
        reader.operator_request(operator_request, receipt.number().unwrap(), "a test").unwrap();
        journal.operator_requests().unwrap();
    };
    let row = JournalReader::open(state).unwrap().row(receipt.number().unwrap()).unwrap();
    let is_answered = row.is_some_and(|row| row.state == RequestState::Answered);
    let entry = match random.below(20) {
        // Nothing but a retry lets an answered request go on.
        17 => return wish(OperatorRequest::Retry),
        0..18 | 19.. if is_answered => return,
        0..=2 => JournalEntry::Began,
        3 => JournalEntry::TakenUp,
        4..=9 => run(step, random.below(4) == 0, 1 + random.below(5_000_000) as u64),
        10..=11 => responded(&receipt, [ResponseVerdict::Complete, ResponseVerdict::Failed][random.below(2)]),
        12..=14 => delivered(destination, random.below(2) == 0),
        15 => JournalEntry::Undelivered,
        16 => return wish(OperatorRequest::Cancel),
        18 => {
            let keep = RetentionLimits { age_max: Duration::ZERO, bytes_max: 0 };
            journal.collect(keep, &|_, _| Ok(())).unwrap();
            let reader = JournalReader::open(state).unwrap();
            receipts.retain(|known| reader.row(known.number().unwrap()).unwrap().is_some());
            return;
        }
        _ => JournalEntry::Answered,
    };
    journal.append(&receipt, entry).unwrap();
}

/// The rows as a plain recount has them, and the commit.
fn recounted(state: &Path, mirror: &LedgerMirror) -> (i64, RowCounts, LedgerSnapshot) {
    let cut = JournalReader::open(state).unwrap().cut().unwrap();
    assert!(mirror.wait_for_commit(cut.number, PATIENCE), "the mirror does not reach commit {}", cut.number);
    let mut names = mirror.read().names.clone();
    let mut rows = plain_rows(&cut, &wiring, &mut names);
    add_declared_rows(&cut.tally, &declared(), &mut names, &mut rows);
    let snapshot = LedgerSnapshot::of(cut.number, &rows, &names);
    (cut.number, rows, snapshot)
}

#[test]
fn every_view_equals_a_plain_recount_whatever_happens() {
    for seed in 1..=3 {
        let state = tempfile::tempdir().unwrap();
        let (mut random, mut receipts, mut next) = (Dice(seed), Vec::new(), 0);
        for process in 0..3 {
            let journal = open(state.path());
            let ledger = ledger(&journal, state.path());
            let mirror = Arc::clone(ledger.mirror());
            let (start, frames) = mirror.subscribe(None);
            let MirrorStart::Rows { mut time, rows: mut followed, .. } = start else {
                panic!("no rows at first")
            };
            for round in 0..25 {
                for _ in 0..random.below(12) {
                    act(&journal, state.path(), &mut receipts, &mut random, &mut next);
                }
                let (commit, expected, snapshot) = recounted(state.path(), &mirror);
                let shown = mirror.read();
                assert_eq!(shown.commit, commit);
                let at = format!("seed {seed}, process {process}, round {round}");
                assert_eq!(named(&shown.rows), named(&expected), "{at}");
                assert_eq!(LedgerSnapshot::of(commit, &shown.rows, &shown.names), snapshot, "{at}");
                while time < shown.time {
                    let frame = frames.try_recv().expect("every state has a frame");
                    assert_eq!(frame.time, time + 1, "no gap and none twice");
                    time = frame.time;
                    for (row, change) in &frame.changes {
                        let count = followed.entry(*row).or_insert(0);
                        *count += change;
                        if *count == 0 {
                            followed.remove(row);
                        }
                    }
                }
                assert_eq!(named(&followed), named(&shown.rows), "{at}: whoever follows");
            }
        }
    }
}

/// Rows in an order that a failed comparison shows well.
fn named(rows: &RowCounts) -> Vec<(ViewRow, isize)> {
    rows.iter().map(|(row, count)| (*row, *count)).collect()
}

#[test]
fn a_destination_that_fails_changes_all_that_wait_for_it_and_a_notice_says_when() {
    let state = tempfile::tempdir().unwrap();
    let journal = open(state.path());
    let ledger = ledger(&journal, state.path());
    let (mirror, notify) = (ledger.mirror(), ledger.notices());
    let receipts: Vec<Receipt> = (0..5).map(|number| accept(&journal, number * 3)).collect();
    for receipt in &receipts {
        journal.append(receipt, responded(receipt, ResponseVerdict::Complete)).unwrap();
        journal.append(receipt, delivered("archive", false)).unwrap();
    }
    let (_, _, snapshot) = recounted(state.path(), mirror);
    let waits = |snapshot: &LedgerSnapshot| {
        let each = snapshot.waits.iter().map(|wait| (wait.reason, wait.name.clone(), wait.requests));
        each.collect::<Vec<_>>()
    };
    assert_eq!(waits(&snapshot), [("down", "archive".to_owned(), 5)]);
    assert_eq!(snapshot.waits[0].because, "could not connect to #.#.#.#", "no address, no patient");
    assert_eq!(snapshot.destinations[0].queued, 5);
    // The destination takes one response: the others wait for their next tries.
    journal.append(&receipts[0], delivered("archive", true)).unwrap();
    let at_ms = 1_700_000_000_000;
    let (request, destination) = (receipts[1].request().id, "archive".to_owned());
    recounted(state.path(), mirror);
    let time = mirror.read().time;
    notify(LedgerNotice::NextTry { request, destination, at_ms });
    assert!(mirror.wait_after(time, PATIENCE));
    let snapshot = mirror.snapshot();
    let expected = [("destination", "archive".to_owned(), 4), ("delivery", String::new(), 1)];
    assert_eq!(waits(&snapshot), expected);
    let next = snapshot.waiting.iter().filter_map(|one| one.next_ms).collect::<Vec<_>>();
    assert_eq!(next, [at_ms]);
    // Once it is delivered, nothing is said of the next try.
    journal.append(&receipts[1], delivered("archive", true)).unwrap();
    recounted(state.path(), mirror);
    assert!(mirror.read().rows.keys().all(|row| !row.is_notice()));
}

#[test]
fn a_subscriber_that_comes_back_gets_what_it_missed() {
    let state = tempfile::tempdir().unwrap();
    let journal = open(state.path());
    let ledger = ledger(&journal, state.path());
    let mirror = ledger.mirror();
    accept(&journal, 1);
    recounted(state.path(), mirror);
    let since = mirror.read().time;
    accept(&journal, 2);
    accept(&journal, 3);
    recounted(state.path(), mirror);
    let (start, _) = mirror.subscribe(Some(since));
    let MirrorStart::Frames(missed) = start else { panic!("all rows, though the frames are kept") };
    let times: Vec<u64> = missed.iter().map(|frame| frame.time).collect();
    assert_eq!(times, (since + 1..=mirror.read().time).collect::<Vec<_>>());
    let (start, _) = mirror.subscribe(Some(1_000_000));
    assert!(matches!(start, MirrorStart::Rows { .. }), "a state that is not known");
}

#[test]
fn commits_are_numbered_without_a_gap_however_often_a_transaction_writes() {
    let state = tempfile::tempdir().unwrap();
    let journal = open(state.path());
    let (tell, told) = std::sync::mpsc::channel();
    journal.observe(Box::new(move |commit| tell.send(commit.number).unwrap()));
    let receipt = accept(&journal, 1);
    let number = receipt.number().unwrap();
    for _ in 0..20 {
        // The second record and the operator request are in one transaction, which writes its rows twice.
        journal.append_surely(&receipt, run("read", false, 1));
        journal.append_surely(&receipt, run("measure", false, 1));
        let reader = JournalReader::open(state.path()).unwrap();
        reader.operator_request(OperatorRequest::Keep, number, "a test").unwrap();
        journal.operator_requests().unwrap();
    }
    drop(journal);
    let numbers: Vec<i64> = told.into_iter().collect();
    assert!(numbers.len() >= 20, "{numbers:?}");
    assert_eq!(numbers, (1..=numbers.len() as i64).collect::<Vec<_>>());
}
