//! What is acknowledged is answered once, to every device, in order, whenever it comes.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::device::{Device, message, text, words};
use super::scene::{ChatScene, token};
use super::talk::TURN;
use super::types::plain;
use crate::support::chat_client::ChatForm;
use crate::support::peers::until;
use crate::support::random::Dice;

#[test]
fn a_message_is_acknowledged_and_answered_in_line_in_both_forms() {
    let scene = ChatScene::new("rate: 100000");
    for (form, conversation) in [(ChatForm::Plain, "plain"), (ChatForm::SocketIo, "socket")] {
        let token = token("anna", "patient", &[conversation]);
        let mut anna = Device::new(&token, form);
        let welcome = anna.connect(scene.address()).unwrap();
        assert_eq!((text(&welcome["user"]), text(&welcome["role"])), ("anna".into(), "patient".into()));
        assert_eq!(welcome["conversations"], json!([conversation]));
        let types = welcome["types"].as_array().expect("the types");
        let has_text = types.iter().any(|one| one["type"] == "text" && one["content"]["type"] == "object");
        assert!(has_text, "{types:?}");
        let answer = anna.converse(&words("first", conversation, "Hello"));
        assert_eq!((&answer["seq"], &answer["type"]), (&json!(1), &json!("text")), "{answer}");
        assert_eq!(answer["content"], json!({ "text": "Hello" }));
        let said: Vec<Value> =
            (2..=20).map(|n| anna.converse(&words(&n.to_string(), conversation, "More"))).collect();
        let seqs: Vec<u64> = said.iter().filter_map(|event| event["seq"].as_u64()).collect();
        assert_eq!(seqs, Vec::from_iter(2..=20));
    }
}

#[test]
fn a_message_sent_twice_is_answered_once_also_after_a_kill() {
    let mut scene = ChatScene::new("");
    let mut anna = scene.anna();
    for _ in 0..5 {
        anna.send(&words("one", "a", "Hello")).unwrap();
    }
    anna.until("an answer", |device| device.answers("one").next().cloned());
    let mut other = scene.anna();
    assert_eq!(other.ask(&words("one", "a", "Hello")).name, "accepted", "the same from another device");
    scene.restart();
    anna.connect(scene.address()).unwrap();
    assert_eq!(anna.ask(&words("one", "a", "Hello")).name, "accepted");
    // Whatever came of it would have come before the answer to a later one.
    assert_eq!(anna.converse(&words("two", "a", "Hello"))["seq"], 2);
    assert_eq!(anna.answers("one").count(), 1);
    let mut fresh = scene.anna();
    fresh.until("all", |device| (device.seen("a") == 2).then_some(()));
    assert_eq!(fresh.heard("a"), anna.heard("a"));
}

#[test]
fn messages_of_one_device_keep_their_order_also_with_the_conversation_before_them() {
    let mut scene = ChatScene::stopped("types: types\nrate: 100000");
    scene.write_type(TURN, &plain(TURN, "conversation"));
    let with_context =
        plain("with-context", "conversation").replace("message:\n", "message:\n  context: 50\n");
    scene.write_type("with-context", &with_context);
    scene.write_type(
        "passing",
        &plain("passing", "none").replace("message:\n", "message:\n  keep: nothing\n"),
    );
    scene.start();
    let mut anna = scene.anna();
    let ids = |kind: &str| (0..200).map(|number| format!("{kind} {number}")).collect::<Vec<String>>();
    for (number, id) in ids("kept").iter().enumerate() {
        let kind = if number % 3 == 2 { TURN } else { "with-context" };
        anna.send(&message(id, "a", kind, json!({ "text": id }))).unwrap();
    }
    anna.until("all that is kept", |device| (device.events.len() == 200).then_some(()));
    let heard: Vec<String> = anna.events.iter().map(|event| text(&event["answers"])).collect();
    assert_eq!(heard, ids("kept"));
    for id in ids("passing") {
        anna.send(&message(&id, "a", "passing", json!({ "text": id }))).unwrap();
        // More than a few may not wait for a device.
        anna.listen_until(Instant::now());
    }
    let passing = |device: &Device| {
        let events = device.passing.iter().filter(|said| said.name == "event");
        events.map(|said| text(&said.value["answers"])).collect::<Vec<String>>()
    };
    anna.until("the receipts", |device| (device.receipts.len() == 400).then_some(()));
    anna.listen_until(Instant::now() + Duration::from_millis(200));
    let (heard, mut sent) = (passing(&anna), ids("passing").into_iter());
    assert!(heard.len() > 20 && heard.iter().all(|id| sent.any(|other| other == *id)), "{heard:?}");
}

#[test]
fn an_id_names_one_message_of_one_user_in_one_conversation() {
    let scene = ChatScene::new("");
    let mut berta = scene.berta();
    berta.converse(&words("one", "a", "Hello"));
    let refused = berta.ask(&words("one", "a", "Good morning"));
    assert_eq!(refused.name, "refused", "the same id with other content: {refused:?}");
    assert!(!text(&refused.value["reason"]).is_empty(), "{refused:?}");
    assert_eq!(berta.converse(&words("one", "b", "Good morning"))["seq"], 1, "another conversation");
    let mut anna = scene.anna();
    let answer = anna.converse(&words("one", "a", "Good morning"));
    assert_eq!((&answer["seq"], &answer["content"]["text"]), (&json!(2), &json!("Good morning")));
    assert_eq!(berta.ask(&words("one", "a", "Hello")).name, "accepted", "it goes on to be known");
}

#[test]
fn every_device_gets_all_and_one_that_was_away_gets_it_later() {
    let scene = ChatScene::new("rate: 100000");
    let (mut phone, mut tablet) = (scene.anna(), scene.anna());
    let mut berta =
        Device::connected_by(scene.address(), &token("berta", "provider", &["*"]), ChatForm::SocketIo);
    phone.converse(&words("1", "a", "Hello"));
    let mut away = scene.anna();
    away.until("what was said before it came", |device| (device.seen("a") == 1).then_some(()));
    away.leave();
    berta.converse(&words("1", "a", "Good morning"));
    for number in 2..=50 {
        phone.converse(&words(&number.to_string(), "a", "More"));
    }
    for device in [&mut phone, &mut tablet, &mut berta] {
        device.until("all", |device| (device.seen("a") == 51).then_some(()));
    }
    assert!(!away.is_connected() && away.seen("a") == 1);
    away.connect(scene.address()).unwrap();
    away.until("what was missed", |device| (device.seen("a") == 51).then_some(()));
    let heard = phone.heard("a");
    assert_eq!(heard.len(), 51);
    for device in [&tablet, &berta, &away] {
        assert_eq!(device.heard("a"), heard);
    }
    assert!(berta.answers("2").next().is_none(), "whose message an event answers is for its sender");
}

#[test]
fn whoever_comes_and_goes_misses_nothing_and_gets_nothing_twice() {
    let scene = ChatScene::new("rate: 100000");
    let mut dice = Dice(15);
    let mut anna = scene.anna();
    let forms = [ChatForm::Plain, ChatForm::SocketIo, ChatForm::Plain];
    let token = token("berta", "provider", &["a"]);
    let mut others: Vec<Device> = forms.iter().map(|form| Device::new(&token, *form)).collect();
    for number in 1..=300 {
        anna.converse(&words(&number.to_string(), "a", &format!("Message {number}")));
        let device = &mut others[dice.below(forms.len())];
        match device.is_connected() {
            true if dice.one_in(3) => device.leave(),
            true => _ = device.listen_until(Instant::now()),
            false => _ = device.connect(scene.address()).unwrap(),
        }
    }
    for device in &mut others {
        if !device.is_connected() {
            device.connect(scene.address()).unwrap();
        }
        device.until("all", |device| (device.seen("a") == 300).then_some(()));
        assert_eq!(device.heard("a"), anna.heard("a"));
    }
}

#[test]
fn messages_sent_without_waiting_are_all_answered() {
    let scene = ChatScene::new("rate: 100000");
    let mut anna = scene.anna();
    let ids: Vec<String> = (0..500).map(|number| format!("m{number}")).collect();
    ids.iter().for_each(|id| anna.send(&words(id, "a", "Quick")).unwrap());
    anna.until("all answers", |device| (device.events.len() == ids.len()).then_some(()));
    anna.until("all receipts", |device| (device.receipts.len() == ids.len()).then_some(()));
    assert!(anna.receipts.values().all(|said| said.name == "accepted"));
    assert!(ids.iter().all(|id| anna.answers(id).count() == 1));
}

#[test]
fn asked_to_end_it_answers_what_it_has_acknowledged() {
    let mut scene = ChatScene::new("rate: 100000");
    let mut anna = scene.anna();
    for number in 0..200 {
        anna.send(&words(&number.to_string(), "a", "Last words")).unwrap();
    }
    anna.until("the first receipt", |device| device.receipts.values().next().cloned());
    scene.stop().assert_well();
    while anna.listen_once(Instant::now() + crate::support::peers::DEADLINE) {}
    let accepted: Vec<String> = anna
        .receipts
        .values()
        .filter(|one| one.name == "accepted")
        .map(|one| text(&one.value["id"]))
        .collect();
    assert!(!accepted.is_empty());
    scene.start();
    anna.connect(scene.address()).unwrap();
    for id in &accepted {
        anna.until("an answer", |device| device.answers(id).next().cloned());
    }
    // What was not acknowledged is sent again, and answered once.
    for number in 0..200 {
        assert_eq!(anna.ask(&words(&number.to_string(), "a", "Last words")).name, "accepted");
    }
    until("all answers", || {
        anna.listen_until(Instant::now());
        (anna.seen("a") == 200).then_some(())
    });
    assert!((0..200).all(|number| anna.answers(&number.to_string()).count() == 1));
}
