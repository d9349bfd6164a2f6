//! Peers that mean harm or are broken: at each point of an association, in each part of a message, and many
//! at once. Each is told so or cut off, leaves nothing behind, and others are served on.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dicom_dictionary_std::uids;
use dicom_ul::Pdu;
use dicom_ul::association::{ClientAssociation, ClientAssociationOptions};
use dicom_ul::pdu::{AbortRQSource, PDataValue, PDataValueType};
use flow::dicom::{
    AssociationEnd, DicomObject, DimseNode, DimseStatus, PeerErrorCause, ReceiverEvent, SendOutcome, echo,
    send,
};
use flow::journal::{JournalReader, RequestState};
use flow::tls::{TlsClient, TlsServer};

use super::raw::{C_STORE, associated, command, fragment, say, status, store, store_command, store_slice};
use crate::run::Place;
use crate::support::certificates::Certificates;
use crate::support::peers::{Background, DEADLINE, Receiving, answering, run, tool, until};
use crate::support::ports::free_port;
use crate::support::slices::{Slice, data_set};

type Peer = ClientAssociation<TcpStream>;

fn slice() -> Slice {
    Slice::new("1.2.3", 1)
}

/// Nothing is left of what was being received, and the next one is served.
fn assert_serves(receiving: &Receiving) {
    echo(&receiving.destination("FLOW")).expect("it still serves");
    until("nothing is left behind", || (receiving.incoming() == 0).then_some(()));
    store_slice(&mut associated(receiving.address), &slice());
}

fn fragment_of(peer: &Peer, value_type: PDataValueType, is_last: bool, data: &[u8]) -> Pdu {
    fragment(peer.presentation_contexts()[0].id, value_type, is_last, data.to_vec())
}

/// What of a PDU has come from a peer when it goes no further.
const HALF_PDUS: [&[u8]; 2] = [&[4, 0, 0], &[4, 0, 0, 0, 4, 0, 0, 0]];

/// What a peer has said of a message when it goes no further.
fn half_said() -> Vec<fn(&mut Peer)> {
    vec![
        |_| {},
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

fn closed(receiving: &Receiving) -> (AssociationEnd, String) {
    let event = receiving.event("closed", |event| matches!(event, ReceiverEvent::Closed { .. }));
    let ReceiverEvent::Closed { end, reason, .. } = event else { unreachable!("it was looked for") };
    (end, reason)
}

#[test]
fn who_stops_in_the_middle_is_cut_off() {
    let receiving = Receiving::start(|settings| settings.idle_time_max = Duration::from_millis(500));
    let cut_off = |mut peer: Peer| {
        let (end, reason) = closed(&receiving);
        assert_eq!((end, reason.as_str()), (AssociationEnd::Aborted, "the peer was silent for too long"));
        assert!(matches!(peer.receive().unwrap(), Pdu::AbortRQ { .. }), "the peer is told");
    };
    for stop in half_said() {
        let mut peer = associated(receiving.address);
        stop(&mut peer);
        cut_off(peer);
    }
    for half in HALF_PDUS {
        let mut peer = associated(receiving.address);
        peer.inner_stream().write_all(half).unwrap();
        cut_off(peer);
    }
    assert_serves(&receiving);
}

#[test]
fn who_calls_and_says_nothing_keeps_no_place_for_long() {
    let receiving = Receiving::start(|settings| {
        settings.associations_max = 2;
        settings.negotiation_time_max = Duration::from_secs(2);
        settings.idle_time_max = Duration::from_secs(3600);
    });
    let mut served = associated(receiving.address);
    let mut mute = TcpStream::connect(receiving.address).unwrap();
    mute.write_all(&[1, 0]).unwrap();
    let event = receiving.event("rejected", |event| matches!(event, ReceiverEvent::Rejected { .. }));
    assert!(event.to_string().ends_with("silent for too long"), "{event}");
    until("its place is free", || echo(&receiving.destination("FLOW")).ok());
    // An association may be silent for longer.
    store_slice(&mut served, &slice());
}

#[test]
fn who_aborts_or_goes_away_at_any_point_leaves_nothing() {
    let receiving = Receiving::start(|_| {});
    for stop in half_said() {
        let mut peer = associated(receiving.address);
        stop(&mut peer);
        peer.send(&Pdu::AbortRQ { source: AbortRQSource::ServiceUser }).unwrap();
        assert_eq!(closed(&receiving).0, AssociationEnd::Aborted);
        let mut peer = associated(receiving.address);
        stop(&mut peer);
        drop(peer);
        assert_eq!(closed(&receiving).0, AssociationEnd::Aborted);
    }
    for half in HALF_PDUS {
        associated(receiving.address).inner_stream().write_all(half).unwrap();
        assert_eq!(closed(&receiving).0, AssociationEnd::Aborted);
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
    receiving.event("rejected", |event| matches!(event, ReceiverEvent::Rejected { .. }));

    let mut peer = associated(receiving.address);
    let long = [[4, 0, 0, 0, 255, 0].as_slice(), &[0; 1000]].concat();
    let took = dripped(peer.inner_stream().try_clone().unwrap(), &long, Duration::from_millis(20));
    assert!(took < DEADLINE / 3, "{took:?}");
    assert_serves(&receiving);
}

#[test]
fn who_sends_a_byte_now_and_then_over_tls_is_cut_off() {
    let Some(certificates) = Certificates::make() else { return };
    let tls = TlsServer::open(&certificates.identity(), None).unwrap();
    let receiving = Receiving::start(|settings| {
        settings.idle_time_max = Duration::from_millis(300);
        settings.tls = Some(tls);
    });
    // The head of a record that is to hold the beginning of a handshake.
    let stream = TcpStream::connect(receiving.address).unwrap();
    let long = [[22, 3, 1, 0x3F, 0xFF, 1, 0, 0x3F, 0xFB].as_slice(), &[3; 1000]].concat();
    let took = dripped(stream, &long, Duration::from_millis(20));
    assert!(took < DEADLINE / 3, "{took:?}");

    let client = TlsClient::open(&certificates.authority(), None).unwrap();
    let stream = TcpStream::connect(receiving.address).unwrap();
    let stream = client.connect("localhost", stream).unwrap();
    // One of a record of data.
    let long = [[23, 3, 3, 0x3F, 0xFF].as_slice(), &[0; 1000]].concat();
    let took = dripped(stream.tcp().try_clone().unwrap(), &long, Duration::from_millis(20));
    assert!(took < DEADLINE / 3, "{took:?}");
    let served = receiving.destination("FLOW");
    let served = DimseNode { tls: Some(client), ..served };
    echo(&served).expect("it still serves");
}

#[test]
fn of_five_hundred_callers_at_once_as_many_are_served_as_there_is_room_for() {
    let receiving = Receiving::start(|settings| {
        settings.associations_max = 4;
        settings.hold_time_max = Duration::from_secs(3600);
    });
    let mut served: Vec<Peer> = (0..4).map(|_| associated(receiving.address)).collect();
    let node = receiving.destination("FLOW");
    let causes: Vec<PeerErrorCause> = thread::scope(|scope| {
        let callers: Vec<_> = (0..500).map(|_| scope.spawn(|| echo(&node).unwrap_err().cause)).collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    });
    let rejected = causes.iter().filter(|cause| matches!(cause, PeerErrorCause::Rejected(_))).count();
    assert!(rejected > 0, "{causes:?}");
    assert!(
        causes.iter().all(|cause| !matches!(cause, PeerErrorCause::Silent)),
        "nobody waits for an answer"
    );
    for (number, peer) in (1..).zip(&mut served) {
        store_slice(peer, &Slice::new("1.2.3", number));
    }
    served.into_iter().for_each(|peer| peer.release().unwrap());
    assert_eq!(receiving.study().items.len(), 4);
    until("there is room again", || echo(&node).ok());
    assert_serves(&receiving);
}

#[test]
fn peers_that_hold_all_places_and_send_nothing_give_them_up() {
    let receiving = Receiving::start(|settings| {
        settings.associations_max = 4;
        settings.hold_time_max = Duration::from_millis(200);
    });
    let ends = AtomicBool::new(false);
    thread::scope(|scope| {
        let held: Vec<Peer> = (0..4).map(|_| associated(receiving.address)).collect();
        for mut peer in held {
            // Each one echoes all the time, until it is cut off.
            let ends = &ends;
            scope.spawn(move || {
                let echo = command(0x30, uids::VERIFICATION, "", false);
                let context = peer.presentation_contexts()[0].id;
                let ping = fragment(context, PDataValueType::Command, true, echo);
                while !ends.load(Ordering::Relaxed) && peer.send(&ping).is_ok() && peer.receive().is_ok() {}
            });
        }
        let node = receiving.destination("FLOW");
        let object = DicomObject::read("1.2.3.1.1".to_owned(), slice().file().into()).unwrap();
        until("one that sends an instance gets a place", || {
            let sent = send(&node, std::slice::from_ref(&object)).ok()?;
            (sent[0].outcome == SendOutcome::Stored).then_some(())
        });
        ends.store(true, Ordering::Relaxed);
    });
    let told = |event: &ReceiverEvent| event.to_string().contains("its slot was given to another");
    receiving.event("the peer that lost its place is named", told);
}

#[test]
fn a_command_that_is_not_served_is_answered_and_the_association_goes_on() {
    let receiving = Receiving::start(|_| {});
    let mut peer = associated(receiving.address);
    let ct = uids::CT_IMAGE_STORAGE;
    let file = slice().file();
    say(&mut peer, command(C_STORE, ct, "1.2.3.1.1", false), None);
    assert_eq!(status(&mut peer), DimseStatus::MISTYPED_ARGUMENT.0, "an instance without a data set");
    for unknown in [0x0020, 0x0150, 0x0999] {
        say(&mut peer, command(unknown, ct, "1.2", false), None);
        assert_eq!(status(&mut peer), DimseStatus::UNRECOGNISED_OPERATION.0);
        say(&mut peer, command(unknown, ct, "1.2", true), Some(data_set(&file)));
        assert_eq!(status(&mut peer), DimseStatus::UNRECOGNISED_OPERATION.0);
    }
    say(&mut peer, command(C_STORE, uids::VERIFICATION, "1.2.3.1.1", true), Some(data_set(&file)));
    assert_eq!(status(&mut peer), DimseStatus::SOP_CLASS_NOT_SUPPORTED.0);
    // What is not a question has no answer: answers, and a cancel.
    say(&mut peer, command(0x8001, ct, "1.2", false), None);
    say(&mut peer, command(0x8020, ct, "1.2", true), Some(data_set(&file)));
    say(&mut peer, command(0x0FFF, ct, "1.2", false), None);
    store_slice(&mut peer, &slice());
    peer.release().unwrap();
    assert_eq!(receiving.study().items.len(), 1);
}

/// PDUs that have no meaning where they come.
fn nonsense(peer: &Peer) -> Vec<Vec<Pdu>> {
    let of = |value_type: &PDataValueType, is_last, data: &[u8]| {
        fragment_of(peer, value_type.clone(), is_last, data)
    };
    let (command, data) = (PDataValueType::Command, PDataValueType::Data);
    let asked = of(&command, true, &store_command("1.2.3.1.1"));
    let elsewhere = PDataValue {
        presentation_context_id: 99,
        value_type: PDataValueType::Data,
        is_last: true,
        data: vec![0; 100],
    };
    vec![
        vec![of(&data, true, &[0; 10])],
        vec![asked.clone(), asked.clone()],
        vec![of(&command, false, &store_command("1.2")[..20]), of(&data, true, &[0; 10])],
        vec![asked, Pdu::PData { data: vec![elsewhere] }],
        vec![of(&command, true, &[0xFF; 64])],
        vec![of(&command, false, &[0; 100_000]), of(&command, true, &[0; 100_000])],
        vec![Pdu::ReleaseRP],
    ]
}

/// A P-DATA PDU whose fragment has a length that does not fit.
fn forged(pdv_length: u32) -> Vec<u8> {
    [[4, 0, 0, 0, 0, 10].as_slice(), &pdv_length.to_be_bytes(), &[1, 3, 0, 0, 0, 0]].concat()
}

#[test]
fn messages_that_are_mixed_up_and_forged_lengths_end_the_association() {
    let receiving = Receiving::start(|_| {});
    let count = nonsense(&associated(receiving.address)).len();
    assert_eq!(closed(&receiving).0, AssociationEnd::Aborted);
    for index in 0..count {
        let mut peer = associated(receiving.address);
        for pdu in nonsense(&peer).swap_remove(index) {
            peer.send(&pdu).unwrap();
        }
        assert_eq!(closed(&receiving).0, AssociationEnd::Aborted, "number {index}");
        assert!(matches!(peer.receive(), Ok(Pdu::AbortRQ { .. })), "number {index}");
    }
    for length in [0, 1, 7, 100, u32::MAX] {
        let mut peer = associated(receiving.address);
        peer.inner_stream().write_all(&forged(length)).unwrap();
        assert_eq!(closed(&receiving).0, AssociationEnd::Aborted, "{length}");
    }
    assert_serves(&receiving);
}

/// A slice with more before its pixels.
fn with_before_pixels(more: &[u8]) -> Vec<u8> {
    let file = slice().file();
    let whole = data_set(&file);
    let at = whole.windows(6).position(|window| window == b"\xE0\x7F\x10\x00OW").expect("there are pixels");
    [&whole[..at], more, &whole[at..]].concat()
}

/// Sequences in sequences, each of undefined length; closed, or not.
fn nested(depth: usize, is_closed: bool) -> Vec<u8> {
    let open = b"\x01\x70\x10\x10SQ\x00\x00\xFF\xFF\xFF\xFF\xFE\xFF\x00\xE0\xFF\xFF\xFF\xFF";
    let close = b"\xFE\xFF\x0D\xE0\x00\x00\x00\x00\xFE\xFF\xDD\xE0\x00\x00\x00\x00";
    [open.repeat(depth), close.repeat(if is_closed { depth } else { 0 })].concat()
}

const DEPTH: usize = 100_000;

#[test]
fn sequences_without_bottom_are_stored_and_answered_or_refused() {
    let flow = Serving::start();
    let mut peer = associated(flow.address());
    assert_eq!(store(&mut peer, &slice().uid(), &with_before_pixels(&nested(DEPTH, true))), 0);
    let cut = with_before_pixels(&nested(DEPTH, false));
    assert_eq!(store(&mut peer, &slice().uid(), &cut), DimseStatus::CANNOT_UNDERSTAND.0);
    peer.release().unwrap();
    flow.assert_answers(1);
}

fn deflated(bytes: &[u8], zeros: u64) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    std::io::copy(&mut std::io::repeat(0).take(zeros), &mut encoder).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_bomb_is_not_blown_up() {
    let flow = Serving::start();
    let mut peer = ClientAssociationOptions::new()
        .calling_ae_title("SCANNER")
        .called_ae_title("FLOW")
        .with_presentation_context(uids::CT_IMAGE_STORAGE, vec![uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN])
        .establish(flow.address())
        .unwrap();
    let file = slice().file();
    let gibibyte = 1 << 30;
    let bomb = deflated(&[], gibibyte);
    assert_eq!(store(&mut peer, "1.2.3.1.1", &bomb), DimseStatus::CANNOT_UNDERSTAND.0);
    // After its pixels.
    assert_eq!(store(&mut peer, "1.2.3.1.1", &deflated(data_set(&file), gibibyte)), 0);
    peer.release().unwrap();
    flow.assert_answers(1);
    let peak = flow.process.peak_bytes().unwrap();
    assert!(peak < 400 << 20, "{} MiB", peak >> 20);
}

/// The command itself.
struct Serving {
    process: Background,
    node: DimseNode,
    place: Place,
}

impl Serving {
    fn start() -> Serving {
        let place = Place::new();
        let port = free_port();
        let mut command = place.flow(&["run", "--listen", &port.to_string(), "--quiet-time", "0.2"]);
        let process = Background::saying_to(&mut command, &place.path("said"));
        Serving { process, node: answering("FLOW", port), place }
    }

    fn address(&self) -> SocketAddr {
        self.node.address.parse().unwrap()
    }

    fn assert_answers(&self, requests: usize) {
        until("all is answered", || {
            let rows = JournalReader::open(&self.place.path("flow-state")).ok()?.requests().ok()?;
            let answered = rows.iter().filter(|row| row.state == RequestState::Answered).count();
            (answered == requests).then_some(())
        });
        echo(&self.node).expect("it still serves");
    }
}

#[test]
fn a_request_for_a_commitment_is_bounded() {
    let receiving = Receiving::start(|_| {});
    let mut peer = ClientAssociationOptions::new()
        .calling_ae_title("SCANNER")
        .called_ae_title("FLOW")
        .with_presentation_context(uids::STORAGE_COMMITMENT_PUSH_MODEL, vec![uids::EXPLICIT_VR_LITTLE_ENDIAN])
        .establish(receiving.address)
        .unwrap();
    let class = uids::STORAGE_COMMITMENT_PUSH_MODEL;
    let asked = || command(0x0130, class, uids::STORAGE_COMMITMENT_PUSH_MODEL_INSTANCE, true);
    let mut asks = |data: &[u8]| {
        say(&mut peer, asked(), Some(data));
        status(&mut peer)
    };
    assert_eq!(asks(&vec![0; (32 << 20) + 1]), DimseStatus::OUT_OF_RESOURCES.0);
    assert_eq!(asks(&nested(DEPTH, true)), DimseStatus::INVALID_ARGUMENT.0);
    assert_eq!(asks(&[0xFF; 5000]), DimseStatus::INVALID_ARGUMENT.0);
    peer.release().unwrap();
    assert_serves(&receiving);
}

#[test]
fn identifiers_that_are_paths_lead_nowhere() {
    let receiving = Receiving::start(|_| {});
    let mut peer = associated(receiving.address);
    for hostile in ["../../../x", "/tmp/x", "..", ".", "a\0b", "1.2/3", "1.2\\3"] {
        assert_eq!(
            store(&mut peer, hostile, data_set(&slice().file())),
            DimseStatus::INVALID_INSTANCE.0,
            "{hostile}"
        );
    }
    let study = Slice::new("../../../../x", 1);
    let file = study.file();
    let taken = store(&mut peer, &study.uid(), data_set(&file));
    assert_eq!(taken, DimseStatus::INVALID_INSTANCE.0);
    // Only the study's identifier is a path: it is a text like others.
    let mut file = slice().file();
    let at = file.windows(6).position(|window| window == b"1.2.3\0").expect("the study has a UID");
    file[at..at + 6].copy_from_slice(b"../../");
    assert_eq!(store(&mut peer, &slice().uid(), data_set(&file)), 0);
    peer.release().unwrap();
    let request = receiving.study();
    assert!(request.items.iter().all(|item| item.file().unwrap().starts_with(&receiving.inbox)));
    assert!(!request.name.contains(['/', '.']), "{}", request.name);
}

#[test]
fn a_disk_that_takes_no_more_is_told_and_served_again_when_it_does() {
    let Some(prlimit) = tool("/usr/bin/prlimit") else { return };
    let place = Place::new();
    let port = free_port();
    let program = env!("CARGO_BIN_EXE_flow");
    let limited = "ulimit -S -f 512; exec \"$0\" run --listen \"$1\" --quiet-time 0.2";
    let mut command = Command::new("sh");
    command.args(["-c", limited, program, &port.to_string()]).current_dir(place.path(""));
    let process = Background::saying_to(&mut command, &place.path("said"));
    let node = answering("FLOW", port);
    let small = slice();
    let large = Slice { edge: 600, ..Slice::new("1.2.3", 2) };
    let stored = |slice: &Slice| {
        let object = DicomObject::read(slice.uid(), slice.file().into()).unwrap();
        send(&node, &[object]).unwrap().remove(0).outcome
    };
    assert_eq!(stored(&small), SendOutcome::Stored);
    let refused = stored(&large);
    assert!(
        matches!(refused, SendOutcome::Refused { status: DimseStatus::OUT_OF_RESOURCES, .. }),
        "{refused}"
    );
    assert_eq!(stored(&small), SendOutcome::Stored, "it serves others");
    let limits = ["--pid", &process.id().to_string(), "--fsize=unlimited:"];
    assert!(run(Command::new(prlimit).args(limits)).status.success());
    assert_eq!(stored(&large), SendOutcome::Stored);
}
