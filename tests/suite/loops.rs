//! Retries of requests with calls and loops: items that came to the bound of a loop go on when it is raised, and a
//! question that was answered is not asked again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use flow::admission::{Admission, DataflowSelector, Intake, Service, ServiceSettings, Source, note_wish};
use flow::dataflow::{Dataflow, Response, ResponseVerdict};
use flow::journal::{JournalReader, OperatorRequest, RequestState};
use flow::replay::{PastRequest, ReplayObserver, ReplayScope, RunVerdict, again};
use flow::step::{Fault, Item, Payload, Request, ResponseFile, ResponseFiles, Step, StepOutputs, StepTable};
use flow::store::Store;

use crate::engine::{LONG, Told};
use crate::support::peers::until;

/// A job with the number of times that it is to be asked about once more.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct Job {
    number: u64,
    left: u64,
}

impl Payload for Job {
    const TYPE: &'static str = "job";
}

/// How often each call was made about a job.
type CallCounts = Arc<Mutex<BTreeMap<(&'static str, u64, u64), usize>>>;

/// Jobs that are left 0 to 4 times go round, and those that are ready are told about.
const STEPS: &str = "
steps:
  jobs: {step: list, needs: {request: request}}
  first: {step: sort, needs: {job: jobs}}
  asked: {step: ask, needs: {job: first.open}, batch: {size: 4}, again: {job: ready.open, max: MAX}}
  ready: {step: sort, needs: {job: asked}}
  told: {step: tell, needs: {job: [ready.ready, first.ready]}, batch: {size: 3}}
  file: {step: write, needs: {jobs: told}}
response: [file]
";

fn table(counts: &CallCounts) -> StepTable {
    let list = Step::new("list", 1, "Lists.").takes::<Request>("request").gives_many::<Job>("jobs");
    let list = list.runs_many(|_| Ok((0..20).map(|number| Ok::<_, Fault>(Job { number, left: number % 5 }))));
    let sort = Step::new("sort", 1, "Tells ready from open.").takes::<Job>("job");
    let sort = sort.gives_many::<Job>("ready").gives_many::<Job>("open");
    let write = Step::new("write", 1, "Writes.").takes_each::<Job>("jobs").gives::<ResponseFiles>("files");
    let write = write.runs(|call| {
        let all: Vec<String> = call.each::<Job>("jobs").iter().map(|job| job.number.to_string()).collect();
        let file = ResponseFile::new("jobs.txt", "text/plain", all.join(" ").into_bytes());
        Ok(StepOutputs::one("files", ResponseFiles(vec![file])))
    });
    let calling = |name: &'static str, by: u64| {
        let counts = Arc::clone(counts);
        let step = Step::new(name, 1, "Asks.").takes::<Job>("job").gives::<Job>("job");
        step.calls(move |jobs: Vec<Job>, _, _| {
            let mut counts = counts.lock().unwrap();
            let asked = |job: Job| {
                let count = counts.entry((name, job.number, job.left)).or_default();
                *count += 1;
                if name == "doubt" && job.number == 7 && *count <= 2 {
                    return Err(Fault::transient("not now", "Ask again."));
                }
                Ok(Job { left: job.left.saturating_sub(by), ..job })
            };
            Ok(jobs.into_iter().map(asked).collect())
        })
    };
    StepTable::default()
        .with(list)
        .with(sort.routes(|job: &Job, _| Ok(usize::from(job.left > 0))))
        .with(calling("ask", 1))
        .with(calling("tell", 0))
        .with(calling("doubt", 0))
        .with(write)
}

fn dataflow(max: u32, rest: &str, counts: &CallCounts) -> Dataflow {
    let text = format!("dataflow: jobs{}{rest}", STEPS.replace("MAX", &max.to_string()));
    Dataflow::parse("jobs.yaml", &text, &table(counts)).unwrap_or_else(|problems| panic!("{problems}"))
}

/// Brings a request, and has it run again under other dataflows, one after the other.
struct Retried {
    state: PathBuf,
    later: Vec<Dataflow>,
    responses: Mutex<Receiver<Response>>,
    seen: Mutex<Vec<Response>>,
}

impl Retried {
    fn await_response(&self) {
        self.seen.lock().unwrap().push(self.responses.lock().unwrap().recv_timeout(LONG).unwrap());
    }
}

impl Source for Retried {
    fn name(&self) -> &'static str {
        "jobs"
    }

    fn feed(&self, admission: &Admission) -> Intake {
        let request = Request::new("one", BTreeMap::new(), vec![Item::inline("item", *b"one")]);
        admission.accept(request).unwrap();
        self.await_response();
        let reader = JournalReader::open(&self.state).unwrap();
        for later in &self.later {
            let row = until("it is answered", || {
                let row = reader.requests().unwrap().remove(0);
                (row.state == RequestState::Answered).then_some(row)
            });
            assert!(admission.adopt(&DataflowSelector::only(later.clone())));
            note_wish(&reader, &row, OperatorRequest::Retry, "tests").unwrap();
            self.await_response();
        }
        Intake::Whole
    }
}

/// The responses to a request under the first dataflow, and at each retry while the next one is in force.
fn retried(state: &Path, first: Dataflow, later: Vec<Dataflow>) -> Vec<Response> {
    let service = Service::open(ServiceSettings::at(state), DataflowSelector::only(first)).unwrap();
    let (told, responses) = channel();
    let source = Arc::new(Retried {
        state: state.to_owned(),
        later,
        responses: Mutex::new(responses),
        seen: Mutex::default(),
    });
    let ended = service.run_all(
        vec![Arc::clone(&source) as Arc<dyn Source>],
        &Told(Mutex::new(told)),
        Default::default(),
        Arc::new(flow::engine::NullObserver),
    );
    assert_eq!(ended.unwrap(), Intake::Whole);
    std::mem::take(&mut source.seen.lock().unwrap())
}

#[test]
fn a_retry_goes_on_with_the_raised_bound_of_a_loop_and_makes_no_recorded_call_again() {
    let counts = CallCounts::default();
    let folder = tempfile::tempdir().unwrap();
    let [low, high] = [2, 5].map(|max| dataflow(max, "", &counts));
    let seen = retried(folder.path(), low.clone(), vec![high.clone()]);
    let (_, fault) = seen[0].faults().next().unwrap();
    assert!(fault.reason.contains("would come back once more"), "{}", fault.reason);
    assert!(fault.remedy.contains("`flow retry`"), "{}", fault.remedy);
    let response = &seen[1];
    assert_eq!((seen[0].verdict, response.verdict), (ResponseVerdict::Failed, ResponseVerdict::Complete));
    assert_eq!((seen[0].version, response.version), (low.digest(), high.digest()));
    let again_made: Vec<_> =
        counts.lock().unwrap().clone().into_iter().filter(|(_, count)| *count > 1).collect();
    assert_eq!(again_made, [], "each call is made once");
    let mut expected: BTreeMap<(&str, u64, u64), usize> = BTreeMap::new();
    for number in 0..20 {
        expected.insert(("tell", number, 0), 1);
        expected.extend((1..=number % 5).map(|left| (("ask", number, left), 1)));
    }
    assert_eq!(*counts.lock().unwrap(), expected);

    // What is replayed is the response of the retry.
    let reader = JournalReader::open(folder.path()).unwrap();
    let row = reader.requests().unwrap().remove(0);
    let store = Store::at(folder.path().join("store")).unwrap();
    let past = PastRequest::of_journal(&reader, &row, store).unwrap();
    assert_eq!(past.recording.dataflow.version, high.digest());
    let replayed =
        again(&past, &past.dataflow(&table(&counts)).unwrap(), ReplayScope::Whole, ReplayObserver::default());
    assert!(replayed.unwrap().runs.iter().all(|run| run.verdict == RunVerdict::Identical));
    assert_eq!(*counts.lock().unwrap(), expected, "a replay asks nobody");
}

#[test]
fn a_retry_stays_with_its_dataflow_if_more_than_a_bound_is_changed() {
    let counts = CallCounts::default();
    let folder = tempfile::tempdir().unwrap();
    let low = dataflow(2, "", &counts);
    let other = dataflow(5, "on_item_failure: complete with reservations\n", &counts);
    let seen = retried(folder.path(), low.clone(), vec![other]);
    let versions: Vec<_> = seen.iter().map(|response| (response.version, response.verdict)).collect();
    assert_eq!(versions, [(low.digest(), ResponseVerdict::Failed), (low.digest(), ResponseVerdict::Failed)]);
}

#[test]
fn a_retry_asks_only_about_items_that_have_no_answer() {
    let counts = CallCounts::default();
    let folder = tempfile::tempdir().unwrap();
    let text = "dataflow: jobs
steps:
  jobs: {step: list, needs: {request: request}}
  asked: {step: doubt, needs: {job: jobs}, batch: {size: 10}, retry: {count: 1, first_delay: 0 s}}
  told: {step: tell, needs: {job: asked}, batch: {size: 10}}
  file: {step: write, needs: {jobs: told}}
response: [file]
";
    let dataflow = Dataflow::parse("jobs.yaml", text, &table(&counts)).unwrap();
    let seen = retried(folder.path(), dataflow.clone(), vec![dataflow]);
    let verdicts: Vec<ResponseVerdict> = seen.iter().map(|response| response.verdict).collect();
    assert_eq!(verdicts, [ResponseVerdict::Failed, ResponseVerdict::Complete]);
    let counts = counts.lock().unwrap();
    let several: Vec<_> = counts.iter().filter(|(_, count)| **count != 1).collect();
    assert_eq!(several, [(&("doubt", 7, 2), &3)], "two attempts, and one at the retry");
    assert_eq!(counts.len(), 40);
}
