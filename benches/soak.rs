//! The four systems beside each other, killed at random: 1 500 CT studies, 20 000 tokens of books, 20 000 messages and
//! 50 runs of `tally` an hour. At the end each of them is answered once, and memory and state folders have stayed where
//! they were.
//!
//! `cargo bench --bench soak -- [--minutes N] [--seed N] [--folder FOLDER] [--picture FILE]`, for 2 minutes unless it is
//! said, with `storescu` of DCMTK and `gpg`. `--picture` draws memory, state folders and answers over the time, as SVG.
//! It ends with exit code 1 where something is lost, double or other than it has to be.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use curve::{SoakCurve, SoakSample};
use program::KilledProgram;
use random::Dice;

#[path = "soak/book_row.rs"]
mod book_row;
#[path = "../tests/suite/support/chat_client.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod chat_client;
#[path = "../tests/suite/support/chat_tokens.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod chat_tokens;
#[path = "soak/curve.rs"]
mod curve;
#[path = "soak/messages.rs"]
mod messages;
#[path = "../tests/suite/support/ports.rs"]
mod ports;
#[path = "soak/program.rs"]
mod program;
#[path = "../tests/suite/support/random.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod random;
#[path = "soak/studies.rs"]
mod studies;
#[path = "soak/tallies.rs"]
mod tallies;

const STUDIES_AN_HOUR: u64 = 1_500;
const TOKENS_AN_HOUR: u64 = 20_000;
const MESSAGES_AN_HOUR: u64 = 20_000;
const TALLIES_AN_HOUR: u64 = 50;

/// The most time between two kills.
const KILL_EVERY: Duration = Duration::from_secs(60);
const SAMPLES: u32 = 240;
/// What is not answered so long after the end is lost.
pub const PATIENCE: Duration = Duration::from_secs(600);

/// What is asked for on the command line.
struct SoakOptions {
    minutes: u64,
    seed: u64,
    folder: PathBuf,
    picture: Option<PathBuf>,
}

/// What all parts know: how long it takes, and how far each of them is.
pub struct SoakPlan {
    pub folder: PathBuf,
    pub begin: Instant,
    pub time: Duration,
    pub studies: AtomicUsize,
    pub tokens: AtomicUsize,
    pub messages: AtomicUsize,
    pub tallies: AtomicUsize,
}

/// A sum of what was asked of a part and what came of it.
pub struct SoakAccount {
    pub part: &'static str,
    pub asked: u64,
    pub answered: u64,
    /// What is wrong; empty where all is well.
    pub faults: Vec<String>,
}

impl SoakPlan {
    /// So many of what there are `an_hour`.
    pub fn share(&self, an_hour: u64) -> u64 {
        (an_hour * self.time.as_secs() / 3_600).max(1)
    }

    /// The time at which one of so many is due.
    pub fn due(&self, number: u64, count: u64) -> Instant {
        self.begin + self.time.mul_f64(number as f64 / count as f64)
    }

    fn answers(&self) -> usize {
        let parts = [&self.studies, &self.tokens, &self.messages, &self.tallies];
        parts.iter().map(|part| part.load(Ordering::Relaxed)).sum()
    }
}

fn main() -> ExitCode {
    let options = options();
    let place = tempfile::tempdir_in(&options.folder).expect("a temporary folder");
    let plan = Arc::new(SoakPlan {
        folder: place.path().to_owned(),
        begin: Instant::now(),
        time: Duration::from_secs(options.minutes * 60),
        studies: AtomicUsize::new(0),
        tokens: AtomicUsize::new(0),
        messages: AtomicUsize::new(0),
        tallies: AtomicUsize::new(0),
    });
    let (studies, port) = studies::program(&plan.folder);
    let (messages, address) = messages::program(&plan.folder);
    let (books, row) = book_row::program(&plan);
    let tallies = tallies::program(&plan.folder);
    let serving = [Arc::clone(&studies), Arc::clone(&messages), Arc::clone(&books)];
    serving.iter().for_each(|program| program.start());
    let victims: Vec<_> = serving.iter().chain([&tallies]).cloned().collect();
    let parts = [
        part(&plan, move |plan| studies::run(plan, port)),
        part(&plan, move |plan| messages::run(plan, address)),
        part(&plan, move |plan| row.run(plan)),
        part(&plan, {
            let tallies = Arc::clone(&tallies);
            move |plan| tallies::run(plan, &tallies)
        }),
    ];
    let is_over = Arc::new(AtomicBool::new(false));
    let killer = thread::spawn({
        let (victims, is_over, seed) = (victims.clone(), Arc::clone(&is_over), options.seed);
        let end = plan.begin + plan.time;
        move || kill_again_and_again(&victims, seed, end, &is_over)
    });
    let sampler = thread::spawn({
        let (plan, serving, is_over) = (Arc::clone(&plan), serving.clone(), Arc::clone(&is_over));
        move || sample(&plan, &serving, &is_over)
    });
    let accounts: Vec<SoakAccount> =
        parts.into_iter().map(|part| part.join().expect("a part ends well")).collect();
    is_over.store(true, Ordering::Relaxed);
    let kills = killer.join().expect("the killer ends well");
    let curve = sampler.join().expect("the samples end well");
    let mut stopped: Vec<String> = serving.iter().filter_map(|program| program.stop()).collect();
    stopped.extend(studies::damage(&plan.folder));
    tell(&plan, &accounts, &victims, &curve);
    if let Some(path) = &options.picture {
        std::fs::write(path, curve.drawn(plan.time, &kills)).expect("the picture can be written");
    }
    let faults: Vec<&String> = accounts.iter().flat_map(|account| &account.faults).chain(&stopped).collect();
    faults.iter().take(20).for_each(|fault| println!("FAULT {fault}"));
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn part(
    plan: &Arc<SoakPlan>,
    run: impl FnOnce(&SoakPlan) -> SoakAccount + Send + 'static,
) -> thread::JoinHandle<SoakAccount> {
    let plan = Arc::clone(plan);
    thread::spawn(move || run(&plan))
}

/// The times of the kills, from the beginning.
fn kill_again_and_again(
    victims: &[Arc<KilledProgram>],
    seed: u64,
    end: Instant,
    is_over: &AtomicBool,
) -> Vec<Duration> {
    let begin = Instant::now();
    let mut dice = Dice(seed);
    let mut kills = Vec::new();
    loop {
        let next = Instant::now() + KILL_EVERY * dice.below(1_000) as u32 / 1_000;
        while Instant::now() < next {
            if is_over.load(Ordering::Relaxed) || next >= end {
                return kills;
            }
            thread::park_timeout(Duration::from_millis(100));
        }
        if victims[dice.below(victims.len())].kill() {
            kills.push(begin.elapsed());
        }
    }
}

fn sample(plan: &SoakPlan, serving: &[Arc<KilledProgram>], is_over: &AtomicBool) -> SoakCurve {
    let mut curve = SoakCurve::new(serving.iter().map(|program| program.name).collect());
    while !is_over.load(Ordering::Relaxed) {
        let sample = SoakSample {
            at: plan.begin.elapsed(),
            resident: serving.iter().map(|program| program.resident_bytes()).collect(),
            state: [studies::STATE, messages::STATE].map(|name| curve::folder_bytes(&plan.folder.join(name))),
            answers: plan.answers() as u64,
        };
        curve.samples.push(sample);
        thread::park_timeout(plan.time / SAMPLES);
    }
    curve
}

fn tell(plan: &SoakPlan, accounts: &[SoakAccount], victims: &[Arc<KilledProgram>], curve: &SoakCurve) {
    println!("{:.0} minutes\n", plan.begin.elapsed().as_secs_f64() / 60.0);
    println!("{:<24}{:>10}{:>12}{:>10}{:>10}", "", "asked", "answered", "faults", "kills");
    for account in accounts {
        let kills = victims.iter().find(|victim| victim.name == account.part);
        let kills = kills.map_or(0, |victim| victim.kills());
        let (asked, answered, faults) = (account.asked, account.answered, account.faults.len());
        println!("{:<24}{asked:>10}{answered:>12}{faults:>10}{kills:>10}", account.part);
    }
    println!("\n{}", curve.in_words());
}

fn options() -> SoakOptions {
    let mut options = SoakOptions { minutes: 2, seed: 1, folder: std::env::temp_dir(), picture: None };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let mut value = || arguments.next().unwrap_or_else(|| panic!("{name} takes a value"));
        match name.as_str() {
            "--minutes" => options.minutes = value().parse().expect("minutes are a whole number"),
            "--seed" => options.seed = value().parse().expect("a seed is a whole number"),
            "--folder" => options.folder = value().into(),
            "--picture" => options.picture = Some(value().into()),
            // Cargo says that this is a benchmark.
            _ => {}
        }
    }
    options
}
