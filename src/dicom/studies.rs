//! The studies being received, and when each is complete.
//!
//! A study is complete when no open association has sent instances of it and nothing has arrived
//! for it during the quiet time. What arrives later makes a new request. Associations add, one
//! thread takes; neither waits for the other, but no more than a number of bytes may wait between
//! them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::step::Request;

use super::SOURCE;
use super::door::Visitor;
use super::inbox;
use super::instance::{Instance, request};

pub(super) struct Studies {
    state: Mutex<State>,
    changed: Condvar,
    quiet_time: Duration,
    broken_time: Duration,
    waiting_bytes_max: u64,
}

#[derive(Default)]
struct State {
    /// By Study Instance UID.
    arriving: BTreeMap<String, Arriving>,
    /// Bytes received and not handed over.
    waiting_bytes: u64,
    ended: bool,
}

struct Arriving {
    folder: PathBuf,
    /// By file name, which says UID and digest: the same instance sent twice is there once.
    instances: BTreeMap<String, Instance>,
    open_associations: BTreeSet<u64>,
    calling_aes: BTreeSet<String>,
    called_aes: BTreeSet<String>,
    /// The association that ended last did not end well: the study is not complete. Its sender is
    /// likely to send it again.
    aborted: bool,
    last_arrival: Instant,
}

impl Studies {
    pub fn new(quiet_time: Duration, broken_time: Duration, waiting_bytes_max: u64) -> Studies {
        Studies {
            state: Mutex::default(),
            changed: Condvar::new(),
            quiet_time,
            broken_time,
            waiting_bytes_max,
        }
    }

    pub fn have_room(&self) -> bool {
        self.lock().waiting_bytes < self.waiting_bytes_max
    }

    /// The folder for an instance of a study. From now on the study waits for the association's end.
    pub fn folder(
        &self,
        study_instance_uid: &str,
        visitor: &Visitor,
        new_folder: impl FnOnce() -> io::Result<PathBuf>,
    ) -> io::Result<PathBuf> {
        let mut state = self.lock();
        if !state.arriving.contains_key(study_instance_uid) {
            let arriving = Arriving::new(new_folder()?, Instant::now());
            state.arriving.insert(study_instance_uid.to_owned(), arriving);
        }
        let arriving = state.arriving.get_mut(study_instance_uid).expect("it was there or has been inserted");
        if arriving.open_associations.insert(visitor.visit.number) {
            inbox::mark_open(&arriving.folder)?;
        }
        let titles = [
            (&mut arriving.calling_aes, &visitor.calling_ae),
            (&mut arriving.called_aes, &visitor.called_ae),
        ];
        for (known, title) in titles.into_iter().filter(|(_, title)| !title.is_empty()) {
            known.insert(title.clone());
        }
        Ok(arriving.folder.clone())
    }

    /// Adds an instance whose file is in the study's folder. The association that asked for the
    /// folder is still open.
    pub fn add(&self, instance: Instance) {
        let mut state = self.lock();
        let size = instance.item.size;
        let arriving = state.arriving.get_mut(&instance.study.study_instance_uid);
        let arriving = arriving.expect("a study does not complete while its association is open");
        arriving.last_arrival = Instant::now();
        if arriving.instances.insert(instance.item.name.clone(), instance).is_none() {
            state.waiting_bytes += size;
        }
    }

    /// Takes up what an earlier process had received and not handed over.
    pub fn adopt(&self, folder: PathBuf, instances: Vec<Instance>, end: End) {
        let mut state = self.lock();
        let Some(first) = instances.first() else { return };
        let uid = first.study.study_instance_uid.clone();
        let arriving = state.arriving.entry(uid).or_insert_with(|| Arriving::new(folder, Instant::now()));
        arriving.aborted |= end == End::Aborted;
        let size: u64 = instances.iter().map(|instance| instance.item.size).sum();
        let named = instances.into_iter().map(|instance| (instance.item.name.clone(), instance));
        arriving.instances.extend(named);
        state.waiting_bytes += size;
    }

    /// An association has ended.
    pub fn leave(&self, association: u64, end: End) {
        for arriving in self.lock().arriving.values_mut() {
            if arriving.open_associations.remove(&association) {
                arriving.aborted = end == End::Aborted;
                if end == End::Released && arriving.open_associations.is_empty() {
                    inbox::mark_released(&arriving.folder);
                }
            }
        }
        self.changed.notify_all();
    }

    /// All associations have ended and no more will come: what was released is complete at once. What
    /// was broken off stays where it is ([`Studies::broken_off`]).
    pub fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }

    /// Waits for the next complete study. `None` after the end of all.
    pub fn next(&self) -> Option<Request> {
        while let Some(arriving) = self.next_complete() {
            match arriving.into_request() {
                Ok(request) => return Some(request),
                // Nothing of this study could be kept.
                Err(folder) => _ = std::fs::remove_dir(folder),
            }
        }
        None
    }

    /// Instances and folders of the studies whose senders broke off, after the end of all.
    pub fn broken_off(&self) -> Vec<(usize, PathBuf)> {
        self.lock().arriving.values().map(|one| (one.instances.len(), one.folder.clone())).collect()
    }

    /// A request has been taken over: its bytes no longer wait.
    pub fn handed_over(&self, bytes: u64) {
        let mut state = self.lock();
        state.waiting_bytes = state.waiting_bytes.saturating_sub(bytes);
    }

    fn next_complete(&self) -> Option<Arriving> {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            let next = state.next_due(self.quiet_time, self.broken_time);
            let wait = match next {
                Some((due, _)) if due > now && !state.ended => Some(due - now),
                Some((_, uid)) => return state.arriving.remove(&uid),
                None if state.ended => return None,
                None => None,
            };
            state = self.wait(state, wait);
        }
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, time: Option<Duration>) -> MutexGuard<'a, State> {
        match time {
            Some(time) => self.changed.wait_timeout(state, time).expect(NO_PANIC).0,
            None => self.changed.wait(state).expect(NO_PANIC),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect(NO_PANIC)
    }
}

const NO_PANIC: &str = "nothing panics while it holds the studies";

/// How an association came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Released,
    /// By either side, or by the network.
    Aborted,
}

impl State {
    /// The study that is quiet first among those that nobody is sending, and when.
    fn next_due(&self, quiet_time: Duration, broken_time: Duration) -> Option<(Instant, String)> {
        let unattended = self.arriving.iter().filter(|(_, one)| one.open_associations.is_empty());
        let due = unattended.filter(|(_, one)| !(one.aborted && self.ended)).map(|(uid, one)| {
            let wait = if one.aborted { broken_time.max(quiet_time) } else { quiet_time };
            (one.last_arrival + wait, uid.clone())
        });
        due.min()
    }
}

impl Arriving {
    fn new(folder: PathBuf, now: Instant) -> Arriving {
        Arriving {
            folder,
            instances: BTreeMap::new(),
            open_associations: BTreeSet::new(),
            calling_aes: BTreeSet::new(),
            called_aes: BTreeSet::new(),
            aborted: false,
            last_arrival: now,
        }
    }

    fn into_request(self) -> Result<Request, PathBuf> {
        let joined = |titles: &BTreeSet<String>| titles.iter().cloned().collect::<Vec<_>>().join("\\");
        let attributes = [
            ("source", SOURCE),
            ("calling_ae", &joined(&self.calling_aes)),
            ("called_ae", &joined(&self.called_aes)),
            ("association", if self.aborted { "aborted" } else { "released" }),
        ];
        request(self.instances.into_values().collect(), &attributes).ok_or(self.folder)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::dicom::{Visit, Way};
    use crate::imaging::Study;
    use crate::step::{Digest, Item};

    fn visitor(association: u64) -> Visitor {
        let calling_ae = format!("SCANNER{association}");
        let visit = Visit { way: Way::Association, number: association };
        Visitor { visit, calling_ae, called_ae: "FLOW".to_owned(), study_instance_uid: None }
    }

    fn send(studies: &Studies, association: u64, study: &str, name: &str) {
        let folder = Path::new("inbox").join(study);
        let folder = studies.folder(study, &visitor(association), || Ok(folder)).unwrap();
        let item = Item {
            name: name.to_owned(),
            path: folder.join(name),
            digest: Digest::of(name.as_bytes()),
            size: 10,
            decoded: 10,
            received: true,
        };
        let of = Study { study_instance_uid: study.to_owned(), ..Study::default() };
        studies.add(Instance::damaged(item, of));
    }

    /// Names of the studies' items, in the order in which the studies complete.
    fn complete(studies: &Studies) -> Vec<Vec<String>> {
        studies.end();
        let requests = std::iter::from_fn(|| studies.next());
        requests.map(|request| request.items.into_iter().map(|item| item.name).collect()).collect()
    }

    #[test]
    fn a_study_waits_for_all_its_associations() {
        let studies = Studies::new(Duration::ZERO, Duration::ZERO, 1000);
        send(&studies, 1, "s", "a");
        send(&studies, 2, "s", "b");
        send(&studies, 2, "t", "c");
        studies.leave(2, End::Released);
        assert_eq!(studies.next().unwrap().items.len(), 1, "t is complete, s is not");
        studies.leave(1, End::Aborted);
        let request = studies.next().unwrap();
        assert_eq!(request.attribute("calling_ae"), "SCANNER1\\SCANNER2");
        assert_eq!(request.attribute("association"), "aborted");
        assert_eq!(request.items.len(), 2);
    }

    #[test]
    fn a_study_waits_for_quiet_and_the_end_does_not() {
        let studies = Studies::new(Duration::from_secs(3600), Duration::ZERO, 1000);
        send(&studies, 1, "s", "a");
        studies.leave(1, End::Released);
        let (due, _) = studies.lock().next_due(studies.quiet_time, studies.broken_time).unwrap();
        assert!(due > Instant::now() + Duration::from_secs(3500));
        assert_eq!(complete(&studies), [["a"]]);
    }

    #[test]
    fn what_was_broken_off_waits_to_be_sent_again() {
        let studies = Studies::new(Duration::ZERO, Duration::from_secs(3600), 1000);
        send(&studies, 1, "s", "a");
        studies.leave(1, End::Aborted);
        let (due, _) = studies.lock().next_due(studies.quiet_time, studies.broken_time).unwrap();
        assert!(due > Instant::now() + Duration::from_secs(3500));
        send(&studies, 2, "s", "a");
        send(&studies, 2, "s", "b");
        studies.leave(2, End::Released);
        let whole = studies.next().unwrap();
        assert_eq!((whole.items.len(), whole.attribute("association")), (2, "released"));
        send(&studies, 3, "s", "a");
        studies.leave(3, End::Aborted);
        assert!(complete(&studies).is_empty(), "the end makes no study of it");
        assert_eq!(studies.broken_off(), [(1, "inbox/s".into())]);
    }

    #[test]
    fn what_comes_late_is_a_new_request() {
        let studies = Studies::new(Duration::ZERO, Duration::ZERO, 1000);
        send(&studies, 1, "s", "a");
        studies.leave(1, End::Released);
        assert_eq!(studies.next().unwrap().items[0].name, "a");
        send(&studies, 2, "s", "b");
        studies.leave(2, End::Released);
        assert_eq!(complete(&studies), [["b"]]);
    }

    #[test]
    fn the_same_instance_twice_is_there_once() {
        let studies = Studies::new(Duration::ZERO, Duration::ZERO, 1000);
        send(&studies, 1, "s", "a");
        send(&studies, 2, "s", "a");
        studies.leave(1, End::Released);
        studies.leave(2, End::Released);
        assert_eq!(studies.lock().waiting_bytes, 10);
        assert_eq!(complete(&studies), [["a"]]);
    }

    #[test]
    fn bytes_wait_until_they_are_handed_over() {
        let studies = Studies::new(Duration::ZERO, Duration::ZERO, 15);
        send(&studies, 1, "s", "a");
        assert!(studies.have_room());
        send(&studies, 1, "s", "b");
        assert!(!studies.have_room());
        studies.leave(1, End::Released);
        let request = studies.next().unwrap();
        assert!(!studies.have_room());
        studies.handed_over(request.size());
        assert!(studies.have_room());
    }
}
