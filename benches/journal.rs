//! What durability costs: receipts per second beside what the disk itself can sync, requests per
//! second with a journal and without, and what each costs by how much is remembered.
//!
//! `cargo bench --bench journal [-- FOLDER]`; the folder should lie on the disk that is to be measured.

use std::fs::File;
use std::io::Write;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use flow::dataflow::Dataflow;
use flow::engine::{self, EngineSettings, NullObserver, PendingDelivery, RequestQueue, ResponseSink};
use flow::journal::{Journal, JournalEntry, Receipt, RequestArrival, RetentionLimits, RunRecord};
use flow::ledger::{Ledger, LedgerSettings, StepWiring};
use flow::step::{
    Digest, Item, Outcome, Request, ResponseFile as Made, ResponseFiles, Step, StepOutputs, StepTable,
};
use flow::store::Store;

const TIME: Duration = Duration::from_secs(2);

fn main() {
    let folder = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let folder = folder.map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let folder = tempfile::tempdir_in(folder).expect("a folder on the disk to be measured");
    receipts(folder.path());
    requests(folder.path());
    latency(folder.path());
    remembered(folder.path());
    starts(folder.path());
}

fn open(folder: &Path, name: &str) -> Arc<Journal> {
    let state = folder.join(name);
    std::fs::create_dir_all(&state).expect("a state folder");
    let store = Arc::new(Store::at(state.join("store")).expect("a store"));
    Arc::new(Journal::open(&state, store, 0).expect("a journal"))
}

fn request(number: usize) -> Arc<Request> {
    let item = Item::inline("item", number.to_le_bytes());
    Arc::new(Request::new(number.to_string(), Default::default(), vec![item]))
}

fn arrival(number: usize) -> RequestArrival {
    let version = Digest::of(b"version");
    RequestArrival {
        request: request(number),
        dataflow: "bench".to_owned(),
        version,
        program: version,
        lookup_texts: Vec::new(),
    }
}

fn accept(journal: &Journal, number: usize) -> Receipt {
    journal.accept(arrival(number)).expect("it is accepted")
}

/// Receipts per second, by how many wait for one at a time; beside it the disk, measured just before.
fn receipts(folder: &Path) {
    println!("{:>24}{:>14}{:>14}{:>8}", "who wait at a time", "receipts/s", "syncs/s", "ratio");
    for threads in [1, 4, 16, 64, 256] {
        let syncs = syncs_per_second(folder);
        let journal = open(folder, &format!("receipts-{threads}"));
        let count = AtomicUsize::new(0);
        let began = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while began.elapsed() < TIME {
                        accept(&journal, count.fetch_add(1, Ordering::Relaxed));
                    }
                });
            }
        });
        let rate = count.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
        println!("{threads:>24}{rate:>14.0}{syncs:>14.0}{:>8.2}", rate / syncs);
    }
}

/// How often the disk appends 4 KiB and syncs.
fn syncs_per_second(folder: &Path) -> f64 {
    let mut file = File::create(folder.join("disk")).expect("a file");
    let (began, mut count) = (Instant::now(), 0);
    while began.elapsed() < TIME / 2 {
        file.write_all(&[7; 4096]).and_then(|()| file.sync_data()).expect("the disk takes it");
        count += 1;
    }
    f64::from(count) / began.elapsed().as_secs_f64()
}

/// Takes responses and counts them.
#[derive(Default)]
struct Count(AtomicUsize);

impl ResponseSink for Count {
    fn deliver(&self, pending_delivery: PendingDelivery) {
        self.0.fetch_add(1, Ordering::Relaxed);
        pending_delivery.settle(Ok(()));
    }
}

/// A dataflow of one step that makes one small file.
fn dataflow() -> Arc<Dataflow> {
    let step =
        Step::new("make", 1, "Makes a file.").takes::<Request>("request").gives::<ResponseFiles>("files");
    let step = step.runs(|call| {
        let name = &call.input::<Request>("request").name;
        let file = Made::new("name.txt", "text/plain", name.clone().into_bytes());
        Ok(StepOutputs::one("files", ResponseFiles(vec![file])))
    });
    let text = "dataflow: bench\nsteps:\n  make: {step: make, needs: {request: request}}\nresponse: [make]\n";
    let table = StepTable::default().with(step);
    Arc::new(Dataflow::parse("bench.yaml", text, &table).expect("it is sound"))
}

/// Runs the engine on one thread with what a source gives it.
fn run(
    dataflow: &Arc<Dataflow>,
    journal: &Arc<Journal>,
    sink: &dyn ResponseSink,
    source: impl FnOnce(&RequestQueue) + Send,
) {
    let count = |number| NonZero::new(number).expect("more than none");
    let settings = EngineSettings {
        workers: count(1),
        lanes: count(64),
        memory: u64::MAX,
        mesh: None,
        ..EngineSettings::default()
    };
    let (dataflow, journal) = (Arc::clone(dataflow), Arc::clone(journal));
    engine::run(dataflow, journal, settings, Arc::new(NullObserver), source, sink).expect("the engine runs");
}

/// Small requests, from acceptance to the answer on the disk.
fn requests(folder: &Path) {
    const REQUESTS: usize = 2_000;
    let dataflow = dataflow();
    let rate = |journal: Arc<Journal>| {
        let began = Instant::now();
        run(&dataflow, &journal, &Count::default(), |queue| {
            std::thread::scope(|scope| {
                for thread in 0..64 {
                    let journal = &journal;
                    scope.spawn(move || {
                        let mine = (thread..REQUESTS).step_by(64);
                        mine.for_each(|number| queue.submit(accept(journal, number)));
                    });
                }
            });
        });
        REQUESTS as f64 / began.elapsed().as_secs_f64()
    };
    let with = rate(open(folder, "requests"));
    let store = Arc::new(Store::at(folder.join("no-journal")).expect("a store"));
    let without = rate(Arc::new(Journal::none(store)));
    println!("\nrequests/s, accepted to answered: {with:.0} with a journal, {without:.0} without one");
}

/// Tells when a response is there.
struct Told(Sender<()>);

impl ResponseSink for Told {
    fn deliver(&self, pending_delivery: PendingDelivery) {
        pending_delivery.settle(Ok(()));
        self.0.send(()).expect("somebody waits");
    }
}

/// The time of a small request alone, from acceptance to its response, with the views over the journal and without.
fn latency(folder: &Path) {
    const REQUESTS: usize = 1_000;
    const ROUNDS: usize = 5;
    let dataflow = dataflow();
    let median = |journal: Arc<Journal>| {
        let mut times = Vec::new();
        let (told, responses) = channel();
        let (all, journal_of) = (&mut times, Arc::clone(&journal));
        run(&dataflow, &journal, &Told(told), move |queue| {
            for number in 0..REQUESTS {
                let began = Instant::now();
                queue.submit(accept(&journal_of, number));
                responses.recv().expect("it is answered");
                all.push(began.elapsed());
            }
        });
        times.sort();
        times[times.len() / 2].as_secs_f64() * 1e6
    };
    let (mut with, mut without) = (f64::INFINITY, f64::INFINITY);
    for round in 0..ROUNDS {
        without = without.min(median(open(folder, &format!("alone-{round}"))));
        let name = format!("watched-{round}");
        let journal = open(folder, &name);
        let settings = LedgerSettings {
            state: folder.join(name),
            wirings: Box::new(|_| Some(StepWiring::chain(&["make"]))),
            declared: Vec::new(),
            apart: LedgerSettings::APART,
        };
        let ledger = Ledger::start(&journal, settings).expect("a ledger");
        with = with.min(median(journal));
        drop(ledger);
    }
    println!(
        "\none request at a time: {without:.0} us, with the views {with:.0} us, {:.2} times (aim: 1.3)",
        with / without
    );
}

/// What a request costs by how many are remembered: microseconds each of 64 that are accepted and answered
/// at a time; and how long a collection takes that finds nothing, one that removes 1 000, and a start.
fn remembered(folder: &Path) {
    const MEASURED: usize = 6_400;
    println!(
        "\n{:>12}{:>8}{:>12}{:>12}{:>14}{:>14}{:>11}",
        "remembered", "MiB", "accept, us", "answer, us", "collect, ms", "of 1 000, ms", "start, ms"
    );
    let name = "remembered";
    let (mut number, mut removed) = (0, 0);
    for target in [1_000, 100_000, 1_000_000] {
        let journal = open(folder, name);
        // In transactions of 1 000, so that the filling does not take long.
        while number < target {
            let receipts = journal.accept_all((number..number + 1_000).map(arrival).collect());
            answer(&journal, &receipts.expect("they are accepted"));
            number += 1_000;
        }
        let began = Instant::now();
        let numbers = AtomicUsize::new(number);
        let mut receipts = Vec::new();
        std::thread::scope(|scope| {
            let accepting = || {
                let next = || numbers.fetch_add(1, Ordering::Relaxed);
                (0..MEASURED / 64).map(|_| accept(&journal, next())).collect::<Vec<Receipt>>()
            };
            let threads: Vec<_> = (0..64).map(|_| scope.spawn(accepting)).collect();
            receipts.extend(threads.into_iter().flat_map(|thread| thread.join().expect("it accepts")));
        });
        let accepted = began.elapsed();
        let began = Instant::now();
        receipts.chunks(64).for_each(|some| answer(&journal, some));
        let answered = began.elapsed();
        number += MEASURED;
        let all = RetentionLimits { age_max: Duration::MAX, bytes_max: u64::MAX };
        let nothing = collect(&journal, all);
        // Each request has an inline item of 8 bytes; earlier collections have removed 1 000 each.
        let bytes_max = 8 * (number - removed - 1_000) as u64;
        let some = collect(&journal, RetentionLimits { bytes_max, ..all });
        removed += 1_000;
        drop(journal);
        let size = std::fs::metadata(folder.join(name).join(Journal::FILE)).map_or(0, |file| file.len());
        let mut times: Vec<Duration> = (0..5).map(|_| start(folder, name)).collect();
        times.sort();
        let each = |time: Duration| time.as_secs_f64() * 1e6 / MEASURED as f64;
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let (accepted, answered, start) = (each(accepted), each(answered), ms(times[2]));
        let (nothing, some) = (ms(nothing), ms(some));
        println!(
            "{number:>12}{:>8}{accepted:>12.0}{answered:>12.0}{nothing:>14.1}{some:>14.1}{start:>11.1}",
            size >> 20
        );
    }
}

/// Records for each that it is answered, and waits for the last.
fn answer(journal: &Journal, receipts: &[Receipt]) {
    receipts.iter().for_each(|receipt| journal.append_surely(receipt, JournalEntry::Answered));
    // What is read now was written before.
    journal.latest("bench", "nothing").expect("the journal can be read");
}

fn collect(journal: &Journal, limits: RetentionLimits) -> Duration {
    let began = Instant::now();
    journal.collect(limits, &|_, _| Ok(())).expect("it can be written");
    began.elapsed()
}

/// Opening a journal and finding what is unanswered, by how many records it has.
fn starts(folder: &Path) {
    println!("\n{:>12}{:>12}{:>12}{:>14}", "records", "requests", "MiB", "start, ms");
    let name = "starts";
    let (mut requests, mut records) = (0, 0);
    for target in [1_000, 10_000, 100_000, 1_000_000] {
        let journal = open(folder, name);
        while records < target {
            records += fill(&journal, requests);
            requests += 1;
        }
        drop(journal);
        let size = std::fs::metadata(folder.join(name).join(Journal::FILE)).map_or(0, |file| file.len());
        let mut times: Vec<Duration> = (0..5).map(|_| start(folder, name)).collect();
        times.sort();
        let time = times[2].as_secs_f64() * 1e3;
        println!("{records:>12}{requests:>12}{:>12}{time:>14.1}", size >> 20);
    }
}

fn start(folder: &Path, name: &str) -> Duration {
    let began = Instant::now();
    let journal = open(folder, name);
    assert!(journal.unanswered("bench").expect("it can be read").is_empty());
    began.elapsed()
}

/// A request as a study of 275 slices leaves it behind. Gives the number of its records.
fn fill(journal: &Journal, number: usize) -> usize {
    const RUNS: usize = 290;
    let receipt = accept(journal, number);
    let row = receipt.number().expect("it is recorded");
    let key = receipt.request().id;
    for item in 0..RUNS {
        let run = RunRecord {
            step: "headers".to_owned(),
            item: Some(item),
            key,
            version: 1,
            inputs: [("file".to_owned(), key)].into(),
            outcome: Outcome::Done,
            outputs: Vec::new(),
            lacking: None,
            took_us: 100,
            place: None,
            batches: Vec::new(),
            logs: Vec::new(),
        };
        journal.note(row, JournalEntry::Run(run), vec![7; 700]);
    }
    journal.append(&receipt, JournalEntry::Answered).expect("it is recorded");
    RUNS + 2
}
