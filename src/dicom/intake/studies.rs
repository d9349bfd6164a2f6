//! The studies being received, until each is complete.
//!
//! Senders add instances, and one thread takes the complete studies. Neither waits for the other, but only a
//! limited number of bytes may wait between them. Instances that arrive after their study was handed over
//! make a new request.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::dicom::intake::sender::InstanceSender;
use crate::step::Request;

use super::arriving::ArrivingStudy;
use super::completion::{CompletionRules, CompletionSignal, InstanceCount, SenderEnd, StudyVerdict};
use super::event::AssociationEnd;
use super::inbox::{self, StudySenders};
use super::instance::StudyInstance;

pub(in crate::dicom) struct ArrivingStudies {
    state: Mutex<ArrivalState>,
    changed: Condvar,
    completion: CompletionRules,
    /// Initial count of a new study.
    count: InstanceCount,
    waiting_bytes_max: u64,
}

#[derive(Default)]
struct ArrivalState {
    /// By Study Instance UID.
    arriving: BTreeMap<String, ArrivingStudy>,
    /// Bytes received and not handed over.
    waiting_bytes: u64,
    /// When the disk was last looked at for what operators say.
    looked: Option<Instant>,
    ended: bool,
}

/// A study's folder, which stays while an instance is on its way into it.
pub(in crate::dicom) struct StudyFolder<'a> {
    studies: &'a ArrivingStudies,
    study_instance_uid: String,
    pub folder: PathBuf,
}

/// Outcome of a study's wait.
pub(in crate::dicom) enum StudyOutcome {
    Complete(Request, CompletionSignal),
    /// The study has reached the cap, and its files are to be deleted.
    Discard {
        instances: usize,
        folder: PathBuf,
    },
    /// The study has reached the cap, and goes on waiting.
    Waits {
        instances: usize,
        folder: PathBuf,
    },
}

/// A study whose source is to be asked how many instances it has.
pub(in crate::dicom) struct UncountedStudy {
    pub study_instance_uid: String,
    pub calling_aes: BTreeSet<String>,
}

/// Interval at which waiting studies are checked for an operator's order.
const LOOK: Duration = Duration::from_millis(500);

impl ArrivingStudies {
    pub fn new(completion: CompletionRules, counted: CountSource, waiting_bytes_max: u64) -> ArrivingStudies {
        let count = match counted {
            CountSource::BySource => InstanceCount::Wanted,
            CountSource::ByNobody => InstanceCount::Unasked,
        };
        ArrivingStudies {
            state: Mutex::default(),
            changed: Condvar::new(),
            completion,
            count,
            waiting_bytes_max,
        }
    }

    pub fn have_room(&self) -> bool {
        self.lock().waiting_bytes < self.waiting_bytes_max
    }

    /// The folder for an instance of a study. From now on the study waits for the end of the sender's
    /// session; the sender's other studies do not, where beginning the next study is a completion signal.
    pub fn place(
        &self,
        study_instance_uid: &str,
        sender: &InstanceSender,
        new_folder: impl FnOnce() -> io::Result<PathBuf>,
    ) -> io::Result<StudyFolder<'_>> {
        let mut state = self.lock();
        if !state.arriving.contains_key(study_instance_uid) {
            let arriving = ArrivingStudy::new(new_folder()?, self.count, Instant::now());
            state.arriving.insert(study_instance_uid.to_owned(), arriving);
        }
        let arriving = state.arriving.get_mut(study_instance_uid).expect("it was there or has been inserted");
        let folder = arriving.folder.clone();
        let number = sender.session.number;
        arriving.enter(number, Instant::now())?;
        arriving.name(&sender.calling_ae, &sender.called_ae)?;
        arriving.moving += 1;
        let others = state.arriving.iter_mut().filter(|(uid, _)| uid.as_str() != study_instance_uid);
        others.for_each(|(_, other)| other.go_on(number));
        Ok(StudyFolder { studies: self, study_instance_uid: study_instance_uid.to_owned(), folder })
    }

    /// Adds an instance whose file is in its place.
    pub fn add(&self, place: StudyFolder, instance: StudyInstance) {
        let mut state = self.lock();
        let size = instance.item.size;
        let arriving = state.arriving.get_mut(&place.study_instance_uid);
        let arriving = arriving.expect("a study does not complete while an instance is on its way in");
        arriving.standing.last_arrival = Instant::now();
        arriving.standing.marks |= instance.marks;
        arriving.standing.count = self.count;
        if arriving.instances.insert(instance.item.name.clone(), instance).is_none() {
            state.waiting_bytes += size;
        }
        drop(state);
    }

    /// Takes up what an earlier process had received and not handed over.
    pub fn adopt(
        &self,
        folder: PathBuf,
        instances: Vec<StudyInstance>,
        senders: StudySenders,
        end: AssociationEnd,
    ) {
        let mut state = self.lock();
        let Some(first) = instances.first() else { return };
        let uid = first.study.study_instance_uid.clone();
        let arriving = state
            .arriving
            .entry(uid)
            .or_insert_with(|| ArrivingStudy::new(folder, self.count, Instant::now()));
        if end == AssociationEnd::Aborted {
            arriving.standing.left = SenderEnd::Aborted;
            arriving.broken_at = Some(Instant::now());
        }
        let StudySenders { calling, called } = senders;
        arriving.calling_aes.extend(calling);
        arriving.called_aes.extend(called);
        let size: u64 = instances.iter().map(|instance| instance.item.size).sum();
        for instance in instances {
            arriving.standing.marks |= instance.marks;
            arriving.instances.insert(instance.item.name.clone(), instance);
        }
        state.waiting_bytes += size;
    }

    /// Notes that a sender's session has ended.
    pub fn leave(&self, sender: u64, left: SenderEnd) {
        self.lock().arriving.values_mut().for_each(|arriving| arriving.leave(sender, left));
        self.changed.notify_all();
    }

    /// Notes that all sessions have ended and no more will begin. Studies whose association was released are
    /// complete at once; studies whose association was aborted stay in the inbox ([`ArrivingStudies::kept`]).
    pub fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }

    /// Waits for what becomes of the next study. `None` after the end of all.
    pub fn next(&self) -> Option<StudyOutcome> {
        let mut state = self.lock();
        loop {
            let (now, ended) = (Instant::now(), state.ended);
            // Not at each instance that wakes it: it is a look at the disk for each study.
            if state.looked.is_none_or(|looked| now - looked >= LOOK) {
                state.arriving.values_mut().for_each(ArrivingStudy::look);
                state.looked = Some(now);
            }
            let due = state.arriving.iter().filter_map(|(uid, one)| one.due(&self.completion, ended, uid));
            let (wait, uid, verdict) = match due.min_by_key(|(at, ..)| *at) {
                Some((at, uid, verdict)) if at <= now => (Duration::ZERO, uid, Some(verdict)),
                Some((at, ..)) => ((at - now).min(LOOK), "", None),
                None if ended => return None,
                None => (LOOK, "", None),
            };
            let Some(verdict) = verdict else {
                let nothing = state.arriving.is_empty();
                state = self.wait(state, (!nothing).then_some(wait));
                continue;
            };
            let uid = uid.to_owned();
            if let Some(next) = state.carry_out(&uid, verdict) {
                return Some(next);
            }
        }
    }

    /// Waits for a study whose source is to be asked. `None` after the end of all.
    pub fn next_uncounted(&self) -> Option<UncountedStudy> {
        let mut state = self.lock();
        loop {
            if state.ended {
                return None;
            }
            let uncounted = state.arriving.iter_mut().find_map(|(uid, one)| {
                let wanting = !one.has_senders() && one.standing.count == InstanceCount::Wanted;
                wanting.then(|| {
                    one.standing.count = InstanceCount::Asking;
                    UncountedStudy { study_instance_uid: uid.clone(), calling_aes: one.calling_aes.clone() }
                })
            });
            if uncounted.is_some() {
                return uncounted;
            }
            state = self.wait(state, None);
        }
    }

    /// Notes the count that a study's source answered. If instances have arrived since the source was asked,
    /// it is asked again.
    pub fn counted(&self, uncounted: &UncountedStudy, count: Option<u64>) {
        let mut state = self.lock();
        if let Some(arriving) = state.arriving.get_mut(&uncounted.study_instance_uid)
            && arriving.standing.count == InstanceCount::Asking
        {
            arriving.standing.count = count.map_or(InstanceCount::Unknown, InstanceCount::Known);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// How many instances of a study its source says it has sent: all of them.
    pub fn told(&self, study_instance_uid: &str, count: u64) {
        if let Some(arriving) = self.lock().arriving.get_mut(study_instance_uid) {
            arriving.standing.count = InstanceCount::Known(count);
        }
        self.changed.notify_all();
    }

    /// Instances and folders of the studies that are not complete, after the end of all.
    pub fn kept(&self) -> Vec<(usize, PathBuf)> {
        self.lock().arriving.values().map(|one| (one.instances.len(), one.folder.clone())).collect()
    }

    /// A request has been taken over: its bytes no longer wait.
    pub fn handed_over(&self, bytes: u64) {
        let mut state = self.lock();
        state.waiting_bytes = state.waiting_bytes.saturating_sub(bytes);
    }

    fn wait<'a>(
        &self,
        state: MutexGuard<'a, ArrivalState>,
        time: Option<Duration>,
    ) -> MutexGuard<'a, ArrivalState> {
        match time {
            Some(time) => self.changed.wait_timeout(state, time).expect(NO_PANIC).0,
            None => self.changed.wait(state).expect(NO_PANIC),
        }
    }

    fn lock(&self) -> MutexGuard<'_, ArrivalState> {
        self.state.lock().expect(NO_PANIC)
    }
}

const NO_PANIC: &str = "nothing panics while it holds the studies";

/// Whether the source is asked for a study's number of instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dicom) enum CountSource {
    BySource,
    ByNobody,
}

impl Drop for StudyFolder<'_> {
    fn drop(&mut self) {
        if let Some(arriving) = self.studies.lock().arriving.get_mut(&self.study_instance_uid) {
            arriving.moving -= 1;
        }
        self.studies.changed.notify_all();
    }
}

impl ArrivalState {
    fn carry_out(&mut self, uid: &str, verdict: StudyVerdict) -> Option<StudyOutcome> {
        match verdict {
            StudyVerdict::HandOver(signal) => match self.arriving.remove(uid)?.into_request(signal) {
                Ok(request) => Some(StudyOutcome::Complete(request, signal)),
                Err(folder) => {
                    // Nothing of this study could be kept.
                    inbox::remove_empty(&folder);
                    None
                }
            },
            StudyVerdict::Discard => {
                let ArrivingStudy { instances, folder, .. } = self.arriving.remove(uid)?;
                let bytes: u64 = instances.values().map(|instance| instance.item.size).sum();
                self.waiting_bytes = self.waiting_bytes.saturating_sub(bytes);
                Some(StudyOutcome::Discard { instances: instances.len(), folder })
            }
            StudyVerdict::TellCap => {
                let arriving = self.arriving.get_mut(uid)?;
                arriving.standing.cap_told = true;
                Some(StudyOutcome::Waits {
                    instances: arriving.instances.len(),
                    folder: arriving.folder.clone(),
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::{IntakeSession, SessionKind};
    use super::*;
    use crate::imaging::StudyAttributes;
    use crate::step::{Digest, Item, ItemPlace};

    thread_local! {
        /// Where the folders of a test's studies are, as long as the test.
        static ROOT: tempfile::TempDir = tempfile::tempdir().unwrap();
    }

    fn sender(association: u64) -> InstanceSender {
        let calling_ae = format!("SCANNER{association}");
        let session = IntakeSession { way: SessionKind::Association, number: association };
        InstanceSender { session, calling_ae, called_ae: "FLOW".to_owned(), study_instance_uid: None }
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
        studies.add(place, StudyInstance::damaged(item, of));
    }

    fn studies(quiet_time: Duration, broken_time: Duration, waiting_bytes_max: u64) -> ArrivingStudies {
        let completion = CompletionRules { quiet_time, broken_time, ..CompletionRules::default() };
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
        let due = state.arriving.iter().find_map(|(uid, one)| one.due(&studies.completion, false, uid));
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
        assert_eq!(due(&studies), None, "it is being sent");
        send(&studies, 1, "t", "b");
        let first = taken(&studies).unwrap();
        assert_eq!((first.items[0].name.as_str(), first.attribute("association")), ("a", "released"));
        send(&studies, 1, "t", "c");
        assert_eq!(due(&studies), None, "that one is");
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
}
