//! Sending to DCMTK's storescp and to Orthanc, and back from there.

use std::fs;
use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use flow::dicom::{
    Decode, DicomObject, DimseNode, PeerErrorCause, PlainPixels, SendOutcome, echo, send, send_each,
};

use crate::support::orthanc::Orthanc;
use crate::support::peers::{Background, Receiving, answering, run, tool, until};
use crate::support::ports::free_port;
use crate::support::slices::{Slice, data_set};

const STORESCP: &str = "/usr/bin/storescp";

fn slices() -> Vec<Slice> {
    (1..6)
        .map(|number| {
            let mut slice = Slice::new("1.2.3", number);
            slice.edge = 400;
            slice
        })
        .collect()
}

fn objects(slices: &[Slice]) -> Vec<DicomObject> {
    slices.iter().map(|slice| DicomObject::read(slice.uid(), slice.file().into()).unwrap()).collect()
}

fn assert_all_stored(destination: &DimseNode, slices: &[Slice]) {
    let sent = send(destination, &objects(slices)).unwrap();
    let uids: Vec<&str> = sent.iter().map(|one| one.sop_instance_uid.as_str()).collect();
    assert_eq!(uids, slices.iter().map(Slice::uid).collect::<Vec<_>>());
    assert!(sent.iter().all(|one| one.outcome == SendOutcome::Stored), "{sent:?}");
}

#[test]
fn storescp_stores_what_is_sent_whatever_its_pdu_size() {
    let Some(storescp) = tool(STORESCP) else { return };
    for pdu in ["4096", "131072"] {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let mut command = Command::new(storescp);
        command.args(["+B", "-pdu", pdu, "-aet", "DCMTK", "-od"]).arg(folder.path()).arg(port.to_string());
        let _peer = Background::start(&mut command);
        let slices = slices();
        assert_all_stored(&answering("DCMTK", port), &slices);
        for slice in &slices {
            let stored = fs::read(folder.path().join(format!("CT.{}", slice.uid()))).unwrap();
            assert!(data_set(&stored) == data_set(&slice.file()), "{} has been changed", slice.uid());
        }
    }
}

#[test]
fn a_destination_that_refuses_is_told_with_a_remedy() {
    let Some(storescp) = tool(STORESCP) else { return };
    let port = free_port();
    let _peer = Background::start(Command::new(storescp).arg("--refuse").arg(port.to_string()));
    let destination = format!("DCMTK@127.0.0.1:{port}").parse().unwrap();
    let error = until("storescp refuses", || {
        let error = send(&destination, &objects(&slices())).unwrap_err();
        (!matches!(error.cause, PeerErrorCause::Unconnected(_))).then_some(error)
    });
    assert!(matches!(error.cause, PeerErrorCause::Rejected(_)), "{error}");

    let receiving = Receiving::start(|_| {});
    let error = echo(&receiving.destination("OTHER")).unwrap_err();
    assert!(error.to_string().contains("called AE title not recognized"), "{error}");
    assert!(error.remedy().contains("is not called OTHER"), "{}", error.remedy());
}

#[test]
fn a_destination_that_says_nothing_is_not_waited_for_for_ever() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut destination: DimseNode = format!("MUTE@{address}").parse().unwrap();
    destination.wait_max = Duration::from_millis(100);
    assert!(matches!(echo(&destination).unwrap_err().cause, PeerErrorCause::Silent));
}

#[test]
fn a_class_that_is_not_taken_is_told_for_its_object() {
    let Some(storescp) = tool(STORESCP) else { return };
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    // Uncompressed transfer syntaxes only, which is what storescp takes unless told otherwise.
    let mut command = Command::new(storescp);
    let _peer = Background::start(command.arg("-od").arg(folder.path()).arg(port.to_string()));
    let mut compressed = Slice::new("1.2.3", 9);
    compressed.transfer_syntax = dicom_dictionary_std::uids::RLE_LOSSLESS;
    let both = objects(&[compressed.clone(), Slice::new("1.2.3", 1)]);
    let sent = send(&answering("ANY", port), &both).unwrap();
    assert!(matches!(&sent[0].outcome, SendOutcome::NotTaken { .. }), "{}", sent[0].outcome);
    assert_eq!(sent[1].outcome, SendOutcome::Stored);

    let sent = send(&answering("ANY", port), &objects(&[compressed])).unwrap();
    let told = sent[0].outcome.to_string();
    assert!(told.contains("takes no CT Image Storage") && told.contains("in RLE Lossless"), "{told}");
}

#[test]
fn what_is_not_taken_in_its_transfer_syntax_is_converted() {
    use dicom_dictionary_std::uids;
    let Some(storescp) = tool(STORESCP) else { return };
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    // Implicit VR little endian only.
    let mut command = Command::new(storescp);
    command.args(["+xi", "-aet", "OLD", "-od"]).arg(folder.path()).arg(port.to_string());
    let _peer = Background::start(&mut command);
    let syntaxes = [
        uids::EXPLICIT_VR_LITTLE_ENDIAN,
        "1.2.840.10008.1.2.2",
        uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
        uids::IMPLICIT_VR_LITTLE_ENDIAN,
    ];
    let slice = |(number, transfer_syntax)| Slice { transfer_syntax, ..Slice::new("1.2.3", number) };
    let slices: Vec<Slice> = (1..).zip(syntaxes).map(slice).collect();
    assert_all_stored(&answering("OLD", port), &slices);
    for slice in slices {
        let stored = dicom_object::open_file(folder.path().join(format!("CT.{}", slice.uid()))).unwrap();
        assert_eq!(stored.meta().transfer_syntax(), uids::IMPLICIT_VR_LITTLE_ENDIAN);
        let sent = dicom_object::from_reader(&slice.file()[128..]).unwrap();
        for element in sent.iter() {
            let arrived = stored.element(element.header().tag).unwrap();
            assert_eq!(arrived.to_bytes().unwrap(), element.to_bytes().unwrap(), "{:?}", element.header());
        }
        assert_eq!(stored.iter().count(), sent.iter().count());
    }
}

#[test]
fn our_receiver_takes_what_we_send() {
    let receiving = Receiving::start(|_| {});
    let slices = slices();
    assert_all_stored(&receiving.destination("FLOW"), &slices);
    let request = receiving.study();
    assert_eq!((request.items.len(), request.attribute("calling_ae")), (slices.len(), "FLOW"));
}

#[test]
fn orthanc_stores_what_is_sent_and_sends_it_back() {
    let receiving = Receiving::start(|_| {});
    let Some(orthanc) = Orthanc::start(receiving.address.port()) else { return };
    let slices = slices();
    assert_all_stored(&orthanc.node, &slices);
    let ids: Vec<String> = serde_json::from_value(orthanc.get("/instances")).unwrap();
    let stored = ids.iter().map(|id| orthanc.bytes(&format!("/instances/{id}/file")));
    let mut stored: Vec<Vec<u8>> = stored.map(|file| data_set(&file).to_vec()).collect();
    let mut sent: Vec<Vec<u8>> = slices.iter().map(|slice| data_set(&slice.file()).to_vec()).collect();
    stored.sort();
    sent.sort();
    assert!(stored == sent, "Orthanc holds other data sets");

    orthanc.post("/modalities/flow/store", &serde_json::json!(ids));
    let request = receiving.study();
    assert_eq!((request.items.len(), request.attribute("calling_ae")), (slices.len(), "ORTHANC"));
    let dump = run(Command::new("/usr/bin/dcmdump").arg(request.items[0].file().unwrap()));
    assert!(dump.status.success(), "DCMTK reads what we stored");
}

#[test]
fn compressed_objects_are_decoded_for_who_takes_no_others() {
    let Some(storescp) = tool(STORESCP) else { return };
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut command = Command::new(storescp);
    let _peer = Background::start(command.arg("-od").arg(folder.path()).arg(port.to_string()));
    let compressed =
        Slice { transfer_syntax: dicom_dictionary_std::uids::RLE_LOSSLESS, ..Slice::new("1.2.3", 9) };
    let objects = objects(std::slice::from_ref(&compressed));
    let decode: Decode = |_| {
        let (vr, photometric_interpretation) = (*b"OW", "MONOCHROME2".to_owned());
        Ok(PlainPixels { vr, bytes: vec![7; 2 * 32 * 32], photometric_interpretation })
    };
    let mut outcomes = Vec::new();
    let destination = answering("ANY", port);
    send_each(&destination, &objects, Some(decode), &mut |sent| outcomes.push(sent.outcome)).unwrap();
    let broken: Decode = |_| Err("a fragment is cut off".to_owned());
    send_each(&destination, &objects, Some(broken), &mut |sent| outcomes.push(sent.outcome)).unwrap();
    assert_eq!(outcomes[0], SendOutcome::Stored);
    assert!(outcomes[1].to_string().ends_with("cannot be decoded: a fragment is cut off"), "{}", outcomes[1]);
    let stored = dicom_object::open_file(folder.path().join(format!("CT.{}", compressed.uid()))).unwrap();
    let pixels = stored.element(dicom_dictionary_std::tags::PIXEL_DATA).unwrap().to_bytes().unwrap();
    assert_eq!(*pixels, [7; 2 * 32 * 32]);
}

#[test]
fn what_dcmtk_compressed_arrives_as_it_was_before() {
    let Some(storescp) = tool(STORESCP) else { return };
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    fs::create_dir(folder.path().join("stored")).unwrap();
    let mut command = Command::new(storescp);
    command.arg("-od").arg(folder.path().join("stored")).arg(port.to_string());
    let _peer = Background::start(&mut command);
    let destination = answering("PLAIN", port);
    let encoders =
        [("/usr/bin/dcmcrle", None), ("/usr/bin/dcmcjpeg", Some("+e1")), ("/usr/bin/dcmcjpls", Some("+el"))];
    let pixels = |file: &dicom_object::DefaultDicomObject| {
        file.element(dicom_dictionary_std::tags::PIXEL_DATA).unwrap().to_bytes().unwrap().into_owned()
    };
    for (number, (encoder, option)) in (1..).zip(encoders) {
        let Some(encoder) = tool(encoder) else { continue };
        let slice = Slice::new("1.2.4", number);
        let [plain, compressed] = ["plain", "compressed"].map(|name| folder.path().join(name));
        fs::write(&plain, slice.file()).unwrap();
        assert!(run(Command::new(encoder).args(option).arg(&plain).arg(&compressed)).status.success());
        let object = DicomObject::open("compressed", &compressed).unwrap();
        assert_ne!(object.transfer_syntax_uid(), slice.transfer_syntax);
        let mut outcomes = Vec::new();
        let decode: Option<Decode> = Some(flow::dicom::plain_pixels);
        send_each(&destination, &[object], decode, &mut |sent| outcomes.push(sent.outcome)).unwrap();
        assert_eq!(outcomes, [SendOutcome::Stored], "{encoder}");
        let stored = folder.path().join("stored").join(format!("CT.{}", slice.uid()));
        let stored = dicom_object::open_file(stored).unwrap();
        assert_eq!(stored.meta().transfer_syntax(), slice.transfer_syntax);
        let plain = dicom_object::open_file(&plain).unwrap();
        assert!(pixels(&stored) == pixels(&plain), "{encoder}: the pixels are others");
    }
}
