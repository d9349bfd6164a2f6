//! Streams: counts, faults by item, the policy for failed items, and what is refused.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::{KeptResponses, no_journal, receipt};
use flow::dataflow::{Dataflow, Response, ResponseReservation, ResponseVerdict, StreamReport};
use flow::engine::{self, EngineSettings, NullObserver, RequestQueue};
use flow::step::{
    Call, Fault, Item, Outcome, OutcomeReason, Parameter, Payload, Request, ResponseFile, ResponseFiles,
    Step, StepOutputs, StepTable,
};

#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct Amount(u64);

impl Payload for Amount {
    const TYPE: &'static str = "amount";
}

fn count_in(call: &Call) -> u64 {
    call.number("count") as u64
}

fn table() -> StepTable {
    let count = || Parameter::number("count", 10.0, 0.0, 1e9, "");
    let list = Step::new("list", 1, "Lists amounts from 0.").takes::<Request>("request").parameter(count());
    let list = list.gives_many::<Amount>("amounts");
    let check = Step::new("check", 1, "Refuses each multiple of a number.").takes::<Amount>("amount");
    let check = check.parameter(Parameter::number("refused", 0.0, 0.0, 1e9, "")).gives::<Amount>("amount");
    let total = Step::new("total", 1, "Adds up.").takes_each::<Amount>("amounts").gives::<Amount>("total");
    let way = Step::new("way", 1, "Tells even from odd.").takes::<Amount>("amount");
    let way = way.gives_many::<Amount>("even").gives_many::<Amount>("odd");
    let halve = Step::new("halve", 1, "Halves.").takes::<Amount>("amount").gives::<Amount>("amount");
    let double = Step::new("double", 1, "Doubles.").takes::<Amount>("amount").gives::<Amount>("amount");
    let copies = Step::new("copies", 1, "Two of each.").takes::<Amount>("amount");
    let write = Step::new("write", 1, "Writes.").takes::<Amount>("amount").gives::<ResponseFiles>("files");
    let share = Step::new("share", 1, "Divides.").takes::<Amount>("amount").takes::<Amount>("total");
    let share = share.gives::<Amount>("share");
    StepTable::default()
        .with(way.routes(|amount: &Amount, _| Ok(usize::from(amount.0 % 2 == 1))))
        .with(halve.runs_each(|amount: Amount, _| Ok(Amount(amount.0 / 2))))
        .with(double.runs_each(|amount: Amount, _| Ok(Amount(amount.0 * 2))))
        .with(
            share.runs_each(|amount: Amount, call| {
                Ok(Amount(amount.0 * 100 / call.input::<Amount>("total").0))
            }),
        )
        .with(list.runs_many(|call| Ok((0..count_in(call)).map(|number| Ok::<_, Fault>(Amount(number))))))
        .with(check.runs_each(|amount: Amount, call| {
            let refused = call.number("refused") as u64;
            assert!(amount.0 != 1_000_003, "a million and three");
            match refused != 0 && amount.0.is_multiple_of(refused) {
                true => Err(Fault::new(format!("{} is refused", amount.0), "Give another.")),
                false => Ok(amount),
            }
        }))
        .with(copies.gives_many::<Amount>("amounts").runs_many(|call| {
            let amount = call.shared::<Amount>("amount");
            Ok((0..2).map(move |_| Ok::<_, Fault>(Amount(amount.0))))
        }))
        .with(total.folds(|_| Amount(0), |total: &mut Amount, amount: Amount| total.0 += amount.0))
        .with(write.runs(|call| {
            let text = call.input::<Amount>("amount").0.to_string().into_bytes();
            Ok(StepOutputs::one(
                "files",
                ResponseFiles(vec![ResponseFile::new("total.txt", "text/plain", text)]),
            ))
        }))
}

pub fn dataflow(steps: &str, rest: &str) -> Dataflow {
    let text = format!("dataflow: amounts\nsteps:\n{steps}response: [file]\n{rest}");
    Dataflow::parse("amounts.yaml", &text, &table()).unwrap_or_else(|problems| panic!("{problems}"))
}

fn request(name: &str) -> Request {
    Request::new(name, BTreeMap::new(), vec![Item::inline("item", name.as_bytes())])
}

/// The response of the engine, which is that of `interpret`, and its first file.
pub fn answer(dataflow: Dataflow) -> (Response, String) {
    let folder = tempfile::tempdir().unwrap();
    let one = NonZero::<usize>::MIN;
    let settings =
        EngineSettings { workers: one, lanes: one, memory: 1 << 30, mesh: None, ..EngineSettings::default() };
    let (kept, dataflow) = (KeptResponses::default(), Arc::new(dataflow));
    let source = |queue: &RequestQueue| queue.submit(receipt(request("one")));
    let observer = Arc::new(NullObserver);
    engine::run(Arc::clone(&dataflow), no_journal(folder.path()), settings, observer, source, &kept).unwrap();
    let (response, text) = kept.0.into_inner().unwrap().pop().unwrap();
    assert_eq!(dataflow.interpret(&Arc::new(request("one"))).0, response);
    (response, text)
}

const CHAIN: &str = "
  amounts: {step: list, needs: {request: request}, with: {count: 1000}}
  checked: {step: check, needs: {amount: amounts}, with: {refused: REFUSED}}
  sum: {step: total, needs: {amounts: checked}}
  file: {step: write, needs: {amount: sum}}
";

fn chain(refused: u64, rest: &str) -> (Response, String) {
    answer(dataflow(&CHAIN.replace("REFUSED", &refused.to_string()), rest))
}

fn counts(response: &Response) -> Vec<(&str, u64, u64, u64)> {
    let counts = |one: &StreamReport| (one.done, one.failed, one.skipped);
    let named = response.streams.iter().map(|one| (one.step.as_str(), counts(one)));
    named.map(|(step, (done, failed, skipped))| (step, done, failed, skipped)).collect()
}

#[test]
fn a_stream_is_made_passed_on_and_added_up() {
    let (response, text) = chain(0, "");
    assert_eq!((response.verdict, text.as_str()), (ResponseVerdict::Complete, "499500"));
    assert_eq!(counts(&response), [("amounts", 1000, 0, 0), ("checked", 1000, 0, 0), ("sum", 1000, 0, 0)]);
    let names: Vec<&str> = response.steps.iter().map(|report| &*report.step).collect();
    assert_eq!(names, ["amounts", "checked", "sum", "file"]);
}

#[test]
fn a_stream_without_items_is_added_up_too() {
    let steps = CHAIN.replace("REFUSED", "0").replace("1000", "0");
    let (response, text) = answer(dataflow(&steps, ""));
    assert_eq!((response.verdict, text.as_str()), (ResponseVerdict::Complete, "0"));
}

#[test]
fn a_failed_item_fails_its_step_unless_the_dataflow_says_otherwise() {
    let (response, _) = chain(400, "");
    assert_eq!(response.verdict, ResponseVerdict::Failed);
    let (report, fault) = response.faults().next().unwrap();
    assert_eq!(&*report.step, "checked");
    assert_eq!(fault.reason, "3 of 1000 items failed, the first is item 1: 0 is refused");
    let because = OutcomeReason::NeedFailed { step: "checked".to_owned() };
    let skipped = Outcome::Skipped { because };
    let after: Vec<&Outcome> = response.steps[2..].iter().map(|report| &report.outcome).collect();
    assert_eq!(after, [&skipped, &skipped], "no total is made of a part");
    let named: Vec<&str> = response.streams[1].faults.iter().map(|fault| fault.item.as_str()).collect();
    assert_eq!(named, ["1", "401", "801"]);
}

#[test]
fn enough_items_make_a_result_that_says_what_is_missing() {
    let partial = "on_item_failure: partial above 99 %\n";
    let (response, text) = chain(100, partial);
    assert_eq!((response.verdict, text.as_str()), (ResponseVerdict::CompleteWithReservations, "495000"));
    assert_eq!(counts(&response), [("amounts", 1000, 0, 0), ("checked", 990, 10, 0), ("sum", 990, 0, 10)]);
    let said: Vec<(&str, &str, &str)> = response
        .reservations
        .iter()
        .map(|one| (one.step.as_str(), one.code.as_str(), one.text.as_str()))
        .collect();
    let text = "10 of 1000 items failed, the first is item 1: 0 is refused; the results are without them";
    assert_eq!(said, [("checked", "items_failed", text)]);

    let (response, _) = chain(99, partial);
    assert_eq!(response.verdict, ResponseVerdict::Failed, "989 of 1000 are too few");
    let (_, fault) = response.faults().next().unwrap();
    assert!(
        fault.reason.ends_with("989 of 1000 items are done, and the dataflow says \"partial above 99 %\"")
    );
}

#[test]
fn with_reservations_all_items_may_fail() {
    let (response, text) = chain(1, "on_item_failure: complete with reservations\n");
    assert_eq!((response.verdict, text.as_str()), (ResponseVerdict::CompleteWithReservations, "0"));
    assert_eq!(response.streams[1].faults.len(), 20, "the others are counted");
    assert_eq!(response.streams[1].failed, 1000);
}

#[test]
fn what_failed_on_the_way_counts_for_the_steps_behind() {
    let steps = "
  amounts: {step: list, needs: {request: request}, with: {count: 1000}}
  first: {step: check, needs: {amount: amounts}, with: {refused: 250}}
  second: {step: check, needs: {amount: first}, with: {refused: 251}}
  twice: {step: copies, needs: {amount: second}}
  sum: {step: total, needs: {amounts: twice}}
  file: {step: write, needs: {amount: sum}}
";
    let (response, _) = answer(dataflow(steps, "on_item_failure: partial above 99 %\n"));
    let expected = [
        ("amounts", 1000, 0, 0),
        ("first", 996, 4, 0),
        ("second", 993, 3, 4),
        ("twice", 993, 0, 7),
        ("sum", 1986, 0, 0),
    ];
    assert_eq!(counts(&response), expected);
    assert_eq!(response.verdict, ResponseVerdict::CompleteWithReservations);
    let (response, _) = answer(dataflow(steps, "on_item_failure: partial above 99.5 %\n"));
    let failed: Vec<&str> = response.faults().map(|(report, _)| &*report.step).collect();
    assert_eq!(failed, ["second"], "each step lost less than one half percent by itself");
}

#[test]
fn a_panic_is_the_fault_of_its_item() {
    let steps = CHAIN.replace("REFUSED", "0").replace("1000", "1000010");
    let (response, text) = answer(dataflow(&steps, "on_item_failure: partial above 99 %\n"));
    assert_eq!(counts(&response)[1..], [("checked", 1_000_009, 1, 0), ("sum", 1_000_009, 0, 1)]);
    let all: u64 = (0..1_000_010).sum();
    assert_eq!(text, (all - 1_000_003).to_string());
    let fault = &response.streams[1].faults[0];
    assert_eq!((fault.item.as_str(), fault.fault.kind.name()), ("1000004", "broken"));
}

#[test]
fn items_are_made_only_as_fast_as_they_are_taken() {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    static AHEAD_MAX: AtomicUsize = AtomicUsize::new(0);
    let list = Step::new("list", 1, "Lists.").takes::<Request>("request").gives_many::<Amount>("amounts");
    let list = list.runs_many(|_| {
        MADE.store(0, Ordering::SeqCst);
        Ok((0..100_000).map(|number| {
            MADE.fetch_add(1, Ordering::SeqCst);
            Ok::<_, Fault>(Amount(number))
        }))
    });
    let take = Step::new("take", 1, "Takes.").takes::<Amount>("amount").gives::<Amount>("amount");
    let take = take.runs_each(|amount: Amount, _| {
        AHEAD_MAX.fetch_max(MADE.load(Ordering::SeqCst) - amount.0 as usize, Ordering::SeqCst);
        Ok(amount)
    });
    let step = |name: &str| table().get(name).unwrap().clone();
    let table = StepTable::default().with(list).with(take).with(step("total")).with(step("write"));
    let text = "
dataflow: lazy
steps:
  amounts: {step: list, needs: {request: request}}
  taken: {step: take, needs: {amount: amounts}}
  sum: {step: total, needs: {amounts: taken}}
  file: {step: write, needs: {amount: sum}}
response: [file]
";
    let dataflow = Arc::new(Dataflow::parse("lazy.yaml", text, &table).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let kept = KeptResponses::default();
    let source = |queue: &RequestQueue| queue.submit(receipt(request("one")));
    let settings = EngineSettings { lanes: NonZero::<usize>::MIN, ..EngineSettings::default() };
    engine::run(dataflow, no_journal(folder.path()), settings, Arc::new(NullObserver), source, &kept)
        .unwrap();
    assert_eq!(kept.0.into_inner().unwrap()[0].0.verdict, ResponseVerdict::Complete);
    assert!(AHEAD_MAX.load(Ordering::SeqCst) <= 1024, "at most one batch is made ahead");
}

#[test]
fn a_drawing_has_every_step_of_a_stream() {
    let dataflow = dataflow(&CHAIN.replace("REFUSED", "0"), "on_item_failure: partial above 99 %\n");
    assert_eq!(dataflow.step_count(), 4);
    let drawing = dataflow.drawing();
    let words = ["when items failed: partial above 99 %", "makes a stream", "for every item of the stream"];
    assert!(words.iter().all(|words| drawing.contains(words)), "{drawing}");
    assert!(drawing.contains("(all amount) → amount"), "{drawing}");
}

#[test]
fn items_go_round_until_they_leave_and_ways_meet_again() {
    // Halved until it is odd: what comes of each number is its largest odd part, in the order of the numbers.
    let steps = "
  amounts: {step: list, needs: {request: request}, with: {count: 1000}}
  parted: {step: way, needs: {amount: amounts}}
  half: {step: halve, needs: {amount: parted.even}, again: {amount: again.even, max: MAX}}
  again: {step: way, needs: {amount: half}}
  sum: {step: total, needs: {amounts: [again.odd, parted.odd]}}
  file: {step: write, needs: {amount: sum}}
";
    let partial = "on_item_failure: partial above 99 %\n";
    let odd = |number: u64| number >> number.trailing_zeros();
    let (response, text) = answer(dataflow(&steps.replace("MAX", "9"), partial));
    // Zero stays even and goes round too often.
    assert_eq!(response.verdict, ResponseVerdict::CompleteWithReservations);
    assert_eq!(text, (1..1000).map(odd).sum::<u64>().to_string());
    let half = response.streams.iter().find(|one| one.step == "half").unwrap();
    let reason = "it has come back 9 times and would come back once more";
    assert_eq!((half.failed, half.faults[0].item.as_str()), (1, "1"));
    assert_eq!(half.faults[0].fault.reason, reason);
    let names: Vec<&str> = response.steps.iter().map(|report| &*report.step).collect();
    assert_eq!(names, ["amounts", "parted", "half", "again", "sum", "file"], "a loop is no more steps");

    let (response, _) = answer(dataflow(&steps.replace("MAX", "1"), partial));
    assert_eq!(response.verdict, ResponseVerdict::Failed, "an eighth of all go round more than once");
}

#[test]
fn a_step_that_items_reach_in_a_later_round_is_judged_by_these() {
    let steps = "
  amounts: {step: list, needs: {request: request}, with: {count: 1000}}
  twofold: {step: double, needs: {amount: amounts}}
  fourfold: {step: double, needs: {amount: twofold}}
  half: {step: halve, needs: {amount: fourfold}, again: {amount: ready.even, max: 12}}
  kind: {step: way, needs: {amount: half}}
  checked: {step: check, needs: {amount: kind.odd}, with: {refused: 999}}
  ready: {step: way, needs: {amount: [kind.even, checked]}}
  sum: {step: total, needs: {amounts: ready.odd}}
  file: {step: write, needs: {amount: sum}}
";
    let (response, _) = answer(dataflow(steps, "on_item_failure: partial above 99 %\n"));
    assert_eq!(response.verdict, ResponseVerdict::CompleteWithReservations, "{response:?}");
    let checked = response.streams.iter().find(|one| one.step == "checked").unwrap();
    assert_eq!((checked.done, checked.failed), (998, 1), "one of 500 in the second round");
}

/// Ways that meet, and the sum of what comes on them.
const MEETING: &str = "
  amounts: {step: list, needs: {request: request}, with: {count: 1000}}
  checked: {step: check, needs: {amount: FIRST}CHECKED}
  half: {step: halve, needs: {amount: SECOND}HALF}
  sum: {step: total, needs: {amounts: [checked, half]}}
  file: {step: write, needs: {amount: sum}}
";
const OFF: &str = ", enabled: false";

fn meeting(first: &str, second: &str, checked: &str, half: &str) -> (Response, String) {
    let steps = MEETING.replace("FIRST", first).replace("SECOND", second);
    answer(dataflow(&steps.replace("CHECKED", checked).replace("HALF", half), ""))
}

#[test]
fn where_a_way_is_off_the_items_of_the_others_go_on() {
    let both = meeting("amounts", "amounts", "", "");
    assert_eq!(both.1, (499_500 + 249_500).to_string());
    for (checked, half, sum) in [("", OFF, 499_500), (OFF, "", 249_500)] {
        let (response, text) = meeting("amounts", "amounts", checked, half);
        assert_eq!((response.verdict, text), (ResponseVerdict::Complete, sum.to_string()));
        assert_eq!(response.reservations, [], "no item went another way");
    }
}

/// The response with ways that part at a route, of which that of the even amounts is off, with what it says about them.
fn parted(even: &str, half: &str, more: &str) -> (Response, String, Vec<(String, String)>) {
    let route = format!("\n  parted: {{step: way, needs: {{amount: amounts}}}}{more}\n  checked:");
    let steps = MEETING.replace("\n  checked:", &route).replace("FIRST", "parted.odd");
    let steps = steps.replace("SECOND", even).replace("CHECKED", "").replace("HALF", OFF);
    let (response, text) = answer(dataflow(&steps.replace("checked, half", half), ""));
    let said = |one: &ResponseReservation| {
        assert_eq!(one.code, "way_off");
        (one.step.to_string(), one.text.clone())
    };
    let said = response.reservations.iter().map(said).collect();
    (response, text, said)
}

/// What a response says about amounts that do not come to the sum.
fn lacks(step: &str, output: &str, items: u64) -> Vec<(String, String)> {
    let text = format!(
        "items of \"{output}\" that do not come to \"sum\" by way of \"half\", which does not run: {items}; the results are \
         without them"
    );
    vec![(step.to_owned(), text)]
}

#[test]
fn items_that_do_not_come_where_ways_meet_are_counted_in_the_response() {
    let prepared = "\n  prepared: {step: check, needs: {amount: parted.even}}";
    let audit = "\n  audit: {step: total, needs: {amounts: parted.even}}";
    let again = "\n  again: {step: way, needs: {amount: parted.even}}";
    let both = format!("{prepared}{audit}");
    let ways =
        [("parted.even", ""), ("prepared", prepared), ("parted.even", audit), ("prepared", both.as_str())];
    for (even, more) in ways {
        let (response, text, said) = parted(even, "checked, half", more);
        assert_eq!((response.verdict, text.as_str()), (ResponseVerdict::CompleteWithReservations, "250000"));
        assert_eq!(said, lacks("parted", "even", 500), "behind {more:?}");
    }
    let (_, _, said) = parted("again.even", "checked, half", again);
    assert_eq!(said, lacks("again", "even", 500), "the last route counts them, and no other");
    let others = "\n  others: {step: list, needs: {request: request}, with: {count: 7}}";
    let (_, _, said) = parted("others", "checked, half", others);
    assert_eq!(said, lacks("others", "amounts", 7));
}

#[test]
fn a_way_that_is_off_has_no_reservation_where_it_ends_or_another_has_all_its_items() {
    let prepared = "\n  prepared: {step: check, needs: {amount: parted.even}}";
    let (response, text, _) = parted("prepared", "checked", prepared);
    assert_eq!((response.verdict, text.as_str()), (ResponseVerdict::Complete, "250000"), "it ends there");
    let (response, text, _) = parted("parted.even", "checked, prepared, half", prepared);
    assert_eq!((response.verdict, text.as_str()), (ResponseVerdict::Complete, "499500"));
    let again = "\n  again: {step: way, needs: {amount: parted.even}}";
    let (response, text, _) = parted("parted.even", "checked, again.even, again.odd, half", again);
    assert_eq!((response.verdict, text.as_str()), (ResponseVerdict::Complete, "499500"), "by both its ways");
    let (_, _, said) = parted("parted.even", "checked, again.odd, half", again);
    assert_eq!(said, lacks("again", "even", 500), "by one of them, and the route counts the others");
}

#[test]
fn a_step_at_which_ways_meet_is_skipped_if_all_are_off_or_one_has_failed() {
    let (response, _) = meeting("amounts", "amounts", OFF, OFF);
    let skipped = |because| Outcome::Skipped { because };
    let sum = |response: &Response| response.steps[3].outcome.clone();
    assert_eq!(sum(&response), skipped(OutcomeReason::NeedSkipped { step: "checked".to_owned() }));
    let (response, _) = meeting("amounts", "amounts", ", with: {refused: 400}", OFF);
    assert_eq!(response.verdict, ResponseVerdict::Failed);
    assert_eq!(sum(&response), skipped(OutcomeReason::NeedFailed { step: "checked".to_owned() }));
}

/// The problems of a dataflow with these steps.
fn problems(steps: &str, rest: &str) -> Vec<String> {
    let text = format!("dataflow: amounts\nsteps:\n{steps}response: [file]\n{rest}");
    let problems = Dataflow::parse("amounts.yaml", &text, &table()).unwrap_err();
    problems.iter().map(|problem| problem.message.clone()).collect()
}

#[test]
fn what_a_stream_cannot_do_is_said_before_it_runs() {
    let plain = CHAIN.replace("REFUSED", "0");
    let with = |key: &str| plain.replace("with: {refused: 0}", key);
    let cases = [
        (with("retry: {count: 2}"), "\"checked\" works on a stream and cannot have \"retry\""),
        (with("timeout: 1 s"), "\"checked\" works on a stream and cannot have \"timeout\""),
        (
            with("batch: {size: 10}"),
            "\"checked\" does not take a stream in batches, so that \"batch\" says nothing",
        ),
        (
            plain.replace("amount: sum", "amount: checked"),
            "\"file\" gives files for every item of a stream, and the response has them once",
        ),
        (
            format!("{plain}  shares: {{step: share, needs: {{amount: checked, total: sum}}}}\n"),
            "\"shares\" needs \"sum\", which is known only when its own stream has ended",
        ),
        (
            with("again: {amount: amounts, max: 3}"),
            "what \"amounts\" gives does not come from \"checked\", so that nothing goes round",
        ),
        (with("again: {max: 3}"), "\"again\" of the step \"checked\" names one input and \"max\""),
        (
            plain.replace("amounts: checked", "amounts: [checked, first]")
                + "  first: {step: total, needs: {amounts: amounts}}\n",
            "\"first\" gives one value, and streams meet in a list",
        ),
        (
            format!("{plain}  both: {{step: share, needs: {{amount: amounts, total: checked}}}}\n"),
            "\"both\" takes the items of one stream and needs another",
        ),
    ];
    for (steps, expected) in cases {
        assert_eq!(problems(&steps, ""), [expected]);
    }
    let expected =
        "\"on_item_failure\" is fail, partial above 95 % or complete with reservations, not \"ignore\"";
    assert_eq!(problems(&plain, "on_item_failure: ignore\n"), [expected]);
}
