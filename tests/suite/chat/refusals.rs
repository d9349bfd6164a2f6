//! Who is let in, who may say what where, and what a refusal says.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use super::device::{Device, message, text, words};
use super::scene::{ChatScene, KEY, token};
use crate::support::chat_client::{ChatClient, ChatForm};
use crate::support::chat_tokens::{claims, encode, now, signed, unsigned};
use crate::support::peers::{run, tool};

const FORMS: [ChatForm; 2] = [ChatForm::Plain, ChatForm::SocketIo];

#[test]
fn a_message_that_does_not_match_is_refused_with_the_field() {
    let scene = ChatScene::new("");
    for form in FORMS {
        let mut anna = Device::connected_by(scene.address(), &token("anna", "patient", &["a"]), form);
        let cases = [
            ("text", json!({ "text": 5 }), "/content/text"),
            ("text", json!({}), "/content/text"),
            ("text", json!({ "text": "Hello", "txet": "Hello" }), "/content/txet"),
            ("text", json!("Hello"), "/content"),
        ];
        for (kind, content, field) in cases {
            let said = anna.ask(&message("wrong", "a", kind, content.clone()));
            assert_eq!(said.name, "refused", "{content}");
            let told = text(&said.value["field"]);
            assert!(told == field, "{content}: {told:?} and not {field:?}: {said:?}");
            assert!(!text(&said.value["reason"]).is_empty(), "{said:?}");
        }
        let said = anna.ask(&message("wrong", "a", "txet", json!({ "text": "Hello" })));
        assert_eq!((said.name.as_str(), &said.value["field"]), ("refused", &json!("/type")), "{said:?}");
        assert!(text(&said.value["remedy"]).contains("text"), "it says which types there are: {said:?}");
        // An id is free again when its message was refused.
        assert_eq!(anna.converse(&words("wrong", "a", "Hello"))["type"], "text");
        anna.converse(&words(&format!("{form:?}"), "a", "Hello"));
    }
}

#[test]
fn a_conversation_is_for_its_members() {
    let scene = ChatScene::new("");
    let mut anna = scene.anna();
    anna.converse(&words("1", "a", "Not for others"));
    for form in FORMS {
        let strange = token("carl", "patient", &["c"]);
        let mut carl = Device::new(&strange, form);
        let mut client = ChatClient::connect(scene.address(), form, None).unwrap();
        // A conversation of others among those that it says to have seen.
        match client.hello(&strange, &json!({ "a": 0, "c": 0 })) {
            Ok(welcome) => assert_eq!(welcome["conversations"], json!(["c"])),
            Err(refused) => assert!(!refused.0.is_empty()),
        }
        let _ = carl.connect(scene.address()).unwrap();
        let said = carl.ask(&words("1", "a", "Let me in"));
        assert_eq!(said.name, "refused", "{said:?}");
        let elsewhere = carl.ask(&words("1", "nowhere", "Let me in"));
        let reasons = [&said, &elsewhere].map(|said| text(&said.value["reason"]).replace("nowhere", "a"));
        assert_eq!(reasons[0], reasons[1], "nothing tells which conversations there are");
        anna.converse(&words(&format!("{form:?}"), "a", "Not for others"));
        carl.converse(&words(&format!("{form:?}"), "c", "Alone"));
        assert!(carl.events.iter().all(|event| event["conversation"] == "c"), "{:?}", carl.events);
        drop(client);
    }
}

/// The text of what a server says to a token; panics where it lets it in.
fn refused(scene: &ChatScene, what: &str, token: &str) {
    for form in FORMS {
        let mut client = ChatClient::connect(scene.address(), form, None).unwrap();
        let said = client.hello(token, &json!({}));
        assert!(said.is_err(), "{what} is let in by {form:?}: {said:?}");
        let rest = client.closed();
        assert!(rest.iter().all(|said| said.name != "welcome" && said.name != "event"), "{what}: {rest:?}");
    }
}

#[test]
fn forged_and_expired_tokens_are_refused() {
    let scene = ChatScene::new("hello: 1 s");
    let good = claims("anna", "patient", &["a"]);
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    let without = |name: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().expect("claims").remove(name);
        claims
    };
    let none = format!("{}.", unsigned(&json!({ "alg": "none", "typ": "JWT" }), &good));
    let real = signed(KEY, &good);
    let (head, signature) = real.rsplit_once('.').expect("three parts");
    let provider = encode(with("role", json!("provider")).to_string().as_bytes());
    let swapped = format!("{}.{provider}.{signature}", head.split('.').next().expect("a header"));
    let hs512 = unsigned(&json!({ "alg": "HS512", "typ": "JWT" }), &good);
    let cases = [
        ("no token", String::new()),
        ("a word", "token".to_owned()),
        ("another key", signed(b"another key, which is also long enough", &good)),
        ("no algorithm", none.clone()),
        ("no algorithm, with a signature", format!("{none}{signature}")),
        ("no signature", format!("{head}.")),
        ("other claims under the signature", swapped),
        ("another algorithm with the signature", format!("{hs512}.{signature}")),
        ("an hour too old", signed(KEY, &with("exp", json!(now() - 3600)))),
        ("no end", signed(KEY, &without("exp"))),
        ("an end that is a text", signed(KEY, &with("exp", json!("never")))),
        ("no user", signed(KEY, &without("sub"))),
        ("an empty user", signed(KEY, &with("sub", json!("")))),
        ("no role", signed(KEY, &without("role"))),
        ("no conversations", signed(KEY, &without("conversations"))),
        ("conversations that are a text", signed(KEY, &with("conversations", json!("*")))),
        ("not yet", signed(KEY, &with("nbf", json!(now() + 3600)))),
        ("a megabyte", signed(KEY, &with("sub", json!("x".repeat(1 << 20))))),
    ];
    for (what, token) in &cases {
        refused(&scene, what, token);
    }
    let mut anna = scene.anna();
    anna.converse(&words("1", "a", "Hello"));
}

#[test]
fn a_token_that_ends_while_its_device_is_connected_ends_the_connection() {
    let scene = ChatScene::new("");
    let mut claims = claims("anna", "patient", &["a"]);
    // Long enough that a busy machine gets to the hello.
    claims["exp"] = json!(now() + 6);
    let mut anna = Device::connected(scene.address(), &signed(KEY, &claims));
    anna.converse(&words("1", "a", "Hello"));
    anna.client().closed();
    assert!(now() + 1 >= claims["exp"].as_u64().expect("a time"), "not before");
}

/// Keys of which the server has the public half only.
#[test]
fn tokens_signed_with_a_private_key_are_known_by_the_public_one() {
    let Some(openssl) = tool("/usr/bin/openssl") else { return };
    for (algorithm, make) in [
        ("EdDSA", "genpkey -algorithm ed25519"),
        ("RS256", "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048"),
    ] {
        let mut scene = ChatScene::stopped("hello: 1 s");
        let path = |name: &str| scene.place.path(name);
        let run_openssl = |arguments: &str| {
            let arguments = arguments.split(' ').map(|word| match word.strip_prefix('@') {
                Some(name) => path(name).into_os_string(),
                None => word.into(),
            });
            let output = run(Command::new(openssl).args(arguments));
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        run_openssl(&format!("{make} -out @private.pem"));
        run_openssl("pkey -in @private.pem -pubout -out @chat.key");
        let text = unsigned(&json!({ "alg": algorithm, "typ": "JWT" }), &claims("anna", "patient", &["a"]));
        fs::write(path("text"), &text).unwrap();
        run_openssl(match algorithm {
            "EdDSA" => "pkeyutl -sign -inkey @private.pem -rawin -in @text -out @signature",
            _ => "dgst -sha256 -sign @private.pem -out @signature @text",
        });
        let token = format!("{text}.{}", encode(&fs::read(path("signature")).unwrap()));
        let public = fs::read(path("chat.key")).unwrap();
        scene.start();
        Device::connected(scene.address(), &token).converse(&words("1", "a", "Hello"));
        // The public key is no secret: taken for one, it lets nobody in.
        refused(&scene, "the public key as a secret", &signed(&public, &claims("anna", "patient", &["a"])));
    }
}

#[test]
fn a_page_of_another_origin_is_refused() {
    let scene = ChatScene::new("origins: [https://clinic.example]");
    let own = format!("http://{}", scene.address());
    for form in FORMS {
        for (origin, is_let_in) in [
            (None, true),
            (Some("https://clinic.example"), true),
            (Some(own.as_str()), true),
            (Some("https://evil.example"), false),
            (Some("https://clinic.example.evil.example"), false),
            (Some("http://clinic.example"), false),
            (Some("null"), false),
        ] {
            let entered = ChatClient::connect(scene.address(), form, origin)
                .and_then(|mut client| client.hello(&token("anna", "patient", &["a"]), &json!({})));
            assert_eq!(entered.is_ok(), is_let_in, "{origin:?} by {form:?}: {entered:?}");
        }
    }
    // Polling needs no upgrade.
    let ask = |origin: &str| {
        let url = format!("http://{}/socket.io/?EIO=4&transport=polling", scene.address());
        let asked = run(Command::new("/usr/bin/curl").args(["-s", "-w", "%{http_code}", "-H", origin, &url]));
        String::from_utf8_lossy(&asked.stdout).into_owned()
    };
    if tool("/usr/bin/curl").is_some() {
        let (own, other) = (ask("Origin: https://clinic.example"), ask("Origin: https://evil.example"));
        assert!(own.ends_with("200") && own.contains("\"sid\""), "{own}");
        assert!(other.ends_with("403") && !other.contains("\"sid\""), "{other}");
    }
}
