//! Messages that need a model: it is slow, down, hanging or talks nonsense, and every message is answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::device::{Device, message, text};
use super::scene::ChatScene;
use super::talk::{ASK, ASK_IN_TURN, NOTE, TURN};
use super::types::{RecordedAnswers, asking, plain, scene};
use crate::support::model_server::{Gate, ModelDeed, ModelServer, answer_to};
use crate::support::peers::until;
use crate::support::ports::free_port;

/// A type whose answer is for providers alone.
const HIDDEN: &str = "hidden";

fn ask(id: &str, words: &str) -> Value {
    message(id, "a", ASK, json!({ "text": words }))
}

fn say(kind: &str, id: &str) -> Value {
    message(id, "a", kind, json!({ "text": id }))
}

#[test]
fn a_slow_model_delays_no_other_message() {
    let gate = Arc::new(Gate::default());
    let held = Arc::clone(&gate);
    let model = ModelServer::start(move |_| ModelDeed::Held(Arc::clone(&held)));
    let scene = scene(&model, "rate: 100000");
    let mut anna = scene.anna();
    // More than there are lanes and processors.
    for number in 0..100 {
        assert_eq!(anna.ask(&ask(&format!("ask {number}"), "How long?")).name, "accepted");
    }
    until("the model is asked", || (model.calls().len() > 3).then_some(()));
    for number in 0..50 {
        let answer = anna.converse(&say(if number % 2 == 0 { NOTE } else { TURN }, &format!("say {number}")));
        assert_eq!(answer["seq"], number + 1);
    }
    assert_eq!(anna.events.len(), 50, "none of the model's answers is there");
    gate.open();
    anna.until("the model's answers", |device| (device.events.len() == 150).then_some(()));
    assert!((0..100).all(|number| anna.answers(&format!("ask {number}")).count() == 1));
}

#[test]
fn messages_in_turn_wait_for_the_one_that_a_model_holds_up_and_no_others_do() {
    let gate = Arc::new(Gate::default());
    let held = Arc::clone(&gate);
    let model = ModelServer::start(move |_| ModelDeed::Held(Arc::clone(&held)));
    let mut scene = scene(&model, "");
    let mut anna = scene.anna();
    assert_eq!(anna.ask(&say(ASK_IN_TURN, "first")).name, "accepted");
    for id in ["second", "third"] {
        assert_eq!(anna.ask(&say(TURN, id)).name, "accepted");
    }
    assert_eq!(anna.converse(&say(NOTE, "beside"))["seq"], 1);
    // Another conversation has an order of its own.
    let mut berta = scene.berta();
    berta.converse(&message("1", "b", TURN, json!({ "text": "Good morning" })));
    let in_turn =
        |device: &Device| device.events.iter().map(|event| text(&event["answers"])).collect::<Vec<String>>();
    anna.listen_until(Instant::now());
    assert_eq!(in_turn(&anna), ["beside"]);
    // The order is that of acceptance also for a server that begins anew.
    scene.restart();
    anna.connect(scene.address()).unwrap();
    assert_eq!(anna.ask(&say(TURN, "fourth")).name, "accepted");
    anna.converse(&say(NOTE, "beside again"));
    gate.open();
    anna.until("all", |device| (device.seen("a") == 6).then_some(()));
    assert_eq!(in_turn(&anna), ["beside", "beside again", "first", "second", "third", "fourth"]);
}

#[test]
fn parts_of_an_answer_are_pushed_as_they_come_and_are_not_recorded() {
    let gate = Arc::new(Gate::default());
    let half = Arc::clone(&gate);
    let model = ModelServer::start(move |call| {
        assert!(call.is_stream);
        ModelDeed::Half(Arc::clone(&half))
    });
    let scene = scene(&model, "");
    let (mut anna, mut other) = (scene.anna(), scene.anna());
    assert_eq!(anna.ask(&ask("1", "How long?")).name, "accepted");
    let partial = |device: &Device| {
        let partial = device.passing.iter().rfind(|said| said.name == "partial");
        partial.map(|said| said.value.clone())
    };
    for device in [&mut anna, &mut other] {
        let part = device.until("a part", partial);
        assert_eq!((&part["conversation"], &part["answers"]), (&json!("a"), &json!("1")), "{part}");
        assert_eq!(part["text"], "You");
        assert!(device.events.is_empty());
    }
    gate.open();
    for device in [&mut anna, &mut other] {
        let event = device.until("the answer", |device| device.answers("1").next().cloned());
        assert_eq!(event["content"]["text"], answer_to("How long?"));
        assert!(device.passing.iter().all(|said| said.value.get("seq").is_none()), "{:?}", device.passing);
    }
    let mut late = scene.anna();
    late.until("the answer", |device| device.answers("1").next().cloned());
    assert!(late.passing.iter().all(|said| said.name != "partial"));
}

#[test]
fn parts_of_an_answer_that_is_for_others_are_not_shown_to_the_sender() {
    let gate = Arc::new(Gate::default());
    let half = Arc::clone(&gate);
    let model = ModelServer::start(move |_| ModelDeed::Half(Arc::clone(&half)));
    let mut scene = ChatScene::stopped("types: types");
    let with = format!("url: \"{}\", model: small", model.url());
    scene.write_type(ASK, &asking(ASK, "none", &with));
    scene.write_type(HIDDEN, &asking(HIDDEN, "none", &with).replace("to: all", "to: provider"));
    scene.start();
    let (mut anna, mut berta) = (scene.anna(), scene.berta());
    assert_eq!(anna.ask(&say(HIDDEN, "hidden")).name, "accepted");
    until("the model is asked", || (!model.calls().is_empty()).then_some(()));
    assert_eq!(anna.ask(&ask("shown", "How long?")).name, "accepted");
    let shown =
        |device: &Device| device.passing.iter().any(|said| said.value["answers"] == "shown").then_some(());
    anna.until("a part of what is shown", shown);
    gate.open();
    berta.until("both answers", |device| (device.events.len() == 2).then_some(()));
    anna.until("the answer", |device| device.answers("shown").next().cloned());
    assert!(anna.passing.iter().all(|said| said.value["answers"] != "hidden"), "{:?}", anna.passing);
}

#[test]
fn a_model_that_fails_is_asked_again_and_the_answer_is_there() {
    let deeds = [
        ("cut off", ModelDeed::CutOff),
        ("closed", ModelDeed::Closed),
        ("busy", ModelDeed::Status(503, None)),
        ("too many", ModelDeed::Status(429, Some(1))),
    ];
    let script: Vec<_> = deeds.to_vec();
    let model = ModelServer::start(move |call| match call.earlier {
        0 => script.iter().find(|(what, _)| call.text == *what).expect("one of them").1.clone(),
        _ => ModelDeed::Answer(Duration::ZERO),
    });
    let scene = scene(&model, "");
    let mut anna = scene.anna();
    for (what, _) in &deeds {
        let began = Instant::now();
        let answer = anna.converse(&ask(what, what));
        assert_eq!(answer["content"]["text"], answer_to(what), "{what}");
        assert_eq!(model.calls_with(what), 2, "{what}");
        let waits = *what == "too many";
        assert!(!waits || began.elapsed() >= Duration::from_secs(1), "Retry-After was not heeded");
    }
}

#[test]
fn a_model_that_talks_nonsense_ends_in_one_error_that_names_it() {
    let bodies = [
        "",
        "{",
        "null",
        "[]",
        "{}",
        "{\"choices\":[]}",
        "{\"choices\":[{\"message\":{}}]}",
        "<html>",
        "data: {\n\n",
    ];
    let model = ModelServer::start(move |call| {
        let number: usize = call.text.parse().expect("the number of a body");
        ModelDeed::Body(bodies[number])
    });
    let scene = scene(&model, "");
    let mut anna = scene.anna();
    for (number, body) in bodies.iter().enumerate() {
        let id = format!("nonsense {number}");
        let answer = anna.converse(&ask(&id, &number.to_string()));
        assert_eq!(answer["type"], "error", "{body:?}: {answer}");
        let reason = text(&answer["content"]["reason"]);
        assert!(!reason.is_empty() && !text(&answer["content"]["remedy"]).is_empty(), "{answer}");
        assert_eq!(anna.answers(&id).count(), 1);
    }
    // A failure is for the sender only.
    let mut berta = scene.berta();
    berta.converse(&message("1", "a", NOTE, json!({ "text": "What is wrong?" })));
    assert_eq!(berta.heard("a").len(), 1, "{:?}", berta.events);
    assert_eq!(anna.converse(&say(NOTE, "say")), anna.events.last().cloned().expect("it is there"));
}

/// A chat whose model is at an address, with a cheaper one at another.
fn with_fallback(url: &str, fallback: &str, patience_s: f64) -> ChatScene {
    let mut scene = ChatScene::stopped("types: types");
    let with = format!(
        "url: \"{url}\", model: large, patience_s: {patience_s}, fallback_url: \"{fallback}\", fallback_model: small"
    );
    scene.write_type(ASK, &asking(ASK, "none", &with).replace("count: 5", "count: 1"));
    scene.write_type(NOTE, &plain(NOTE, "none"));
    scene.start();
    scene
}

#[test]
fn where_the_model_is_away_hanging_or_busy_the_cheaper_one_answers() {
    let gate = Arc::new(Gate::default());
    let held = Arc::clone(&gate);
    let hanging = ModelServer::start(move |_| ModelDeed::Held(Arc::clone(&held)));
    let busy = ModelServer::start(|_| ModelDeed::Status(503, Some(600)));
    let wrong = ModelServer::start(|_| ModelDeed::Body("{}"));
    let small = ModelServer::start(|call| match call.model.as_str() {
        "small" => ModelDeed::Answer(Duration::ZERO),
        other => panic!("the cheaper model is asked as {other}"),
    });
    let away = format!("http://127.0.0.1:{}", free_port());
    for (what, url) in
        [("away", away), ("hanging", hanging.url()), ("busy", busy.url()), ("wrong", wrong.url())]
    {
        let scene = with_fallback(&url, &small.url(), 0.5);
        let answer = scene.anna().converse(&ask("1", what));
        assert_eq!(answer["content"]["text"], answer_to(what), "{what}: {answer}");
        assert_eq!(small.calls_with(what), 1, "{what}");
    }
    gate.open();
}

#[test]
fn where_all_models_are_away_the_sender_is_told_and_can_ask_again_later() {
    let is_up = Arc::new(AtomicBool::new(false));
    let up = Arc::clone(&is_up);
    let model = ModelServer::start(move |_| match up.load(Ordering::Acquire) {
        true => ModelDeed::Answer(Duration::ZERO),
        false => ModelDeed::Status(503, None),
    });
    let scene = with_fallback(&model.url(), &format!("http://127.0.0.1:{}", free_port()), 2.0);
    let mut anna = scene.anna();
    let told = anna.converse(&ask("1", "How long?"));
    assert_eq!(told["type"], "error", "{told}");
    anna.converse(&say(NOTE, "say"));
    is_up.store(true, Ordering::Release);
    // The circuit to a service that fails may stay open for a while.
    let mut number = 1;
    until("the model answers", || {
        number += 1;
        let answer = anna.converse(&ask(&number.to_string(), "How long?"));
        (answer["content"]["text"] == answer_to("How long?")).then_some(())
    });
}

#[test]
fn a_call_whose_answer_was_recorded_is_not_made_again_after_a_kill() {
    let gate = Arc::new(Gate::default());
    let held = Arc::clone(&gate);
    let model = ModelServer::start(move |call| match call.text.starts_with("first") {
        true => ModelDeed::Answer(Duration::ZERO),
        false => ModelDeed::Held(Arc::clone(&held)),
    });
    let mut scene = scene(&model, "");
    let mut anna = scene.anna();
    // The first one holds up the order, so that the answer of the second one is recorded and not yet delivered.
    anna.ask(&message("1", "a", ASK_IN_TURN, json!({ "text": "held" })));
    anna.ask(&message("2", "a", ASK_IN_TURN, json!({ "text": "first of all" })));
    let mut answers = RecordedAnswers::default();
    until("the answer is recorded", || (answers.new_ones(&scene) == ["2"]).then_some(()));
    assert!(anna.events.is_empty());
    scene.restart();
    gate.open();
    anna.connect(scene.address()).unwrap();
    anna.until("both", |device| (device.seen("a") == 2).then_some(()));
    let heard: Vec<Value> = anna.heard("a").into_iter().map(|(_, content)| content["text"].clone()).collect();
    assert_eq!(heard, [answer_to("held"), answer_to("first of all")]);
    assert_eq!(model.calls_with("first of all"), 1);
}
