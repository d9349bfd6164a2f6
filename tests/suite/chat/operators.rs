//! What an operator sees of a chat: which steps a message took, the same answer again, and nothing personal.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use flow::journal::JournalReader;
use serde_json::json;

use super::device::message;
use super::scene::ChatScene;
use super::talk::{ASK, NOTE};
use super::types::scene;
use crate::support::model_server::{ModelDeed, ModelServer};

/// The names of the requests of a dataflow.
fn requests(scene: &ChatScene, dataflow: &str) -> Vec<String> {
    let journal = JournalReader::open(&scene.place.path("flow-state")).expect("a sound journal");
    let rows = journal.requests().expect("a sound journal");
    rows.into_iter().filter(|row| row.dataflow == dataflow).map(|row| row.name).collect()
}

#[test]
fn a_message_is_explained_and_replayed_without_asking_the_model_again() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let model = ModelServer::start(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        ModelDeed::Answer(Duration::from_millis(30))
    });
    let mut scene = scene(&model, "");
    let mut anna = scene.anna();
    anna.converse(&message("1", "a", NOTE, json!({ "text": "Jane Doe has a rash" })));
    anna.converse(&message("2", "a", ASK, json!({ "text": "Jane Doe has a rash" })));
    // While it runs, and when it has ended.
    for is_running in [true, false] {
        if !is_running {
            scene.stop().assert_well();
        }
        let [name] = &requests(&scene, ASK)[..] else { panic!("one request of {ASK}") };
        let explained = scene.place.run(&["explain", name]);
        assert_eq!(explained.code, 0, "{}", explained.err);
        for step in ["message", "answer", "events"] {
            assert!(explained.out.contains(step), "{step}: {}", explained.out);
        }
        let status = scene.place.run(&["status"]);
        assert_eq!(status.code, 0, "{}", status.err);
        for told in [&explained.out, &status.out] {
            assert!(!told.contains("rash"), "personal text: {told}");
        }
    }
    for kind in [NOTE, ASK] {
        for name in requests(&scene, kind) {
            let replayed = scene.place.run(&["replay", &name]);
            assert_eq!(replayed.code, 0, "{}{}", replayed.out, replayed.err);
        }
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1, "recorded answers stand in for the model");
}
