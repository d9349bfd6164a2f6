//! Calls of a stream: again where that may help, in halves where one item is at fault, several at once, in order.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use flow::dataflow::{Dataflow, Response, ResponseVerdict, StreamReport};
use flow::engine::{self, EngineSettings, NullObserver, PendingDelivery, RequestQueue, ResponseSink};
use flow::step::{
    CallFault, Fault, Item, Payload, Request, ResponseFile, ResponseFiles, Step, StepOutputs, StepTable,
};

use crate::support::{KeptResponses, no_journal, receipt};

const LONG: Duration = Duration::from_secs(60);

#[derive(Clone, serde::Deserialize)]
struct Question(u64);

/// A question that cannot be written.
const FORMLESS: u64 = u64::MAX;

impl serde::Serialize for Question {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert_ne!(self.0, FORMLESS, "it has no form");
        serializer.serialize_newtype_struct("Question", &self.0)
    }
}

impl Payload for Question {
    const TYPE: &'static str = "question";
}

/// Steps that list questions and write them, and the one that asks.
fn table(ask: Step) -> StepTable {
    let list = Step::new("list", 1, "Lists 1000 questions.").takes::<Request>("request");
    let write =
        Step::new("write", 1, "Writes.").takes_each::<Question>("all").gives::<ResponseFiles>("files");
    StepTable::default()
        .with(
            list.gives_many::<Question>("questions")
                .runs_many(|_| Ok((0..1000).map(|number| Ok::<_, Fault>(Question(number))))),
        )
        .with(write.runs(|call| {
            let all: Vec<String> = call.each::<Question>("all").iter().map(|one| one.0.to_string()).collect();
            let file = ResponseFile::new("all.txt", "text/plain", all.join(" ").into_bytes());
            Ok(StepOutputs::one("files", ResponseFiles(vec![file])))
        }))
        .with(ask)
}

fn ask() -> Step {
    Step::new("ask", 1, "Asks.").takes::<Question>("question").gives::<Question>("answer")
}

fn asked(ask: Step, keys: &str, rest: &str) -> Dataflow {
    let text = format!(
        "dataflow: asked\nsteps:\n  questions: {{step: list, needs: {{request: request}}}}\n  \
         answers:\n    step: ask\n    needs: {{question: questions}}\n{keys}  \
         file: {{step: write, needs: {{all: answers}}}}\nresponse: [file]\n{rest}"
    );
    let dataflow = Dataflow::parse("asked.yaml", &text, &table(ask));
    dataflow.unwrap_or_else(|problems| panic!("{problems}"))
}

fn answer(ask: Step, keys: &str, rest: &str) -> (Response, String) {
    run(asked(ask, keys, rest))
}

fn run(dataflow: Dataflow) -> (Response, String) {
    let folder = tempfile::tempdir().unwrap();
    let settings = EngineSettings { lanes: NonZero::<usize>::MIN, ..EngineSettings::default() };
    let kept = KeptResponses::default();
    let request = Request::new("one", BTreeMap::new(), vec![Item::inline("item", *b"one")]);
    let source = |queue: &RequestQueue| queue.submit(receipt(request.clone()));
    let observer = Arc::new(NullObserver);
    engine::run(Arc::new(dataflow), no_journal(folder.path()), settings, observer, source, &kept).unwrap();
    kept.0.into_inner().unwrap().pop().unwrap()
}

fn report(response: &Response) -> &StreamReport {
    response.streams.iter().find(|one| one.step == "answers").unwrap()
}

fn all_in_order() -> String {
    (0..1000).map(|number: u64| number.to_string()).collect::<Vec<String>>().join(" ")
}

#[test]
fn several_calls_are_under_way_at_once_and_answers_keep_their_order() {
    // No call is answered before two were under way at once, and the first batch only when four have begun: neither
    // would come to pass if calls were made one after the other.
    let begun = (Mutex::new(0), Condvar::new());
    let now = AtomicUsize::new(0);
    let seen = Arc::new(AtomicUsize::new(0));
    let most = Arc::clone(&seen);
    let ask = ask().calls(move |questions: Vec<Question>, _, _| {
        let mut count = begun.0.lock().unwrap();
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        *count += 1;
        begun.1.notify_all();
        let least = if questions[0].0 == 0 { 4 } else { 2 };
        let alone = |count: &mut i32| *count < least || most.load(Ordering::SeqCst) < 2;
        let (count, waited) = begun.1.wait_timeout_while(count, LONG, alone).unwrap();
        assert!(!waited.timed_out());
        now.fetch_sub(1, Ordering::SeqCst);
        drop(count);
        Ok(questions.into_iter().map(Ok).collect())
    });
    let (response, text) = answer(ask, "    batch: {size: 50}\n    limits: {max: 3}\n", "");
    assert_eq!(response.verdict, ResponseVerdict::Complete, "{response:?}");
    assert_eq!(text, all_in_order());
    assert!((2..=3).contains(&seen.load(Ordering::SeqCst)));
}

#[test]
fn what_may_pass_is_asked_again_and_items_without_an_answer_alone() {
    let asked: Mutex<BTreeMap<u64, u32>> = Mutex::default();
    let ask = ask().calls(move |questions: Vec<Question>, _, _| {
        let mut asked = asked.lock().unwrap();
        let first = asked.entry(1_000_000 + questions[0].0).or_default();
        *first += 1;
        if *first == 1 && questions[0].0 == 300 {
            return Err(Fault::transient("busy", "Wait.").into());
        }
        let answer = |question: Question| {
            let times = asked.entry(question.0).or_default();
            *times += 1;
            match question.0 % 250 == 7 && *times < 3 {
                true => Err(Fault::transient("later", "Ask again.")),
                false => Ok(question),
            }
        };
        Ok(questions.into_iter().map(answer).collect())
    });
    let keys = "    batch: {size: 100}\n    retry: {count: 2, first_delay: 1 ms}\n";
    let (response, text) = answer(ask, keys, "");
    assert_eq!((response.verdict, text), (ResponseVerdict::Complete, all_in_order()));
    // One batch of 100 once, four items twice.
    assert_eq!((report(&response).done, report(&response).retried), (1000, 100 + 4 * 2));
}

#[test]
fn one_item_at_fault_does_not_fail_those_that_share_its_batch() {
    let ask = ask().calls(|questions: Vec<Question>, _, _| {
        if questions.iter().any(|question| question.0 == 123) {
            return Err(Fault::new("123 is refused", "Ask something else.").into());
        }
        assert!(questions.iter().all(|question| question.0 != 456), "456 is too much");
        Ok(questions.into_iter().map(Ok).collect())
    });
    let (response, text) = answer(ask, "", "on_item_failure: partial above 99 %\n");
    assert_eq!(response.verdict, ResponseVerdict::CompleteWithReservations);
    let without = all_in_order().replace(" 123", "").replace(" 456", "");
    assert_eq!(text, without);
    let report = report(&response);
    let faults: Vec<(&str, &str)> =
        report.faults.iter().map(|fault| (fault.item.as_str(), fault.fault.kind.name())).collect();
    assert_eq!(((report.done, report.failed), faults), ((998, 2), vec![("124", "data"), ("457", "broken")]));
}

#[test]
fn a_service_that_asks_for_too_long_a_wait_is_not_waited_for() {
    for seconds in [3_601, 99_999_999_999, u64::MAX] {
        let ask = ask().calls(move |_: Vec<Question>, _, _| {
            let busy = Fault::transient("busy", "Wait.");
            Err::<Vec<Result<Question, Fault>>, _>(CallFault::busy(busy, Some(Duration::from_secs(seconds))))
        });
        let response = answer(ask, "    retry: {count: 3}\n", "").0;
        let fault = response.faults().next().unwrap().1;
        assert!(fault.reason.contains(&format!("a wait of {seconds} s")), "{fault}");
    }
}

#[test]
fn attempts_that_called_nobody_do_not_count() {
    let held_back = || Fault { held_back: true, ..Fault::transient("left alone", "Wait.") };
    let attempts = AtomicUsize::new(0);
    let each = ask().calls(move |questions: Vec<Question>, _, _| {
        match attempts.fetch_add(1, Ordering::SeqCst) % 10 {
            9 => Ok(questions.into_iter().map(Ok).collect()),
            _ => Err(held_back().into()),
        }
    });
    let keys = "    batch: {size: 1000}\n    retry: {count: 1, first_delay: 1 ms}\n";
    assert_eq!(answer(each, keys, "").0.verdict, ResponseVerdict::Complete);

    let attempts = AtomicUsize::new(0);
    let single = ask().calls(move |questions: Vec<Question>, _, _| {
        match attempts.fetch_add(1, Ordering::SeqCst) % 10 {
            9 => Ok(questions.into_iter().map(Ok).collect()),
            _ => Err(held_back().into()),
        }
    });
    let one = Step::new("one", 1, "Gives a question.").takes::<Request>("request");
    let one = one.gives::<Question>("question").runs(|_| Ok(StepOutputs::one("question", Question(1))));
    let text = "
dataflow: asked
steps:
  question: {step: one, needs: {request: request}}
  answer: {step: ask, needs: {question: question}, retry: {count: 1, first_delay: 1 ms}}
  file: {step: write-one, needs: {answer: answer}}
response: [file]
";
    let write = Step::new("write-one", 1, "Writes.").takes::<Question>("answer");
    let write = write.gives::<ResponseFiles>("files").runs(|call| {
        let text = call.shared::<Question>("answer").0.to_string();
        let file = ResponseFile::new("all.txt", "text/plain", text.into_bytes());
        Ok(StepOutputs::one("files", ResponseFiles(vec![file])))
    });
    let dataflow = Dataflow::parse("asked.yaml", text, &table(single).with(one).with(write));
    let response = run(dataflow.unwrap_or_else(|problems| panic!("{problems}")));
    assert_eq!(
        (response.0.verdict, response.1.as_str()),
        (ResponseVerdict::Complete, "1"),
        "{:?}",
        response.0
    );
}

#[test]
fn patience_with_a_service_that_is_left_alone_does_not_grow_with_the_batches() {
    let held_back = || Fault { held_back: true, ..Fault::transient("left alone", "Wait.") };
    let ask_until = |comes_back: usize| {
        let attempts = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&attempts);
        let ask = ask().calls(move |questions: Vec<Question>, _, _| {
            if counted.fetch_add(1, Ordering::SeqCst) + 1 >= comes_back {
                return Ok(questions.into_iter().map(Ok).collect());
            }
            let retry_after = Some(Duration::from_secs(60));
            Err(CallFault { fault: held_back(), retry_after })
        });
        let dataflow = asked(ask, "    batch: {size: 10}\n    retry: {count: 3}\n", "");
        let request = Request::new("one", BTreeMap::new(), vec![Item::inline("item", *b"one")]);
        // Here the batches come one after the other, and nothing is waited for.
        let (response, _) = dataflow.interpret(&Arc::new(request));
        (attempts.load(Ordering::SeqCst), response)
    };
    // The first batch: twice in two minutes, the attempt that ends them and three further ones. The others: once.
    let (attempts, response) = ask_until(usize::MAX);
    assert_eq!(attempts, 2 + 1 + 3 + 99);
    assert_eq!((report(&response).done, report(&response).failed), (0, 1000));
    assert!(report(&response).faults.iter().all(|one| one.fault.reason == "left alone"), "{response:?}");

    let (_, response) = ask_until(3);
    assert_eq!((response.verdict, report(&response).done), (ResponseVerdict::Complete, 1000));
    let (attempts, response) = ask_until(2 + 1 + 3 + 3);
    assert_eq!((attempts, report(&response).done), (2 + 1 + 3 + 2 + 97, 970));
}

#[test]
fn a_panic_behind_a_call_fails_the_items_of_that_call_alone() {
    let ask = ask().calls(|questions: Vec<Question>, _, _| {
        let answer = |question: Question| Ok(if question.0 == 301 { Question(FORMLESS) } else { question });
        Ok(questions.into_iter().map(answer).collect())
    });
    let keys = "    batch: {size: 100}\n    limits: {max: 1}\n";
    let response = answer(ask, keys, "on_item_failure: partial above 50 %\n").0;
    assert_eq!(response.verdict, ResponseVerdict::CompleteWithReservations, "{response:?}");
    let report = report(&response);
    assert_eq!((report.done, report.failed), (900, 100));
    assert!(report.faults[0].fault.reason.contains("it has no form"), "{:?}", report.faults[0]);
}

#[test]
fn the_key_of_an_attempt_stays_until_there_is_an_answer() {
    let keys: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = Arc::clone(&keys);
    let ask = ask().calls(move |questions: Vec<Question>, _, attempt| {
        let mut keys = noted.lock().unwrap();
        keys.push(attempt.key.to_string());
        match keys.len() {
            1 => Err(Fault::transient("no answer", "Wait.").into()),
            2 => Ok(questions.iter().map(|_| Err(Fault::transient("later", "Ask again."))).collect()),
            _ => Ok(questions.into_iter().map(Ok).collect()),
        }
    });
    let limits = "    batch: {size: 1000}\n    retry: {count: 3, first_delay: 1 ms}\n";
    assert_eq!(answer(ask, limits, "").0.verdict, ResponseVerdict::Complete);
    let keys = keys.lock().unwrap();
    assert_eq!(keys.len(), 3);
    assert!(
        keys[0] == keys[1] && keys[1] != keys[2],
        "a service that repeats an answer would repeat \"later\""
    );
}

#[test]
fn attempts_begin_no_more_often_than_the_rate_allows() {
    let begun: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let (noted, is_again) = (Arc::clone(&begun), AtomicBool::new(false));
    let ask = ask().calls(move |questions: Vec<Question>, _, _| {
        noted.lock().unwrap().push(Instant::now());
        match questions[0].0 {
            // Several batches begin at once, and this one need not be the first.
            0 if !is_again.swap(true, Ordering::SeqCst) => Err(Fault::transient("busy", "Wait.").into()),
            _ => Ok(questions.into_iter().map(Ok).collect()),
        }
    });
    let keys = "    batch: {size: 100}\n    rate: 100/s\n    retry: {count: 1, first_delay: 0 s}\n";
    // The first call may be noted long after it was allowed.
    let before = Instant::now();
    let (response, text) = answer(ask, keys, "");
    assert_eq!((response.verdict, text), (ResponseVerdict::Complete, all_in_order()));
    let begun = begun.lock().unwrap();
    assert_eq!(begun.len(), 11, "each batch, and one once more");
    let took = begun.iter().max().unwrap().duration_since(before);
    // Ten spaces of 10 ms, of which 50 ms may be caught up.
    assert!(took >= Duration::from_millis(50), "{took:?}");
}

#[test]
fn the_bound_on_calls_counts_for_all_requests_of_a_process_together() {
    let under_way = Arc::new((Mutex::new(0_usize), Condvar::new()));
    let seen = Arc::new(AtomicUsize::new(0));
    let (here, most) = (Arc::clone(&under_way), Arc::clone(&seen));
    let ask = ask().calls(move |questions: Vec<Question>, _, _| {
        let mut count = here.0.lock().unwrap();
        *count += 1;
        most.fetch_max(*count, Ordering::SeqCst);
        here.1.notify_all();
        // A third call would come by itself if it could.
        let waited = here.1.wait_timeout_while(count, Duration::from_millis(50), |count| *count < 3).unwrap();
        *{ waited }.0 -= 1;
        Ok(questions.into_iter().map(Ok).collect())
    });
    let text = "
dataflow: asked
steps:
  questions: {step: list, needs: {request: request}}
  answers: {step: ask, needs: {question: questions}, limits: {max: 2}, batch: {size: 300}}
  file: {step: write, needs: {all: answers}}
response: [file]
";
    let dataflow = Arc::new(Dataflow::parse("asked.yaml", text, &table(ask)).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let kept = KeptResponses::default();
    let source = |queue: &RequestQueue| {
        for name in ["one", "two", "three"] {
            let item = Item::inline("item", name.as_bytes());
            queue.submit(receipt(Request::new(name, BTreeMap::new(), vec![item])));
        }
    };
    let (settings, observer) = (EngineSettings::default(), Arc::new(NullObserver));
    engine::run(dataflow, no_journal(folder.path()), settings, observer, source, &kept).unwrap();
    let responses = kept.0.into_inner().unwrap();
    assert!(responses.len() == 3 && responses.iter().all(|(_, text)| *text == all_in_order()));
    assert_eq!(seen.load(Ordering::SeqCst), 2);
}

#[test]
fn a_cancelled_request_is_answered_while_its_calls_hang() {
    let (begin, begun) = channel();
    let (release, held) = channel::<()>();
    let held = Mutex::new(held);
    let ask = ask().calls(move |questions: Vec<Question>, _, _| {
        let _ = begin.send(());
        let _ = held.lock().unwrap().recv();
        Ok(questions.into_iter().map(Ok).collect())
    });
    let text = "
dataflow: asked
steps:
  questions: {step: list, needs: {request: request}}
  answers: {step: ask, needs: {question: questions}}
  file: {step: write, needs: {all: answers}}
response: [file]
";
    let dataflow = Arc::new(Dataflow::parse("asked.yaml", text, &table(ask)).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let (answer, answers) = channel();
    let request = Request::new("one", BTreeMap::new(), vec![Item::inline("item", *b"one")]);
    let source = move |queue: &RequestQueue| {
        queue.submit(receipt(request.clone()));
        begun.recv_timeout(LONG).unwrap();
        queue.canceller().cancel(request.id);
        let response: Response = answers.recv_timeout(LONG).expect("it is answered");
        let fault = response.faults().next().map(|(_, fault)| fault.kind.name());
        assert_eq!(fault, Some("cancelled"));
        // Only now do the calls return.
        drop(release);
    };
    let (settings, observer) = (EngineSettings::default(), Arc::new(NullObserver));
    engine::run(dataflow, no_journal(folder.path()), settings, observer, source, &Told(answer)).unwrap();
}

/// Passes responses on.
struct Told(std::sync::mpsc::Sender<Response>);

impl ResponseSink for Told {
    fn deliver(&self, pending_delivery: PendingDelivery) {
        let _ = self.0.send(Response::clone(pending_delivery.response()));
        pending_delivery.settle(Ok(()));
    }
}
