//! The clients that people use, as their libraries are: npm's socket.io-client and python-socketio.

use std::path::Path;
use std::process::Command;

use super::scene::{ChatScene, token};
use crate::support::certificates::Certificates;
use crate::support::scripts::{Script, has};

/// Where `.ci/run` has npm put the client.
const NODE_MODULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/socket.io-client/node_modules");

/// The client of npm with its arguments; prints that the test skips where it is not there.
fn node(script: &str, arguments: &[&str]) -> Option<Command> {
    let there = Command::new("node").arg("--version").output().is_ok_and(|tried| tried.status.success());
    if !there || !Path::new(NODE_MODULES).join("socket.io-client").is_dir() {
        let what = "node with socket.io-client in target/socket.io-client";
        assert!(std::env::var_os("FLOW_REQUIRE_PEERS").is_none(), "{what} is not installed");
        println!("skipped: {what} is not installed");
        return None;
    }
    let mut command = Command::new("node");
    command.env("NODE_PATH", NODE_MODULES).args(["-e", script, "script"]).args(arguments);
    Some(command)
}

/// The client of Python with its arguments, likewise.
fn python(script: &str, arguments: &[&str]) -> Option<Command> {
    has("socketio, requests, websocket")?;
    let mut command = Command::new("python3");
    command.args(["-u", "-c", script]).args(arguments);
    Some(command)
}

/// Runs a client through its talk, with the server killed in the middle.
fn talk(scene: &mut ChatScene, command: &mut Command) {
    let mut client = Script::run(command);
    assert_eq!(client.line(), "restart");
    scene.restart();
    client.say("restarted");
    assert_eq!(client.rest(), "done");
}

/// A token for the conversation that a script has by a transport.
fn anna(script: &str, transport: &str) -> String {
    token("anna", "patient", &[&format!("{script}-{transport}")])
}

#[test]
fn socket_io_client_of_npm_talks_by_each_transport() {
    let mut scene = ChatScene::new("");
    let url = format!("http://{}", scene.address());
    for transport in ["websocket", "polling", "upgrade"] {
        let arguments = [url.as_str(), &anna("node", transport), transport];
        let Some(mut command) = node(include_str!("node_client.js"), &arguments) else { return };
        talk(&mut scene, &mut command);
    }
}

#[test]
fn python_socketio_talks_by_each_transport() {
    let mut scene = ChatScene::new("");
    let url = format!("http://{}", scene.address());
    for transport in ["websocket", "polling"] {
        let arguments = [url.as_str(), &anna("python", transport), transport];
        let Some(mut command) = python(include_str!("python_client.py"), &arguments) else { return };
        talk(&mut scene, &mut command);
    }
}

#[test]
fn both_talk_over_tls() {
    let Some(certificates) = Certificates::make() else { return };
    let identity = certificates.identity();
    let (certificate, key) = (identity.certificate.display(), identity.key.display());
    let mut scene = ChatScene::stopped("tls: server");
    scene.add(&format!("tls: {{certificate: \"{certificate}\", key: \"{key}\"}}"));
    scene.start();
    let url = format!("https://localhost:{}", scene.port());
    let authority = certificates.authority();
    let authority = authority.to_str().expect("Unicode");
    let (by_node, by_python) = (anna("node", "websocket"), anna("python", "websocket"));
    let arguments = |token| [url.as_str(), token, "websocket", authority];
    let clients = [
        node(include_str!("node_client.js"), &arguments(&by_node)),
        python(include_str!("python_client.py"), &arguments(&by_python)),
    ];
    for mut command in clients.into_iter().flatten() {
        talk(&mut scene, &mut command);
    }
}
