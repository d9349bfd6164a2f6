//! Several dataflows in one engine: each request runs through its own, and stays with the version
//! under which it was accepted.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use crate::engine::{LONG, Told, request};
use crate::support::no_journal;
use flow::dataflow::{Dataflow, Response, ResponseVerdict};
use flow::engine::{
    self, DataflowSet, EngineSettings, NullObserver, RequestDeadline, RequestQueue, RequestSubmission,
};
use flow::journal::{Journal, RequestArrival};
use flow::step::{Digest, Request, ResponseFile, ResponseFiles, Step, StepOutputs, StepTable};
use flow::store::Store;

/// A dataflow of this name whose only step is given the request's name.
fn dataflow(name: &str, work: impl Fn(&str) + Send + Sync + 'static) -> Arc<Dataflow> {
    let step = Step::new("work", 1, "For tests.").takes::<Request>("request").gives::<ResponseFiles>("files");
    let (file, own) = (format!("{name}.txt"), name.to_owned());
    let step = step.runs(move |call| {
        work(&call.input::<Request>("request").name);
        Ok(StepOutputs::one(
            "files",
            ResponseFiles(vec![ResponseFile::new(&file, "text/plain", own.clone().into_bytes())]),
        ))
    });
    let text = format!(
        "dataflow: {name}\nlimits: {{memory: {{fixed: 1 B}}, deadline: 1 h}}\nsteps:\n  \
         work: {{step: work, needs: {{request: request}}}}\nresponse: [work]\n"
    );
    Arc::new(Dataflow::parse(name, &text, &StepTable::default().with(step)).unwrap())
}

fn with_engine(
    dataflows: impl Into<DataflowSet>,
    journal: Arc<Journal>,
    (workers, lanes): (usize, usize),
    test: impl FnOnce(&RequestQueue, &Receiver<Response>) + Send,
) {
    let count = |number| NonZero::new(number).unwrap();
    let settings = EngineSettings {
        workers: count(workers),
        lanes: count(lanes),
        memory: 1 << 20,
        mesh: None,
        ..EngineSettings::default()
    };
    let (told, responses) = channel();
    let sink = Told(Mutex::new(told));
    let source = move |queue: &RequestQueue| test(queue, &responses);
    engine::run(dataflows, journal, settings, Arc::new(NullObserver), source, &sink).unwrap();
}

#[test]
fn each_request_runs_through_the_dataflow_that_it_names() {
    let dataflows = ["one", "two", "three"].map(|name| dataflow(name, |_| {}));
    for workers in [1, 2, 4] {
        let folder = tempfile::tempdir().unwrap();
        let [first, second, third] = &dataflows;
        let set = DataflowSet::new(Arc::clone(first)).with(Arc::clone(second)).with(Arc::clone(third));
        with_engine(set, no_journal(folder.path()), (workers, 2), |queue, responses| {
            for number in 0..60 {
                let version = dataflows[number % 3].digest();
                let submission = RequestSubmission::from(request(&number.to_string(), 1));
                queue.submit(submission.under(version));
            }
            let by_name = |response: Response| (response.name.clone(), response);
            let all: BTreeMap<_, _> =
                (0..60).map(|_| by_name(responses.recv_timeout(LONG).unwrap())).collect();
            for number in 0..60 {
                let plain = dataflows[number % 3].interpret(request(&number.to_string(), 1).request()).0;
                assert_eq!(all[&number.to_string()], plain, "{workers} workers");
            }
        });
    }
}

#[test]
fn a_dataflow_that_is_added_runs_the_requests_that_name_it_and_no_others() {
    for workers in [1, 2, 4] {
        let folder = tempfile::tempdir().unwrap();
        let (go, held) = channel::<()>();
        let held = Mutex::new(held);
        let old = dataflow("old", move |name| {
            if name == "held" {
                held.lock().unwrap().recv().unwrap();
            }
        });
        let (new, newest) = (dataflow("new", |_| {}), dataflow("newest", |_| {}));
        with_engine(old, no_journal(folder.path()), (workers, 2), |queue, responses| {
            queue.submit(request("held", 1));
            for added in [&new, &newest, &new] {
                queue.add(added).unwrap();
                queue.submit(RequestSubmission::from(request("later", 1)).under(added.digest()));
                let response = responses.recv_timeout(LONG).unwrap();
                assert_eq!(response.version, added.digest(), "{workers} workers");
            }
            go.send(()).unwrap();
            assert_eq!(responses.recv_timeout(LONG).unwrap().files[0].name, "old.txt");
            queue.add(&dataflow("unused", |_| {})).unwrap();
        });
    }
}

#[test]
fn limits_that_have_changed_hold_for_requests_from_then_on() {
    let (go, held) = channel::<()>();
    let held = Mutex::new(held);
    let step = Step::new("work", 1, "Waits.").takes::<Request>("request").gives::<ResponseFiles>("files");
    let step = step.runs(move |call| {
        if call.input::<Request>("request").name != "quick" {
            let _ = held.lock().unwrap().recv();
        }
        Ok(StepOutputs::one("files", ResponseFiles(Vec::new())))
    });
    let table = StepTable::default().with(step);
    let limited = |keys: &str, comment: &str| {
        let text = format!(
            "dataflow: held\nlimits: {{memory: {{fixed: 1 B}}}}\nsteps:\n{comment}  work: {{step: work, needs: {{request: request}}{keys}}}\nresponse: [work]\n"
        );
        Arc::new(Dataflow::parse("held", &text, &table).unwrap())
    };
    let (old, new) = (limited("", ""), limited(", timeout: 10 ms", ""));
    assert_eq!(old.digest(), new.digest(), "a limit is no other version");
    let folder = tempfile::tempdir().unwrap();
    with_engine(Arc::clone(&old), no_journal(folder.path()), (1, 2), |queue, responses| {
        queue.submit(request("first", 1));
        queue.add(&new).unwrap();
        queue.submit(RequestSubmission::from(request("second", 1)).under(new.digest()));
        let response = responses.recv_timeout(LONG).unwrap();
        assert_eq!((response.name.as_str(), response.verdict), ("second", ResponseVerdict::Failed));
        assert_eq!(response.faults().next().unwrap().1.reason, "not finished after 10 ms");
        drop(go);
        let response = responses.recv_timeout(LONG).unwrap();
        assert_eq!((response.name.as_str(), response.verdict), ("first", ResponseVerdict::Complete));
        // What says the same is no other one, however often it comes.
        (0..100).for_each(|_| queue.add(&limited(", timeout: 10 ms", "  # a comment\n")).unwrap());
        queue.submit(RequestSubmission::from(request("quick", 1)).under(new.digest()));
        assert_eq!(responses.recv_timeout(LONG).unwrap().verdict, ResponseVerdict::Complete);
    });
}

#[test]
fn the_number_of_dataflows_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    with_engine(dataflow("first", |_| {}), no_journal(folder.path()), (1, 1), |queue, responses| {
        let added = (0..100).map(|number| queue.add(&dataflow(&number.to_string(), |_| {})));
        assert_eq!(added.filter(Result::is_ok).count(), 63);
        queue.submit(request("one", 1));
        responses.recv_timeout(LONG).unwrap();
    });
}

#[test]
fn the_number_of_requests_in_work_bounds_all_dataflows_together_and_none_starves() {
    let folder = tempfile::tempdir().unwrap();
    let (go, held) = channel::<()>();
    let held = Mutex::new(held);
    let (begin, begun) = channel();
    let begin_quiet = begin.clone();
    let busy = dataflow("busy", move |name| {
        begin.send(name.to_owned()).unwrap();
        let _ = held.lock().unwrap().recv();
    });
    let quiet = dataflow("quiet", move |name| begin_quiet.send(name.to_owned()).unwrap());
    let version = quiet.digest();
    let set = DataflowSet::new(busy).with(quiet);
    with_engine(set, no_journal(folder.path()), (1, 1), move |queue, responses| {
        std::thread::scope(|scope| {
            // One in work, one that waits, and more outside.
            queue.submit(request("first", 1));
            assert_eq!(begun.recv_timeout(LONG).unwrap(), "first");
            scope.spawn(|| (0..5).for_each(|number| queue.submit(request(&number.to_string(), 1))));
            queue.submit(RequestSubmission::from(request("other", 1)).under(version));
            assert!(begun.try_recv().is_err(), "the only place is taken");
            go.send(()).unwrap();
            let mut next = begun.recv_timeout(LONG).unwrap();
            if next != "other" {
                // At most one of the busy ones begins before it.
                go.send(()).unwrap();
                next = begun.recv_timeout(LONG).unwrap();
            }
            assert_eq!(next, "other");
            drop(go);
            // In any order: several threads deliver.
            let answered: BTreeSet<_> = (0..7).map(|_| responses.recv_timeout(LONG).unwrap().name).collect();
            assert_eq!(answered.into_iter().collect::<String>(), "01234firstother");
        });
    });
}

#[test]
fn a_version_that_is_not_there_makes_an_error_response() {
    let folder = tempfile::tempdir().unwrap();
    with_engine(dataflow("one", |_| {}), no_journal(folder.path()), (1, 1), |queue, responses| {
        queue.submit(RequestSubmission::from(request("stray", 1)).under(Digest::of(b"another")));
        let response = responses.recv_timeout(LONG).unwrap();
        let (report, fault) = response.faults().next().unwrap();
        assert_eq!((response.verdict, &*report.step), (ResponseVerdict::Failed, "admission"));
        assert!(fault.reason.contains("which is not loaded"), "{}", fault.reason);
    });
}

fn journal(state: &Path) -> Arc<Journal> {
    Arc::new(Journal::open(state, Arc::new(Store::at(state.join("store")).unwrap()), 0).unwrap())
}

#[test]
fn an_unanswered_request_is_resumed_under_the_version_that_accepted_it() {
    let state = tempfile::tempdir().unwrap();
    let (old, new) = (dataflow("work", |_| {}), dataflow("work-2", |_| {}));
    let accept = |journal: &Journal, name: &str, dataflow: &Dataflow| {
        let (request, version) = (Arc::clone(request(name, 1).request()), dataflow.digest());
        journal.remember(version, "work", dataflow.text()).unwrap();
        let arrival = RequestArrival {
            request,
            dataflow: "work".to_owned(),
            version,
            program: version,
            lookup_texts: Vec::new(),
        };
        journal.accept(arrival).unwrap()
    };
    // A process that ends before it has begun anything.
    accept(&journal(state.path()), "earlier", &old);
    let journal = journal(state.path());
    let versions = journal.unanswered_versions("work").unwrap();
    assert_eq!(versions, [(old.digest(), old.text().to_owned())].into());
    let set = DataflowSet::new(Arc::clone(&new)).with(Arc::clone(&old));
    with_engine(set, Arc::clone(&journal), (2, 1), |queue, responses| {
        for row in journal.unanswered("work").unwrap() {
            let history = journal.history(row.number).unwrap().unwrap();
            let receipt = journal.receipt(&history).unwrap();
            let submission = RequestSubmission { deadline: RequestDeadline::Passed, ..receipt.into() };
            queue.resume(submission.under(history.version().unwrap()), Some(&history));
        }
        queue.submit(accept(&journal, "later", &new));
        let mut answered: Vec<_> = (0..2)
            .map(|_| responses.recv_timeout(LONG).unwrap())
            .map(|response| (response.name, response.version, response.files[0].name.clone()))
            .collect();
        answered.sort();
        let expected = [("earlier", &old, "work.txt"), ("later", &new, "work-2.txt")];
        let expected = expected.map(|(name, of, file)| (name.to_owned(), of.digest(), file.to_owned()));
        assert_eq!(answered, expected);
    });
}

#[test]
fn small_files_of_an_answered_request_are_in_the_journal_alone() {
    let state = tempfile::tempdir().unwrap();
    let journal = journal(state.path());
    let dataflow = dataflow("small", |_| {});
    let request = Arc::clone(request("one", 1).request());
    let (id, version) = (request.id, dataflow.digest());
    let arrival = RequestArrival {
        request,
        dataflow: "small".to_owned(),
        version,
        program: version,
        lookup_texts: Vec::new(),
    };
    let receipt = journal.accept(arrival).unwrap();
    let number = receipt.number().unwrap();
    with_engine(Arc::clone(&dataflow), Arc::clone(&journal), (1, 1), |queue, responses| {
        queue.submit(receipt);
        responses.recv_timeout(LONG).unwrap();
    });
    let store = journal.store();
    assert_eq!(std::fs::read_dir(state.path().join("store")).unwrap().count(), 0, "no file was written");
    let history = journal.history(number).unwrap().unwrap();
    let files = history.response().unwrap().files.clone();
    assert!(!store.is_whole(id, &files));
    history.restore_small_files(store).unwrap();
    assert_eq!(store.get(id, files[0].digest).unwrap(), b"small");
}

#[test]
fn the_digest_of_a_set_covers_all_its_versions_in_their_order() {
    let [one, two] = ["one", "two"].map(|name| dataflow(name, |_| {}));
    let set = |first: &Arc<Dataflow>, second: &Arc<Dataflow>| {
        DataflowSet::new(Arc::clone(first)).with(Arc::clone(second)).digest()
    };
    assert_eq!(DataflowSet::new(Arc::clone(&one)).digest(), one.digest());
    assert_eq!(set(&one, &one), one.digest(), "a version is not added twice");
    assert_ne!(set(&one, &two), one.digest());
    assert_ne!(set(&one, &two), set(&two, &one));
}
