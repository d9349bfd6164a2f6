//! What begins first and what waits: priorities, shares, and dataflows and steps that are paused.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use flow::admission::{
    Admission, DataflowSelector, Intake, PauseRecord, Service, ServiceSettings, Source, pause_part,
    resume_part,
};
use flow::dataflow::{Dataflow, RequestPriority, Response, ResponseVerdict};
use flow::engine::{
    EngineEvent, EngineSettings, EventObserver, NullObserver, PausablePart, RequestQueue, RequestSubmission,
};
use flow::step::{AttributeValues, Item, Request, ResponseFile, ResponseFiles, Step, StepOutputs, StepTable};

use crate::engine::{LONG, Told, request, with_observed_engine};

/// A dataflow of the steps `first` and `second`, of which the second is given by `second`.
fn dataflow(more: &str, second: Step) -> Arc<Dataflow> {
    let first = named("first").runs(|_| Ok(files()));
    let text = format!(
        "dataflow: paused\n{more}steps:\n  first: {{step: first, needs: {{request: request}}}}\n  \
         second: {{step: {}, needs: {{request: request}}}}\nresponse: [first, second]\n",
        second.declaration.name
    );
    let table = StepTable::default().with(first).with(second);
    Arc::new(Dataflow::parse("paused.yaml", &text, &table).unwrap_or_else(|problems| panic!("{problems}")))
}

const SMALL: &str = "limits: {memory: {fixed: 1 B, per_decoded_byte: 1.0}}\n";

fn named(name: &'static str) -> Step {
    Step::new(name, 1, "For tests.").takes::<Request>("request").gives::<ResponseFiles>("files")
}

fn files() -> StepOutputs {
    StepOutputs::one("files", ResponseFiles(vec![ResponseFile::new("a.txt", "text/plain", vec![1])]))
}

fn with_engine(
    dataflow: &Arc<Dataflow>,
    lanes: usize,
    test: impl FnOnce(&RequestQueue, &Receiver<Response>) + Send,
) {
    with_observed_engine(dataflow, lanes, 1000, Arc::new(NullObserver), test);
}

fn pause(queue: &RequestQueue, parts: impl IntoIterator<Item = PausablePart>) {
    queue.control().pauses.set(parts.into_iter().collect::<BTreeSet<PausablePart>>());
    queue.notice_pauses();
}

fn of_step(step: &str) -> PausablePart {
    PausablePart::Step { dataflow: "paused".to_owned(), step: step.to_owned() }
}

#[test]
fn requests_of_a_paused_dataflow_wait_and_can_be_cancelled() {
    let (tell, begun) = channel();
    let second = named("second").runs(move |call| {
        tell.send(call.input::<Request>("request").name.clone()).unwrap();
        Ok(files())
    });
    with_engine(&dataflow(SMALL, second), 2, move |queue, responses| {
        pause(queue, [PausablePart::Dataflow("paused".to_owned())]);
        let cancelled = request("cancelled", 1);
        let id = cancelled.request().id;
        queue.submit(cancelled);
        // More than there are slots, and the call does not block.
        (0..20).for_each(|number| queue.submit(request(&number.to_string(), 1)));
        queue.canceller().cancel(id);
        let response = responses.recv_timeout(LONG).unwrap();
        assert_eq!((response.name.as_str(), response.verdict), ("cancelled", ResponseVerdict::Failed));
        queue.settle_but_paused();
        assert!(begun.try_recv().is_err(), "nothing has begun");
        pause(queue, []);
        (0..20).for_each(|_| drop(responses.recv_timeout(LONG).unwrap()));
        assert_eq!(begun.try_iter().count(), 20);
    });
}

#[test]
fn runs_of_a_paused_step_wait_and_can_be_cancelled() {
    for second in [named("second"), named("second").cheap()] {
        let (tell, begun) = channel();
        let second = second.runs(move |call| {
            tell.send(call.input::<Request>("request").name.clone()).unwrap();
            Ok(files())
        });
        with_engine(&dataflow(SMALL, second), 4, move |queue, responses| {
            pause(queue, [of_step("second")]);
            let (one, two) = (request("one", 1), request("two", 1));
            let id = two.request().id;
            queue.submit(one);
            queue.submit(two);
            queue.canceller().cancel(id);
            let response = responses.recv_timeout(LONG).unwrap();
            assert_eq!((response.name.as_str(), response.verdict), ("two", ResponseVerdict::Failed));
            assert!(begun.try_recv().is_err());
            pause(queue, []);
            assert_eq!(begun.recv_timeout(LONG).unwrap(), "one");
            assert_eq!(responses.recv_timeout(LONG).unwrap().verdict, ResponseVerdict::Complete);
        });
    }
}

/// Notes the names of requests as they take a lane.
struct BeganNames(Mutex<Sender<String>>);

impl EventObserver for BeganNames {
    fn observe(&self, event: &EngineEvent) {
        if let EngineEvent::Accepted { request, .. } = event {
            self.0.lock().unwrap().send(request.name.clone()).unwrap();
        }
    }
}

/// A step that holds the request `held` until something is sent, or the sender is gone.
fn holding() -> (Sender<()>, Step) {
    let (release, held) = channel();
    let held = Mutex::new(held);
    let second = named("second").runs(move |call| {
        if call.input::<Request>("request").name == "held" {
            let _ = held.lock().unwrap().recv();
        }
        Ok(files())
    });
    (release, second)
}

#[test]
fn urgent_requests_begin_before_others() {
    let (release, second) = holding();
    let (tell, began) = channel();
    let observer = Arc::new(BeganNames(Mutex::new(tell)));
    with_observed_engine(&dataflow(SMALL, second), 1, 1000, observer, move |queue, responses| {
        queue.submit(request("held", 1));
        assert_eq!(began.recv_timeout(LONG).unwrap(), "held");
        use RequestPriority::{Normal, OffPeak, Urgent};
        pause(queue, [PausablePart::Dataflow("paused".to_owned())]);
        for (name, priority) in [("later", OffPeak), ("usual", Normal), ("now", Urgent), ("soon", Urgent)] {
            queue.submit(RequestSubmission { priority, ..RequestSubmission::from(request(name, 1)) });
        }
        pause(queue, []);
        drop(release);
        (0..5).for_each(|_| drop(responses.recv_timeout(LONG).unwrap()));
        assert_eq!(began.try_iter().collect::<Vec<String>>(), ["now", "soon", "usual", "later"]);
    });
}

/// Brings requests, each with its priority as an attribute.
struct Letters(Vec<(&'static str, &'static str)>, Arc<Mutex<Option<Sender<()>>>>);

impl Source for Letters {
    fn name(&self) -> &'static str {
        "letters"
    }

    fn feed(&self, admission: &Admission) -> Intake {
        let request = |(name, priority): &(&str, &str)| {
            let attributes = [("source", "letters"), ("priority", priority)];
            let attributes = attributes.map(|(key, value)| (key.to_owned(), AttributeValues::from(value)));
            Request::new(*name, attributes.into(), vec![Item::inline(*name, name.as_bytes())])
        };
        let brought = admission.accept_all(self.0.iter().map(request));
        // Only when all are accepted does the first one end.
        drop(self.1.lock().unwrap().take());
        brought
    }
}

#[test]
fn many_requests_off_peak_do_not_hold_up_the_source_of_an_urgent_one() {
    let (release, second) = holding();
    let dataflow = dataflow(SMALL, second);
    let folder = tempfile::tempdir().unwrap();
    let by_attribute = |request: &Request| RequestPriority::named(request.attribute("priority"));
    let dataflows = DataflowSelector::only(dataflow).with_priorities(by_attribute);
    let service = Service::open(ServiceSettings::at(folder.path().join("state")), dataflows).unwrap();
    let names: [&str; 12] = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"];
    let mut letters = vec![("held", "normal")];
    letters.extend(names.map(|name| (name, "off-peak")));
    letters.push(("now", "urgent"));
    let source = Letters(letters, Arc::new(Mutex::new(Some(release))));
    let (tell, began) = channel();
    let (told, responses) = channel();
    let settings = EngineSettings { lanes: std::num::NonZero::<usize>::MIN, ..EngineSettings::default() };
    let observer = Arc::new(BeganNames(Mutex::new(tell)));
    let ended = service.run_all(vec![Arc::new(source)], &Told(Mutex::new(told)), settings, observer);
    assert_eq!(ended.unwrap(), Intake::Whole);
    assert_eq!(responses.try_iter().count(), 14, "each is answered once");
    let began: Vec<String> = began.try_iter().collect();
    assert_eq!(began.iter().position(|name| name == "now"), Some(1), "{began:?}");
}

/// Brings requests off-peak behind one that is held, and then asks for the end, before anything can be answered.
struct StoppedFlood(Mutex<Option<Sender<()>>>);

impl Source for StoppedFlood {
    fn name(&self) -> &'static str {
        "letters"
    }

    fn feed(&self, admission: &Admission) -> Intake {
        let names = std::iter::once("held".to_owned()).chain((1..=12).map(|number| number.to_string()));
        let brought = admission.accept_all(names.map(|name| {
            let priority = if name == "held" { "normal" } else { "off-peak" };
            let attributes = [("source", "letters"), ("priority", priority)];
            let attributes = attributes.map(|(key, value)| (key.to_owned(), AttributeValues::from(value)));
            Request::new(&name, attributes.into(), vec![Item::inline(&name, name.as_bytes())])
        }));
        admission.stop().request();
        drop(self.0.lock().unwrap().take());
        brought
    }
}

#[test]
fn a_service_that_is_stopped_answers_what_waits_on_the_disk_for_room() {
    let (release, second) = holding();
    let folder = tempfile::tempdir().unwrap();
    let by_attribute = |request: &Request| RequestPriority::named(request.attribute("priority"));
    let dataflows = DataflowSelector::only(dataflow(SMALL, second)).with_priorities(by_attribute);
    let service = Service::open(ServiceSettings::at(folder.path().join("state")), dataflows).unwrap();
    let source = StoppedFlood(Mutex::new(Some(release)));
    let (told, responses) = channel();
    let settings = EngineSettings { lanes: std::num::NonZero::<usize>::MIN, ..EngineSettings::default() };
    let sink = Told(Mutex::new(told));
    let ended = service.run_all(vec![Arc::new(source)], &sink, settings, Arc::new(NullObserver));
    assert_eq!(ended.unwrap(), Intake::Whole);
    assert_eq!(responses.try_iter().count(), 13);
}

#[test]
fn a_source_that_is_blocked_goes_on_when_its_dataflow_is_paused() {
    let (release, second) = holding();
    let (tell, began) = channel();
    let observer = Arc::new(BeganNames(Mutex::new(tell)));
    with_observed_engine(&dataflow(SMALL, second), 1, 1000, observer, move |queue, responses| {
        queue.submit(request("held", 1));
        assert_eq!(began.recv_timeout(LONG).unwrap(), "held");
        queue.submit(request("waits", 1));
        let (tell, told) = channel();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                tell.send("comes").unwrap();
                queue.submit(request("outside", 1));
                tell.send("is in").unwrap();
            });
            assert_eq!(told.recv_timeout(LONG), Ok("comes"));
            pause(queue, [PausablePart::Dataflow("paused".to_owned())]);
            let goes_on = told.recv_timeout(LONG);
            pause(queue, []);
            drop(release);
            assert_eq!(goes_on, Ok("is in"));
        });
        (0..3).for_each(|_| drop(responses.recv_timeout(LONG).unwrap()));
    });
}

#[test]
fn the_response_at_a_deadline_says_that_the_dataflow_is_paused() {
    let second = named("second").runs(|_| Ok(files()));
    let limits = "limits: {memory: {fixed: 1 B, per_decoded_byte: 1.0}, deadline: 1 ms}\n";
    with_engine(&dataflow(limits, second), 1, move |queue, responses| {
        pause(queue, [PausablePart::Dataflow("paused".to_owned())]);
        queue.submit(request("one", 1));
        let interim = responses.recv_timeout(LONG).unwrap();
        let (_, fault) = interim.faults().next().unwrap();
        assert!(fault.reason.ends_with("(waiting for its dataflow, which is paused)"), "{}", fault.reason);
        pause(queue, []);
        assert_eq!(responses.recv_timeout(LONG).unwrap().verdict, ResponseVerdict::Complete);
    });
}

#[test]
fn a_service_that_is_stopped_leaves_paused_requests_to_its_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let run = |stop: bool| {
        let dataflow = dataflow(SMALL, named("second").runs(|_| Ok(files())));
        let service = Service::open(ServiceSettings::at(&state), DataflowSelector::only(dataflow)).unwrap();
        if stop {
            service.stop.request();
        }
        let (told, responses) = channel();
        let source = Letters(vec![("one", "normal"), ("two", "urgent")], Arc::default());
        let settings = EngineSettings::default();
        let sink = Told(Mutex::new(told));
        let intake = service.run_all(vec![Arc::new(source)], &sink, settings, Arc::new(NullObserver));
        assert_eq!(intake.unwrap(), Intake::Whole);
        responses.try_iter().count()
    };
    let paused = PausablePart::Dataflow("paused".to_owned());
    std::fs::create_dir_all(&state).unwrap();
    let record = PauseRecord { paused: paused.clone(), since_ms: 0, who: "tests".to_owned() };
    assert!(pause_part(&state, record).unwrap());
    assert_eq!(run(true), 0, "nothing has begun, and nobody waits for it");
    assert_eq!(run(true), 0);
    assert!(resume_part(&state, &paused).unwrap());
    assert_eq!(run(false), 2, "each is answered once");
}
