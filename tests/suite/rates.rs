//! Rates of steps: how often their runs begin.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use flow::dataflow::ResponseVerdict;

use crate::engine::{LONG, request};
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
