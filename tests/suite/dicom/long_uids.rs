//! Identifiers that are longer than the standard allows: stored, and the same request, whatever way they come.

use std::fs;
use std::time::Duration;

use flow::dicom::{
    DicomObject, DimseStatus, ReceiverEvent, RetrievalMethod, StudyPull, WatchedFolder, folder, web,
};
use flow::step::Request;

use super::raw::{associated, store, store_slice};
use crate::support::orthanc::Orthanc;
use crate::support::peers::{Receiving, listener};
use crate::support::slices::{Slice, data_set};

/// A slice whose SOP Instance UID has so many characters.
fn slice(characters: usize) -> Slice {
    let behind = Slice::new("", 1).uid().len();
    Slice::new(&format!("1.{}", "2".repeat(characters - behind - 2)), 1)
}

/// The study becomes the request that it is as files.
fn assert_received(receiving: &Receiving, from_files: &Request, slice: &Slice) {
    let request = receiving.study();
    assert_eq!((request.id, &request.subject), (from_files.id, &slice.study));
    let path = request.items[0].file().unwrap();
    assert_eq!(path.file_name().unwrap().to_str().unwrap(), format!("{}.dcm", slice.uid()));
    assert_eq!(data_set(&fs::read(path).unwrap()), data_set(&slice.file()));
}

#[test]
fn an_instance_with_67_characters_is_the_same_request_by_every_way() {
    let kept = tempfile::tempdir().unwrap();
    let slice = slice(67);
    assert_eq!(slice.uid().len(), 67);
    fs::write(kept.path().join("one"), slice.file()).unwrap();
    let from_files = folder::find(&[kept.path().to_owned()]).unwrap().studies.remove(0);

    let receiving = Receiving::start(|_| {});
    let mut association = associated(receiving.address);
    store_slice(&mut association, &slice);
    association.release().unwrap();
    assert_received(&receiving, &from_files, &slice);

    let http = listener();
    let url = format!("http://{}/dicom-web", http.local_addr().unwrap());
    let receiving = Receiving::start(|settings| settings.web = Some(web::WebSettings::new(http)));
    let object = DicomObject::read(slice.uid(), slice.file().into()).unwrap();
    assert!(is_stored(&url, object));
    assert_received(&receiving, &from_files, &slice);

    let mut watched = WatchedFolder::new(kept.path().to_owned());
    (watched.settle_time, watched.interval) = (Duration::from_millis(50), Duration::from_millis(20));
    let receiving = Receiving::start(|settings| settings.watched = vec![watched]);
    assert_received(&receiving, &from_files, &slice);
}

/// Orthanc announces the first 64 characters only.
#[test]
fn an_instance_with_more_characters_than_allowed_is_fetched_from_an_archive() {
    let listener = listener();
    let Some(orthanc) = Orthanc::start(listener.local_addr().unwrap().port()) else { return };
    for characters in [65, 80, 128] {
        let kept = tempfile::tempdir().unwrap();
        let slice = slice(characters);
        fs::write(kept.path().join("one"), slice.file()).unwrap();
        let from_files = folder::find(&[kept.path().to_owned()]).unwrap().studies.remove(0);
        orthanc.keep(&slice.file());
        for method in [RetrievalMethod::Get, RetrievalMethod::Move { to: "FLOW".parse().unwrap() }] {
            let from = orthanc.node.clone().into();
            let wanted = vec![slice.study.parse().unwrap()];
            let pull = StudyPull { from, method, wanted, waits: Vec::new() };
            let receiving =
                Receiving::at(listener.try_clone().unwrap(), |settings| settings.pull = Some(pull));
            assert_received(&receiving, &from_files, &slice);
        }
    }
}

#[test]
fn a_longer_one_than_any_system_makes_is_refused_by_every_way() {
    let kept = tempfile::tempdir().unwrap();
    let slice = slice(129);
    fs::write(kept.path().join("one"), slice.file()).unwrap();
    let found = folder::find(&[kept.path().to_owned()]).unwrap();
    assert_eq!(found.studies.len(), 0);
    assert!(found.skipped[0].reason.contains("longer than 128"), "{}", found.skipped[0].reason);

    let http = listener();
    let url = format!("http://{}/dicom-web", http.local_addr().unwrap());
    let mut watched = WatchedFolder::new(kept.path().to_owned());
    (watched.settle_time, watched.interval) = (Duration::from_millis(50), Duration::from_millis(20));
    let receiving = Receiving::start(|settings| {
        settings.web = Some(web::WebSettings::new(http));
        settings.watched = vec![watched];
    });
    let is_refused = |event: &ReceiverEvent| {
        matches!(event, ReceiverEvent::Refused { status: DimseStatus::INVALID_INSTANCE, .. })
    };
    receiving.event("refused in the folder", is_refused);
    let mut association = associated(receiving.address);
    let file = slice.file();
    assert_eq!(store(&mut association, &slice.uid(), data_set(&file)), DimseStatus::INVALID_INSTANCE.0);
    let object = DicomObject::read(slice.uid(), file.into()).unwrap();
    assert!(!is_stored(&url, object));
    assert!(receiving.studies.try_recv().is_err());
}

/// Sends an object to a web service; whether it was stored.
fn is_stored(url: &str, object: DicomObject) -> bool {
    let mut stored = false;
    web::store(&url.parse().unwrap(), &[object], &mut |sent| stored = sent.outcome.is_stored()).unwrap();
    stored
}
