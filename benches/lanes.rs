//! What an epoch costs: open, run through ten steps that do nothing, close, at many open epochs.
//!
//! Beside it, in the same run, bare timely lanes: as many dataflows of ten operators that pass one
//! record on, each cycle in another one. Flow's epochs include the gate, ten steps with their
//! outcomes, the response, its delivery and the threads it passes through.
//!
//! `cargo bench --bench lanes [-- WORKERS]`

use std::num::NonZero;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use flow::dataflow::Dataflow;
use flow::engine::{self, EngineSettings, NullObserver, PendingDelivery, RequestQueue, ResponseSink};
use flow::journal::{Journal, Receipt};
use flow::step::{Digest, Item, ItemPlace, Payload, Request, ResponseFiles, Step, StepOutputs, StepTable};
use flow::store::Store;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::{Input, Probe};
use timely::dataflow::{InputHandle, ProbeHandle};
use timely::worker::Worker;

const STEPS: usize = 10;
const CYCLES: usize = 20_000;
/// Measurements of each kind, of which the median counts.
const ROUNDS: usize = 5;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [kind, lanes, workers] = arguments.as_slice() {
        let (lanes, workers) = (lanes.parse().expect("lanes"), workers.parse().expect("workers"));
        let measured = if kind == "bare" { bare(lanes, workers) } else { flow(lanes, workers) };
        return println!("{} {}", measured.epoch.as_nanos(), measured.lane_kib);
    }
    let workers = arguments.first().and_then(|workers| workers.parse().ok()).unwrap_or(1);
    println!("{STEPS} steps that do nothing, {workers} worker(s); time per epoch, memory per lane\n");
    println!("{:>7}{:>12}{:>12}{:>8}{:>12}{:>12}", "open", "bare", "flow", "ratio", "bare KiB", "flow KiB");
    for lanes in [10, 100, 1_000, 10_000] {
        let (bare, flow) = medians(lanes, workers);
        let ratio = flow.epoch.as_secs_f64() / bare.epoch.as_secs_f64();
        let (bare_time, flow_time) = (format!("{:.1?}", bare.epoch), format!("{:.1?}", flow.epoch));
        println!(
            "{lanes:>7}{bare_time:>12}{flow_time:>12}{ratio:>8.2}{:>12}{:>12}",
            bare.lane_kib, flow.lane_kib
        );
    }
}

struct Measured {
    epoch: Duration,
    lane_kib: u64,
}

/// The medians of bare timely and of flow. The measurements take turns, so that other work of the machine
/// slows down both alike.
fn medians(lanes: usize, workers: usize) -> (Measured, Measured) {
    let pairs = (0..ROUNDS).map(|_| (in_child("bare", lanes, workers), in_child("flow", lanes, workers)));
    let (bare, flow) = pairs.unzip();
    (median(bare), median(flow))
}

fn median(mut measured: Vec<Measured>) -> Measured {
    measured.sort_by_key(|one| one.epoch);
    measured.swap_remove(ROUNDS / 2)
}

/// A measurement in a process of its own: neither the memory nor the caches of one touch another. The
/// allocator has as many arenas as in the `flow` command.
fn in_child(kind: &str, lanes: usize, workers: usize) -> Measured {
    let program = std::env::current_exe().expect("this program has a path");
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    let child = Command::new(&program)
        .args([kind, &lanes.to_string(), &workers.to_string()])
        .env("MALLOC_ARENA_MAX", processors.to_string())
        .output();
    let output = String::from_utf8(child.expect("this program runs").stdout).expect("it prints numbers");
    let mut numbers = output.split_whitespace().map(|number| number.parse().expect("a number"));
    let mut next = || numbers.next().expect("two numbers");
    Measured { epoch: Duration::from_nanos(next()), lane_kib: next() }
}

fn resident_kib() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: u64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("Linux");
    pages * 4
}

type Inlet = InputHandle<u64, CapacityContainerBuilder<Vec<u64>>>;

fn bare_lane(worker: &mut Worker) -> (Inlet, ProbeHandle<u64>) {
    let mut inlet = Inlet::new();
    let probe = worker.dataflow(|scope| {
        let mut stream = scope.input_from(&mut inlet);
        for _ in 0..STEPS {
            stream = stream.unary(Pipeline, "step", |_, _| {
                |input, output| {
                    input.for_each(|capability, data| output.session(&capability).give_container(data))
                }
            });
        }
        stream.probe().0
    });
    (inlet, probe)
}

fn bare(lanes: usize, workers: usize) -> Measured {
    let guards = timely::execute(timely::Config::process(workers), move |worker| {
        let before = resident_kib();
        let mut flows: Vec<_> = (0..lanes).map(|_| bare_lane(worker)).collect();
        if worker.index() != 0 {
            return None;
        }
        for (inlet, probe) in &mut flows {
            inlet.advance_to(1);
            worker.step_while(|| probe.less_than(&1));
        }
        let lane_kib = (resident_kib() - before) / (lanes * workers) as u64;
        let began = Instant::now();
        // All lanes open at once, then all closed: as flow has them when it is busy.
        let rounds = CYCLES.div_ceil(lanes);
        for round in 0..rounds {
            for (inlet, _) in &mut flows {
                inlet.send(round as u64);
                inlet.advance_to(round as u64 + 2);
            }
            for (inlet, probe) in &flows {
                worker.step_while(|| probe.less_than(inlet.time()));
            }
        }
        Some(Measured { epoch: began.elapsed() / (rounds * lanes) as u32, lane_kib })
    });
    let results = guards.expect("the workers start").join();
    results.into_iter().find_map(|result| result.expect("no worker panics")).expect("the first one measures")
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Nothing;

impl Payload for Nothing {
    const TYPE: &'static str = "nothing";
}

fn table() -> StepTable {
    let nothing = |_: &flow::step::Call| Ok(StepOutputs::one("nothing", Nothing));
    let begin = Step::new("begin", 1, "Does nothing.").takes::<Request>("request");
    let pass = Step::new("pass", 1, "Does nothing.").takes::<Nothing>("nothing");
    let end = Step::new("end", 1, "Gives no files.")
        .takes::<Nothing>("nothing")
        .gives::<ResponseFiles>("files")
        .cheap();
    StepTable::default()
        .with(begin.gives::<Nothing>("nothing").cheap().runs(nothing))
        .with(pass.gives::<Nothing>("nothing").cheap().runs(nothing))
        .with(end.runs(|_| Ok(StepOutputs::one("files", ResponseFiles::default()))))
}

fn chain() -> String {
    let mut text = "dataflow: nothing\nsteps:\n  n0: {step: begin, needs: {request: request}}\n".to_owned();
    for step in 1..STEPS - 1 {
        text += &format!("  n{step}: {{step: pass, needs: {{nothing: n{}}}}}\n", step - 1);
    }
    text + &format!("  end: {{step: end, needs: {{nothing: n{}}}}}\nresponse: [end]\n", STEPS - 2)
}

/// Counts responses.
#[derive(Default)]
struct Count(AtomicUsize);

impl ResponseSink for Count {
    fn deliver(&self, pending_delivery: PendingDelivery) {
        self.0.fetch_add(1, Ordering::Relaxed);
        pending_delivery.settle(Ok(()));
    }
}

fn flow(lanes: usize, workers: usize) -> Measured {
    let dataflow = Arc::new(Dataflow::parse("chain.yaml", &chain(), &table()).expect("the chain is sound"));
    let folder = std::env::temp_dir().join(format!("flow-bench-{}", std::process::id()));
    let store = Arc::new(Store::at(&folder).expect("a folder for the store"));
    let journal = Arc::new(Journal::none(store));
    let count = |number| NonZero::new(number).expect("more than none");
    let settings = EngineSettings {
        workers: count(workers),
        lanes: count(lanes),
        memory: u64::MAX,
        mesh: None,
        ..EngineSettings::default()
    };
    let before = resident_kib();
    let requests: Vec<Receipt> = (0..lanes.max(CYCLES)).map(request).collect();
    let counted = Count::default();
    let mut measured = None;
    let source = |queue: &RequestQueue| {
        // Every lane has had an epoch before the clock starts.
        requests.iter().take(lanes).for_each(|request| queue.submit(request.clone()));
        wait(&counted, lanes);
        let lane_kib = (resident_kib() - before) / (lanes * workers) as u64;
        let copies: Vec<Receipt> = requests.iter().take(CYCLES).cloned().collect();
        let began = Instant::now();
        copies.into_iter().for_each(|request| queue.submit(request));
        wait(&counted, lanes + CYCLES);
        measured = Some(Measured { epoch: began.elapsed() / CYCLES as u32, lane_kib });
    };
    engine::run(dataflow, journal, settings, Arc::new(NullObserver), source, &counted)
        .expect("the engine runs");
    let _ = std::fs::remove_dir_all(folder);
    measured.expect("the source has run")
}

fn wait(counted: &Count, until: usize) {
    while counted.0.load(Ordering::Relaxed) < until {
        std::thread::sleep(Duration::from_micros(50));
    }
}

fn request(number: usize) -> Receipt {
    let digest = Digest::of(&number.to_le_bytes());
    let item = Item {
        name: "item".to_owned(),
        place: ItemPlace::File("/nowhere".into()),
        digest,
        size: 1,
        decoded: 1,
    };
    Receipt::unrecorded(Arc::new(Request::new(number.to_string(), Default::default(), vec![item])))
}
