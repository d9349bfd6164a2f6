//! Instances that are received again: with other contents, in another encoding, and after they came cut off.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::slice;
use std::time::Duration;

use flow::dicom::{AssociationEnd, ReceiverEvent, WatchedFolder, folder, merge, waiting};
use flow::step::Request;

use super::raw::{associated, store, store_slice};
use super::receiving::{STORESCU, slices, storescu, written};
use super::web::Serving;
use crate::support::peers::{Receiving, run, tool, until};
use crate::support::slices::{Slice, data_set};

const HOUR: Duration = Duration::from_secs(3600);

fn corrected(slices: &[Slice]) -> Vec<Slice> {
    let corrected =
        |slice: &Slice| Slice { patient_name: "Right^Name", rescale_intercept: "-1000", ..slice.clone() };
    slices.iter().map(corrected).collect()
}

fn assert_is_corrected(request: &Request, when: &str) {
    assert_eq!(request.items.len(), 3);
    for item in &request.items {
        let bytes = item.open().unwrap();
        assert!(bytes.windows(10).any(|window| window == b"Right^Name"), "{}", item.name);
    }
    assert_eq!(request.attribute("patient_name"), "Right^Name");
    let remark = format!(
        "3 instances were received again {when} the study was complete with other contents (rescale values; \
         patient, study or series): the last ones are used"
    );
    assert_eq!(request.attribute("remarks"), remark);
}

#[test]
fn what_arrives_last_replaces_what_was_there() {
    let Some(_) = tool(STORESCU) else { return };
    let [first, last] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let slices = slices("1.2.3", 1..4);
    // Long enough that the study is not complete where one storescu ends before the other begins.
    let receiving = Receiving::start(|settings| settings.completion.quiet_time = Duration::from_secs(2));
    storescu(&[], &receiving.arguments("FLOW"), &written(first.path(), &slices));
    storescu(&[], &receiving.arguments("FLOW"), &written(last.path(), &corrected(&slices)));
    assert_is_corrected(&receiving.study(), "before");
}

/// The only study that is being received and not in `known` folders, as an operator completes it. Its folder is known
/// from then on.
fn completed(receiving: &Receiving, known: &mut BTreeSet<PathBuf>) -> Request {
    let studies = waiting(&receiving.inbox, known).unwrap();
    assert_eq!(studies.len(), 1);
    studies[0].complete("an operator").unwrap();
    let request = receiving.study();
    known.extend(fs::read_dir(&receiving.inbox).unwrap().map(|entry| entry.unwrap().path()));
    request
}

#[test]
fn what_arrives_last_over_http_replaces_what_was_there() {
    let serving = Serving::start(|settings, _| settings.completion.quiet_time = HOUR);
    let store = |slices: &[Slice]| {
        let files: Vec<Vec<u8>> = slices.iter().map(Slice::file).collect();
        assert_eq!(serving.store(&files).status, 200);
    };
    let slices = slices("1.2.3", 1..4);
    store(&slices);
    store(&corrected(&slices));
    let mut known = BTreeSet::new();
    assert_is_corrected(&completed(&serving.receiving, &mut known), "before");

    store(&slices);
    let earlier = completed(&serving.receiving, &mut known);
    store(&corrected(&slices));
    assert_is_corrected(&merge(&earlier, completed(&serving.receiving, &mut known)), "after");
}

#[test]
fn what_is_put_last_into_a_watched_folder_replaces_what_was_there() {
    let kept = tempfile::tempdir().unwrap();
    let mut watched = WatchedFolder::new(kept.path().to_owned());
    (watched.settle_time, watched.interval) = (Duration::from_millis(50), Duration::from_millis(20));
    let receiving = Receiving::start(|settings| {
        settings.completion.quiet_time = HOUR;
        settings.watched = vec![watched];
    });
    let put = |slices: &[Slice]| {
        for slice in slices {
            let half = kept.path().join(".half");
            fs::write(&half, slice.file()).unwrap();
            fs::rename(half, kept.path().join(slice.uid())).unwrap();
        }
        let is_empty = || fs::read_dir(kept.path()).unwrap().next().is_none().then_some(());
        until("all are taken", is_empty);
    };
    let slices = slices("1.2.3", 1..4);
    put(&slices);
    put(&corrected(&slices));
    let mut known = BTreeSet::new();
    assert_is_corrected(&completed(&receiving, &mut known), "before");

    put(&slices);
    let earlier = completed(&receiving, &mut known);
    put(&corrected(&slices));
    assert_is_corrected(&merge(&earlier, completed(&receiving, &mut known)), "after");
}

#[test]
fn the_order_of_arrival_outlives_the_process() {
    let inbox = tempfile::tempdir().unwrap();
    let slices = slices("1.2.3", 1..4);
    let mut receiving = Receiving::start(|settings| {
        settings.inbox = inbox.path().to_owned();
        settings.completion.broken_time = HOUR;
    });
    let mut association = associated(receiving.address);
    for slice in slices.iter().chain(&corrected(&slices)) {
        store_slice(&mut association, slice);
    }
    drop(association);
    let is_aborted =
        |event: &ReceiverEvent| matches!(event, ReceiverEvent::Closed { end: AssociationEnd::Aborted, .. });
    receiving.event("it is broken off", is_aborted);
    receiving.stop();
    let receiving = Receiving::start(|settings| settings.inbox = inbox.path().to_owned());
    assert_is_corrected(&receiving.study(), "before");
}

/// The mixed series of a study after a restart, of which slices were received on these associations.
fn mixed_after_restart(associations: &[&[Slice]]) -> String {
    let inbox = tempfile::tempdir().unwrap();
    let mut receiving = Receiving::start(|settings| {
        settings.inbox = inbox.path().to_owned();
        settings.completion.broken_time = HOUR;
    });
    for slices in associations {
        let mut association = associated(receiving.address);
        slices.iter().for_each(|slice| store_slice(&mut association, slice));
        drop(association);
        let is_aborted = |event: &ReceiverEvent| {
            matches!(event, ReceiverEvent::Closed { end: AssociationEnd::Aborted, .. })
        };
        receiving.event("it is broken off", is_aborted);
    }
    receiving.stop();
    let receiving = Receiving::start(|settings| settings.inbox = inbox.path().to_owned());
    receiving.study().attribute("mixed_series").to_owned()
}

#[test]
fn the_mixture_of_a_series_outlives_the_process() {
    let slices = slices("1.2.3", 1..5);
    let rescaled = corrected(&slices);
    let renamed: Vec<Slice> =
        rescaled.iter().map(|slice| Slice { patient_name: "Other^Name", ..slice.clone() }).collect();
    assert_eq!(mixed_after_restart(&[&slices, &rescaled[..2]]), "1.2.3.1");
    assert_eq!(mixed_after_restart(&[&slices, &rescaled[..2], &renamed[..2]]), "1.2.3.1");
    assert_eq!(mixed_after_restart(&[&slices, &slices[2..], &rescaled[..2]]), "1.2.3.1");

    assert_eq!(mixed_after_restart(&[&slices, &rescaled]), "");
    assert_eq!(mixed_after_restart(&[&slices[..2], &rescaled]), "");
    let equal_at_first = [&slices[..2], &rescaled[2..]].concat();
    assert_eq!(mixed_after_restart(&[&slices, &equal_at_first]), "");
}

#[test]
fn a_revision_has_what_came_last() {
    let Some(_) = tool(STORESCU) else { return };
    let [first, last] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let slices = slices("1.2.3", 1..4);
    let receiving = Receiving::start(|_| {});
    storescu(&[], &receiving.arguments("FLOW"), &written(first.path(), &slices));
    let earlier = receiving.study();
    storescu(&[], &receiving.arguments("FLOW"), &written(last.path(), &corrected(&slices)));
    let merged = merge(&earlier, receiving.study());
    assert_ne!(merged.id, earlier.id);
    assert_is_corrected(&merged, "after");
    assert_eq!(merged.attribute("mixed_series"), "");

    // The same from files at first.
    let earlier = folder::find(&[first.path().to_owned()]).unwrap().studies.remove(0);
    storescu(&[], &receiving.arguments("FLOW"), &written(last.path(), &corrected(&slices)));
    let merged = merge(&earlier, receiving.study());
    assert_is_corrected(&merged, "after");
    assert_eq!(merged.attribute("mixed_series"), "");
}

#[test]
fn a_series_is_mixed_until_it_has_come_again_as_a_whole() {
    let Some(_) = tool(STORESCU) else { return };
    let [first, last] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let slices = slices("1.2.3", 1..5);
    let receiving = Receiving::start(|_| {});
    storescu(&[], &receiving.arguments("FLOW"), &written(last.path(), &slices));
    let received = receiving.study();
    for slice in &slices {
        fs::write(first.path().join(slice.number.to_string()), slice.file()).unwrap();
    }
    let found = folder::find(&[first.path().to_owned()]).unwrap().studies.remove(0);
    let corrected = written(last.path(), &corrected(&slices));
    for earlier in [received, found] {
        storescu(&[], &receiving.arguments("FLOW"), &corrected[..2]);
        let half = merge(&earlier, receiving.study());
        assert_eq!(half.attribute("mixed_series"), "1.2.3.1");
        storescu(&[], &receiving.arguments("FLOW"), &corrected);
        assert_eq!(merge(&half, receiving.study()).attribute("mixed_series"), "");
    }
}

#[test]
fn the_same_study_in_another_encoding_is_the_same_request() {
    let (Some(_), Some(dcmcrle)) = (tool(STORESCU), tool("/usr/bin/dcmcrle")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let files = written(folder.path(), &slices("1.2.3", 1..4));
    let found = folder::find(&[folder.path().to_owned()]).unwrap().studies.remove(0);
    let serving = Serving::start(|_, _| {});
    let receiving = &serving.receiving;
    for option in ["-xe", "-xi"] {
        storescu(&[option], &receiving.arguments("FLOW"), &files);
        assert_eq!(receiving.study().id, found.id, "{option}");
    }
    let bytes: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    assert_eq!(serving.store(&bytes).status, 200);
    let stored = receiving.study();
    assert_eq!(stored.id, found.id, "over HTTP");

    for file in &files {
        assert!(run(Command::new(dcmcrle).arg(file).arg(file)).status.success());
    }
    storescu(&["-xr"], &receiving.arguments("FLOW"), &files);
    let compressed = receiving.study();
    assert_ne!(compressed.id, stored.id, "it is not decoded when it is received");
    assert_eq!(merge(&stored, compressed).id, stored.id, "but when it might replace something");
}

#[test]
fn a_data_set_that_is_cut_off_is_refused_and_healed_by_the_whole_one() {
    let slice = Slice::new("1.2.3", 1);
    let file = slice.file();
    let serving = Serving::start(|_, _| {});
    let whole = data_set(&file);
    let pixels = usize::from(slice.edge).pow(2) * 2;
    let mut association = associated(serving.receiving.address);
    // Within the pixels, within the header, and between two elements before the pixels.
    for length in [whole.len() - 100, 200, whole.len() - pixels - 12] {
        let status = store(&mut association, &slice.uid(), &whole[..length]);
        assert_eq!(status, 0xC000, "{length} of {}", whole.len());
    }
    let cut = file[..file.len() - 100].to_vec();
    assert_eq!(serving.store(slice::from_ref(&cut)).failed(), [(slice.uid(), 0xC000)]);
    store_slice(&mut association, &slice);
    drop(association);
    let request = serving.receiving.study();
    assert_eq!(data_set(&request.items[0].open().unwrap()), whole);
    assert_eq!(request.attribute("remarks"), "");
}
