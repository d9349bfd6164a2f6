//! Tokens through directories, on the disk of the folder that is named: synced, as `flow run books` does it.
//!
//! * `moved`: claims and group moves alone, without an engine;
//! * `hop`: one stage through the engine, from one directory to the next;
//! * `claim`: the cost of a claim in directories of growing size;
//! * `backlog`: a million books, 5 000 in flight: the first count, and one change.
//! * `row`: books of 100 KB through all stages, beside a shell script.
//!
//! `cargo bench --bench books -- [TOKENS] [LARGEST DIRECTORY] [FOLDER]` for all but the last, and
//! `cargo bench --bench books -- row [BOOKS] [FOLDER]` for the last, with `curl`, `gpg` and `tar`.

use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use flow::admission::UnobservedAdmission;
use flow::books::{
    BacklogClass, BookBacklog, BookSet, RowEnd, RowRun, RowSizes, RowUpkeep, StageRow, UpkeepOptions,
};
use flow::dataflow::Dataflow;
use flow::step::{Parameter, Step, StepTable};
use flow::tokens::{
    ClaimOutcome, FinishedToken, StageFolder, StageToken, TokenClaims, TokenEnd, TokenEntry, TokenEvent,
    WorkPlace, finish_tokens,
};

#[path = "books/whole_row.rs"]
mod whole_row;

const GROUP: usize = 512;
const BOOKS: usize = 1_000_000;
const IN_FLIGHT: usize = 5_000;

const ROW: &str = "
dataflow: hop
steps:
  chosen: {step: choose-books, needs: {request: request}, with: {to: 01_before}}
  pass: {step: pass-token, needs: {token: chosen}, with: {to: 02_behind}}
  done: {step: list-tokens, needs: {tokens: pass}}
response: [done]
";

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench").peekable();
    let is_row = arguments.next_if(|argument| argument == "row").is_some();
    let mut number = |usual: usize| arguments.next().and_then(|text| text.parse().ok()).unwrap_or(usual);
    if is_row {
        let (books, folder) =
            (number(2_000), arguments.next().map_or_else(std::env::temp_dir, PathBuf::from));
        let place = tempfile::tempdir_in(folder).expect("a temporary folder");
        return whole_row::measure(place.path(), books as u64);
    }
    let (tokens, largest) = (number(20_000), number(1_000_000));
    let folder = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let place = tempfile::tempdir_in(folder).expect("a temporary folder");
    println!("{tokens} tokens, tokens a second, synced");
    println!("{:>10}{:>12.0}", "moved", moved(&place.path().join("moved"), tokens));
    for lanes in [8, 32, 128] {
        let rate = hop(&place.path().join(format!("hop-{lanes}")), tokens, lanes);
        println!("{:>10}{rate:>12.0}   {lanes} lanes", "hop");
    }
    println!("\na claim, in a directory of so many tokens");
    let mut size = 1_000;
    while size <= largest {
        println!("{size:>10}{:>12.1?}", claim(&place.path().join(format!("claim-{size}")), size));
        size *= 10;
    }
    backlog();
}

fn barcodes(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("ark.88435.b{number:07}"))
}

fn fill(stage: &StageFolder, count: usize) {
    let place = WorkPlace::new(stage).expect("a place");
    let mut all = barcodes(count).map(StageToken::of);
    while place.make_tokens(all.by_ref().take(10_000)).expect("tokens are made") > 0 {}
}

fn done(claimed: flow::tokens::ClaimedToken) -> FinishedToken {
    let entry = TokenEntry::new("pass", TokenEvent::Done, "1", "");
    FinishedToken { claimed, entry, end: TokenEnd::Next("02_behind".to_owned()) }
}

fn moved(root: &Path, tokens: usize) -> f64 {
    let stage = StageFolder::new(root, "01_before");
    fill(&stage, tokens);
    let place = WorkPlace::new(&stage).expect("a place");
    let mut claims = TokenClaims::new(&stage, place.owner());
    let began = Instant::now();
    let (mut group, mut count) = (Vec::new(), 0);
    loop {
        let next = claims.next(&place).expect("a claim");
        let is_over = matches!(next, ClaimOutcome::Nothing);
        if let ClaimOutcome::Token(claimed) = next {
            group.push(done(*claimed));
        }
        if group.len() == GROUP || is_over {
            let moved = finish_tokens(&place, std::mem::take(&mut group), &[]).expect("tokens move");
            count += moved.iter().flatten().count();
        }
        if is_over {
            assert_eq!(count, tokens);
            return tokens as f64 / began.elapsed().as_secs_f64();
        }
    }
}

fn hop(root: &Path, tokens: usize, lanes: usize) -> f64 {
    fill(&StageFolder::new(root, "01_before"), tokens);
    let to = || Parameter::text("to", "", &[]).required();
    let pass = Step::new("pass-token", 1, "Gives the token.").takes::<StageToken>("token");
    let pass = pass.gives::<StageToken>("token").parameter(to()).runs_each(|token: StageToken, _| Ok(token));
    let table = StepTable::built_in().with(pass);
    let dataflow = Dataflow::parse("hop.yaml", ROW, &table).expect("the dataflow is sound");
    let row = StageRow::of(&dataflow, root, &table).expect("it is a row");
    let lanes = NonZero::new(lanes).expect("lanes");
    let sizes = RowSizes { workers: None, lanes, free_bytes_min: 0 };
    let run = RowRun::new(&row, &row.stages, sizes, Arc::new(UnobservedAdmission)).expect("the row runs");
    let upkeep = RowUpkeep {
        row: row.clone(),
        works: run.works.clone(),
        chooser: None,
        options: UpkeepOptions { end: RowEnd::Empty, lapse: Duration::from_secs(30) },
        stop: Arc::clone(run.stop()),
        tell: Arc::new(|text| println!("{text}")),
    };
    let (began, behind) = (Instant::now(), row.last());
    let mut took = None;
    run.run(upkeep, |over| {
        // The end of the row is found a little later than it is there.
        while !over.wait(Duration::from_millis(20)) {
            let has_all = run.works[0].counts().done as usize == tokens;
            took = took.or(has_all.then(|| began.elapsed()));
        }
    })
    .expect("the row ends");
    let count = fs::read_dir(behind.waiting()).expect("the last directory").count();
    assert_eq!(count, tokens);
    tokens as f64 / took.unwrap_or_else(|| began.elapsed()).as_secs_f64()
}

/// The median of some claims, the first ones included.
fn claim(root: &Path, size: usize) -> Duration {
    let stage = StageFolder::new(root, "01_before");
    fill(&stage, size);
    let place = WorkPlace::new(&stage).expect("a place");
    let mut claims = TokenClaims::new(&stage, place.owner());
    let began = Instant::now();
    let count = size.min(5_000);
    for _ in 0..count {
        assert!(matches!(claims.next(&place).expect("a claim"), ClaimOutcome::Token(_)));
    }
    began.elapsed() / u32::try_from(count).expect("a small number")
}

fn backlog() {
    let began = Instant::now();
    let mut backlog = BookBacklog::default();
    for (number, barcode) in barcodes(BOOKS).enumerate() {
        backlog.add(BookSet::Available, &barcode);
        match number {
            _ if number < BOOKS * 6 / 10 => {
                backlog.add(BookSet::Converted, &barcode);
                backlog.add(BookSet::Stored, &barcode);
            }
            _ if number < BOOKS * 6 / 10 + IN_FLIGHT => backlog.add(BookSet::InFlight, &barcode),
            _ => {}
        }
    }
    backlog.settle();
    let first = began.elapsed();
    assert_eq!(backlog.count(BacklogClass::Backlog), BOOKS * 4 / 10 - IN_FLIGHT);
    let mut changes: Vec<Duration> = barcodes(BOOKS)
        .skip(BOOKS - 10_000)
        .map(|barcode| {
            let began = Instant::now();
            backlog.add(BookSet::InFlight, &barcode);
            backlog.settle();
            std::hint::black_box(backlog.count(BacklogClass::Backlog));
            began.elapsed()
        })
        .collect();
    changes.sort_unstable();
    let at = |share: f64| changes[(changes.len() as f64 * share) as usize];
    println!("\n{BOOKS} books, {IN_FLIGHT} in flight: first count {first:.2?}");
    println!("one change seen: half within {:.0?}, 99 of 100 within {:.0?}", at(0.5), at(0.99));
}
