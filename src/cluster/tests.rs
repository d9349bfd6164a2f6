//! The end of a cluster reaches each process, however late its connection is.

use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use super::frames::{OrderFrame, ReportFrame};
use super::handshake::{HANDSHAKE_MAX, HelloMessage, WelcomeMessage};
use super::link::ProcessLink;
use super::*;
use crate::step::Digest;

/// Process 0 of two, and what process 1 needs to meet it.
struct TestCluster {
    coordinator: ClusterCoordinator,
    address: String,
    keys: SessionKeys,
    hello: HelloMessage,
    _state: tempfile::TempDir,
}

fn cluster() -> TestCluster {
    let state = tempfile::tempdir().unwrap();
    let port = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (address, hosts) = (port(), state.path().join("hosts"));
    std::fs::write(&hosts, format!("{address}\n{}\n", port())).unwrap();
    let keys = SessionKeys::shared(ClusterSecret::new(b"a secret of the tests").key()).unwrap();
    let agreement = ClusterAgreement { dataflow: Digest::of(b"a dataflow"), lanes: 4, processes: 2 };
    let setup = ClusterSetup {
        index: 0,
        instance: 0,
        hosts: HostList::read(&hosts, 2).unwrap(),
        keys: keys.clone(),
        workers: 1,
        memory: 1 << 30,
        labels: BTreeSet::new(),
        joins: false,
    };
    let coordinator = ClusterCoordinator::start(setup, &agreement, state.path()).unwrap();
    TestCluster { coordinator, address, keys, hello: HelloMessage::new(1, 7, 1, &agreement), _state: state }
}

/// A connection on which TLS is agreed, and nothing is said yet.
fn connect(address: &str, keys: &SessionKeys) -> ProcessLink {
    let socket = TcpStream::connect(address).unwrap();
    let session = keys.connect("127.0.0.1", &socket, Instant::now() + HANDSHAKE_MAX).unwrap();
    ProcessLink::new(socket, session).unwrap()
}

fn welcome(link: &mut ProcessLink, hello: &HelloMessage) -> WelcomeMessage {
    link.send(hello).unwrap();
    link.receive_until(Instant::now() + HANDSHAKE_MAX).unwrap()
}

fn await_end(mut link: ProcessLink) {
    while !matches!(link.receive().unwrap().0, OrderFrame::End) {}
}

/// Waits until process 0 takes no more connections.
fn await_closed(address: &str) {
    while TcpStream::connect(address).is_ok() {
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_process_in_its_handshake_is_told_of_the_end() {
    let TestCluster { coordinator, address, keys, hello, _state } = cluster();
    let mut link = connect(&address, &keys);
    std::thread::scope(|scope| {
        scope.spawn(move || coordinator.end());
        await_closed(&address);
        assert!(matches!(welcome(&mut link, &hello), WelcomeMessage::Joined { .. }));
        await_end(link);
    });
}

#[test]
fn a_process_that_speaks_at_the_end_is_told_of_it() {
    for _ in 0..20 {
        let TestCluster { coordinator, address, keys, hello, _state } = cluster();
        let mut link = connect(&address, &keys);
        assert!(matches!(welcome(&mut link, &hello), WelcomeMessage::Joined { .. }));
        let (sender, _) = link.sender(&ReportFrame::Beat).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || coordinator.end());
            let speaks = scope.spawn(move || while sender.send(&ReportFrame::Beat, &[]).is_ok() {});
            await_end(link);
            speaks.join().unwrap();
        });
    }
}

#[test]
fn a_process_that_comes_while_process_0_stops_is_to_try_again() {
    let TestCluster { coordinator, address, keys, hello, _state } = cluster();
    let mut link = connect(&address, &keys);
    std::thread::scope(|scope| {
        scope.spawn(move || drop(coordinator));
        await_closed(&address);
        assert!(matches!(welcome(&mut link, &hello), WelcomeMessage::Refused(_)));
    });
}
