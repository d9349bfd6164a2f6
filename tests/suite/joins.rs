//! Joins of two streams by key.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use flow::dataflow::{Dataflow, Response, ResponseVerdict};
use flow::step::{
    Fault, Item, JoinRule, Payload, Request, ResponseFile, ResponseFiles, Step, StepOutputs, StepTable,
    UnmatchedItem,
};

#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct Word(String);

impl Payload for Word {
    const TYPE: &'static str = "word";

    fn bytes_in_memory(&self) -> usize {
        self.0.len()
    }
}

/// The events of making items, in their order.
type Made = Arc<Mutex<Vec<String>>>;

/// A step that makes words, and notes each.
fn words(name: &'static str, words: &'static str, made: &Made) -> Step {
    let made = Arc::clone(made);
    Step::new(name, 1, "Makes words.").takes::<Request>("request").gives_many::<Word>("words").runs_many(
        move |_| {
            let made = Arc::clone(&made);
            Ok(words.split(' ').map(move |word| {
                made.lock().unwrap().push(word.to_owned());
                Ok::<_, Fault>(Word(word.to_owned()))
            }))
        },
    )
}

/// Joins by the first letter; `?` has no key and `!` is a fault.
fn join(unmatched: UnmatchedItem, right_bytes_max: usize) -> Step {
    let key = |word: &Word| match word.0.chars().next() {
        Some('?') | None => Ok(None),
        Some('!') => Err(Fault::new("no key", "Correct the word.")),
        Some(letter) => Ok(Some(letter)),
    };
    Step::new("join", 1, "Joins.")
        .takes::<Word>("left")
        .takes::<Word>("right")
        .gives_many::<Word>("words")
        .joins(
            move |word: &Word, _| key(word),
            move |word: &Word, _| key(word),
            |left: &Word, right: Option<&Word>, _| {
                Ok(Word(format!("{}-{}", left.0, right.map_or("", |right| &right.0))))
            },
            move |_| JoinRule { unmatched, right_bytes_max },
        )
}

fn table(join: Step, left: &'static str, right: &'static str, made: &Made) -> StepTable {
    let write = Step::new("write", 1, "Writes.").takes_each::<Word>("all").gives::<ResponseFiles>("files");
    let write = write.runs(|call| {
        let all: Vec<String> = call.each::<Word>("all").iter().map(|word| word.0.clone()).collect();
        let file = ResponseFile::new("all.txt", "text/plain", all.join(" ").into_bytes());
        Ok(StepOutputs::one("files", ResponseFiles(vec![file])))
    });
    let pass = Step::new("pass", 1, "Passes on.").takes::<Word>("word").gives::<Word>("word");
    let pass = pass.runs_each(|word: Word, _| Ok(word));
    let way = Step::new("way", 1, "Chooses.").takes::<Word>("word");
    let way = way.gives_many::<Word>("long").gives_many::<Word>("short");
    let way = way.routes(|word: &Word, _| Ok(usize::from(word.0.len() < 3)));
    let steps = [words("left", left, made), words("right", right, made), write, pass, way, join];
    steps.into_iter().fold(StepTable::default(), StepTable::with)
}

const TEXT: &str = "dataflow: joined
steps:
  ls: {step: left, needs: {request: request}}
  rs: {step: right, needs: {request: request}}
  both: {step: join, needs: {left: ls, right: rs}}
  file: {step: write, needs: {all: both}}
response: [file]
";

fn request() -> Arc<Request> {
    Arc::new(Request::new("one", BTreeMap::new(), vec![Item::inline("item", *b"one")]))
}

fn answer(dataflow: &Dataflow) -> (Response, String) {
    let (response, files) = dataflow.interpret(&request());
    let text = files.iter().find(|file| file.name == "all.txt");
    (response, text.map(|file| String::from_utf8(file.bytes.to_vec()).unwrap()).unwrap_or_default())
}

fn joined(join: Step, left: &'static str, right: &'static str) -> (Response, String) {
    let made = Made::default();
    let text = format!("{TEXT}on_item_failure: complete with reservations\n");
    answer(&Dataflow::parse("joined.yaml", &text, &table(join, left, right, &made)).unwrap())
}

#[test]
fn items_with_the_same_key_meet_in_the_order_of_the_left_stream() {
    let (left, right) = ("b1 a1 c1 a2 ?", "a b a? ? d");
    let (response, text) = joined(join(UnmatchedItem::Drop, 1000), left, right);
    assert_eq!((response.verdict, text.as_str()), (ResponseVerdict::Complete, "b1-b a1-a a1-a? a2-a a2-a?"));
    let (_, text) = joined(join(UnmatchedItem::Keep, 1000), left, right);
    assert_eq!(text, "b1-b a1-a a1-a? c1- a2-a a2-a? ?-");
}

#[test]
fn an_item_without_a_key_it_should_have_is_a_fault_of_that_item() {
    let (response, text) = joined(join(UnmatchedItem::Drop, 1000), "a1 !2 a3", "a !");
    assert_eq!((response.verdict, text.as_str()), (ResponseVerdict::CompleteWithReservations, "a1-a a3-a"));
    let report = response.streams.iter().find(|report| report.step == "both").unwrap();
    assert_eq!((report.done, report.failed), (3, 2), "the items of both streams count");
}

#[test]
fn a_right_stream_that_does_not_fit_fails_the_step() {
    let (response, _) = joined(join(UnmatchedItem::Drop, 5), "a", "aa ab ac");
    assert_eq!(response.verdict, ResponseVerdict::Failed);
    let fault = response.faults().next().map(|(_, fault)| fault.reason.clone()).unwrap();
    assert!(fault.contains("at item 3"), "{fault}");
}

#[test]
fn no_step_behind_a_join_that_has_failed_sees_an_item() {
    let made = Made::default();
    let seen = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&seen);
    let count = Step::new("count", 1, "Counts.").takes::<Word>("word").gives::<Word>("word");
    let count = count.runs_each(move |word: Word, _| {
        *counted.lock().unwrap() += 1;
        Ok(word)
    });
    let text = "dataflow: joined
steps:
  ls: {step: left, needs: {request: request}}
  rs: {step: right, needs: {request: request}}
  both: {step: join, needs: {left: ls, right: rs}}
  counted: {step: count, needs: {word: both}}
  file: {step: write, needs: {all: counted}}
response: [file]
";
    let table = table(join(UnmatchedItem::Keep, 5), "a b c", "aa ab ac", &made).with(count);
    let dataflow = Dataflow::parse("joined.yaml", text, &table).unwrap();
    for (response, _) in
        [dataflow.interpret(&request()), dataflow.interpret_by(&request(), &mut |due| due.perform())]
    {
        assert_eq!(response.verdict, ResponseVerdict::Failed);
        assert_eq!(*seen.lock().unwrap(), 0);
    }
}

#[test]
fn the_right_stream_is_made_first_so_that_the_left_one_is_not_held() {
    let made = Made::default();
    let table = table(join(UnmatchedItem::Drop, 1000), "l1 l2", "r1 r2", &made);
    let dataflow = Dataflow::parse("joined.yaml", TEXT, &table).unwrap();
    answer(&dataflow);
    made.lock().unwrap().clear();
    // As the engine runs it.
    dataflow.interpret_by(&request(), &mut |due| due.perform());
    assert_eq!(made.lock().unwrap().as_slice(), ["r1", "r2", "l1", "l2"]);
}

#[test]
fn streams_of_one_step_can_be_joined_with_each_other() {
    let made = Made::default();
    let text = "dataflow: joined
steps:
  ls: {step: left, needs: {request: request}}
  ways: {step: way, needs: {word: ls}}
  passed: {step: pass, needs: {word: ways.short}}
  both: {step: join, needs: {left: ways.long, right: [passed, ways.short]}}
  file: {step: write, needs: {all: both}}
response: [file]
";
    let table = table(join(UnmatchedItem::Keep, 1000), "bbb a aaa b cc ccc", "", &made);
    let dataflow = Dataflow::parse("joined.yaml", text, &table).unwrap();
    let expected = "bbb-b bbb-b aaa-a aaa-a ccc-cc ccc-cc";
    assert_eq!(answer(&dataflow).1, expected);
    let (_, files) = dataflow.interpret_by(&request(), &mut |due| due.perform());
    assert_eq!(String::from_utf8(files[0].bytes.to_vec()).unwrap(), expected);
}

#[test]
fn what_cannot_be_joined_is_told() {
    let table = table(join(UnmatchedItem::Keep, 1000), "a", "b", &Made::default());
    let problems = |text: &str| Dataflow::parse("joined.yaml", text, &table).unwrap_err().to_string();
    let single = "dataflow: joined
steps:
  ls: {step: left, needs: {request: request}}
  one: {step: sum, needs: {all: ls}}
  both: {step: join, needs: {left: ls, right: one}}
  file: {step: write, needs: {all: both}}
response: [file]
";
    let sum = Step::new("sum", 1, "Adds.")
        .takes_each::<Word>("all")
        .gives::<Word>("sum")
        .folds(|_| Word(String::new()), |sum: &mut Word, word: Word| sum.0 += &word.0);
    let with_sum = table.clone().with(sum);
    let told = Dataflow::parse("joined.yaml", single, &with_sum).unwrap_err().to_string();
    assert!(
        told.contains("\"both\" joins two streams, at \"left\" and \"right\" and nowhere else"),
        "{told}"
    );
    let around = "dataflow: joined
steps:
  ls: {step: left, needs: {request: request}}
  rs: {step: right, needs: {request: request}}
  first: {step: pass, needs: {word: ls}, again: {word: ways.long, max: 2}}
  both: {step: join, needs: {left: first, right: rs}}
  ways: {step: way, needs: {word: both}}
  file: {step: write, needs: {all: ways.short}}
response: [file]
";
    let told = problems(around);
    assert!(told.contains("\"both\" joins streams and cannot be in the loop of \"first\""), "{told}");
}

#[test]
fn json_items_are_joined_by_fields() {
    let text = "dataflow: joined
steps:
  lines: {step: read-json-lines, needs: {request: request}}
  kinds: {step: route-json, needs: {item: lines}, with: {field: /kind, equals: [order]}}
  joined:
    step: join-json
    needs: {left: kinds.yes, right: kinds.no}
    with: {left_key: /customer, right_key: /id, into: customer_data}
  numbers: {step: pick-number, needs: {item: joined}, with: {field: /cents, group: /customer_data/city}}
  total: {step: total-json, needs: {numbers: numbers}}
  report: {step: write-total, needs: {total: total}}
response: [report]
";
    let lines = r#"{"kind": "order", "customer": 1, "cents": 10}
{"kind": "customer", "id": 1, "city": "Bern"}
{"kind": "customer", "id": 2, "city": "Rome"}
{"kind": "order", "customer": 2, "cents": 5}
{"kind": "order", "customer": 1, "cents": 7}
{"kind": "order", "customer": 3, "cents": 1}
"#;
    let dataflow = Dataflow::parse("joined.yaml", text, &StepTable::built_in()).unwrap();
    let item = Item::inline("lines.jsonl", lines.as_bytes());
    let (response, files) = dataflow.interpret(&Arc::new(Request::new("one", BTreeMap::new(), vec![item])));
    assert_eq!(response.verdict, ResponseVerdict::Complete, "{response:?}");
    let csv = files.iter().find(|file| file.name == "total.csv").unwrap();
    let csv = String::from_utf8(csv.bytes.to_vec()).unwrap();
    assert_eq!(csv, "group,count,sum\r\n\"Bern\",2,17\r\n\"Rome\",1,5\r\n");
}

/// A pair of which it is known how many there are at once.
#[derive(serde::Serialize, serde::Deserialize)]
struct Pair;

static PAIRS: AtomicUsize = AtomicUsize::new(0);
static PAIRS_MOST: AtomicUsize = AtomicUsize::new(0);

impl Pair {
    fn new() -> Pair {
        PAIRS_MOST.fetch_max(PAIRS.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        Pair
    }
}

impl Clone for Pair {
    fn clone(&self) -> Pair {
        Pair::new()
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        PAIRS.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Payload for Pair {
    const TYPE: &'static str = "pair";
}

const HELD_TEXT: &str = "dataflow: joined
steps:
  ls: {step: left, needs: {request: request}}
  ways: {step: way, needs: {word: ls}}
  both: {step: join, needs: {left: ways.long, right: ways.short}}
  file: {step: write, needs: {all: both}}
response: [file]
";

#[test]
fn what_is_made_of_one_key_goes_on_in_batches() {
    let pairs = Step::new("pairs", 1, "Joins.")
        .takes::<Word>("left")
        .takes::<Word>("right")
        .gives_many::<Pair>("pairs")
        .joins(
            |_: &Word, _| Ok(Some(1)),
            |_: &Word, _| Ok(Some(1)),
            |_: &Word, _: Option<&Word>, _| Ok(Pair::new()),
            |_| JoinRule { unmatched: UnmatchedItem::Drop, right_bytes_max: 1 << 20 },
        );
    let count = Step::new("count", 1, "Counts.").takes_each::<Pair>("all").gives::<Word>("sum");
    let count = count.folds(
        |_| Word("0".to_owned()),
        |sum: &mut Word, _: Pair| sum.0 = (sum.0.parse::<usize>().unwrap() + 1).to_string(),
    );
    let show = Step::new("show", 1, "Writes.").takes::<Word>("sum").gives::<ResponseFiles>("files");
    let show = show.runs(|call| {
        let bytes = call.input::<Word>("sum").0.clone().into_bytes();
        Ok(StepOutputs::one("files", ResponseFiles(vec![ResponseFile::new("all.txt", "text/plain", bytes)])))
    });
    let (left, right) = ("aaa ".repeat(150), "a ".repeat(300));
    let (left, right) = (left.trim_end(), right.trim_end());
    let mixed: &'static str = format!("{left} {right}").leak();
    for (text, left, right) in
        [(TEXT, &*left.to_owned().leak(), &*right.to_owned().leak()), (HELD_TEXT, mixed, "")]
    {
        let text = text.replace("step: join,", "step: pairs,").replace(
            "  file: {step: write, needs: {all: both}}",
            "  sum: {step: count, needs: {all: both}}
  file: {step: show, needs: {sum: sum}}",
        );
        let table = table(join(UnmatchedItem::Drop, 1), left, right, &Made::default());
        let table = [pairs.clone(), count.clone(), show.clone()].into_iter().fold(table, StepTable::with);
        let dataflow = Dataflow::parse("joined.yaml", &text, &table).unwrap();
        PAIRS_MOST.store(0, Ordering::SeqCst);
        let (_, files) = dataflow.interpret_by(&request(), &mut |due| due.perform());
        assert_eq!(&files[0].bytes[..], b"45000");
        let most = PAIRS_MOST.load(Ordering::SeqCst);
        assert!(most <= 1024, "{most} pairs are in memory at once");
        assert_eq!(answer(&dataflow).1, "45000");
    }
}

#[test]
fn left_items_wait_for_the_right_stream_up_to_the_bound() {
    let (made, left, right) = (Made::default(), "aaa bbb ccc aaa b", "a b");
    let table = table(join(UnmatchedItem::Drop, 6), left, right, &made);
    let held = Dataflow::parse("joined.yaml", HELD_TEXT, &table).unwrap();
    let apart = Dataflow::parse("joined.yaml", TEXT, &table).unwrap();
    for is_engine in [false, true] {
        let answer = |dataflow: &Dataflow| match is_engine {
            true => dataflow.interpret_by(&request(), &mut |due| due.perform()),
            false => dataflow.interpret(&request()),
        };
        let (response, _) = answer(&held);
        assert_eq!(response.verdict, ResponseVerdict::Failed);
        let fault = response.faults().next().map(|(_, fault)| fault.reason.clone()).unwrap();
        assert!(fault.contains("the left stream waits") && fault.contains("at item 3"), "{fault}");
        let (_, files) = answer(&apart);
        assert_eq!(&files[0].bytes[..], b"aaa-a bbb-b aaa-a b-b", "nothing waits");
    }
}
