//! Clients that are slow, broken or hostile: the others notice nothing, and the memory stays bounded.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::device::{Device, message, text, words};
use super::scene::{ChatScene, token};
use crate::support::chat_client::{ChatClient, ChatForm};
use crate::support::peers::{DEADLINE, until};

const FORMS: [ChatForm; 2] = [ChatForm::Plain, ChatForm::SocketIo];
const MIB: u64 = 1 << 20;

/// Another one's message is answered, and this is how long the slowest of some took.
fn slowest_of_others(scene: &ChatScene, what: &str) -> Duration {
    let mut berta = scene.device("berta", "provider", &["b"]);
    let talk = |number: u32| {
        let began = Instant::now();
        berta.converse(&words(&format!("{what} {number}"), "b", "Good morning"));
        began.elapsed()
    };
    (0..20).map(talk).max().expect("some")
}

#[test]
fn frames_of_a_megabyte_end_their_connection_and_nothing_else() {
    let scene = ChatScene::new("frame: 64 KiB");
    slowest_of_others(&scene, "before");
    let (_, before) = scene.memory();
    for form in FORMS {
        let large = words("large", "a", &"x".repeat(1 << 20));
        for _ in 0..40 {
            let mut anna = Device::connected_by(scene.address(), &token("anna", "patient", &["a"]), form);
            // The server may close it before all of it is sent.
            let _ = anna.send(&large);
            let said = anna.client.take().map(|mut client| client.closed()).unwrap_or_default();
            assert!(said.iter().all(|said| said.name != "accepted" && said.name != "event"), "{said:?}");
        }
    }
    slowest_of_others(&scene, "after");
    let (_, after) = scene.memory();
    assert!(after < before + 32 * MIB, "{} MiB more", (after - before) / MIB);
    // A frame that is just small enough is looked at: the text is too long for its type.
    let mut anna = scene.anna();
    let said = anna.ask(&words("long", "a", &"x".repeat(60 << 10)));
    assert_eq!((said.name.as_str(), said.value["field"].as_str()), ("refused", Some("/content/text")));
}

#[test]
fn what_is_no_message_is_refused_and_the_server_lives_on() {
    let scene = ChatScene::new("");
    let deep = format!("{{\"send\":{}{}}}", "[".repeat(20_000), "]".repeat(20_000));
    let frames = [
        String::new(),
        "{".to_owned(),
        "null".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        "\"send\"".to_owned(),
        "{\"send\":null}".to_owned(),
        "{\"send\":{}}".to_owned(),
        "{\"nothing\":{}}".to_owned(),
        "{\"hello\":{\"token\":\"\"}}".to_owned(),
        "42".to_owned(),
        "42[]".to_owned(),
        "42[\"send\"]".to_owned(),
        "4299999999999999999999[\"send\",{}]".to_owned(),
        "451-[\"send\",{\"_placeholder\":true,\"num\":0}]".to_owned(),
        "\u{0}\u{1b}[31m".to_owned(),
        deep,
    ];
    for form in FORMS {
        for frame in &frames {
            let mut anna = Device::connected_by(scene.address(), &token("anna", "patient", &["a"]), form);
            let _ = anna.client().text(frame.clone());
            let _ = anna.client().bytes(vec![0xff; 100]);
            // Whether it is told so, or the connection ends: nothing is accepted.
            let quiet = Instant::now() + Duration::from_millis(100);
            while let Some(client) = anna.client.as_mut() {
                match client.next_until(quiet) {
                    Ok(Some(said)) => assert!(said.name != "accepted" && said.name != "event", "{said:?}"),
                    Ok(None) | Err(_) => anna.leave(),
                }
            }
        }
        slowest_of_others(&scene, &format!("{form:?}"));
    }
}

#[test]
fn messages_with_wrong_parts_are_refused_one_by_one() {
    let scene = ChatScene::new("");
    let good = words("good", "a", "Hello");
    let with = |name: &str, value: Value| {
        let mut message = good.clone();
        message[name] = value;
        message
    };
    let strange = [
        with("id", json!("")),
        with("id", json!("x".repeat(10_000))),
        with("id", json!("a\u{0}b")),
        with("conversation", json!("")),
        with("conversation", json!("a/../b")),
        with("conversation", json!("*")),
        with("type", json!("../text")),
        with("type", json!("")),
        with("content", json!({ "text": "x".repeat(30_000) })),
        with("content", json!(null)),
    ];
    for form in FORMS {
        let mut anna = Device::connected_by(scene.address(), &token("anna", "patient", &["a"]), form);
        for message in &strange {
            anna.client().send(message).unwrap();
            let said = std::iter::repeat_with(|| anna.client().next().unwrap());
            let said = said.into_iter().find(|said| said.name != "event").expect("an answer");
            assert_eq!(said.name, "refused", "{}", message.to_string().chars().take(200).collect::<String>());
            assert!(!text(&said.value["reason"]).is_empty(), "{said:?}");
            assert!(said.value.to_string().len() < 2_000, "a refusal does not give all of it back");
        }
        anna.converse(&words(&format!("{form:?}"), "a", "Hello"));
    }
}

#[test]
fn a_flood_is_held_back_and_delays_nobody_else() {
    let scene = ChatScene::new("rate: 20");
    let calm = slowest_of_others(&scene, "calm");
    let mut anna = scene.anna();
    let mut sent = 0;
    for number in 0..5_000 {
        if anna.send(&words(&number.to_string(), "a", "Flood")).is_err() {
            break;
        }
        sent += 1;
        anna.listen_until(Instant::now());
    }
    let flooded = slowest_of_others(&scene, "flooded");
    assert!(flooded < calm + Duration::from_secs(2), "{flooded:?} and {calm:?} before");
    // Either it was told to slow down, or shut out.
    anna.listen_until(Instant::now() + Duration::from_millis(200));
    let refused: Vec<&Value> =
        anna.receipts.values().filter(|said| said.name == "refused").map(|said| &said.value).collect();
    assert!(!refused.is_empty() || !anna.is_connected(), "{sent} sent, {} receipts", anna.receipts.len());
    assert!(refused.iter().all(|one| !text(&one["reason"]).is_empty() && !text(&one["remedy"]).is_empty()));
    // Those that were accepted are answered; and then it may go on.
    let accepted: Vec<String> =
        anna.receipts.iter().filter(|(_, said)| said.name == "accepted").map(|(id, _)| id.clone()).collect();
    if !anna.is_connected() {
        anna.connect(scene.address()).unwrap();
    }
    for id in &accepted {
        anna.until("an answer", |device| device.answers(id).next().cloned());
    }
    until("it may send again", || (anna.ask(&words("later", "a", "Sorry")).name == "accepted").then_some(()));
}

#[test]
fn a_flood_of_pongs_ends_the_connection() {
    let scene = ChatScene::new("");
    for form in FORMS {
        let mut anna = Device::connected_by(scene.address(), &token("anna", "patient", &["a"]), form);
        anna.converse(&words(&format!("{form:?}"), "a", "Hello"));
        for _ in 0..20_000 {
            if anna.client().pong().is_err() {
                break;
            }
        }
        anna.client().closed();
    }
}

#[test]
fn a_message_with_half_of_a_surrogate_pair_is_refused_and_the_connection_stays() {
    let scene = ChatScene::new("");
    // In a conversation of its own no earlier event comes first.
    for (form, conversation) in FORMS.into_iter().zip(["a", "b"]) {
        let mut anna =
            Device::connected_by(scene.address(), &token("anna", "patient", &[conversation]), form);
        let message = r#"{"id":"half","conversation":"HERE","type":"text","content":{"text":"a\ud83d"}}"#;
        let message = message.replace("HERE", conversation);
        let frame = match form {
            ChatForm::Plain => format!("{{\"send\":{message}}}"),
            ChatForm::SocketIo => format!("427[\"send\",{message}]"),
        };
        anna.client().text(frame).unwrap();
        let said = anna.client().next().unwrap();
        assert_eq!(said.name, "refused", "{said:?}");
        assert!(form == ChatForm::Plain || said.value["id"] == "half", "{said:?}");
        anna.converse(&words(&format!("{form:?}"), conversation, "Hello"));
    }
}

#[test]
fn a_device_that_does_not_read_holds_up_nobody_and_gets_all_later() {
    let scene = ChatScene::new("rate: 100000");
    let token = token("anna", "patient", &["a"]);
    let mut deaf: Vec<Device> =
        (0..20).map(|n| Device::connected_by(scene.address(), &token, FORMS[n % 2])).collect();
    let mut berta = scene.berta();
    let long = "x".repeat(4_000);
    let (_, before) = scene.memory();
    // More than the buffers of a connection take.
    const COUNT: u64 = 4_000;
    for number in 0..COUNT {
        berta.send(&words(&number.to_string(), "a", &long)).unwrap();
        berta.listen_until(Instant::now());
    }
    berta.until("all", |device| (device.seen("a") == COUNT).then_some(()));
    let (_, after) = scene.memory();
    let more = (after - before) / MIB;
    assert!(more < 200, "{more} MiB more for 20 devices that do not read 16 MB each");
    for device in &mut deaf {
        until("all", || {
            device.listen_until(Instant::now() + Duration::from_secs(1));
            if !device.is_connected() {
                device.connect(scene.address()).unwrap();
            }
            (device.seen("a") == COUNT).then_some(())
        });
        assert_eq!(device.heard("a"), berta.heard("a"));
    }
}

#[test]
fn connections_that_say_nothing_are_closed() {
    let scene = ChatScene::new("hello: 1 s");
    let connect = || {
        let stream = TcpStream::connect(scene.address()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    };
    let mut silent: Vec<TcpStream> = (0..100).map(|_| connect()).collect();
    for (stream, part) in
        silent.iter_mut().zip(["", "GET /ws HTTP/1.1\r\n", "GET /ws HTTP/1.1\r\nHost: a\r\nX"].iter().cycle())
    {
        stream.write_all(part.as_bytes()).unwrap();
    }
    let mut upgraded: Vec<ChatClient> = (0..100)
        .map(|n| ChatClient::connect(scene.address(), FORMS[n % 2], None).expect("it is taken in so far"))
        .collect();
    slowest_of_others(&scene, "meanwhile");
    for client in &mut upgraded {
        client.closed();
    }
    for stream in &mut silent {
        let mut rest = Vec::new();
        let ended = stream.read_to_end(&mut rest);
        assert!(
            !ended.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock),
            "it is still open"
        );
    }
}

#[test]
fn connections_beyond_the_limit_are_refused_and_the_others_stay() {
    let scene = ChatScene::new("connections: 50\nconnections_per_address: 50");
    let mut first = scene.anna();
    let mut others: Vec<Device> = (1..50).map(|_| scene.anna()).collect();
    let refused = (0..20).filter(|_| {
        Device::new(&token("anna", "patient", &["a"]), ChatForm::Plain).connect(scene.address()).is_err()
    });
    assert_eq!(refused.count(), 20);
    first.converse(&words("1", "a", "Still here"));
    others.pop().expect("49").leave();
    let mut late = Device::new(&token("anna", "patient", &["a"]), ChatForm::Plain);
    until("a place is free again", || late.connect(scene.address()).ok());
    late.converse(&words("2", "a", "Thank you"));
    others[0].until("both", |device| (device.seen("a") == 2).then_some(()));
}

#[test]
fn what_a_client_sends_is_shown_raw_nowhere() {
    let mut scene = ChatScene::new("");
    let mut anna = scene.anna();
    let secret = "Jane Doe has a rash";
    anna.converse(&words("1", "a", secret));
    anna.ask(&message("2", "a", "text", json!({ "text": secret, "other": secret })));
    anna.ask(&message("3", "a", "\u{1b}[31mred", json!({ "text": secret })));
    let said = scene.stop().said;
    assert!(!said.contains("Jane") && !said.contains("rash"), "{said}");
    assert!(!said.contains('\u{1b}'), "{said:?}");
}
