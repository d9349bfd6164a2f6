//! Work goes to processes that have the memory for it.

use std::fs;

use flow::journal::JournalEntry;

use super::ClusterScene;
use crate::run::Place;
use crate::support::peers::{Background, until};

/// A scene of this many processes whose requests take 64 MiB each. The second step says `on: big-memory`.
fn scene(processes: usize, requests: usize) -> ClusterScene {
    let scene = ClusterScene::new(processes, requests, ["true", "true"], "");
    let text = fs::read_to_string(scene.place.path("two.yaml")).unwrap();
    let text = text.replace("fixed: 1 B", "fixed: 64 MiB");
    let text = text.replace("second: {step: run-program,", "second: {step: run-program, on: big-memory,");
    fs::write(scene.place.path("two.yaml"), text).unwrap();
    scene
}

/// Joins a process with this memory, whose messages go to a file in its folder.
fn join(scene: &ClusterScene, memory: &str, place: &Place) -> Background {
    let said = fs::File::create(place.path("said")).unwrap();
    let arguments = ["join", &scene.address(), "--label", "big-memory", "--memory", memory];
    Background::of(place.flow(&arguments).stderr(said))
}

fn said(place: &Place) -> String {
    fs::read_to_string(place.path("said")).unwrap_or_default()
}

/// The processes in which a step ran, by request.
fn places(scene: &ClusterScene, step: &str) -> Vec<Option<usize>> {
    let histories = scene.histories();
    let entries = histories.iter().flat_map(|history| &history.entries);
    let runs = entries.filter_map(|dated| match &dated.entry {
        JournalEntry::Run(run) if run.step == step => Some(run.place.map(|place| place.process)),
        _ => None,
    });
    runs.collect()
}

#[test]
fn a_process_that_joined_with_too_little_memory_gets_no_steps_and_is_told_so_once() {
    let (scene, little, enough) = (scene(1, 3), Place::new(), Place::new());
    let mut first = scene.start(0, &[]);
    let mut small = join(&scene, "16MiB", &little);
    let told = "gets no steps of requests that need 65 MiB of memory: it has 16 MiB";
    until("it is told why it gets no steps", || said(&little).contains(told).then_some(()));
    until("status says what is missing", || {
        let status = scene.place.run(&["status"]).out;
        let missing = "a process with the label big-memory and 64.00 MiB of memory is NOT THERE, since";
        (status.contains(missing) && status.contains(told)).then_some(())
    });
    let shown = scene.place.run(&["graph", "two.yaml", "--placement"]).out;
    assert!(shown.contains("16.00 MiB: nothing, as a request takes more memory\n"), "{shown}");
    let mut large = join(&scene, "1GiB", &enough);
    assert_eq!(first.ended(), 0, "{}", scene.said(0));
    assert_eq!((small.ended(), large.ended()), (0, 0));
    scene.account();
    assert_eq!(places(&scene, "second"), [Some(2); 3]);
    assert_eq!(said(&little).matches(told).count(), 1, "{}", said(&little));
    assert_eq!(scene.said(0).matches(told).count(), 1, "{}", scene.said(0));
}

#[test]
fn process_0_gives_steps_away_that_it_has_the_label_for_and_not_the_memory() {
    let scene = scene(2, 3);
    let mut second = scene.start(1, &["--label", "big-memory", "--memory", "1GiB"]);
    let mut first = scene.start(0, &["--label", "big-memory", "--memory", "32MiB"]);
    assert_eq!(first.ended(), 0, "{}", scene.said(0));
    assert_eq!(second.ended(), 0);
    scene.account();
    assert_eq!((places(&scene, "first"), places(&scene, "second")), (vec![Some(0); 3], vec![Some(1); 3]));
}

#[test]
fn requests_go_to_the_process_that_has_the_memory_for_them() {
    let scene = ClusterScene::new(3, 4, ["true", "true"], "");
    let text = fs::read_to_string(scene.place.path("two.yaml")).unwrap();
    fs::write(scene.place.path("two.yaml"), text.replace("fixed: 1 B", "fixed: 64 MiB")).unwrap();
    let mut others =
        [(1, "32MiB"), (2, "128MiB")].map(|(index, memory)| scene.start(index, &["--memory", memory]));
    let mut first = scene.start(0, &["--memory", "32MiB"]);
    assert_eq!(first.ended(), 0, "{}", scene.said(0));
    others.iter_mut().for_each(|other| assert_eq!(other.ended(), 0));
    scene.account();
    assert_eq!(places(&scene, "second"), [Some(2); 4]);
}

#[test]
fn a_request_counts_where_it_was_placed_before_it_has_its_memory() {
    let both = "touch $log/begun-$name; for turn in $(seq 200); do [ $(ls $log | grep -c begun) = 2 ] && break; sleep 0.05; done";
    let scene = ClusterScene::new(2, 2, [both, "true"], "");
    let text = fs::read_to_string(scene.place.path("two.yaml")).unwrap();
    fs::write(scene.place.path("two.yaml"), text.replace("fixed: 1 B", "fixed: 64 MiB")).unwrap();
    // By its threads, all would go to process 0.
    let mut second = scene.start(1, &["-w", "1", "--memory", "100MiB"]);
    let mut first = scene.start(0, &["-w", "8", "--memory", "100MiB"]);
    assert_eq!(first.ended(), 0, "{}", scene.said(0));
    assert_eq!(second.ended(), 0);
    scene.account();
    let mut places = places(&scene, "first");
    places.sort();
    assert_eq!(places, [Some(0), Some(1)]);
}
