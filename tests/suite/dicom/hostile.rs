//! Peers that mean harm or are broken: at each point of an association, in each part of a message, and many
//! at once. Each is told so or cut off, leaves nothing behind, and others are served on.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use dicom_dictionary_std::uids;
use dicom_ul::Pdu;
use dicom_ul::association::ClientAssociation;
use dicom_ul::pdu::{AbortRQSource, PDataValue, PDataValueType};
use flow::dicom::{End, Event, Object, Settings, Status, echo, send};
use flow::tls::Server;

use super::raw::{
    C_STORE, associated, command, fragment, say, status, store, store_command, store_slice,
};
use crate::support::certificates::Certificates;
use crate::support::peers::{DEADLINE, Receiving, until};
use crate::support::slices::{Slice, data_set};

type Peer = ClientAssociation<TcpStream>;

fn slice() -> Slice {
    Slice::new("1.2.3", 1)
}

/// Nothing is left of what was being received, and the next one is served.
fn assert_serves(receiving: &Receiving) {
    echo(&receiving.destination("FLOW")).expect("it still serves");
    until("nothing is left behind", || {
        let incoming = fs::read_dir(receiving.inbox.join("incoming")).unwrap();
        (incoming.count() == 0).then_some(())
    });
    store_slice(&mut associated(receiving.address), &slice());
}

fn fragment_of(peer: &Peer, value_type: PDataValueType, is_last: bool, data: &[u8]) -> Pdu {
    fragment(peer.presentation_contexts()[0].id, value_type, is_last, data.to_vec())
}

/// What a peer has said of a message when it goes no further.
fn half_said() -> Vec<fn(&mut Peer)> {
    vec![
        |_| {},
        // Of the head of a PDU; of its body.
        |peer| peer.inner_stream().write_all(&[4, 0, 0]).unwrap(),
        |peer| peer.inner_stream().write_all(&[4, 0, 0, 0, 4, 0, 0, 0]).unwrap(),
        // Of a command; a whole one, of whose data set nothing comes; of its data set.
        |peer| {
            let half = &store_command("1.2.3.1.1")[..20];
            peer.send(&fragment_of(peer, PDataValueType::Command, false, half)).unwrap();
        },
        |peer| say(peer, store_command("1.2.3.1.1"), None),
        |peer| {
            say(peer, store_command("1.2.3.1.1"), None);
            let half = &data_set(&slice().file())[..700].to_vec();
            peer.send(&fragment_of(peer, PDataValueType::Data, false, half)).unwrap();
        },
    ]
}

fn closed(receiving: &Receiving) -> (End, String) {
    let event = receiving.event("closed", |event| matches!(event, Event::Closed { .. }));
    let Event::Closed { end, reason, .. } = event else { unreachable!("it was looked for") };
    (end, reason)
}

#[test]
fn who_stops_in_the_middle_is_cut_off() {
    let receiving = Receiving::start(|settings| settings.idle_time_max = Duration::from_millis(200));
    for stop in half_said() {
        let mut peer = associated(receiving.address);
        stop(&mut peer);
        let (end, reason) = closed(&receiving);
        assert_eq!((end, reason.as_str()), (End::Aborted, "the peer was silent for too long"));
        assert!(matches!(peer.receive().unwrap(), Pdu::AbortRQ { .. }), "the peer is told");
    }
    assert_serves(&receiving);
}

#[test]
fn who_aborts_or_goes_away_at_any_point_leaves_nothing() {
    let receiving = Receiving::start(|_| {});
    for stop in half_said() {
        let mut peer = associated(receiving.address);
        stop(&mut peer);
        peer.send(&Pdu::AbortRQ { source: AbortRQSource::ServiceUser }).unwrap();
        assert_eq!(closed(&receiving).0, End::Aborted);
        let mut peer = associated(receiving.address);
        stop(&mut peer);
        drop(peer);
        assert_eq!(closed(&receiving).0, End::Aborted);
    }
    assert_serves(&receiving);
}

/// Writes a byte now and then until the other end has had enough; how long that took.
fn dripped(mut stream: TcpStream, bytes: &[u8], pause: Duration) -> Duration {
    let start = Instant::now();
    stream.set_read_timeout(Some(pause)).unwrap();
    for byte in bytes {
        if stream.write_all(&[*byte]).is_err() || matches!(stream.read(&mut [0; 64]), Ok(0)) {
            return start.elapsed();
        }
    }
    panic!("all of it was taken");
}

#[test]
fn who_sends_a_byte_now_and_then_is_cut_off() {
    let receiving = Receiving::start(|settings| settings.idle_time_max = Duration::from_millis(300));
    let stream = TcpStream::connect(receiving.address).unwrap();
    let long = [[1, 0, 0, 0, 255, 0].as_slice(), &[0; 1000]].concat();
    let took = dripped(stream, &long, Duration::from_millis(20));
    assert!(took < DEADLINE / 3, "{took:?}");
    receiving.event("turned away", |event| matches!(event, Event::TurnedAway { .. }));

    let peer = associated(receiving.address);
    let long = [[4, 0, 0, 0, 255, 0].as_slice(), &[0; 1000]].concat();
    let took = dripped(peer.inner_stream_clone(), &long, Duration::from_millis(20));
    assert!(took < DEADLINE / 3, "{took:?}");
    assert_serves(&receiving);
}
