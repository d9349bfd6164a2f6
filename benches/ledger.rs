//! What the ledger costs, beside the aims for a journal of 1 000 000 answered requests: a start of `flow run` on it,
//! `flow status` beside the running flow and without one, the processor time of the ledger's thread at 300 records a
//! second, how soon a change is seen, and differences of sets beside a plain map and SQL.
//!
//! `cargo bench --bench ledger [-- REQUESTS]`; without a number it is 100 000. The journal is written by flow's own
//! writer, on the disk of `target`.

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use flow::dataflow::{Response, ResponseVerdict};
use flow::journal::{Journal, JournalEntry, JournalReader, Receipt, RequestArrival, RunRecord};
use flow::ledger::{Ledger, LedgerMirror, LedgerSettings, SetDifference, SetViews, StepWiring};
use flow::step::{AttributeValues, Digest, Item, Outcome, Request};
use flow::store::Store;
use rusqlite::Connection;

const OPEN_REQUESTS: usize = 10_000;
const RECORDS_PER_SECOND: u32 = 300;
const SECONDS: u32 = 10;
const SET_CHANGES: usize = 10_000;
const PATIENCE: Duration = Duration::from_secs(120);

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let requests = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(100_000);
    let folder = tempfile::tempdir_in("target").expect("a folder");
    let state = folder.path().join("answered");
    let began = Instant::now();
    fill(&state, requests);
    let bytes = fs::metadata(state.join(Journal::FILE)).map_or(0, |file| file.len());
    println!("{requests} answered requests in {:.1?}, {} MiB of journal\n", began.elapsed(), bytes >> 20);
    start(&state);
    follow(&folder.path().join("open"));
    sets(requests as u64);
}

fn journal(state: &Path) -> Journal {
    fs::create_dir_all(state).expect("a state folder");
    let store = Arc::new(Store::at(state.join("store")).expect("a store"));
    Journal::open(state, store, 0).expect("a journal")
}

fn arrival(number: usize) -> RequestArrival {
    let attributes = [("source".to_owned(), AttributeValues::from("dicom"))];
    let item = Item::inline("item", number.to_le_bytes());
    let version = Digest::of(b"version");
    RequestArrival {
        request: Arc::new(Request::new(number.to_string(), attributes.into(), vec![item])),
        dataflow: format!("bench-{}", number % 3),
        version,
        program: version,
        lookup_texts: Vec::new(),
    }
}

fn run(number: usize) -> JournalEntry {
    let step = format!("step-{}", number % 10);
    let inputs = [("file".to_owned(), Digest::of(step.as_bytes()))].into();
    JournalEntry::Run(RunRecord {
        key: Digest::of(step.as_bytes()),
        step,
        item: None,
        version: 1,
        inputs,
        outcome: Outcome::Done,
        outputs: Vec::new(),
        lacking: None,
        took_us: 100 + (number as u64 * 7919) % 5_000_000,
        place: None,
        batches: Vec::new(),
        logs: Vec::new(),
    })
}

fn responded(receipt: &Receipt) -> JournalEntry {
    let response = Response {
        request: receipt.request().id,
        name: receipt.request().name.clone(),
        dataflow: "bench".into(),
        version: Digest::of(b"version"),
        verdict: ResponseVerdict::Complete,
        steps: Vec::new(),
        reservations: Vec::new(),
        streams: Vec::new(),
        files: Vec::new(),
        supersedes: None,
        revises: None,
    };
    JournalEntry::Responded { response }
}

/// Answered requests of four records each.
fn fill(state: &Path, requests: usize) {
    const AT_ONCE: usize = 1_000;
    let journal = journal(state);
    for first in (0..requests).step_by(AT_ONCE) {
        let last = requests.min(first + AT_ONCE);
        let receipts = journal.accept_all((first..last).map(arrival).collect()).expect("they are accepted");
        for (number, receipt) in (first..last).zip(&receipts) {
            journal.append_surely(receipt, run(number));
            journal.append_surely(receipt, responded(receipt));
            journal.append_surely(receipt, JournalEntry::Answered);
        }
    }
}

/// A start of `flow run`, and `flow status` beside it and after it.
fn start(state: &Path) {
    let (port, page) = (free_port(), free_port());
    let began = Instant::now();
    let mut flow = command(state, &["run", "--output"])
        .arg(state.join("responses"))
        .args(["--listen", &format!("127.0.0.1:{port}"), "--page", &page.to_string()])
        .spawn()
        .expect("flow starts");
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        wait(&mut flow, began);
    }
    let accepting = began.elapsed();
    while !ask(page, "/ready").is_some_and(|answer| answer.starts_with("HTTP/1.1 200")) {
        wait(&mut flow, began);
    }
    let complete = began.elapsed();
    // The thread that reads all rows after a start works meanwhile.
    std::thread::sleep(Duration::from_secs(3));
    let [now, peak] = ["VmRSS:", "VmHWM:"].map(|field| kib(flow.id(), field) >> 10);
    let beside = status(state);
    let scrape = Instant::now();
    let bytes = ask(page, "/metrics").map_or(0, |answer| answer.len());
    let scrape = scrape.elapsed();
    flow.kill().and_then(|()| flow.wait()).expect("flow ends");
    let stopped = status(state);
    aim("accepting begins after", accepting, Duration::from_millis(500));
    aim("views are complete later by", complete - accepting, Duration::from_millis(500));
    println!("{:<34}{now} MiB, at most {peak} MiB   (aim: 150 MiB)", "memory of the running flow");
    aim("`flow status` beside it", beside, Duration::from_millis(100));
    aim("`flow status` without it", stopped, Duration::from_millis(300));
    println!("{:<34}{scrape:.1?}, {bytes} bytes\n", "/metrics");
}

fn aim(what: &str, took: Duration, aim: Duration) {
    let mark = if took < aim { "" } else { "  MISSED" };
    println!("{what:<34}{took:.1?}   (aim: {aim:.1?}){mark}");
}

fn command(state: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flow"));
    command.args([arguments[0], "--state"]).arg(state).args(&arguments[1..]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).env("XDG_STATE_HOME", state.join("noted"));
    command
}

fn wait(flow: &mut Child, began: Instant) {
    assert!(flow.try_wait().is_ok_and(|ended| ended.is_none()), "flow has ended");
    assert!(began.elapsed() < PATIENCE, "flow does not start");
    std::thread::sleep(Duration::from_millis(2));
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

fn ask(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    let head = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// The median of five.
fn status(state: &Path) -> Duration {
    let once = || {
        let began = Instant::now();
        let ended = command(state, &["status"]).status().expect("flow starts");
        assert!(ended.success(), "{ended}");
        began.elapsed()
    };
    median((0..5).map(|_| once()).collect())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// A number of KiB in the status of a process.
fn kib(process: u32, field: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Records at a fixed rate into a journal with many open requests, one a commit.
fn follow(state: &Path) {
    let journal = journal(state);
    let wiring = |_| Some(StepWiring::chain(&["step-0", "step-1", "step-2", "step-3", "step-4"]));
    let settings = LedgerSettings {
        state: state.to_owned(),
        wirings: Box::new(wiring),
        declared: Vec::new(),
        apart: LedgerSettings::APART,
    };
    let ledger = Ledger::start(&journal, settings).expect("a ledger");
    let mut open: Vec<Receipt> = Vec::new();
    for first in (0..OPEN_REQUESTS).step_by(1_000) {
        let some = (first..first + 1_000).map(arrival).collect();
        open.extend(journal.accept_all(some).expect("they are accepted"));
    }
    open.iter().for_each(|receipt| journal.append_surely(receipt, JournalEntry::Began));
    let mirror = Arc::clone(ledger.mirror());
    let mut commit = settled(&journal, state, &mirror);
    let (shown, waits) = channel::<(i64, Instant)>();
    let watching = Arc::clone(&mirror);
    let watch = move || {
        let each = waits.into_iter().map(|(commit, written)| {
            assert!(watching.wait_for_commit(commit, PATIENCE), "commit {commit} is not shown");
            written.elapsed()
        });
        each.collect::<Vec<Duration>>()
    };
    let watcher = std::thread::spawn(watch);
    let (began, before) = (Instant::now(), ledger_time());
    for number in 0..RECORDS_PER_SECOND * SECONDS {
        let due = began + Duration::from_secs(1) * number / RECORDS_PER_SECOND;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let index = number as usize;
        let receipt = &open[index / 3];
        let entry = match index % 3 {
            0 => run(index),
            1 => responded(receipt),
            _ => JournalEntry::Answered,
        };
        journal.append(receipt, entry).expect("it is recorded");
        commit += 1;
        shown.send((commit, Instant::now())).expect("the watcher runs");
    }
    let took = began.elapsed();
    let used = ledger_time() - before;
    drop(shown);
    let mut times = watcher.join().expect("the watcher ends");
    times.sort();
    let of = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    let (rate, share) =
        (f64::from(RECORDS_PER_SECOND * SECONDS) / took.as_secs_f64(), used / took.as_secs_f64());
    println!("{OPEN_REQUESTS} open requests, {rate:.0} records a second, one a commit");
    println!("{:<34}{:.2} % of a core   (aim: 3 %)", "the ledger's thread", 100.0 * share);
    let (p50, p99) = (of(0.5), of(0.99));
    println!("{:<34}median {p50:.1?}, 99 % {p99:.1?}, at most {:.1?}", "a change is seen after", of(1.0));
    aim("  of these 99 %", p99, Duration::from_millis(60));
    println!();
}

/// Waits until the mirror has all commits, and gives the number of the last.
fn settled(journal: &Journal, state: &Path, mirror: &LedgerMirror) -> i64 {
    // What is read now was written before.
    journal.latest("bench", "nothing").expect("the journal can be read");
    let last = JournalReader::open(state).and_then(|reader| reader.cut()).expect("a journal").number;
    assert!(mirror.wait_for_commit(last, PATIENCE), "the ledger does not come along");
    last
}

/// Seconds of processor time of the ledger's thread.
fn ledger_time() -> f64 {
    let threads = fs::read_dir("/proc/self/task").expect("threads");
    for thread in threads.flatten() {
        let read = |file: &str| fs::read_to_string(thread.path().join(file)).unwrap_or_default();
        if read("comm").trim() == "flow:ledger" {
            let ns = read("schedstat").split(' ').next().and_then(|ns| ns.parse::<u64>().ok());
            return ns.unwrap_or(0) as f64 / 1e9;
        }
    }
    0.0
}

const AVAILABLE: u8 = 0;
const CONVERTED: u8 = 1;
const IN_FLIGHT: u8 = 2;
const FAILED: u8 = 3;

/// `available − converted − in flight − failed` over so many keys, three ways.
fn sets(keys: u64) {
    println!("{keys} keys available, six of ten converted; {SET_CHANGES} single changes");
    println!("{:<24}{:>12}{:>12}{:>12}{:>12}", "", "load", "median", "99 %", "at most");
    let without = vec![CONVERTED, IN_FLIGHT, FAILED];
    let mut views = SetViews::new(vec![SetDifference { of: AVAILABLE, without }]);
    let began = Instant::now();
    members(keys).for_each(|(set, key)| views.change(set, key, 1));
    views.settle();
    let load = began.elapsed();
    let differential = line("differential", load, |set, key, change| {
        views.change(set, key, change);
        views.settle();
        views.count(0)
    });
    let mut map: HashMap<u64, u8> = HashMap::new();
    let mut backlog = 0;
    let mut flip = |set: u8, key: u64| {
        let flags = map.entry(key).or_insert(0);
        let before = *flags == 1 << AVAILABLE;
        *flags ^= 1 << set;
        backlog += isize::from(*flags == 1 << AVAILABLE) - isize::from(before);
        backlog
    };
    let began = Instant::now();
    members(keys).for_each(|(set, key)| _ = flip(set, key));
    let load = began.elapsed();
    let plain = line("a map and a counter", load, |set, key, _| flip(set, key));
    let sql = in_sql(keys);
    assert!(differential == plain && plain == sql, "{differential} {plain} {sql}");
    println!("all count {plain} in the end");
}

/// The members of the sets at the beginning.
fn members(keys: u64) -> impl Iterator<Item = (u8, u64)> {
    let available = (0..keys).map(|key| (AVAILABLE, key));
    let converted = (0..keys).filter(|key| key % 10 < 6).map(|key| (CONVERTED, key));
    available.chain(converted).chain((0..keys / 1_000).map(|key| (FAILED, key * 10 + 9)))
}

/// Single changes: keys come to be in flight, and go again.
fn line(what: &str, load: Duration, mut change: impl FnMut(u8, u64, isize) -> isize) -> isize {
    let mut times = Vec::with_capacity(SET_CHANGES);
    let mut count = 0;
    for number in 0..SET_CHANGES as u64 {
        let (key, sign) = (number / 2 * 10 + 7, if number % 2 == 0 { 1 } else { -1 });
        let set = if number % 4 < 2 { IN_FLIGHT } else { CONVERTED };
        // Some stay.
        if sign < 0 && number % 8 == 1 {
            continue;
        }
        let began = Instant::now();
        count = change(set, key, sign);
        times.push(began.elapsed());
    }
    times.sort();
    let of = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!("{what:<24}{load:>12.1?}{:>12.1?}{:>12.1?}{:>12.1?}", of(0.5), of(0.99), of(1.0));
    count
}

/// A table of flags by key, and an index of those that are in the difference.
fn in_sql(keys: u64) -> isize {
    let connection = Connection::open_in_memory().expect("a database");
    let tables = "CREATE TABLE key (key INTEGER PRIMARY KEY, flags INTEGER NOT NULL); \
                  CREATE INDEX backlog ON key (key) WHERE flags = 1; \
                  CREATE TABLE counted (n INTEGER NOT NULL); INSERT INTO counted VALUES (0); BEGIN";
    connection.execute_batch(tables).expect("tables");
    let flip = |set: u8, key: u64| {
        let text =
            "INSERT INTO key VALUES (?1, ?2) ON CONFLICT DO UPDATE SET flags = (flags | ?2) - (flags & ?2)";
        let mut statement = connection.prepare_cached(text).expect("a statement");
        statement.execute([key as i64, 1_i64 << set]).expect("a change");
    };
    let count = || -> isize {
        let mut statement =
            connection.prepare_cached("SELECT count(*) FROM key WHERE flags = 1").expect("a statement");
        statement.query_row([], |row| row.get::<_, i64>(0)).expect("a count") as isize
    };
    let began = Instant::now();
    members(keys).for_each(|(set, key)| flip(set, key));
    let load = began.elapsed();
    line("SQL: change alone", load, |set, key, _| {
        flip(set, key);
        0
    });
    let began = Instant::now();
    let counted = count();
    println!("{:<24}{:>12}{:>12.1?}", "SQL: count", "", began.elapsed());
    counted
}
