//! Receiving from DCMTK's storescu and echoscu.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::slice;
use std::thread;
use std::time::Duration;

use dicom_dictionary_std::uids;
use flow::admission::StopSignal;
use flow::dicom::{AssociationEnd, ReceiveSettings, ReceiverEvent, folder, release, serve};
use flow::dicom_file::content::FileContent;
use flow::step::{Request, StepTable};

use super::raw::{associated, say, status, store, store_command, store_slice};
use crate::support::peers::{Receiving, listener, run, tool};
use crate::support::slices::{Slice, data_set};

pub const STORESCU: &str = "/usr/bin/storescu";
const ECHOSCU: &str = "/usr/bin/echoscu";

/// Writes slices into a folder and gives their paths.
pub fn written(folder: &Path, slices: &[Slice]) -> Vec<PathBuf> {
    let path = |slice: &Slice| folder.join(format!("{}.dcm", slice.uid()));
    slices.iter().for_each(|slice| fs::write(path(slice), slice.file()).unwrap());
    slices.iter().map(path).collect()
}

pub fn slices(study: &str, numbers: std::ops::Range<u32>) -> Vec<Slice> {
    numbers.map(|number| Slice::new(study, number)).collect()
}

/// Sends with storescu, which must be content.
pub fn storescu(options: &[&str], peer: &[String], files: &[PathBuf]) {
    let mut command = Command::new(STORESCU);
    let output = run(command.args(options).args(peer).args(files));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Each item is the file of one of the slices, with its data set unchanged.
fn assert_holds(request: &Request, slices: &[Slice]) {
    assert_eq!(request.items.len(), slices.len());
    for slice in slices {
        let item = request.items.iter().find(|item| item.name == format!("{}.dcm", slice.uid()));
        let item = item.unwrap_or_else(|| panic!("no item for {}", slice.uid()));
        let bytes = item.open().unwrap();
        assert!(data_set(&bytes) == data_set(&slice.file()), "{} has been changed", item.name);
        assert_eq!((item.digest, item.size), (FileContent::of(&bytes).digest, bytes.len() as u64));
        assert_eq!(item.decoded, item.size.max(2 * u64::from(slice.edge).pow(2)));
    }
}

#[test]
fn a_study_from_storescu_becomes_a_request_and_can_be_released() {
    let Some(_) = tool(STORESCU) else { return };
    let folder = tempfile::tempdir().unwrap();
    let slices = slices("1.2.3", 1..8);
    let receiving = Receiving::start(|_| {});
    storescu(&[], &receiving.arguments("FLOW"), &written(folder.path(), &slices));

    let request = receiving.study();
    assert_holds(&request, &slices);
    for (name, value) in [
        ("study_instance_uid", "1.2.3"),
        ("patient_name", "Test^Seven"),
        ("modality", "CT"),
        ("series_description", "Thorax"),
        ("source", "dicom"),
        ("calling_ae", "SCANNER"),
        ("called_ae", "FLOW"),
        ("association", "released"),
    ] {
        assert_eq!(request.attribute(name), value, "{name}");
    }
    let table = StepTable::built_in();
    assert!(
        request.attributes.keys().all(|name| table.attribute(name).is_some()),
        "a `when` can name every attribute"
    );
    assert!(request.name.starts_with("CT_20260131_"), "{}", request.name);

    let again = folder::find(slice::from_ref(&receiving.inbox)).unwrap();
    assert_eq!(again.studies[0].id, request.id, "what lies in the inbox is the request");
    release(&receiving.inbox, &request.claims).unwrap();
    assert!(folder::find(slice::from_ref(&receiving.inbox)).unwrap().studies.is_empty());
    release(&receiving.inbox, &request.claims).expect("it is gone already, and that is all that was wanted");
}

#[test]
fn the_same_study_sent_again_is_the_same_request() {
    let Some(_) = tool(STORESCU) else { return };
    let folder = tempfile::tempdir().unwrap();
    let files = written(folder.path(), &slices("1.2.3", 1..4));
    let receiving = Receiving::start(|_| {});
    storescu(&[], &receiving.arguments("FLOW"), &files);
    let first = receiving.study();
    storescu(&["-R"], &receiving.arguments("FLOW"), &files);
    let second = receiving.study();
    assert_eq!((first.id, &first.name), (second.id, &second.name));
    assert_ne!(first.items[0].place, second.items[0].place);
}

#[test]
fn compressed_instances_come_through_as_they_are() {
    let Some(_) = tool(STORESCU) else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut slice = Slice::new("1.2.3", 1);
    slice.transfer_syntax = uids::RLE_LOSSLESS;
    let receiving = Receiving::start(|_| {});
    storescu(&["-R", "-xr"], &receiving.arguments("FLOW"), &written(folder.path(), slice::from_ref(&slice)));
    let request = receiving.study();
    assert_holds(&request, slice::from_ref(&slice));
    let stored = dicom_object::open_file(request.items[0].file().unwrap()).unwrap();
    assert_eq!(stored.meta().transfer_syntax(), uids::RLE_LOSSLESS);
}

#[test]
fn two_studies_over_four_associations_at_once_are_two_requests() {
    let Some(_) = tool(STORESCU) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (slices("1.2.3", 1..21), slices("1.2.4", 1..21));
    // Long enough that a study is not cut where one storescu ends before another begins.
    let receiving =
        Receiving::start(|settings| settings.completion.quiet_time = std::time::Duration::from_secs(2));
    thread::scope(|scope| {
        for part in [&one[..10], &one[10..], &two[..10], &two[10..]] {
            let files = written(folder.path(), part);
            let peer = receiving.arguments("FLOW");
            scope.spawn(move || storescu(&[], &peer, &files));
        }
    });
    let mut requests = [receiving.study(), receiving.study()];
    requests.sort_by_key(|request| request.attribute("study_instance_uid").to_owned());
    assert_holds(&requests[0], &one);
    assert_holds(&requests[1], &two);
}

#[test]
fn echoscu_is_answered_many_times() {
    let Some(_) = tool(ECHOSCU) else { return };
    let receiving = Receiving::start(|_| {});
    let arguments = receiving.arguments("FLOW");
    let output = run(Command::new(ECHOSCU).args(["-v", "--repeat", "5"]).args(arguments));
    assert!(output.status.success());
    let log = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert_eq!(log.matches("Received Echo Response (Success)").count(), 5, "{log}");
}

#[test]
fn another_called_title_is_rejected_unless_any_is_taken() {
    let Some(_) = tool(ECHOSCU) else { return };
    let receiving = Receiving::start(|_| {});
    let output = run(Command::new(ECHOSCU).args(receiving.arguments("OTHER")));
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("Called AE Title Not Recognized"));

    let receiving = Receiving::start(|settings| settings.called = flow::dicom::CalledTitles::Any);
    assert!(run(Command::new(ECHOSCU).args(receiving.arguments("OTHER"))).status.success());
}

#[test]
fn an_aborted_association_leaves_what_was_sent() {
    let Some(_) = tool(STORESCU) else { return };
    let folder = tempfile::tempdir().unwrap();
    let slices = slices("1.2.3", 1..4);
    let receiving = Receiving::start(|_| {});
    storescu(&["--abort"], &receiving.arguments("FLOW"), &written(folder.path(), &slices));
    receiving.event("aborted", |event| {
        matches!(event, ReceiverEvent::Closed { end: AssociationEnd::Aborted, instances: 3, .. })
    });
    let request = receiving.study();
    assert_eq!(request.attribute("association"), "aborted");
    assert_holds(&request, &slices);
}

/// A power cut may take away the names in a study's folder that were not synced since: the files are where they
/// were while they were received.
#[test]
fn instances_that_a_power_cut_has_left_where_they_came_in_are_taken_up() {
    let place = tempfile::tempdir().unwrap();
    let inbox = place.path().join("inbox");
    let slices = slices("1.2.3", 1..5);
    let mut receiving = Receiving::start(|settings| {
        settings.inbox = inbox.clone();
        settings.completion.broken_time = Duration::from_secs(3600);
    });
    let mut association = associated(receiving.address);
    slices.iter().for_each(|slice| store_slice(&mut association, slice));
    association.abort().unwrap();
    receiving.stop();

    let stored = |number: usize| inbox.join(format!("study-0000000/{}.dcm", slices[number].uid()));
    let came_in = |number: usize| inbox.join(format!("incoming/{number}.part"));
    assert!(stored(0).exists() && !came_in(0).exists());
    fs::rename(stored(1), came_in(1)).unwrap();
    fs::rename(stored(2), came_in(2)).unwrap();
    // The name in the study is there as well: what lies there came later.
    fs::copy(stored(3), came_in(3)).unwrap();
    let mut corrected = fs::read(stored(3)).unwrap();
    *corrected.last_mut().unwrap() ^= 1;
    fs::write(stored(3), &corrected).unwrap();
    // One that was not answered.
    let whole = fs::read(came_in(1)).unwrap();
    fs::write(came_in(9), &whole[..whole.len() - 1]).unwrap();

    let receiving = Receiving::start(|settings| settings.inbox = inbox.clone());
    let request = receiving.study();
    assert_eq!(request.items.len(), 4);
    for (number, slice) in slices.iter().enumerate() {
        let taken = data_set(&fs::read(stored(number)).unwrap()).to_vec();
        let expected =
            if number == 3 { data_set(&corrected).to_vec() } else { data_set(&slice.file()).to_vec() };
        assert!(taken == expected, "instance {number}");
    }
    let left = fs::read_dir(inbox.join("incoming")).unwrap().count();
    assert_eq!(left, 0, "they are not found twice");
}

/// A data set without an element.
fn without(slice: &Slice, tag: [u8; 4]) -> Vec<u8> {
    let file = slice.file();
    let data = data_set(&file).to_vec();
    let at = data.windows(4).position(|window| window == tag).expect("it is there");
    let length = usize::from(u16::from_le_bytes([data[at + 6], data[at + 7]]));
    [&data[..at], &data[at + 8 + length..]].concat()
}

#[test]
fn an_instance_without_uids_is_refused_for_that_reason() {
    let receiving = Receiving::start(|_| {});
    let slice = Slice::new("1.2.3", 1);
    let mut association = associated(receiving.address);
    for (tag, status, reason) in [
        ([0x08, 0, 0x18, 0], 0x0117, "the data set has no SOP Instance UID"),
        ([0x20, 0, 0x0D, 0], 0xC000, "the data set has no Study Instance UID"),
        ([0x20, 0, 0x0E, 0], 0xC000, "the data set has no Series Instance UID"),
    ] {
        assert_eq!(store(&mut association, &slice.uid(), &without(&slice, tag)), status, "{reason}");
        let is_it = |event: &ReceiverEvent| matches!(event, ReceiverEvent::Refused { .. });
        let event = receiving.event("refused", is_it).to_string();
        assert!(event.ends_with(reason), "{event}");
    }
    say(&mut association, store_command(""), Some(data_set(&slice.file())));
    assert_eq!(status(&mut association), 0x0117);
}

#[test]
fn a_file_as_a_data_set_is_refused_for_that_reason() {
    let receiving = Receiving::start(|_| {});
    let slice = Slice::new("1.2.3", 1);
    let mut association = associated(receiving.address);
    assert_eq!(store(&mut association, &slice.uid(), &slice.file()), 0xC000);
    let is_it = |event: &ReceiverEvent| matches!(event, ReceiverEvent::Refused { .. });
    let event = receiving.event("refused", is_it).to_string();
    let reason = "the data set begins with the head of a DICOM file; only what follows the file meta information \
                  (0002,xxxx) may be sent";
    assert!(event.ends_with(reason), "{event}");
    store_slice(&mut association, &slice);
}

#[test]
fn a_study_that_cannot_be_synced_ends_receiving_with_an_error() {
    let place = tempfile::tempdir().unwrap();
    let [inbox, aside] = ["inbox", "aside"].map(|name| place.path().join(name));
    let listener = listener();
    let address = listener.local_addr().unwrap();
    let mut settings = ReceiveSettings::new("FLOW".parse().unwrap(), inbox.clone());
    settings.completion.quiet_time = Duration::from_millis(50);
    let stop = StopSignal::default();
    let error = thread::scope(|scope| {
        let served = scope.spawn(|| serve(Some(&listener), &settings, &stop, |_| {}, |_| {}));
        let mut association = associated(address);
        store_slice(&mut association, &Slice::new("1.2.3", 1));
        fs::rename(inbox.join("study-0000000"), &aside).unwrap();
        association.release().unwrap();
        served.join().unwrap().unwrap_err()
    });
    assert!(error.to_string().contains("cannot be written to the disk"), "{error}");

    fs::rename(&aside, inbox.join("study-0000000")).unwrap();
    let receiving = Receiving::start(|settings| settings.inbox = inbox.clone());
    assert_eq!(receiving.study().items.len(), 1);
}
