//! The studies being received, until each is complete.
//!
//! Senders add instances, and one thread takes the complete studies. Neither waits for the other, but only a
//! limited number of bytes may wait between them. Instances that arrive after their study was handed over
//! make a new request.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use crate::dicom::intake::sender::InstanceSender;
use crate::step::{Digest, Request};

use super::arriving::ArrivingStudy;
use super::completion::{CompletionRules, CompletionSignal, InstanceCount, SenderEnd, StudyVerdict};
use super::event::AssociationEnd;
use super::inbox::{self, InstanceReceipt, StudySenders};
use super::instance::StudyInstance;
use super::mixture::{ArrivalSession, InstanceArrived};
use super::remark::StudyRemark;
use super::replacement::{ArrivalEffect, InstanceArrival, KnownInstance, instance_key};

pub(in crate::dicom) struct ArrivingStudies {
    state: Mutex<ArrivalState>,
    changed: Condvar,
    /// The sessions in which an instance is being received, by number, with the time at which the last bytes
    /// arrived.
    receiving: Mutex<BTreeMap<u64, Instant>>,
    completion: CompletionRules,
    /// Initial count of a new study.
    count: InstanceCount,
    waiting_bytes_max: u64,
    /// The time of the start, in nanoseconds: tells its sessions from those of earlier processes.
    process: u64,
}

#[derive(Default)]
struct ArrivalState {
    /// The arriving studies, by Study Instance UID.
    arriving: BTreeMap<String, ArrivingStudy>,
    /// Bytes received and not handed over.
    waiting_bytes: u64,
    /// The time at which the disk was last checked for orders of operators.
    looked: Option<Instant>,
    ended: bool,
}

/// A study's folder. It is not removed while this lives and an instance is being moved into it.
pub(in crate::dicom) struct StudyFolder<'a> {
    studies: &'a ArrivingStudies,
    study_instance_uid: String,
    /// The session of the sender.
    session: ArrivalSession,
    pub folder: PathBuf,
}

/// Whether an instance was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dicom) enum AddResult {
    Added(FolderSync),
    /// Another instance has arrived under this UID since the comparison, which has to be repeated.
    Outdated,
}

/// Whether the folder of a study must be synced before an instance is answered with success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dicom) enum FolderSync {
    /// No, if the instance would be found after a power cut under the name that it had while it was received.
    NotNeeded,
    /// The folder holds other unsynced changes, or the instance is not new.
    Needed,
}

/// The outcome of waiting for a study.
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
        let started = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        ArrivingStudies {
            state: Mutex::default(),
            changed: Condvar::new(),
            receiving: Mutex::default(),
            completion,
            count,
            waiting_bytes_max,
            process: started.as_nanos() as u64,
        }
    }

    pub fn have_room(&self) -> bool {
        self.lock().waiting_bytes < self.waiting_bytes_max
    }

    /// The folder for an instance of a study. From now on the study waits for the end of the sender's
    /// session. Earlier studies of the sender do not, where beginning the next study is a completion signal.
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
        arriving.enter(sender, Instant::now())?;
        arriving.name(&sender.calling_ae, &sender.called_ae)?;
        arriving.moving += 1;
        let others = state.arriving.iter_mut().filter(|(uid, _)| uid.as_str() != study_instance_uid);
        others.for_each(|(_, other)| other.go_on(number));
        let session = ArrivalSession { process: self.process, number };
        Ok(StudyFolder { studies: self, study_instance_uid: study_instance_uid.to_owned(), session, folder })
    }

    /// The content of an instance that has been received already.
    pub fn known(&self, place: &StudyFolder, name: &str) -> Option<KnownInstance> {
        let state = self.lock();
        let known = state.arriving.get(&place.study_instance_uid)?.instances.get(instance_key(name))?;
        Some(KnownInstance { digest: known.item.digest, path: known.item.path()?.to_owned() })
    }

    /// Adds an instance, or notes that it was received again, unless the known instance is no longer the one
    /// that it was compared with (`against`, by its digest). `put` moves the file into its place. No other
    /// instance is moved meanwhile, so the order on the disk is the order here.
    ///
    /// # Errors
    /// Errors of `put`.
    pub fn add(
        &self,
        place: &StudyFolder,
        instance: &StudyInstance,
        against: Option<Digest>,
        arrival: InstanceArrival,
        put: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<AddResult> {
        let mut state = self.lock();
        let arriving = state.arriving.get_mut(&place.study_instance_uid);
        let arriving = arriving.expect("a study does not complete while an instance is on its way in");
        let present = arriving.instances.get(instance_key(&instance.item.name));
        if present.map(|present| present.item.digest) != against {
            return Ok(AddResult::Outdated);
        }
        arriving.standing.last_arrival = Instant::now();
        arriving.standing.marks |= instance.marks;
        arriving.standing.count = self.count;
        let (name, session) = (instance.item.name.clone(), Some(place.session));
        let mut arrived = InstanceArrived { name, session, effect: ArrivalEffect::None };
        match arrival {
            InstanceArrival::Again => {
                arriving.note(&arrived, &instance.series_instance_uid);
                return Ok(AddResult::Added(FolderSync::Needed));
            }
            InstanceArrival::New => put()?,
            InstanceArrival::Replaces(replacement) => {
                inbox::note_replaced(&arriving.folder, &replacement)?;
                put()?;
                arrived.effect = replacement.effect();
                arriving.replaced.add(&replacement);
                arriving.notes += 1;
            }
        }
        arriving.note(&arrived, &instance.series_instance_uid);
        let is_synced = arriving.synced_notes == arriving.notes;
        let size = instance.item.size;
        let before = arriving.insert(instance.clone()).map_or(0, |before| before.item.size);
        state.waiting_bytes = (state.waiting_bytes + size).saturating_sub(before);
        Ok(AddResult::Added(if is_synced { FolderSync::NotNeeded } else { FolderSync::Needed }))
    }

    /// Syncs a study's folder.
    pub fn sync(&self, place: &StudyFolder) -> io::Result<InstanceReceipt> {
        let uid = &place.study_instance_uid;
        let noted = self.lock().arriving.get(uid).map_or(0, |arriving| arriving.notes);
        let receipt = InstanceReceipt::of(&place.folder)?;
        if let Some(arriving) = self.lock().arriving.get_mut(uid) {
            arriving.synced_notes = arriving.synced_notes.max(noted);
        }
        Ok(receipt)
    }

    /// Takes up a study that an earlier process had received and not handed over.
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
        let new = || ArrivingStudy::new(folder.clone(), self.count, Instant::now());
        let arriving = state.arriving.entry(uid).or_insert_with(new);
        arriving.folders.insert(folder.clone());
        if end == AssociationEnd::Aborted {
            arriving.standing.left = SenderEnd::Aborted;
            arriving.broken_at = Some(Instant::now());
        }
        let StudySenders { calling, called } = senders;
        arriving.calling_aes.extend(calling);
        arriving.called_aes.extend(called);
        let (mut size, mut before) = (0, 0);
        let names: Vec<String> = instances.iter().map(|instance| instance.item.name.clone()).collect();
        for instance in instances {
            arriving.standing.marks |= instance.marks;
            size += instance.item.size;
            before += arriving.insert(instance).map_or(0, |before| before.item.size);
        }
        arriving.remember(&names, &folder);
        state.waiting_bytes = (state.waiting_bytes + size).saturating_sub(before);
    }

    /// Notes that part of an instance has arrived in a session: the sender is active until
    /// [`ArrivingStudies::received`].
    pub fn is_receiving(&self, session: u64) {
        self.receiving().insert(session, Instant::now());
    }

    /// Notes that no instance is being received in a session.
    pub fn received(&self, session: u64) {
        self.receiving().remove(&session);
    }

    /// Notes that an instance of a study was received only in part: the study waits as after an aborted
    /// association.
    pub fn lacks(&self, study_instance_uid: &str) {
        if let Some(arriving) = self.lock().arriving.get_mut(study_instance_uid) {
            arriving.break_off();
        }
    }

    /// Adds a remark about one of a study's instances.
    pub fn remark(&self, study_instance_uid: &str, remark: StudyRemark) {
        if let Some(arriving) = self.lock().arriving.get_mut(study_instance_uid) {
            arriving.remark(remark);
        }
    }

    /// Adds a remark to the studies of which instances were received in a session that is still open.
    pub fn remark_session(&self, session: u64, remark: StudyRemark) {
        let mut state = self.lock();
        let arriving = state.arriving.values_mut();
        arriving.filter(|one| one.open_senders.contains_key(&session)).for_each(|one| one.remark(remark));
    }

    /// Notes that a sender's session has ended.
    pub fn leave(&self, sender: u64, left: SenderEnd) {
        self.received(sender);
        self.lock().arriving.values_mut().for_each(|arriving| arriving.leave(sender, left));
        self.changed.notify_all();
    }

    /// Notes that all sessions have ended and no more will begin. Studies whose association was released are
    /// complete at once; studies whose association was aborted stay in the inbox ([`ArrivingStudies::kept`]).
    pub fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }

    /// Waits for the outcome of the next study. `None` after the end of all.
    pub fn next(&self) -> Option<StudyOutcome> {
        let mut state = self.lock();
        loop {
            let (now, ended) = (Instant::now(), state.ended);
            // At most every half second, because it accesses the disk for each study.
            if state.looked.is_none_or(|looked| now - looked >= LOOK) {
                state.arriving.values_mut().for_each(ArrivingStudy::look);
                state.looked = Some(now);
            }
            let receiving = self.receiving().clone();
            let due = state.arriving.iter();
            let due = due.filter_map(|(uid, one)| one.due(&self.completion, &receiving, ended, uid));
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

    /// Waits for a study whose source is to be asked for its count. `None` after the end of all.
    pub fn next_uncounted(&self) -> Option<UncountedStudy> {
        let mut state = self.lock();
        loop {
            if state.ended {
                return None;
            }
            let (receiving, now) = (self.receiving().clone(), Instant::now());
            let uncounted = state.arriving.iter_mut().find_map(|(uid, one)| {
                one.is_uncounted(&self.completion, &receiving, now).then(|| {
                    one.standing.count = InstanceCount::Asking;
                    UncountedStudy { study_instance_uid: uid.clone(), calling_aes: one.calling_aes.clone() }
                })
            });
            if uncounted.is_some() {
                return uncounted;
            }
            // Nothing wakes this thread when an association falls silent, so the wait is short.
            let is_wanted = state.arriving.values().any(|one| one.standing.count == InstanceCount::Wanted);
            state = self.wait(state, is_wanted.then_some(LOOK));
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

    /// Notes the number of instances of a study that its source says it has sent.
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

    /// Notes that a request has been recorded: its bytes no longer count as waiting.
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

    fn receiving(&self) -> MutexGuard<'_, BTreeMap<u64, Instant>> {
        self.receiving.lock().expect(NO_PANIC)
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
                    // No instance of this study was stored.
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
mod tests;
