//! The response of a deadline, and the last one that takes its place.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};

use flow::dataflow::Dataflow;
use flow::journal::RequestState;
use flow::outbox::DeliveryClock;
use flow::step::{Request, ResponseFiles, Step, StepOutputs, StepTable};

use super::provider::{Answer, Provider};
use super::{Post, Says, Told, at_once, file, forward, patient, policies};
use crate::support::peers::{DEADLINE, until};

/// A dataflow whose deadline passes before its step is let go. The error response is object 1, the result object 2.
fn overdue() -> (Post, Sender<()>) {
    let (go, held) = channel();
    let held = Mutex::new(held);
    let make = Step::new("make", 1, "For tests.").takes::<Request>("request").gives::<ResponseFiles>("files");
    let make = make.runs(move |_| {
        held.lock().unwrap().recv_timeout(DEADLINE).expect("the test lets it go");
        Ok(StepOutputs::one("files", ResponseFiles(vec![file("1.2.1", 2)])))
    });
    let respond_overdue = Step::new("report-faults", 1, "For tests.")
        .takes::<Request>("request")
        .gives::<ResponseFiles>("files");
    let respond_overdue =
        respond_overdue.runs(|_| Ok(StepOutputs::one("files", ResponseFiles(vec![file("1.2.1", 1)]))));
    let text = "dataflow: post\nlimits: {deadline: 10 ms}\nsteps:\n  make: {step: make, needs: {request: request}}\n\
                response: [make]\nfailure:\n  report: {step: report-faults, needs: {request: request}}\n";
    let table = StepTable::default().with(make).with(respond_overdue);
    (Post::with(Arc::new(Dataflow::parse("post.yaml", text, &table).unwrap())), go)
}

fn complete(says: Says) -> Vec<String> {
    let told = says.recv_timeout(DEADLINE).unwrap();
    let Told::Forwarded(delivery) = told else { panic!("{told:?}") };
    assert!(delivery.complete, "{delivery:?}");
    delivery.files.into_iter().map(|file| file.name).collect()
}

#[test]
fn an_error_response_that_waits_gives_way_to_the_result() {
    let (post, go) = overdue();
    let destination = policies::nobody();
    let told = post.run(
        &["1"],
        vec![forward(destination.clone(), patient())],
        DeliveryClock::usual(),
        |outbox, says| {
            assert!(matches!(says.recv_timeout(DEADLINE), Ok(Told::Delayed(_))), "the error response waits");
            go.send(()).unwrap();
            assert!(matches!(says.recv_timeout(DEADLINE), Ok(Told::Delayed(_))), "the result waits");
            let pacs = Provider::at(destination.address.parse().unwrap(), |_, _| Answer::Status(0));
            outbox.expedite(super::request("1").id);
            assert_eq!(complete(says), ["2.dcm"]);
            assert_eq!(pacs.arrived().into_keys().collect::<Vec<_>>(), ["1.2.1.1.2"]);
        },
    );
    assert!(matches!(told[..], [Told::Answered]), "{told:?}");
    assert_eq!(post.states(), [RequestState::Answered]);
}

#[test]
fn an_error_response_that_is_acknowledged_late_is_not_taken_for_the_result() {
    let (post, go) = overdue();
    let (answer, answers) = channel();
    let answers = Mutex::new(answers);
    let pacs = Provider::start(move |_, _| {
        let _ = answers.lock().unwrap().recv_timeout(DEADLINE);
        Answer::Status(0)
    });
    let folder = post.path("output/1");
    let told =
        post.run(&["1"], vec![forward(pacs.destination(), at_once(1))], DeliveryClock::usual(), |_, says| {
            until("the error response is on its way", || (pacs.arrived().len() == 1).then_some(()));
            go.send(()).unwrap();
            until("the result is in its place", || folder.join("2.dcm").exists().then_some(()));
            answer.send(()).unwrap();
            answer.send(()).unwrap();
            assert_eq!(complete(says), ["2.dcm"]);
        });
    assert!(matches!(told[..], [Told::Answered]), "{told:?}");
    assert_eq!(post.deliveries("1")[0].files.len(), 1);
    assert_eq!((post.states(), pacs.arrived().len()), (vec![RequestState::Answered], 2));
}
