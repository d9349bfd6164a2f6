//! Rates of steps: how often their runs begin.

use std::num::NonZero;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use flow::dataflow::{Response, ResponseVerdict};
use flow::engine::{self, EngineControl, EngineSettings, NullObserver, RequestQueue};
use flow::journal::{Journal, RequestArrival};
use flow::step::Fault;
use flow::store::Store;

use crate::engine::{LONG, Told, request};
use crate::limits::{SMALL, act, dataflow, with_engine};

#[test]
fn runs_of_a_step_begin_no_more_often_than_its_rate_allows() {
    let begun: Arc<Mutex<Vec<Instant>>> = Arc::default();
    // A step that runs on the workers' threads must not hold them up.
    for name in ["cheap", "first"] {
        let noted = Arc::clone(&begun);
        let note = act(move |_, _| {
            noted.lock().unwrap().push(Instant::now());
            Ok(())
        });
        begun.lock().unwrap().clear();
        let dataflow = dataflow(SMALL, vec![(name, "rate: 100/s", note)]);
        with_engine(&dataflow, 8, |queue, told| {
            (0..8).for_each(|number| queue.submit(request(&format!("r{number}"), 1)));
            (0..8).for_each(|_| {
                assert_eq!(told.recv_timeout(LONG).unwrap().verdict, ResponseVerdict::Complete)
            });
        });
        let begun = begun.lock().unwrap();
        let took = begun[7].duration_since(begun[0]);
        assert!(begun.len() == 8 && took >= Duration::from_millis(20), "{took:?}");
    }
}

#[test]
fn a_run_that_waits_for_its_rate_can_be_cancelled() {
    let dataflow = dataflow(SMALL, vec![("first", "rate: 1/h", act(|_, _| Ok(())))]);
    with_engine(&dataflow, 2, |queue, told| {
        let (one, two) = (request("one", 1), request("two", 1));
        let id = two.request().id;
        queue.submit(one);
        assert_eq!(told.recv_timeout(LONG).unwrap().verdict, ResponseVerdict::Complete);
        queue.submit(two);
        queue.canceller().cancel(id);
        assert_eq!(told.recv_timeout(LONG).unwrap().verdict, ResponseVerdict::Failed);
    });
}

#[test]
fn a_run_whose_result_is_recorded_takes_nothing_of_the_rate() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::at(folder.path().join("store")).unwrap());
    let journal = Arc::new(Journal::open(folder.path(), store, 0).unwrap());
    let busy = act(|_, _| Err(Fault::transient("busy", "Try again.")));
    let steps = vec![("first", "rate: 1/h", act(|_, _| Ok(()))), ("second", "", busy)];
    let dataflow = dataflow(SMALL, steps);
    let arrival = RequestArrival {
        request: Arc::clone(request("one", 1).request()),
        dataflow: "limits".to_owned(),
        version: dataflow.digest(),
        program: dataflow.digest(),
        lookup_texts: Vec::new(),
    };
    let receipt = journal.accept(arrival).unwrap();
    let (id, number) = (receipt.request().id, receipt.number().unwrap());
    // The rate holds for both engines together.
    let control = Arc::new(EngineControl::default());
    let run = |submit: &(dyn Fn(&RequestQueue) + Sync)| -> Option<Response> {
        let (told, responses) = channel();
        let lanes = NonZero::<usize>::MIN;
        let settings = EngineSettings { lanes, control: Arc::clone(&control), ..EngineSettings::default() };
        let source = move |queue: &RequestQueue| {
            submit(queue);
            let response = responses.recv_timeout(LONG).ok();
            queue.canceller().cancel(id);
            response
        };
        let sink = Told(Mutex::new(told));
        let (set, journal) = (Arc::clone(&dataflow), Arc::clone(&journal));
        engine::run(set, journal, settings, Arc::new(NullObserver), source, &sink).unwrap()
    };
    let accepted = Mutex::new(Some(receipt));
    assert!(
        run(&|queue| accepted.lock().unwrap().take().into_iter().for_each(|receipt| queue.submit(receipt)))
            .is_some()
    );
    let history = journal.history(number).unwrap().unwrap();
    let again = run(&|queue| {
        queue.resume(journal.receipt(&history).unwrap().into(), Some(&history));
    });
    assert!(again.is_some(), "the first step waits for its rate");
}
