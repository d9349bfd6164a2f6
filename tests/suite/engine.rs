//! What the engine promises about time and memory: a slow request holds up no other, too much work
//! waits, and what can never fit is answered at once.

use std::collections::BTreeSet;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{no_journal, receipt};
use flow::dataflow::{Dataflow, Response, ResponseVerdict};
use flow::engine::{
    self, EngineSettings, EventObserver, NullObserver, PendingDelivery, RequestQueue, ResponseSink,
};
use flow::journal::Receipt;
use flow::step::{
    Digest, Item, ItemPlace, Request, ResponseFile, ResponseFiles, Step, StepOutputs, StepTable,
};

pub const LONG: Duration = Duration::from_secs(60);

const ONE_STEP: &str = "\
dataflow: one-step
limits: {memory: {fixed: 1 B, per_decoded_byte: 1.0}}
steps:
  work: {step: work, needs: {request: request}}
response: [work]
";

/// Hands each response on as it comes.
pub struct Told(pub Mutex<Sender<Response>>);

impl ResponseSink for Told {
    fn deliver(&self, pending_delivery: PendingDelivery) {
        // A test that has ended wants no more.
        let _ = self.0.lock().unwrap().send(Response::clone(pending_delivery.response()));
        pending_delivery.settle(Ok(()));
    }
}

pub fn request(name: &str, decoded: u64) -> Receipt {
    let digest = Digest::of(name.as_bytes());
    let item =
        Item { name: name.to_owned(), place: ItemPlace::File("/nowhere".into()), digest, size: 1, decoded };
    receipt(Request::new(name, Default::default(), vec![item]))
}

/// A dataflow of one step that is given the request's name.
fn one_step(work: impl Fn(&str) + Send + Sync + 'static) -> Arc<Dataflow> {
    let step = Step::new("work", 1, "For tests.").takes::<Request>("request").gives::<ResponseFiles>("files");
    let step = step.runs(move |call| {
        work(&call.input::<Request>("request").name);
        Ok(StepOutputs::one("files", ResponseFiles(vec![ResponseFile::new("a.txt", "text/plain", vec![1])])))
    });
    Arc::new(Dataflow::parse("one-step.yaml", ONE_STEP, &StepTable::default().with(step)).unwrap())
}

/// Runs the engine while `test` brings requests and sees responses.
fn with_engine(
    dataflow: &Arc<Dataflow>,
    lanes: usize,
    memory: u64,
    test: impl FnOnce(&RequestQueue, &Receiver<Response>) + Send,
) {
    with_observed_engine(dataflow, lanes, memory, Arc::new(NullObserver), test);
}

pub fn with_observed_engine(
    dataflow: &Arc<Dataflow>,
    lanes: usize,
    memory: u64,
    observer: Arc<dyn EventObserver>,
    test: impl FnOnce(&RequestQueue, &Receiver<Response>) + Send,
) {
    let folder = tempfile::tempdir().unwrap();
    let journal = no_journal(folder.path());
    let count = |number| NonZero::new(number).unwrap();
    let settings = EngineSettings {
        workers: count(1),
        lanes: count(lanes),
        memory,
        mesh: None,
        ..EngineSettings::default()
    };
    let (told, responses) = channel();
    let sink = Told(Mutex::new(told));
    let source = move |queue: &RequestQueue| test(queue, &responses);
    engine::run(Arc::clone(dataflow), journal, settings, observer, source, &sink).unwrap();
}

/// Lets a held step go when dropped, so that a test that fails also ends.
struct Held(Option<Sender<()>>);

fn holding(name: &'static str) -> (Held, impl Fn(&str) + Send + Sync) {
    let (go, held) = channel::<()>();
    let held = Mutex::new(held);
    let work = move |request: &str| {
        if request == name {
            let _ = held.lock().unwrap().recv();
        }
    };
    (Held(Some(go)), work)
}

#[test]
fn a_slow_request_holds_up_no_other() {
    let (mut slow, work) = holding("slow");
    with_engine(&one_step(work), 2, 1 << 20, move |queue, responses| {
        queue.submit(request("slow", 1));
        for number in 0..40 {
            queue.submit(request(&number.to_string(), 1));
            let response = responses.recv_timeout(LONG).expect("others are answered");
            assert_eq!(response.name, number.to_string());
        }
        drop(slow.0.take());
        assert_eq!(responses.recv_timeout(LONG).unwrap().name, "slow");
    });
}

#[test]
fn requests_that_do_not_fit_together_wait_for_each_other() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (inside, peak) = (Arc::clone(&now), Arc::clone(&most));
    let work = move |_: &str| {
        peak.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(2));
        inside.fetch_sub(1, Ordering::SeqCst);
    };
    // Two of them fit into the memory, and there are lanes for eight.
    with_engine(&one_step(work), 8, 2_500, move |queue, responses| {
        (0..40).for_each(|number| queue.submit(request(&number.to_string(), 1_000)));
        (0..40).for_each(|_| {
            assert_eq!(responses.recv_timeout(LONG).unwrap().verdict, ResponseVerdict::Complete)
        });
    });
    assert!((1..=2).contains(&most.load(Ordering::SeqCst)), "{most:?} at once");
}

#[test]
fn a_request_that_can_never_fit_is_answered_with_the_reason() {
    with_engine(&one_step(|_| {}), 2, 5 << 20, |queue, responses| {
        queue.submit(request("large", 6 << 20));
        let response = responses.recv_timeout(LONG).unwrap();
        assert_eq!(response.verdict, ResponseVerdict::Failed);
        let (report, fault) = response.faults().next().unwrap();
        assert_eq!(&*report.step, "admission");
        assert!(fault.reason.contains("7 MiB") && fault.reason.contains("5 MiB"), "{}", fault.reason);
        assert!(fault.remedy.contains("--memory"), "{}", fault.remedy);
    });
}

#[test]
fn who_brings_too_many_waits_outside() {
    let (mut slow, work) = holding("held");
    with_engine(&one_step(work), 1, 1 << 20, |queue, responses| {
        // One lane: beside the request in it, one may wait.
        queue.submit(request("held", 1));
        queue.submit(request("second", 1));
        let (tell, submitted) = channel();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                queue.submit(request("third", 1));
                tell.send(()).unwrap();
            });
            let early = submitted.recv_timeout(Duration::from_millis(200));
            assert!(early.is_err(), "the third one is taken in while there is no room");
            drop(slow.0.take());
            submitted.recv_timeout(LONG).expect("the third one is taken in when there is room");
        });
        // Several threads deliver, so that those that end at the same time come in any order.
        let names: BTreeSet<String> = (0..3).map(|_| responses.recv_timeout(LONG).unwrap().name).collect();
        assert!(names.iter().eq(["held", "second", "third"]), "{names:?}");
    });
}

#[test]
fn a_source_that_panics_ends_the_engine_after_what_it_had_submitted() {
    let (told, answered) = channel();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        with_engine(&one_step(|_| {}), 2, 1 << 20, |queue, responses| {
            queue.submit(request("first", 1));
            told.send(responses.recv_timeout(LONG).unwrap().name).unwrap();
            panic!("the source is broken");
        });
    }));
    assert!(panicked.is_err());
    assert_eq!(answered.recv_timeout(LONG).unwrap(), "first");
}

/// Panics for one response.
struct Broken(Told);

impl ResponseSink for Broken {
    fn deliver(&self, pending_delivery: PendingDelivery) {
        assert!(pending_delivery.response().name != "bad", "the sink is broken for this one");
        self.0.deliver(pending_delivery);
    }
}

#[test]
fn a_sink_that_panics_for_one_response_delivers_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let journal = no_journal(folder.path());
    let one = NonZero::new(1).unwrap();
    let settings =
        EngineSettings { workers: one, lanes: one, memory: 1 << 20, mesh: None, ..EngineSettings::default() };
    let (told, responses) = channel();
    let sink = Broken(Told(Mutex::new(told)));
    let source = |queue: &RequestQueue| {
        // More bad ones than there are threads that deliver.
        (0..20).for_each(|_| queue.submit(request("bad", 1)));
        queue.submit(request("good", 1));
    };
    engine::run(one_step(|_| {}), journal, settings, Arc::new(NullObserver), source, &sink).unwrap();
    assert_eq!(responses.recv_timeout(LONG).unwrap().name, "good");
}
