//! The engine answers as `interpret` does: random dataflows with faults and panics, on 1, 2, 4 and 8
//! workers, and in two engines that are connected as processes are.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZero;
use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::engine::LONG;
use crate::support::ports::free_port;
use crate::support::random::{self, Dice};
use crate::support::random_streams;
use crate::support::{no_journal, receipt};
use flow::cluster::{
    AnnouncedVersion, ClusterAgreement, ClusterCoordinator, ClusterMember, ClusterSecret, ClusterSetup,
    HostList,
};
use flow::dataflow::{Dataflow, Response, ResponseVerdict};
use flow::engine::{
    self, EngineSettings, NullObserver, PendingDelivery, ProcessMesh, RequestQueue, ResponseSink,
};
use flow::journal::{Journal, RequestArrival};
use flow::step::{Digest, Outcome, OutcomeReason, Request, StepReport};
use flow::store::Store;
use flow::tls::SessionKeys;

/// Keeps the responses, and sees that every file is in the store with the bytes its digest says.
#[derive(Default)]
struct Kept(Mutex<Vec<Response>>);

impl ResponseSink for Kept {
    fn deliver(&self, pending_delivery: PendingDelivery) {
        let (response, store) = (pending_delivery.response(), pending_delivery.store());
        for artifact in &response.files {
            let bytes = std::fs::read(store.path(pending_delivery.request().id, artifact))
                .expect("the file is in the store");
            assert_eq!((Digest::of(&bytes), bytes.len() as u64), (artifact.digest, artifact.size));
        }
        self.0.lock().unwrap().push(Response::clone(response));
        pending_delivery.settle(Ok(()));
    }
}

impl Kept {
    /// By name: exactly one for each request.
    fn by_name(self) -> BTreeMap<String, Response> {
        let mut all = BTreeMap::new();
        for response in self.0.into_inner().unwrap() {
            assert!(all.insert(response.name.clone(), response).is_none(), "two responses to one request");
        }
        all
    }
}

fn settings(workers: usize, mesh: Option<ProcessMesh>) -> EngineSettings {
    let count = |number| NonZero::new(number).unwrap();
    EngineSettings {
        workers: count(workers),
        lanes: count(3),
        memory: 8 << 10,
        mesh,
        ..EngineSettings::default()
    }
}

fn run(
    dataflow: &Arc<Dataflow>,
    requests: &[Request],
    folder: &Path,
    settings: EngineSettings,
) -> BTreeMap<String, Response> {
    let kept = Kept::default();
    let source =
        |queue: &RequestQueue| requests.iter().cloned().for_each(|request| queue.submit(receipt(request)));
    engine::run(Arc::clone(dataflow), no_journal(folder), settings, Arc::new(NullObserver), source, &kept)
        .unwrap();
    kept.by_name()
}

/// Two engines, each with `workers`, connected as two processes are.
fn run_meshed(
    dataflow: &Arc<Dataflow>,
    requests: &[Request],
    folder: &Path,
    workers: usize,
) -> BTreeMap<String, Response> {
    let hosts = folder.join("hosts");
    std::fs::write(&hosts, format!("127.0.0.1:{}\n127.0.0.1:1\n", free_port())).unwrap();
    let hosts = HostList::read(&hosts, 2).unwrap();
    let keys = SessionKeys::shared(ClusterSecret::new(b"secret").key()).unwrap();
    let setup = |index| {
        let (instance, hosts, keys) = (index as u64, hosts.clone(), keys.clone());
        ClusterSetup {
            index,
            instance,
            hosts,
            keys,
            workers,
            memory: 1 << 30,
            labels: Default::default(),
            joins: false,
        }
    };
    let agreement = ClusterAgreement { dataflow: dataflow.digest(), lanes: 3, processes: 2 };
    let cluster = ClusterCoordinator::start(setup(0), &agreement, folder).unwrap();
    std::thread::scope(|scope| {
        let member = Arc::new(ClusterMember::new(setup(1), &agreement));
        scope.spawn(move || {
            let journal = no_journal(&folder.join("store"));
            let settings = settings(workers, Some(ProcessMesh::Member(Arc::clone(&member) as _)));
            let read = |announced: &AnnouncedVersion| {
                let tables = [random::table(), random_streams::table()];
                let read = |table| Dataflow::parse(&announced.name, &announced.text, table).ok();
                tables.iter().filter_map(read).find(|read| read.digest() == announced.version)
            };
            let source = |queue: &RequestQueue| member.serve(queue, &read, LONG);
            engine::run(Arc::clone(dataflow), journal, settings, Arc::new(NullObserver), source, &*member)
                .unwrap()
                .unwrap();
        });
        assert_eq!(cluster.wait(LONG).unwrap(), [0; 0]);
        let (kept, store) = (Kept::default(), Arc::new(Store::at(folder.join("store")).unwrap()));
        let journal = Arc::new(Journal::open(folder, store, 0).unwrap());
        let source = |queue: &RequestQueue| {
            for request in requests {
                let (request, version) = (Arc::new(request.clone()), dataflow.digest());
                let (dataflow, lookup_texts) = (dataflow.name().to_owned(), Vec::new());
                let arrival = RequestArrival { request, dataflow, version, program: version, lookup_texts };
                queue.submit(journal.accept(arrival).unwrap());
            }
        };
        let settings = settings(workers, Some(ProcessMesh::First(cluster.processes())));
        let dataflow = Arc::clone(dataflow);
        engine::run(dataflow, Arc::clone(&journal), settings, Arc::new(NullObserver), source, &kept).unwrap();
        cluster.end();
        kept.by_name()
    })
}

fn case(seed: u64) -> (String, Arc<Dataflow>, Vec<Request>) {
    let mut dice = Dice(seed);
    let text = random::dataflow(&mut dice);
    let dataflow = Dataflow::parse("random.yaml", &text, &random::table());
    let dataflow = dataflow.unwrap_or_else(|problems| panic!("seed {seed}: {problems}"));
    let requests = (0..6).map(|number| random::request(&mut dice, number)).collect();
    (text, Arc::new(dataflow), requests)
}

fn interpreted(dataflow: &Dataflow, requests: &[Request]) -> BTreeMap<String, Response> {
    let answer = |request: &Request| dataflow.interpret(&Arc::new(request.clone())).0;
    requests.iter().map(|request| (request.name.clone(), answer(request))).collect()
}

fn is_stopped(report: &StepReport) -> bool {
    matches!(&report.outcome, Outcome::Skipped { because: OutcomeReason::Stopped { .. } })
}

#[test]
fn the_engine_answers_as_interpret_does_on_any_number_of_workers() {
    let (mut complete, mut reserved, mut failed, mut stopped) = (0, 0, 0, 0);
    for seed in 0..60 {
        let (text, dataflow, requests) = case(seed);
        let expected = interpreted(&dataflow, &requests);
        for workers in [1, 2, 4, 8] {
            let folder = tempfile::tempdir().unwrap();
            let got = run(&dataflow, &requests, folder.path(), settings(workers, None));
            assert_eq!(got, expected, "seed {seed}, {workers} workers\n{text}");
        }
        let count = |verdict| expected.values().filter(|response| response.verdict == verdict).count();
        complete += count(ResponseVerdict::Complete);
        reserved += count(ResponseVerdict::CompleteWithReservations);
        failed += count(ResponseVerdict::Failed);
        stopped += expected.values().filter(|response| response.steps.iter().any(is_stopped)).count();
    }
    let seen =
        format!("{complete} complete, {reserved} with reservations, {failed} failed, {stopped} stopped");
    let shows_all = complete > 50 && reserved > 20 && failed > 50 && stopped > 20;
    assert!(shows_all, "the cases show all: {seen}");
}

/// A dataflow with streams and requests; `None` if a step needs what its own stream has only at the end.
fn stream_case(seed: u64) -> Option<(String, Arc<Dataflow>, Vec<Request>)> {
    let mut dice = Dice(seed);
    let text = random_streams::dataflow(&mut dice);
    let dataflow = match Dataflow::parse("random.yaml", &text, &random_streams::table()) {
        Ok(dataflow) => Arc::new(dataflow),
        Err(problems) => {
            let is_late = |text: &str| text.contains("known only when its own stream has ended");
            let all_late = problems.iter().all(|problem| is_late(&problem.message));
            assert!(all_late, "seed {seed}: {problems}\n{text}");
            return None;
        }
    };
    let requests = (0..4).map(|number| random::request(&mut dice, number)).collect();
    Some((text, dataflow, requests))
}

#[test]
fn streams_answer_as_interpret_does_on_any_number_of_workers() {
    let (mut complete, mut reserved, mut failed, mut items) = (0, 0, 0, 0);
    for (seed, (text, dataflow, requests)) in (0..80).filter_map(|seed| Some((seed, stream_case(seed)?))) {
        let expected = interpreted(&dataflow, &requests);
        for workers in [1, 2, 4, 8] {
            let folder = tempfile::tempdir().unwrap();
            let got = run(&dataflow, &requests, folder.path(), settings(workers, None));
            assert_eq!(got, expected, "seed {seed}, {workers} workers\n{text}");
        }
        let count = |verdict| expected.values().filter(|response| response.verdict == verdict).count();
        complete += count(ResponseVerdict::Complete);
        reserved += count(ResponseVerdict::CompleteWithReservations);
        failed += count(ResponseVerdict::Failed);
        items += expected.values().flat_map(|response| &response.streams).map(|step| step.done).sum::<u64>();
    }
    let seen = format!("{complete} complete, {reserved} with reservations, {failed} failed, {items} items");
    assert!(complete > 20 && reserved > 4 && failed > 20 && items > 100_000, "the cases show all: {seen}");
}

#[test]
fn two_processes_answer_as_one() {
    for (seed, workers) in [(100, 1), (101, 2), (102, 1), (103, 4), (104, 2)] {
        let (text, dataflow, requests) = case(seed);
        let folder = tempfile::tempdir().unwrap();
        let got = run_meshed(&dataflow, &requests, folder.path(), workers);
        assert_eq!(got, interpreted(&dataflow, &requests), "seed {seed}, 2 × {workers} workers\n{text}");
    }
    for (seed, (text, dataflow, requests)) in (300..306).filter_map(|seed| Some((seed, stream_case(seed)?))) {
        let folder = tempfile::tempdir().unwrap();
        let got = run_meshed(&dataflow, &requests, folder.path(), 2);
        assert_eq!(got, interpreted(&dataflow, &requests), "seed {seed}, 2 × 2 workers\n{text}");
    }
}

#[test]
fn recorded_results_stand_in_for_runs() {
    for seed in 200..220 {
        let (text, dataflow, requests) = case(seed);
        for request in requests.into_iter().map(Arc::new) {
            // In their order, where a step is retried.
            let mut recorded: BTreeMap<_, VecDeque<_>> = BTreeMap::new();
            let expected = dataflow.interpret_by(&request, &mut |due| {
                let result = due.perform();
                recorded.entry((due.step().to_owned(), due.item)).or_default().push_back(result.clone());
                result
            });
            let got = dataflow.interpret_by(&request, &mut |due| {
                let runs = recorded.get_mut(&(due.step().to_owned(), due.item)).expect("it was recorded");
                runs.pop_front().expect("it ran no more often than before")
            });
            assert_eq!(got, expected, "seed {seed}\n{text}");
            assert_eq!(got.0, dataflow.interpret(&request).0);
            assert!(recorded.values().all(VecDeque::is_empty), "seed {seed}: not asked for {recorded:?}");
        }
    }
}
