//! Work goes to processes that have the memory for it.

use std::fs;

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

#[test]
fn a_process_that_joined_with_too_little_memory_gives_steps_back_and_fails_none() {
    let (scene, little, enough) = (scene(1, 3), Place::new(), Place::new());
    let mut first = scene.start(0, &[]);
    let mut small = join(&scene, "16MiB", &little);
    until("it says why it gets no steps", || said(&little).contains("needs about 65 MiB").then_some(()));
    let mut large = join(&scene, "1GiB", &enough);
    assert_eq!(first.ended(), 0, "{}", scene.said(0));
    assert_eq!((small.ended(), large.ended()), (0, 0));
    scene.account();
    assert_eq!(said(&little).matches("needs about").count(), 1, "{}", said(&little));
    assert_eq!(scene.said(0).matches("needs about").count(), 1, "{}", scene.said(0));
}
