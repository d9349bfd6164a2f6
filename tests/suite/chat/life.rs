//! Types that come and go while the server runs, messages that are not recorded, and who sees what.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::device::{Device, message, text};
use super::scene::ChatScene;
use super::talk::{NOTE, TURN};
use super::types::{plain, to};
use crate::support::chat_client::{ChatForm, Said};
use crate::support::peers::until;

const QUICK: &str = "quick";

fn say(kind: &str, id: &str) -> Value {
    message(id, "a", kind, json!({ "text": id }))
}

/// The types that a new device is told of.
fn types(scene: &ChatScene) -> Vec<String> {
    let mut device = Device::new(&super::scene::token("anna", "patient", &["a"]), ChatForm::Plain);
    let welcome = device.connect(scene.address()).unwrap();
    welcome["types"].as_array().expect("a list").iter().map(|one| text(&one["type"])).collect()
}

#[test]
fn a_type_is_one_file_that_a_reload_takes_up_and_a_broken_one_changes_nothing() {
    let mut scene = ChatScene::stopped("types: types");
    scene.write_type(NOTE, &plain(NOTE, "none"));
    scene.start();
    let mut anna = scene.anna();
    assert_eq!(types(&scene), [NOTE]);
    assert_eq!(anna.ask(&say(TURN, "1")).name, "refused");
    scene.write_type(TURN, &plain(TURN, "conversation"));
    scene.hang_up();
    until("the new type is there", || (types(&scene).len() == 2).then_some(()));
    assert_eq!(anna.converse(&say(TURN, "1"))["type"], TURN);

    // A broken file is told with its line, and all go on as they were.
    scene.write_type(QUICK, &plain(QUICK, "none").replace("write-events", "write-evnets"));
    scene.write_type(NOTE, &plain(NOTE, "none").replace("type: note", "type: changed"));
    scene.hang_up();
    scene.life().lives_until(|said| said.contains("NOT RELOADED") && said.contains("quick.yaml:"));
    assert_eq!(anna.converse(&say(NOTE, "2"))["type"], NOTE);
    assert_eq!(anna.ask(&say(QUICK, "3")).name, "refused");
    scene.write_type(QUICK, &plain(QUICK, "none"));
    scene.hang_up();
    until("the corrected type is there", || (types(&scene).len() == 3).then_some(()));
    assert_eq!(anna.converse(&say(NOTE, "3"))["type"], "changed");

    fs::remove_file(scene.place.path("types").join("turn.yaml")).unwrap();
    scene.hang_up();
    until("the type is gone", || (types(&scene).len() == 2).then_some(()));
    assert_eq!(anna.ask(&say(TURN, "4")).name, "refused");
    assert_eq!(anna.seen("a"), 3, "what was said stays");
    scene.stop().assert_well();
}

#[test]
fn a_broken_type_is_refused_at_the_start_with_all_of_its_problems() {
    let scene = ChatScene::stopped("types: types");
    let broken = plain(NOTE, "sometimes").replace("from: [patient, provider]", "from: []");
    scene.write_type(NOTE, &broken);
    let ended = scene.place.run(&["run", "chat", "--site", "site.yaml"]);
    assert_eq!(ended.code, 3, "{}", ended.err);
    let line = |part: &str| broken.lines().position(|line| line.contains(part)).expect("a line") + 1;
    for part in ["from:", "order:"] {
        assert!(ended.err.contains(&format!("note.yaml:{}", line(part))), "{}", ended.err);
    }
}

fn passing(device: &Device, kind: &str) -> Option<Said> {
    device.passing.iter().find(|said| said.name == "event" && said.value["type"] == kind).cloned()
}

#[test]
fn a_message_that_is_not_kept_goes_to_who_is_there_and_leaves_nothing() {
    let mut scene = ChatScene::stopped("types: types");
    let fleeting = to(QUICK, "none", "others").replace("  order:", "  keep: nothing\n  order:");
    scene.write_type(QUICK, &fleeting);
    scene.write_type(NOTE, &plain(NOTE, "none"));
    scene.start();
    let (mut anna, mut berta) = (scene.anna(), scene.berta());
    anna.converse(&say(NOTE, "1"));
    assert_eq!(anna.ask(&say(QUICK, "fleeting words")).name, "accepted");
    let said = berta.until("it is pushed", |device| passing(device, QUICK));
    assert!(said.value.get("seq").is_none() && said.value["content"]["text"] == "fleeting words", "{said:?}");
    assert_eq!(anna.converse(&say(NOTE, "2"))["seq"], 2);
    assert!(passing(&anna, QUICK).is_none(), "it is for the others");
    let mut late = scene.berta();
    late.until("what is kept", |device| (device.seen("a") == 2).then_some(()));
    late.listen_until(Instant::now() + Duration::from_millis(100));
    assert!(passing(&late, QUICK).is_none());
    scene.stop().assert_well();
    let files = crate::run::tree(&scene.place.path("flow-state"));
    let has_words = |path: &std::path::PathBuf| {
        let bytes = fs::read(scene.place.path("flow-state").join(path)).unwrap();
        bytes.windows(14).any(|window| window == b"fleeting words")
    };
    let found: Vec<_> = files.keys().filter(|path| has_words(path)).collect();
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn an_event_is_seen_by_those_that_it_is_for() {
    let mut scene = ChatScene::stopped("types: types");
    for (name, receivers) in
        [("for-all", "all"), ("for-me", "sender"), ("for-others", "others"), ("for-staff", "provider")]
    {
        scene.write_type(name, &to(name, "conversation", receivers));
    }
    scene.start();
    let all = ["for-all", "for-me", "for-others", "for-staff", "for-all"];
    let (mut anna, mut phone) = (scene.anna(), scene.anna());
    let mut berta = scene.berta();
    let mut carl = scene.device("carl", "patient", &["a"]);
    for (number, kind) in all.iter().enumerate() {
        assert_eq!(anna.ask(&say(kind, &number.to_string())).name, "accepted");
    }
    let heard = |device: &mut Device| {
        device.until("all", |device| (device.seen("a") == 5).then_some(()));
        device.heard("a").into_iter().map(|(kind, _)| kind).collect::<Vec<String>>()
    };
    let late = |user, role| scene.device(user, role, &["a"]);
    for device in [&mut anna, &mut phone, &mut late("anna", "patient")] {
        assert_eq!(heard(device), ["for-all", "for-me", "for-all"]);
    }
    for device in [&mut berta, &mut late("berta", "provider")] {
        assert_eq!(heard(device), ["for-all", "for-others", "for-staff", "for-all"]);
    }
    for device in [&mut carl, &mut late("carl", "patient")] {
        assert_eq!(heard(device), ["for-all", "for-others", "for-all"]);
    }
    // One who sees nothing of what came last learns that there is nothing more.
    assert_eq!(anna.ask(&say("for-staff", "last")).name, "accepted");
    anna.until("the number moves on", |device| (device.seen("a") == 6).then_some(()));
}

#[test]
fn a_role_may_send_the_types_that_are_for_it() {
    let mut scene = ChatScene::stopped("types: types");
    scene.write_type(NOTE, &plain(NOTE, "none").replace("[patient, provider]", "[provider]"));
    scene.write_type(TURN, &plain(TURN, "none"));
    scene.start();
    let said = scene.anna().ask(&say(NOTE, "1"));
    assert_eq!((said.name.as_str(), &said.value["field"]), ("refused", &json!("/type")), "{said:?}");
    assert_eq!(scene.berta().converse(&say(NOTE, "1"))["seq"], 1);
}
