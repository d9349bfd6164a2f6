//! Timeouts, repetitions, cancellation, deadlines and `on_failure`: every request is answered, whatever
//! its steps do.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::engine::{LONG, request, with_observed_engine};
use flow::dataflow::{Dataflow, Response, ResponseVerdict};
use flow::engine::{
    EngineEvent, EventObserver, NullObserver, RequestDeadline, RequestQueue, RequestSubmission,
};
use flow::step::{
    Call, Fault, FaultKind, Outcome, OutcomeReason, Request, ResponseFile, ResponseFiles, Step, StepOutcomes,
    StepOutputs, StepTable,
};

/// What a step of a test does; the name is that of the request.
pub type Act = Box<dyn Fn(&str, &Call) -> Result<(), Fault> + Send + Sync>;

/// A dataflow of the steps `first`, `second` …, which do what they are told; a step `say-why` answers
/// failures. One that is called `cheap` is. `more` is what the file says beside.
pub fn dataflow(more: &str, steps: Vec<(&'static str, &str, Act)>) -> Arc<Dataflow> {
    let mut text = format!("dataflow: limits\n{more}\nsteps:\n");
    let mut table = StepTable::default().with(say_why());
    for (name, limits, _) in &steps {
        text += &format!("  {name}: {{step: {name}, needs: {{request: request}}, {limits}}}\n");
    }
    let names: Vec<&str> = steps.iter().map(|(name, _, _)| *name).collect();
    text += &format!("response: [{}]\n", names.join(", "));
    text += "failure:\n  why: {step: say-why, needs: {request: request, outcomes: outcomes}}\n";
    for (name, _, act) in steps {
        let step =
            Step::new(name, 1, "For tests.").takes::<Request>("request").gives::<ResponseFiles>("files");
        let step = if name == "cheap" { step.cheap() } else { step };
        table = table.with(step.runs(move |call| {
            act(&call.input::<Request>("request").name, call)?;
            Ok(file(call))
        }));
    }
    Arc::new(Dataflow::parse("limits.yaml", &text, &table).unwrap_or_else(|problems| panic!("{problems}")))
}

fn say_why() -> Step {
    let step =
        Step::new("say-why", 1, "For tests.").takes::<Request>("request").takes::<StepOutcomes>("outcomes");
    step.gives::<ResponseFiles>("files").runs(|call| Ok(file(call)))
}

/// One file, named by its UID.
fn file(call: &Call) -> StepOutputs {
    StepOutputs::one("files", ResponseFiles(vec![ResponseFile::new(call.uid(0), "text/plain", vec![1])]))
}

pub fn act(act: impl Fn(&str, &Call) -> Result<(), Fault> + Send + Sync + 'static) -> Act {
    Box::new(act)
}

pub const SMALL: &str = "limits: {memory: {fixed: 1 B, per_decoded_byte: 1.0}}";

pub fn with_engine(
    dataflow: &Arc<Dataflow>,
    lanes: usize,
    test: impl FnOnce(&RequestQueue, &Receiver<Response>) + Send,
) {
    with_observed_engine(dataflow, lanes, 1000, Arc::new(NullObserver), test);
}

/// A place to be held at, and to be let go from: at the latest when it is dropped.
struct Barrier {
    reached: Mutex<Receiver<()>>,
    go: Arc<AtomicBool>,
}

/// The other side of a barrier.
struct Held {
    reach: Mutex<Sender<()>>,
    go: Arc<AtomicBool>,
}

fn barrier() -> (Barrier, Held) {
    let (reach, reached) = channel();
    let go = Arc::new(AtomicBool::new(false));
    let held = Held { reach: Mutex::new(reach), go: Arc::clone(&go) };
    (Barrier { reached: Mutex::new(reached), go }, held)
}

impl Barrier {
    fn wait(&self) {
        self.reached.lock().unwrap().recv_timeout(LONG).expect("the step is reached");
    }
}

impl Drop for Barrier {
    fn drop(&mut self) {
        self.go.store(true, Ordering::SeqCst);
    }
}

impl Held {
    /// An endless loop, until the barrier is gone.
    fn hold(&self) {
        // A barrier that is gone holds nobody.
        let _ = self.reach.lock().unwrap().send(());
        while !self.go.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
    }
}

fn next(responses: &Receiver<Response>) -> Response {
    responses.recv_timeout(LONG).expect("there is a response")
}

/// The steps that failed, with the kinds of their faults.
fn faults(response: &Response) -> Vec<(&str, FaultKind)> {
    response.faults().map(|(report, fault)| (&*report.step, fault.kind)).collect()
}

/// The only one of them.
fn fault(response: &Response) -> (&str, FaultKind) {
    let faults = faults(response);
    assert_eq!(faults.len(), 1, "{:?}", response.steps);
    faults[0]
}

#[test]
fn a_step_that_never_returns_is_given_up_and_others_take_its_place() {
    let (barrier, held) = barrier();
    let stuck = act(move |name, _| {
        if name == "stuck" {
            held.hold();
        }
        Ok(())
    });
    let dataflow = dataflow(SMALL, vec![("cheap", "timeout: 1 s, limits: {max: 1}", stuck)]);
    with_engine(&dataflow, 1, |queue, responses| {
        queue.submit(request("stuck", 1));
        queue.submit(request("other", 1));
        let response = next(responses);
        assert_eq!(response.name, "stuck");
        assert_eq!(fault(&response), ("cheap", FaultKind::TimedOut));
        assert_eq!(response.faults().next().unwrap().1.reason, "not finished after 1 s");
        assert_eq!(response.files.len(), 1, "the failure part has run");
        assert_eq!(next(responses).verdict, ResponseVerdict::Complete);
    });
    drop(barrier);
}

/// Keeps what the engine tells of repetitions.
#[derive(Default)]
struct Repetitions(Mutex<Vec<Duration>>, Option<Mutex<Sender<()>>>);

impl EventObserver for Repetitions {
    fn observe(&self, event: &EngineEvent) {
        if let EngineEvent::Retrying { delay, .. } = event {
            self.0.lock().unwrap().push(*delay);
            self.1.iter().for_each(|told| _ = told.lock().unwrap().send(()));
        }
    }
}

/// Fails the first times; then does its work.
fn failing(times: usize, fail: impl Fn() -> Fault + Send + Sync + 'static) -> Act {
    let runs = AtomicUsize::new(0);
    act(move |_, _| if runs.fetch_add(1, Ordering::SeqCst) < times { Err(fail()) } else { Ok(()) })
}

fn repeated(limits: &str, step: Act) -> (Response, Vec<Duration>) {
    let repetitions = Arc::new(Repetitions::default());
    let observer = Arc::clone(&repetitions);
    let mut response = None;
    with_observed_engine(&dataflow(SMALL, vec![("first", limits, step)]), 1, 1000, observer, |queue, all| {
        queue.submit(request("one", 1));
        response = Some(next(all));
    });
    let delays = std::mem::take(&mut *repetitions.0.lock().unwrap());
    (response.unwrap(), delays)
}

#[test]
fn a_step_is_run_again_until_it_succeeds() {
    let ms = Duration::from_millis;
    let busy = failing(2, || Fault::transient("the service is busy", "Wait."));
    let retry = "retry: {count: 2, first_delay: 1 ms, factor: 3}";
    let (response, delays) = repeated(retry, busy);
    assert_eq!((response.verdict, delays), (ResponseVerdict::Complete, vec![ms(1), ms(3)]));

    let panics = failing(2, || panic!("the step is broken"));
    let (response, delays) = repeated("retry: {count: 2, first_delay: 0 s, on: [broken]}", panics);
    assert_eq!((response.verdict, delays.len()), (ResponseVerdict::Complete, 2));
}

#[test]
fn a_step_is_run_again_no_more_than_it_may_be_and_not_for_other_faults() {
    let busy = || failing(3, || Fault::transient("the service is busy", "Wait."));
    let (response, delays) = repeated("retry: {count: 2, first_delay: 0 s}", busy());
    assert_eq!((fault(&response), delays.len()), (("first", FaultKind::Transient), 2));
    let (response, delays) = repeated("retry: {count: 9, first_delay: 0 s, on: [broken]}", busy());
    assert_eq!((fault(&response), delays.len()), (("first", FaultKind::Transient), 0));
    let panics = failing(1, || panic!("the step is broken"));
    let (response, delays) = repeated("retry: {count: 9, first_delay: 0 s}", panics);
    assert_eq!((fault(&response), delays.len()), (("first", FaultKind::Broken), 0));
}

#[test]
fn a_step_that_hangs_once_is_run_again_beside_itself() {
    let (barrier, held) = barrier();
    let runs = AtomicUsize::new(0);
    let hangs = act(move |_, _| {
        if runs.fetch_add(1, Ordering::SeqCst) == 0 {
            held.hold();
        }
        Ok(())
    });
    let limits = "timeout: 1 s, limits: {max: 1}, retry: {count: 1, first_delay: 0 s, on: [timed_out]}";
    let (response, delays) = repeated(limits, hangs);
    assert_eq!((response.verdict, delays.len()), (ResponseVerdict::Complete, 1));
    drop(barrier);
}

#[test]
fn a_running_step_hears_that_its_request_is_cancelled() {
    let (begun, begins) = channel();
    let (heard, hears) = channel();
    let (begun, heard) = (Mutex::new(begun), Mutex::new(heard));
    let works = act(move |_, call: &Call| {
        begun.lock().unwrap().send(()).unwrap();
        while call.token.check().is_ok() {
            std::thread::yield_now();
        }
        heard.lock().unwrap().send(()).unwrap();
        call.token.check()
    });
    let never = act(|_, _| unreachable!("it is switched off"));
    let steps = vec![("first", "limits: {max: 1}", works), ("second", "enabled: false", never)];
    with_engine(&dataflow(SMALL, steps), 1, move |queue, responses| {
        let one = request("one", 1);
        let id = one.request().id;
        queue.submit(one);
        begins.recv_timeout(LONG).unwrap();
        queue.canceller().cancel(id);
        let response = next(responses);
        assert_eq!(fault(&response), ("first", FaultKind::Cancelled));
        assert_eq!(response.files.len(), 1, "the failure part has run");
        hears.recv_timeout(LONG).expect("the step hears of it");
    });
}

#[test]
fn a_request_is_cancelled_wherever_it_waits() {
    let (barrier, held) = barrier();
    let (pass, passes) = channel();
    let pass = Mutex::new(pass);
    let passing = act(move |name, _| {
        pass.lock().unwrap().send(name.to_owned()).unwrap();
        Ok(())
    });
    let works = act(move |name, _| {
        assert_eq!(name, "held", "the others are cancelled before their turn");
        held.hold();
        Ok(())
    });
    let dataflow =
        dataflow(SMALL, vec![("first", "limits: {max: 9}", passing), ("second", "limits: {max: 1}", works)]);
    with_engine(&dataflow, 3, move |queue, responses| {
        queue.submit(request("held", 1));
        barrier.wait();
        let others = ["for a thread", "for memory", "for a lane"];
        let others = others.map(|name| request(name, if name == "for memory" { 999 } else { 1 }));
        let [thread, memory, lane] = others.each_ref().map(|receipt| receipt.request().id);
        others.into_iter().for_each(|other| queue.submit(other));
        let begun: Vec<String> = (0..2).map(|_| passes.recv_timeout(LONG).unwrap()).collect();
        assert_eq!(begun, ["held", "for a thread"]);
        let canceller = queue.canceller();
        // The one outside is answered as soon as the other has left its lane.
        canceller.cancel(lane);
        canceller.cancel(thread);
        let first = [next(responses), next(responses)];
        canceller.cancel(memory);
        let all: Vec<Response> = first.into_iter().chain([next(responses)]).collect();
        for (id, step) in [(thread, "second"), (lane, "admission"), (memory, "admission")] {
            let response = all.iter().find(|response| response.request == id).unwrap();
            // The first step may not have ended when it was cancelled.
            assert_eq!(faults(response).last(), Some(&(step, FaultKind::Cancelled)), "{}", response.name);
        }
        drop(barrier);
        let response = next(responses);
        assert_eq!((response.name.as_str(), response.verdict), ("held", ResponseVerdict::Complete));
        canceller.cancel(response.request);
    });
}

#[test]
fn a_request_is_cancelled_while_a_step_waits_to_be_run_again() {
    let (told, waits) = channel();
    let observer = Arc::new(Repetitions(Mutex::default(), Some(Mutex::new(told))));
    let busy = failing(1, || Fault::transient("the service is busy", "Wait."));
    let dataflow = dataflow(SMALL, vec![("first", "retry: {count: 1, first_delay: 1 h, cap: 1 h}", busy)]);
    with_observed_engine(&dataflow, 1, 1000, observer, move |queue, responses| {
        let one = request("one", 1);
        let id = one.request().id;
        queue.submit(one);
        waits.recv_timeout(LONG).unwrap();
        queue.canceller().cancel(id);
        assert_eq!(fault(&next(responses)), ("first", FaultKind::Cancelled));
    });
}

const OVERDUE: &str = "limits: {memory: {fixed: 1 B, per_decoded_byte: 1.0}, deadline: 1 s}";

/// The reason of the deadline's report.
fn deadline(response: &Response) -> &str {
    assert_eq!(response.verdict, ResponseVerdict::Unfinished);
    assert_eq!(fault(response), ("deadline", FaultKind::TimedOut));
    &response.faults().next().unwrap().1.reason
}

#[test]
fn a_request_that_is_not_finished_in_time_is_answered_twice_and_the_second_names_the_first() {
    let (barrier, held) = barrier();
    let slow = act(move |_, _| {
        held.hold();
        Err(Fault::new("it has no lungs", "Send another."))
    });
    let steps = vec![("first", "limits: {max: 9}", act(|_, _| Ok(()))), ("second", "limits: {max: 9}", slow)];
    let dataflow = dataflow(OVERDUE, steps);
    with_engine(&dataflow, 1, |queue, responses| {
        queue.submit(request("slow", 1));
        barrier.wait();
        let interim = next(responses);
        assert_eq!(deadline(&interim), "not finished within 1 s (waiting for second)");
        assert_eq!(interim.supersedes, None);
        assert_eq!(interim.files.len(), 1, "the failure part has run");
        drop(barrier);
        let last = next(responses);
        assert_eq!(last.verdict, ResponseVerdict::Failed);
        assert_eq!(last.supersedes, Some(interim.digest()));
        assert_ne!(last.files[0].name, interim.files[0].name, "they do not take each other's place");
        let plain = dataflow.interpret(request("slow", 1).request()).0;
        assert_eq!(last, Response { supersedes: last.supersedes, ..plain });
    });
}

#[test]
fn requests_that_have_not_begun_have_their_deadline_too() {
    let (barrier, held) = barrier();
    let works = act(move |name, _| {
        if name == "held" {
            held.hold();
        }
        Ok(())
    });
    let dataflow = dataflow(OVERDUE, vec![("first", "limits: {max: 9}", works)]);
    with_engine(&dataflow, 2, |queue, responses| {
        let held = request("held", 1);
        queue.submit(RequestSubmission { deadline: RequestDeadline::Passed, ..held.into() });
        barrier.wait();
        queue.submit(request("for memory", 999));
        queue.submit(request("for a lane", 1));
        let mut interim: Vec<Response> = (0..2).map(|_| next(responses)).collect();
        interim.sort_by(|one, other| one.name.cmp(&other.name));
        assert_eq!(deadline(&interim[0]), "not finished within 1 s (waiting for a free lane)");
        assert_eq!(deadline(&interim[1]), "not finished within 1 s (waiting for memory)");
        drop(barrier);
        for _ in 0..3 {
            let last = next(responses);
            let earlier = interim.iter().find(|one| one.request == last.request);
            assert_eq!(
                (last.verdict, last.supersedes),
                (ResponseVerdict::Complete, earlier.map(Response::digest))
            );
        }
    });
}

#[test]
fn a_request_in_time_names_what_it_was_told_to_supersede() {
    let dataflow = dataflow(OVERDUE, vec![("first", "limits: {max: 9}", act(|_, _| Ok(())))]);
    with_engine(&dataflow, 1, |queue, responses| {
        let earlier = request("earlier", 1).request().id;
        let deadline = RequestDeadline::Within(LONG);
        let supersedes = Some(earlier);
        queue.submit(RequestSubmission { deadline, supersedes, ..request("one", 1).into() });
        let response = next(responses);
        assert_eq!((response.verdict, response.supersedes), (ResponseVerdict::Complete, Some(earlier)));
    });
}

#[test]
fn what_runs_behind_a_failure_is_given_up_where_it_stops_all() {
    let (barrier, held) = barrier();
    let fails = act(move |_, _| {
        barrier.wait();
        Err(Fault::new("it has no lungs", "Send another."))
    });
    let waits = act(move |_, call: &Call| {
        let (cancelled, wakes) = channel();
        call.token.on_cancel(move || {
            cancelled.send(()).unwrap();
            panic!("what a step wants to be told is broken");
        });
        let _ = held.reach.lock().unwrap().send(());
        wakes.recv_timeout(LONG).expect("it is given up");
        call.token.check()
    });
    let text = format!("{SMALL}\non_failure: stop");
    let steps = vec![("first", "limits: {max: 9}", fails), ("second", "limits: {max: 9}", waits)];
    with_engine(&dataflow(&text, steps), 1, |queue, responses| {
        queue.submit(request("one", 1));
        let response = next(responses);
        assert_eq!(fault(&response), ("first", FaultKind::Data));
        let because = OutcomeReason::Stopped { step: "first".to_owned() };
        assert_eq!(response.steps[1].outcome, Outcome::Skipped { because });
    });
}
