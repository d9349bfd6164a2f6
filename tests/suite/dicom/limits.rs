//! Peers that stall, lie or overdo it: each is told so, and nobody else notices.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::time::Duration;

use dicom_ul::Pdu;
use dicom_ul::pdu::PDataValueType;
use flow::dicom::{
    AssociationEnd, DicomObject, DimseStatus, PeerErrorCause, ReceiverEvent, SendOutcome, echo, send,
};

use super::raw::{associated, fragment, store, store_command};
use crate::support::peers::Receiving;
use crate::support::slices::{Slice, data_set};

#[test]
fn an_instance_that_is_refused_spoils_no_other() {
    let receiving = Receiving::start(|settings| settings.instance_bytes_max = 100_000);
    let mut association = associated(receiving.address);
    let good = Slice::new("1.2.3", 1);
    let mut large = Slice::new("1.2.3", 2);
    large.edge = 256;
    let file = good.file();
    let whole = data_set(&file);
    let at = whole.windows(6).position(|window| window == b"\x20\x00\x0D\x00UI").expect("there is a study");
    let no_study = [&whole[..at], &whole[at + 14..]].concat();

    assert_eq!(
        store(&mut association, &good.uid(), &whole[..50]),
        DimseStatus::CANNOT_UNDERSTAND.0,
        "cut off"
    );
    assert_eq!(
        store(&mut association, &good.uid(), &[0xFF; 999]),
        DimseStatus::CANNOT_UNDERSTAND.0,
        "garbage"
    );
    assert_eq!(store(&mut association, &good.uid(), &no_study), DimseStatus::CANNOT_UNDERSTAND.0, "no study");
    assert_eq!(store(&mut association, "9.9", whole), DimseStatus::DATA_SET_MISMATCH.0, "another UID");
    assert_eq!(store(&mut association, "../../x", whole), DimseStatus::INVALID_INSTANCE.0, "a path as UID");
    assert_eq!(
        store(&mut association, &large.uid(), data_set(&large.file())),
        DimseStatus::OUT_OF_RESOURCES.0
    );
    assert_eq!(store(&mut association, &good.uid(), whole), DimseStatus::SUCCESS.0);
    association.release().unwrap();

    assert_eq!(receiving.study().items.len(), 1);
    assert_eq!(receiving.incoming(), 0, "what was refused has left nothing behind");
}

#[test]
fn an_instance_whose_pixels_come_late_is_taken() {
    let receiving = Receiving::start(|_| {});
    let mut association = associated(receiving.address);
    let slice = Slice::new("1.2.3", 1);
    let file = slice.file();
    let whole = data_set(&file);
    let at = whole.windows(6).position(|window| window == b"\xE0\x7F\x10\x00OW").expect("there are pixels");
    // More in one private element than is read of a file to see whose it is.
    let length = (65 << 20) as u32;
    let raw = [b"\xDF\x7F\x10\x10OB\0\0".as_slice(), &length.to_le_bytes(), &vec![1; length as usize]];
    let long = [&whole[..at], &raw.concat(), &whole[at..]].concat();
    assert_eq!(store(&mut association, &slice.uid(), &long), DimseStatus::SUCCESS.0);
    assert_eq!(store(&mut association, "9.9", &long), DimseStatus::DATA_SET_MISMATCH.0);
    association.release().unwrap();
    let request = receiving.study();
    assert_eq!((request.items.len(), request.attribute("patient_id")), (1, "TEST-7"));
    assert!(request.items[0].size > u64::from(length));
}

#[test]
fn a_forged_length_in_a_data_set_is_refused() {
    let receiving = Receiving::start(|_| {});
    let mut association = associated(receiving.address);
    let mut forged = vec![8, 0, 0x16, 0, b'U', b'N', 0, 0];
    forged.extend(0xFFFF_FFF0_u32.to_le_bytes());
    forged.extend([0; 100]);
    assert_eq!(store(&mut association, "1.2", &forged), DimseStatus::CANNOT_UNDERSTAND.0);
}

#[test]
fn a_peer_that_breaks_off_in_an_instance_leaves_the_whole_ones() {
    let receiving = Receiving::start(|_| {});
    let mut association = associated(receiving.address);
    let (first, second) = (Slice::new("1.2.3", 1), Slice::new("1.2.3", 2));
    assert_eq!(store(&mut association, &first.uid(), data_set(&first.file())), 0);
    let context = association.presentation_contexts()[0].id;
    let command = fragment(context, PDataValueType::Command, true, store_command(&second.uid()));
    association.send(&command).unwrap();
    let half = data_set(&second.file())[..500].to_vec();
    association.send(&fragment(context, PDataValueType::Data, false, half)).unwrap();
    drop(association);

    let request = receiving.study();
    assert_eq!((request.items.len(), request.attribute("association")), (1, "aborted"));
    assert!(request.items[0].name.starts_with(&first.uid()));
}

#[test]
fn a_huge_pdu_is_refused_when_it_is_announced() {
    let receiving = Receiving::start(|_| {});
    let mut association = associated(receiving.address);
    association.inner_stream().write_all(&[4, 0, 0xFF, 0xFF, 0xFF, 0xF0, 1, 2, 3]).unwrap();
    let event = receiving.event("closed", |event| matches!(event, ReceiverEvent::Closed { .. }));
    assert!(event.to_string().contains("announced a PDU of 4294967280 bytes"), "{event}");

    let mut stream = TcpStream::connect(receiving.address).unwrap();
    stream.write_all(&[1, 0, 0xFF, 0xFF, 0xFF, 0xFF]).unwrap();
    let event = receiving.event("rejected", |event| matches!(event, ReceiverEvent::Rejected { .. }));
    assert!(event.to_string().contains("announced a PDU of 4294967295 bytes"), "{event}");
}

#[test]
fn a_silent_peer_is_cut_off() {
    let receiving = Receiving::start(|settings| settings.idle_time_max = Duration::from_millis(300));
    let mut connected = TcpStream::connect(receiving.address).unwrap();
    connected.write_all(&[1, 0, 0, 0]).unwrap();
    let event = receiving.event("rejected", |event| matches!(event, ReceiverEvent::Rejected { .. }));
    assert!(event.to_string().ends_with("silent for too long"), "{event}");
    assert_eq!(connected.read(&mut [0; 8]).unwrap(), 0, "the connection is closed");

    let mut association = associated(receiving.address);
    let event = receiving.event("closed", |event| matches!(event, ReceiverEvent::Closed { .. }));
    assert!(event.to_string().ends_with("silent for too long"), "{event}");
    assert!(matches!(association.receive().unwrap(), Pdu::AbortRQ { .. }), "the peer is told");
}

#[test]
fn garbage_is_rejected_and_others_are_served() {
    let receiving = Receiving::start(|_| {});
    let mut association = associated(receiving.address);
    for garbage in [b"GET / HTTP/1.1\r\nHost: pacs\r\n\r\n".as_slice(), &[0; 64], &[4, 0, 0, 0, 0, 1, 9]] {
        let mut stream = TcpStream::connect(receiving.address).unwrap();
        stream.write_all(garbage).unwrap();
        receiving.event("rejected", |event| matches!(event, ReceiverEvent::Rejected { .. }));
    }
    let slice = Slice::new("1.2.3", 1);
    assert_eq!(store(&mut association, &slice.uid(), data_set(&slice.file())), 0);
}

#[test]
fn data_without_a_command_ends_the_association() {
    let receiving = Receiving::start(|_| {});
    let mut association = associated(receiving.address);
    let context = association.presentation_contexts()[0].id;
    association.send(&fragment(context, PDataValueType::Data, true, vec![0; 10])).unwrap();
    assert!(matches!(association.receive().unwrap(), Pdu::AbortRQ { .. }));
}

#[test]
fn one_association_too_many_is_rejected_for_the_moment() {
    let receiving = Receiving::start(|settings| settings.associations_max = 1);
    let association = associated(receiving.address);
    let error = echo(&receiving.destination("FLOW")).unwrap_err();
    assert!(error.to_string().contains("local limit exceeded"), "{error}");
    association.release().unwrap();
    receiving.event("closed", |event| {
        matches!(event, ReceiverEvent::Closed { end: AssociationEnd::Released, .. })
    });
    crate::support::peers::until("there is room again", || echo(&receiving.destination("FLOW")).ok());
}

#[test]
fn too_much_waiting_is_refused_until_it_is_taken() {
    let (give, studies) = mpsc::channel();
    let (take, taken) = mpsc::channel::<()>();
    let receiving = Receiving::handing_to(
        |settings| settings.waiting_bytes_max = 1,
        studies,
        move |request| {
            give.send(request).expect("the test is waiting");
            // Ends when the test has failed, too.
            let _ = taken.recv_timeout(crate::support::peers::DEADLINE);
        },
    );
    let destination = receiving.destination("FLOW");
    let object = |study: &str| vec![DicomObject::read("slice", Slice::new(study, 1).file().into()).unwrap()];
    assert!(send(&destination, &object("1.2.3")).unwrap()[0].outcome.is_stored());
    receiving.study();
    let outcome = send(&destination, &object("1.2.4")).unwrap().remove(0).outcome;
    assert!(
        matches!(outcome, SendOutcome::Refused { status: DimseStatus::OUT_OF_RESOURCES, .. }),
        "{outcome}"
    );
    take.send(()).unwrap();
    crate::support::peers::until("there is room again", || {
        send(&destination, &object("1.2.4")).unwrap()[0].outcome.is_stored().then_some(())
    });
    assert_eq!(receiving.study().attribute("study_instance_uid"), "1.2.4");
    take.send(()).unwrap();
}

#[test]
fn a_stop_aborts_associations_and_keeps_what_they_sent() {
    let mut receiving =
        Receiving::start(|settings| settings.completion.quiet_time = Duration::from_secs(3600));
    let mut association = associated(receiving.address);
    let slice = Slice::new("1.2.3", 1);
    assert_eq!(store(&mut association, &slice.uid(), data_set(&slice.file())), 0);
    receiving.stop();
    assert!(matches!(association.receive().unwrap(), Pdu::AbortRQ { .. }));
    let kept = receiving.event("kept", |event| matches!(event, ReceiverEvent::Kept { instances: 1, .. }));
    let ReceiverEvent::Kept { folder, .. } = kept else { unreachable!("it was looked for") };
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    assert_eq!(files.filter(|path| path.extension().is_some_and(|it| it == "dcm")).count(), 1);
    assert!(receiving.studies.try_recv().is_err(), "part of a study is not answered");
    let gone = echo(&receiving.destination("FLOW")).unwrap_err();
    assert!(matches!(gone.cause, PeerErrorCause::Unconnected(_)), "{gone}");
}
