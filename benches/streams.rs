//! How many items a second go through the steps that a stream connects: a real dataflow file, made, checked and run
//! by the engine, from the submission of a request to its response.
//!
//! * `flat`: items of 16 bytes through four cheap steps, one of them a filter, and a sum;
//! * `text`: the same with a text that each step makes and the next one parses;
//! * `plain`: the same as `flat` with steps that know nothing of streams;
//! * `small`: a request of one item, the median of many;
//! * `calls`: batches of 100 items, each asked about in 5 ms, 8 at once, beside the time that they take at least;
//! * `memory`: items of 100 bytes, and the memory at the end;
//! * `busy`: items that each take a processor 20 µs, in batches on one thread and on two;
//! * `python`: numbers through four steps in Python: one function for an item, and one for a batch, which is a list or a
//!   NumPy array; the same with items that come back after each step, as they do where a program has a network; and the
//!   functions in a plain loop, which is the most that Python allows in one process;
//! * beside them Bytewax and Celery, where `python3` has them (`pip install bytewax celery`), by the scripts in
//!   `benches/peers`.
//!
//! Two requests at once show what two cores give. Beside `flat` and `text` stands a loop in Rust that calls the same
//! functions one after the other, without batches, faults or counts: the most that the steps allow.
//! `cargo bench --bench streams [-- ITEMS]`

use std::num::NonZero;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use flow::dataflow::Dataflow;
use flow::engine::{self, EngineSettings, NullObserver, PendingDelivery, RequestQueue, ResponseSink};
use flow::journal::{Journal, Receipt};
use flow::step::{
    Call, Digest, Fault, Item, Parameter, Payload, Request, ResponseFiles, Step, StepOutputs, StepTable,
    StreamItem,
};
use flow::store::Store;

const ROUNDS: usize = 5;
const SMALL_REQUESTS: usize = 2_000;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let items = arguments.next().and_then(|items| items.parse().ok()).unwrap_or(10_000_000);
    println!("{items} items through four steps and a sum, best of {ROUNDS}, million items a second\n");
    print_rates(items);
    let small = dataflow(FLAT, 1);
    println!("\na request of one item: {:.1?}", run(&small, SMALL_REQUESTS, 0) / SMALL_REQUESTS as u32);
    let took = (0..ROUNDS).map(|round| run(&dataflow(CALLS, CALLED), 1, round)).min().expect("a round");
    let ideal = CALL * u32::try_from(CALLED / 100 / 8).expect("a small number");
    println!("{CALLED} items in calls of 100: {took:.1?}, at least {ideal:.1?}");
    let before = resident_kib();
    let took = run(&dataflow(WIDE, items), 1, 0);
    let peak = peak_kib();
    println!("{items} items of 100 bytes: {took:.1?}, {before} KiB before, {peak} KiB at most");
    let on = |threads: usize| {
        let dataflow = dataflow(&BUSY.replace("THREADS", &threads.to_string()), BUSY_ITEMS);
        (0..ROUNDS).map(|round| run(&dataflow, 1, round)).min().expect("a round")
    };
    let (one, two) = (on(1), on(2));
    let speed_up = one.as_secs_f64() / two.as_secs_f64();
    println!(
        "{BUSY_ITEMS} busy items: {one:.1?} on one thread, {two:.1?} on two: {speed_up:.2} times as fast"
    );
    print_python(items / 20);
    peer("sys", "python_loop.py", items / 20);
    peer("bytewax", "bytewax_items.py", items / 10);
    peer("celery", "celery_items.py", 1_000);
}

/// Steps that a loop calls one after the other.
type LoopedSteps = fn(Hit) -> Hit;

/// Prints how many items a second go through the steps of each kind, and through a loop of the same functions.
fn print_rates(items: usize) {
    println!("{:>8}{:>14}{:>14}{:>14}{:>14}", "", "one request", "two at once", "a loop", "two loops");
    let kinds: [(&str, &str, usize, Option<LoopedSteps>); 3] = [
        ("flat", FLAT, 1, Some(|hit| changed(changed(changed(hit))))),
        ("text", TEXT, 8, Some(|hit| read_text(write_text(read_text(write_text(hit)))))),
        ("plain", PLAIN, 40, None),
    ];
    for (name, steps, share, looped) in kinds {
        let dataflow = dataflow(steps, items / share);
        let rate = |requests: usize| {
            let best = (0..ROUNDS).map(|round| run(&dataflow, requests, round)).min().expect("a round");
            (requests * (items / share)) as f64 / best.as_secs_f64() / 1e6
        };
        let loops = |threads: usize| {
            let once =
                |looped| (0..ROUNDS).map(|_| run_loops(threads, items / share, name == "flat", looped)).min();
            let best = looped.and_then(once)?;
            Some(format!("{:.1}", (threads * (items / share)) as f64 / best.as_secs_f64() / 1e6))
        };
        let [one, two] = [1, 2].map(|threads| loops(threads).unwrap_or_default());
        println!("{name:>8}{:>14.1}{:>14.1}{one:>14}{two:>14}", rate(1), rate(2));
    }
}

/// Prints how many items a second go through four steps in Python.
fn print_python(items: usize) {
    let python = |code: &str| {
        let said = Command::new("python3").args(["-c", code]).output().ok()?;
        said.status.success().then(|| String::from_utf8_lossy(&said.stdout).trim().to_owned())
    };
    if python("").is_none() {
        return println!("steps in Python: there is no python3");
    }
    let rate = |program: &str, ending: &str, batch: &str| {
        let needs = |step: &str, from: &str| {
            let input = if batch.is_empty() { "number" } else { "numbers" };
            format!("  {step}: {{step: {step}{ending}, needs: {{{input}: {from}}}{batch}}}\n")
        };
        let steps =
            [needs("add", "made"), needs("mix", "add"), needs("halve", "mix"), needs("last", "halve")];
        let text = format!(
            "dataflow: items\nprograms: [{program}]\nsteps:\n  made: {{step: numbers{ending}, needs: \
             {{request: request}}, with: {{count: {items}}}}}\n{}  total: {{step: total{ending}, needs: \
             {{numbers: last}}}}\nresponse: [total]\n",
            steps.concat()
        );
        let place = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/streams/items.yaml");
        let dataflow = Arc::new(Dataflow::parse(place, &text, &table()).expect("the dataflow is sound"));
        let best = (0..ROUNDS).map(|round| run(&dataflow, 1, round)).min().expect("a round");
        items as f64 / best.as_secs_f64() / 1e6
    };
    let batch = ", batch: {size: 1000}";
    let (single, lists) = (rate("steps.py", "", ""), rate("steps.py", "-batch", batch));
    println!("steps in Python, one by one {single:.3} M/s; batches of 1000 as lists {lists:.3} M/s");
    let apart = "{file: steps.py, network: true}";
    let (single, lists) = (rate(apart, "", ""), rate(apart, "-batch", batch));
    println!("  each step by itself, one by one {single:.3} M/s; as lists {lists:.3} M/s");
    match python("import numpy, sys; print(sys.executable)") {
        Some(python) => {
            let program = format!("{{run: [{python}, numpy_steps.py], memory: 16 GiB}}");
            let [short, long] =
                [1_000, 10_000].map(|size| rate(&program, "-numpy", &format!(", batch: {{size: {size}}}")));
            println!("  as NumPy arrays of 1000 {short:.3} M/s, of 10000 {long:.3} M/s");
            let apart = program.replace("memory", "network: true, memory");
            let short = rate(&apart, "-numpy", batch);
            println!("  each step by itself, as NumPy arrays of 1000 {short:.3} M/s");
        }
        None => println!("  as NumPy arrays: python3 does not have NumPy"),
    }
}

/// Prints what the script of a peer says, if `python3` has its module.
fn peer(module: &str, script: &str, items: usize) {
    let path = format!("{}/benches/peers/{script}", env!("CARGO_MANIFEST_DIR"));
    let has = Command::new("python3").args(["-c", &format!("import {module}")]).output();
    if !has.is_ok_and(|tried| tried.status.success()) {
        return println!("{module}: python3 does not have it");
    }
    let said = Command::new("python3").arg(path).arg(items.to_string()).output().expect("python3 starts");
    print!("{}", String::from_utf8_lossy(&said.stdout));
    if !said.status.success() {
        println!("{module}: {}", String::from_utf8_lossy(&said.stderr).trim());
    }
}

const BUSY_ITEMS: usize = 50_000;

const BUSY: &str = "
  one: {step: compute, needs: {item: made}, batch: {size: 100}, limits: {max: THREADS}}
  sum: {step: add-up, needs: {all: one}}
";

/// About 20 µs of a processor.
fn computed(hit: Hit) -> Hit {
    (0..20_000).fold(hit, |hit, _| changed(std::hint::black_box(hit)))
}

/// Items of the calls, and the time of each call.
const CALLED: usize = 160_000;
const CALL: Duration = Duration::from_millis(5);

const CALLS: &str = "
  one: {step: ask, needs: {item: made}, batch: {size: 100}, limits: {max: 8}}
  sum: {step: add-up, needs: {all: one}}
";

const FLAT: &str = "
  one: {step: pass, needs: {item: made}}
  two: {step: thin, needs: {item: one}}
  three: {step: pass, needs: {item: two}}
  four: {step: pass, needs: {item: three}}
  sum: {step: add-up, needs: {all: four}}
";

const TEXT: &str = "
  one: {step: write-text, needs: {item: made}}
  two: {step: read-text, needs: {item: one}}
  three: {step: write-text, needs: {item: two}}
  four: {step: read-text, needs: {item: three}}
  sum: {step: add-up, needs: {all: four}}
";

const PLAIN: &str = "
  one: {step: pass-plainly, needs: {item: made}}
  two: {step: pass-plainly, needs: {item: one}}
  three: {step: pass-plainly, needs: {item: two}}
  four: {step: pass-plainly, needs: {item: three}}
  sum: {step: add-up, needs: {all: four}}
";

const WIDE: &str = "
  one: {step: widen, needs: {item: made}}
  two: {step: pass-wide, needs: {item: one}}
  three: {step: pass-wide, needs: {item: two}}
  four: {step: narrow, needs: {item: three}}
  sum: {step: add-up, needs: {all: four}}
";

#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct Hit {
    id: u64,
    weight: u64,
}

impl Payload for Hit {
    const TYPE: &'static str = "hit";
}

#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct Text(String);

impl Payload for Text {
    const TYPE: &'static str = "text";

    fn bytes_in_memory(&self) -> usize {
        size_of::<Text>() + self.0.len()
    }
}

#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct Wide {
    id: u64,
    weight: u64,
    rest: [u64; 11],
}

impl Payload for Wide {
    const TYPE: &'static str = "wide";
}

fn changed(hit: Hit) -> Hit {
    Hit { id: hit.id, weight: hit.weight.wrapping_mul(31).wrapping_add(hit.id) }
}

fn write_text(hit: Hit) -> Text {
    Text(format!("{} {}", hit.id, hit.weight))
}

fn read_text(text: Text) -> Hit {
    let (id, weight) = text.0.split_once(' ').expect("two numbers");
    let number = |text: &str| text.parse().expect("a number");
    changed(Hit { id: number(id), weight: number(weight) % 1_000_000 })
}

/// The time that threads take which each make this many items, drop one in ten where `thins`, and add up what `looped`
/// gives for the others.
fn run_loops(threads: usize, items: usize, thins: bool, looped: fn(Hit) -> Hit) -> Duration {
    let add_up = || {
        let made = (0..items as u64).map(|id| Hit { id, weight: 1 });
        let kept = made.filter(|hit| !thins || !hit.id.is_multiple_of(10));
        kept.fold(0_u64, |sum, hit| sum.wrapping_add(looped(std::hint::black_box(hit)).weight))
    };
    let began = Instant::now();
    std::thread::scope(|scope| {
        (0..threads).for_each(|_| drop(scope.spawn(|| std::hint::black_box(add_up()))));
    });
    began.elapsed()
}

fn each<A: StreamItem, B: StreamItem>(name: &'static str, run: fn(A) -> B) -> Step {
    let step = Step::new(name, 1, "Works on an item.").takes::<A>("item").gives::<B>("item");
    step.runs_each(move |item: A, _: &Call| Ok(run(item)))
}

fn table() -> StepTable {
    let make = Step::new("make", 1, "Makes items.").takes::<Request>("request").gives_many::<Hit>("items");
    let make = make.parameter(Parameter::number("count", 1.0, 0.0, 1e9, "")).runs_many(|call| {
        let count = call.number("count") as u64;
        Ok((0..count).map(|id| Ok::<Hit, Fault>(Hit { id, weight: 1 })))
    });
    let thin = Step::new("thin", 1, "Drops one in ten.").takes::<Hit>("item").gives_many::<Hit>("items");
    let thin = thin.runs_some(|hit: Hit, _| Ok((!hit.id.is_multiple_of(10)).then_some(hit)));
    let plain = Step::new("pass-plainly", 1, "Works on an item.").takes::<Hit>("item").gives::<Hit>("item");
    let plain = plain.runs(|call| Ok(StepOutputs::one("item", changed(call.input::<Hit>("item").clone()))));
    let sum = Step::new("add-up", 1, "Adds up.").takes_each::<Hit>("all").gives::<Hit>("total");
    let sum = sum.folds(
        |_| Hit { id: 0, weight: 0 },
        |sum: &mut Hit, hit: Hit| {
            sum.id += 1;
            sum.weight = sum.weight.wrapping_add(hit.weight);
        },
    );
    let end = Step::new("end", 1, "Gives no files.").takes::<Hit>("total").gives::<ResponseFiles>("files");
    let end = end.cheap().runs(|_| Ok(StepOutputs::one("files", ResponseFiles::default())));
    let ask = Step::new("ask", 1, "Asks.").takes::<Hit>("item").gives::<Hit>("item");
    let ask = ask.calls(|hits: Vec<Hit>, _, _| {
        std::thread::sleep(CALL);
        Ok(hits.into_iter().map(Ok).collect())
    });
    let compute = Step::new("compute", 1, "Computes.").takes::<Hit>("item").gives::<Hit>("item");
    let compute =
        compute.runs_batch(|hits: Vec<Hit>, _| Ok(hits.into_iter().map(|hit| Ok(computed(hit))).collect()));
    StepTable::default()
        .with(make)
        .with(ask)
        .with(compute)
        .with(thin)
        .with(plain)
        .with(sum)
        .with(end)
        .with(each::<Hit, Hit>("pass", changed))
        .with(each::<Hit, Text>("write-text", write_text))
        .with(each::<Text, Hit>("read-text", read_text))
        .with(each::<Hit, Wide>("widen", |hit| Wide { id: hit.id, weight: hit.weight, rest: [hit.id; 11] }))
        .with(each::<Wide, Wide>("pass-wide", |wide| Wide { weight: wide.weight + wide.rest[3] % 7, ..wide }))
        .with(each::<Wide, Hit>("narrow", |wide| Hit { id: wide.id, weight: wide.weight }))
}

fn dataflow(steps: &str, items: usize) -> Arc<Dataflow> {
    let make = format!("  made: {{step: make, needs: {{request: request}}, with: {{count: {items}}}}}");
    let end = "  end: {step: end, needs: {total: sum}}\nresponse: [end]\n";
    let text = format!("dataflow: items\nsteps:\n{make}{steps}{end}");
    Arc::new(Dataflow::parse("items.yaml", &text, &table()).expect("the dataflow is sound"))
}

/// Counts responses that have all results.
#[derive(Default)]
struct Count(AtomicUsize);

impl ResponseSink for Count {
    fn deliver(&self, pending_delivery: PendingDelivery) {
        assert!(pending_delivery.response().verdict.is_complete(), "{:?}", pending_delivery.response());
        self.0.fetch_add(1, Ordering::Relaxed);
        pending_delivery.settle(Ok(()));
    }
}

/// The time from the first submission to the last response.
fn run(dataflow: &Arc<Dataflow>, requests: usize, round: usize) -> Duration {
    let folder = std::env::temp_dir().join(format!("flow-bench-{}", std::process::id()));
    let journal = Arc::new(Journal::none(Arc::new(Store::at(&folder).expect("a folder for the store"))));
    let count = |number| NonZero::new(number).expect("more than none");
    let settings = EngineSettings {
        workers: count(1),
        lanes: count(2),
        memory: u64::MAX,
        mesh: None,
        ..EngineSettings::default()
    };
    let counted = Count::default();
    let mut took = Duration::ZERO;
    let source = |queue: &RequestQueue| {
        // The lanes have been built before the clock starts.
        queue.submit(request(usize::MAX, round));
        wait(&counted, 1);
        let began = Instant::now();
        (0..requests).for_each(|number| queue.submit(request(number, round)));
        wait(&counted, requests + 1);
        took = began.elapsed();
    };
    engine::run(Arc::clone(dataflow), journal, settings, Arc::new(NullObserver), source, &counted)
        .expect("the engine runs");
    let _ = std::fs::remove_dir_all(folder);
    took
}

fn wait(counted: &Count, until: usize) {
    while counted.0.load(Ordering::Relaxed) < until {
        std::thread::sleep(Duration::from_micros(50));
    }
}

fn request(number: usize, round: usize) -> Receipt {
    let digest = Digest::of(&[number.to_le_bytes(), round.to_le_bytes()].concat());
    let item = Item { digest, ..Item::inline("item", *b"1") };
    Receipt::unrecorded(Arc::new(Request::new(number.to_string(), Default::default(), vec![item])))
}

fn resident_kib() -> u64 {
    status("VmRSS")
}

fn peak_kib() -> u64 {
    status("VmHWM")
}

fn status(key: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).expect("Linux");
    line.trim().trim_end_matches(" kB").parse().expect("a number of KiB")
}
