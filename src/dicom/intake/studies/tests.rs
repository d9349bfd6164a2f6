//! Arriving studies without network and files.

use super::*;
use crate::dicom::intake::event::{IntakeSession, SessionKind};
use crate::dicom::intake::replacement::Replacement;
use crate::dicom::intake::sender::SessionUse;
use crate::imaging::StudyAttributes;
use crate::step::{Digest, Item, ItemPlace};

thread_local! {
    /// Where the folders of a test's studies are, as long as the test.
    static ROOT: tempfile::TempDir = tempfile::tempdir().unwrap();
}

const HOUR: Duration = Duration::from_secs(3600);

fn sender(association: u64) -> InstanceSender {
    let calling_ae = format!("SCANNER{association}");
    let session = IntakeSession { way: SessionKind::Association, number: association };
    InstanceSender {
        session,
        calling_ae,
        called_ae: "FLOW".to_owned(),
        study_instance_uid: None,
        session_use: SessionUse::AsLongAsWanted,
    }
}

fn send(studies: &ArrivingStudies, association: u64, study: &str, name: &str) {
    let new_folder = || ROOT.with(|root| Ok(tempfile::tempdir_in(root.path())?.keep()));
    let place = studies.place(study, &sender(association), new_folder).unwrap();
    let item = Item {
        name: name.to_owned(),
        place: ItemPlace::File(place.folder.join(name)),
        digest: Digest::of(name.as_bytes()),
        size: 10,
        decoded: 10,
    };
    let of = StudyAttributes { study_instance_uid: study.to_owned(), ..StudyAttributes::default() };
    let instance = StudyInstance::damaged(item, of);
    let known = studies.known(&place, name).map(|known| known.digest);
    let arrival = if known.is_some() { InstanceArrival::Again } else { InstanceArrival::New };
    assert_eq!(
        studies.add(&place, &instance, known, arrival, || Ok(())).unwrap(),
        AddResult::Added(FolderSync::Needed)
    );
}

fn studies(quiet_time: Duration, broken_time: Duration, waiting_bytes_max: u64) -> ArrivingStudies {
    let open_quiet_time = Some(HOUR);
    let completion =
        CompletionRules { quiet_time, open_quiet_time, broken_time, ..CompletionRules::default() };
    ArrivingStudies::new(completion, CountSource::ByNobody, waiting_bytes_max)
}

fn taken(studies: &ArrivingStudies) -> Option<Request> {
    match studies.next()? {
        StudyOutcome::Complete(request, _) => Some(request),
        StudyOutcome::Discard { .. } | StudyOutcome::Waits { .. } => panic!("there is no cap"),
    }
}

/// When the only study that is arriving is due.
fn due(studies: &ArrivingStudies) -> Option<Instant> {
    let state = studies.lock();
    let due = state
        .arriving
        .iter()
        .find_map(|(uid, one)| one.due(&studies.completion, &studies.receiving(), false, uid));
    due.map(|(at, ..)| at)
}

/// Names of the studies' items, in the order in which the studies complete.
fn complete(studies: &ArrivingStudies) -> Vec<Vec<String>> {
    studies.end();
    let requests = std::iter::from_fn(|| taken(studies));
    requests.map(|request| request.items.into_iter().map(|item| item.name).collect()).collect()
}

#[test]
fn a_study_waits_for_all_its_associations() {
    let studies = studies(Duration::ZERO, Duration::ZERO, 1000);
    send(&studies, 1, "s", "a");
    send(&studies, 2, "s", "b");
    send(&studies, 2, "t", "c");
    studies.leave(2, SenderEnd::Released);
    assert_eq!(taken(&studies).unwrap().items.len(), 1, "t is complete, s is not");
    studies.leave(1, SenderEnd::Aborted);
    let request = taken(&studies).unwrap();
    assert_eq!(request.attribute("calling_ae"), "SCANNER1\\SCANNER2");
    assert_eq!(request.attribute("association"), "aborted");
    assert_eq!(request.items.len(), 2);
}

#[test]
fn a_study_waits_for_quiet_and_the_end_does_not() {
    let studies = studies(Duration::from_secs(3600), Duration::ZERO, 1000);
    send(&studies, 1, "s", "a");
    studies.leave(1, SenderEnd::Released);
    let due = due(&studies).unwrap();
    assert!(due > Instant::now() + Duration::from_secs(3500));
    assert_eq!(complete(&studies), [["a"]]);
}

#[test]
fn what_was_broken_off_waits_to_be_sent_again() {
    let studies = studies(Duration::ZERO, Duration::from_secs(3600), 1000);
    send(&studies, 1, "s", "a");
    studies.leave(1, SenderEnd::Aborted);
    let due = due(&studies).unwrap();
    assert!(due > Instant::now() + Duration::from_secs(3500));
    send(&studies, 2, "s", "a");
    send(&studies, 2, "s", "b");
    studies.leave(2, SenderEnd::Released);
    let whole = taken(&studies).unwrap();
    assert_eq!((whole.items.len(), whole.attribute("association")), (2, "released"));
    send(&studies, 3, "s", "a");
    studies.leave(3, SenderEnd::Aborted);
    assert!(complete(&studies).is_empty(), "the end makes no study of it");
    assert_eq!(studies.kept().iter().map(|(instances, _)| *instances).collect::<Vec<_>>(), [1]);
}

#[test]
fn one_who_was_there_before_does_not_make_a_break_off_good() {
    let studies = studies(Duration::ZERO, Duration::from_secs(3600), 1000);
    send(&studies, 1, "s", "a");
    send(&studies, 2, "s", "b");
    studies.leave(1, SenderEnd::Aborted);
    studies.leave(2, SenderEnd::Released);
    assert!(due(&studies).unwrap() > Instant::now() + Duration::from_secs(3500));
    send(&studies, 3, "s", "c");
    studies.leave(3, SenderEnd::Released);
    assert_eq!(taken(&studies).unwrap().attribute("association"), "released");
}

#[test]
fn who_goes_on_to_another_study_attends_the_first_no_longer() {
    let studies = studies(Duration::ZERO, Duration::from_secs(3600), 1000);
    send(&studies, 1, "s", "a");
    let is_later = || due(&studies).is_some_and(|due| due > Instant::now() + HOUR / 2);
    assert!(is_later(), "it is being sent");
    send(&studies, 1, "t", "b");
    let first = taken(&studies).unwrap();
    assert_eq!((first.items[0].name.as_str(), first.attribute("association")), ("a", "released"));
    send(&studies, 1, "t", "c");
    assert!(is_later(), "that one is");
    studies.leave(1, SenderEnd::Aborted);
    assert!(due(&studies).unwrap() > Instant::now() + Duration::from_secs(3500));
}

#[test]
fn what_comes_late_is_a_new_request() {
    let studies = studies(Duration::ZERO, Duration::ZERO, 1000);
    send(&studies, 1, "s", "a");
    studies.leave(1, SenderEnd::Released);
    assert_eq!(taken(&studies).unwrap().items[0].name, "a");
    send(&studies, 2, "s", "b");
    studies.leave(2, SenderEnd::Released);
    assert_eq!(complete(&studies), [["b"]]);
}

#[test]
fn the_same_instance_twice_is_there_once() {
    let studies = studies(Duration::ZERO, Duration::ZERO, 1000);
    send(&studies, 1, "s", "a");
    send(&studies, 2, "s", "a");
    studies.leave(1, SenderEnd::Released);
    studies.leave(2, SenderEnd::Released);
    assert_eq!(studies.lock().waiting_bytes, 10);
    assert_eq!(complete(&studies), [["a"]]);
}

#[test]
fn bytes_wait_until_they_are_handed_over() {
    let studies = studies(Duration::ZERO, Duration::ZERO, 15);
    send(&studies, 1, "s", "a");
    assert!(studies.have_room());
    send(&studies, 1, "s", "b");
    assert!(!studies.have_room());
    studies.leave(1, SenderEnd::Released);
    let request = taken(&studies).unwrap();
    assert!(!studies.have_room());
    studies.handed_over(request.size());
    assert!(studies.have_room());
}

#[test]
fn of_two_that_come_at_once_under_one_uid_the_second_knows_of_the_first() {
    let studies = studies(Duration::ZERO, Duration::ZERO, 1000);
    let new_folder = || ROOT.with(|root| Ok(tempfile::tempdir_in(root.path())?.keep()));
    let place = studies.place("s", &sender(1), new_folder).unwrap();
    let instance = |content: &str| {
        let path = ItemPlace::File(place.folder.join("a"));
        let digest = Digest::of(content.as_bytes());
        let item = Item { name: "a".to_owned(), place: path, digest, size: 10, decoded: 10 };
        StudyInstance::damaged(item, StudyAttributes::default())
    };
    let (first, second) = (instance("first"), instance("second"));
    let new = |one| studies.add(&place, one, None, InstanceArrival::New, || Ok(())).unwrap();
    assert_eq!((new(&first), new(&second)), (AddResult::Added(FolderSync::Needed), AddResult::Outdated));
    let known = studies.known(&place, "a").unwrap().digest;
    assert_eq!(known, first.item.digest, "it is not put in the place of the first without a comparison");
    let differences = [crate::dicom::intake::replacement::ContentDifference::Pixels].into();
    let replaced = Replacement { name: "a".to_owned(), digest: second.item.digest, differences };
    let arrival = InstanceArrival::Replaces(replaced);
    assert_eq!(
        studies.add(&place, &second, Some(known), arrival, || Ok(())).unwrap(),
        AddResult::Added(FolderSync::Needed)
    );
}

#[test]
fn a_remark_outlives_the_process() {
    let first = studies(HOUR, HOUR, 1000);
    let new_folder = || ROOT.with(|root| Ok(tempfile::tempdir_in(root.path())?.keep()));
    let place = first.place("s", &sender(1), new_folder).unwrap();
    let file = ItemPlace::File(place.folder.join("a"));
    let item = Item { name: "a".to_owned(), place: file, digest: Digest::of(b"a"), size: 10, decoded: 10 };
    let of = StudyAttributes { study_instance_uid: "s".to_owned(), ..StudyAttributes::default() };
    let instance = StudyInstance::damaged(item, of);
    first.add(&place, &instance, None, InstanceArrival::New, || Ok(())).unwrap();
    first.remark("s", StudyRemark::UnwrittenEnd);

    let second = studies(Duration::ZERO, Duration::ZERO, 1000);
    second.adopt(place.folder.clone(), vec![instance], StudySenders::default(), AssociationEnd::Released);
    let remark = "nothing was written at the end of 1 file in a watched folder: zeros are used there";
    assert_eq!(taken(&second).unwrap().attribute("remarks"), remark);
}
