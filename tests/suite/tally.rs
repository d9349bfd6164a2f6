//! `flow run tally`: calls to services, routes, a loop, streams that meet, and a total that is right whatever fails
//! on the way.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use flow::dataflow::{Dataflow, ResponseVerdict};
use flow::journal::{JournalEntry, JournalReader};
use flow::json::TotalGroup;
use flow::step::FaultKind;
use flow::tally::{SampleJobs, SampleServices, ServiceTroubles, TallyTruth};

use crate::crash::life::Life;
use crate::run::Place;
use crate::support::random::Dice;

const JOBS: u64 = 900;

/// A folder with jobs, a dataflow that names services with troubles, and the true total.
struct Scene {
    place: Place,
    services: SampleServices,
    truth: TallyTruth,
}

impl Scene {
    fn new(troubles: ServiceTroubles) -> Scene {
        let (place, services) = (Place::new(), SampleServices::start(troubles).unwrap());
        let text = Dataflow::built_in("tally").unwrap();
        // Small batches, so that there are many calls.
        let text = text.replace("sample:", &services.url());
        let text = text.replace(
            "    timeout: 2 s\n",
            "    timeout: 500 ms\n    batch: {size: 12}\n    limits: {max: 4}\n",
        );
        let text = text.replace("first_delay: 50 ms", "first_delay: 5 ms");
        fs::write(place.path("tally.yaml"), text).unwrap();
        let jobs = SampleJobs::new(JOBS);
        jobs.write(&place.path("jobs.jsonl")).unwrap();
        Scene { place, services, truth: jobs.truth().unwrap() }
    }

    fn arguments(&self) -> [&'static str; 4] {
        ["run", "./tally.yaml", "--files", "jobs.jsonl"]
    }

    fn assert_total(&self, folder: &Path) {
        assert_eq!(TotalGroup::read(&folder.join("total.json")).unwrap(), self.truth.all().unwrap());
    }

    /// How often the first attempt at each recorded batch was answered by the services.
    fn answered(&self) -> BTreeMap<String, u64> {
        let Ok(journal) = JournalReader::open(&self.place.path("flow-state")) else { return BTreeMap::new() };
        let mut answered = BTreeMap::new();
        let counts = self.services.counts();
        for row in journal.requests().unwrap() {
            for dated in journal.history(row.number).unwrap().entries {
                let JournalEntry::Run(run) = dated.entry else { continue };
                if let Some(attempt) = run.inputs.get("attempt") {
                    let key = attempt.to_string();
                    answered.insert(key.clone(), counts.answered.get(&key).copied().unwrap_or(0));
                }
            }
        }
        answered
    }
}

fn troubles() -> ServiceTroubles {
    ServiceTroubles {
        delay: Duration::from_millis(1),
        fail_every: 7,
        busy_every: 67,
        hang_every: 41,
        hang: Duration::from_secs(3),
    }
}

#[test]
fn a_fresh_folder_is_enough_and_the_total_is_the_true_one() {
    let place = Place::new();
    let ended = place.run(&["run", "tally"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    let row = |name: &str| ended.out.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    assert!(row("items").ends_with(" +0") && row("sum").ends_with(" +0"), "{}", ended.out);
    let (folder, response) = place.response("flow-output");
    assert_eq!(response.verdict, ResponseVerdict::Complete);
    let names: Vec<&str> = response.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["total.json", "total.csv", "total.png"]);
    let csv = fs::read_to_string(folder.join("total.csv")).unwrap();
    assert!(csv.starts_with("group,count,sum\r\n\"ask\","), "{csv}");
    let counts = |step: &str| response.streams.iter().find(|one| one.step == step).unwrap().done;
    assert!(counts("jobs") == SampleJobs::USUAL && counts("first") > 2 * counts("found") / 3);
    let retried: u64 = response.streams.iter().map(|one| one.retried).sum();
    assert!(retried > 0, "the sample services fail now and then");
}

#[test]
fn the_total_is_true_at_any_number_of_workers_with_troubles_and_a_replay_asks_nobody() {
    for workers in ["1", "2", "4"] {
        let scene = Scene::new(troubles());
        let ended = scene.place.run(&[scene.arguments().as_slice(), &["--workers", workers]].concat());
        assert_eq!(ended.code, 0, "{}", ended.err);
        let (folder, response) = scene.place.response("flow-output");
        assert_eq!(response.verdict, ResponseVerdict::Complete, "{workers} workers");
        scene.assert_total(&folder);
        assert!(scene.services.counts().troubled > 10);
        let calls = scene.services.counts().calls;
        let replayed = scene.place.run(&["replay", "jobs"]);
        assert_eq!(replayed.code, 0, "{}{}", replayed.out, replayed.err);
        assert_eq!(scene.services.counts().calls, calls, "recorded answers stand in for the services");
    }
}

#[test]
fn killed_at_random_instants_no_recorded_call_is_made_again_and_the_total_is_true() {
    let mut dice = Dice(12);
    let scene = Scene::new(ServiceTroubles { delay: Duration::from_millis(4), hang_every: 0, ..troubles() });
    let mut command = scene.place.flow(&scene.arguments());
    let (mut recorded, mut kills) = (BTreeMap::new(), 0);
    loop {
        // Several lives are needed, and each gets on.
        let calls = scene.services.counts().calls + 5 + dice.below(40) as u64;
        let mut life = Life::start(&mut command);
        life.lives_until(|_| scene.services.counts().calls >= calls);
        let ended = life.killed_at(Instant::now());
        for (key, answered) in scene.answered() {
            let before = *recorded.entry(key).or_insert(answered);
            assert_eq!(answered, before, "a call whose answer was recorded is not made again");
        }
        if !ended.was_killed() || kills == 30 {
            break;
        }
        kills += 1;
    }
    Life::start(&mut command).wait().assert_well();
    for (key, answered) in scene.answered() {
        assert_eq!(answered, *recorded.get(&key).unwrap_or(&answered));
    }
    assert!(kills > 1 && recorded.len() > 20, "{kills} kills, {} recorded calls", recorded.len());
    let (folder, response) = scene.place.response("flow-output");
    assert_eq!(response.verdict, ResponseVerdict::Complete);
    scene.assert_total(&folder);
}

#[test]
fn a_total_that_no_number_holds_is_a_fault_of_its_data() {
    let place = Place::new();
    let text = "dataflow: amounts
steps:
  orders: {step: read-json-lines, needs: {request: request}}
  numbers: {step: pick-number, needs: {item: orders}, with: {field: /amount, group: /kind}}
  total: {step: total-json, needs: {numbers: numbers}}
  report: {step: write-total, needs: {total: total}}
response: [report]
";
    fs::write(place.path("amounts.yaml"), text).unwrap();
    let line = |kind: &str, amount: i64| format!("{{\"kind\": \"{kind}\", \"amount\": {amount}}}\n");
    for (second, step, sum) in [("a", "total", "group \"a\""), ("b", "report", "all groups")] {
        let lines = line("a", i64::MAX) + &line(second, 1);
        fs::write(place.path("orders.jsonl"), lines).unwrap();
        let ended = place.run(&["run", "./amounts.yaml", "--files", "orders.jsonl", "--output", second]);
        assert_eq!(ended.code, 1, "{}", ended.err);
        let response = place.response(second).1;
        let (report, fault) = response.faults().next().unwrap();
        assert_eq!((&*report.step, fault.kind), (step, FaultKind::Data), "{fault}");
        assert!(fault.reason.starts_with(&format!("the sum of {sum}")), "{fault}");
    }
}
