//! One study being received: its instances, its senders, and its completion.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::step::Request;

use super::completion::{
    CompletionRules, CompletionSignal, InstanceCount, SenderActivity, SenderEnd, StudyStanding, StudyVerdict,
};
use super::inbox;
use super::inbox::StudySenders;
use super::instance::{SOURCE, StudyInstance, request};
use super::mixture::{ArrivalOrder, InstanceArrived, MIXED_SERIES, all_arrivals};
use super::remark::StudyRemark;
use super::replacement::{ReplacedInstances, instance_key, replaced_until_now};
use super::sender::{InstanceSender, SessionUse};

/// A sender with an open session.
pub(in crate::dicom) struct OpenSender {
    /// The time at which the first instance of the study arrived in the session.
    since: Instant,
    /// The time at which the last one arrived.
    last: Instant,
    session_use: SessionUse,
}

pub(in crate::dicom) struct ArrivingStudy {
    pub folder: PathBuf,
    /// All folders with files of the study: after a restart there may be several.
    pub folders: BTreeSet<PathBuf>,
    /// The instances by SOP Instance UID: one that is received again replaces the earlier one.
    pub instances: BTreeMap<String, StudyInstance>,
    pub replaced: ReplacedInstances,
    pub order: ArrivalOrder,
    pub remarks: BTreeMap<StudyRemark, u64>,
    /// Number of changes to the folder other than new instances, and how many of them are synced.
    pub notes: u64,
    pub synced_notes: u64,
    /// Senders with an open session that brought an instance of the study, by session number.
    pub open_senders: BTreeMap<u64, OpenSender>,
    /// Open senders that have begun to send another study.
    pub elsewhere: BTreeSet<u64>,
    /// The time of the last abort of a session, unless a session that began later has ended normally since.
    pub broken_at: Option<Instant>,
    /// The number of instances that are being moved into the folder.
    pub moving: usize,
    pub calling_aes: BTreeSet<String>,
    pub called_aes: BTreeSet<String>,
    pub standing: StudyStanding,
}

impl ArrivingStudy {
    pub fn new(folder: PathBuf, count: InstanceCount, now: Instant) -> ArrivingStudy {
        let standing = StudyStanding {
            first_arrival: now,
            last_arrival: now,
            moving: false,
            senders: SenderActivity::Gone,
            left: SenderEnd::Released,
            instances: 0,
            count,
            marks: 0,
            ordered: false,
            cap_told: false,
        };
        ArrivingStudy {
            folders: BTreeSet::from([folder.clone()]),
            folder,
            instances: BTreeMap::new(),
            replaced: ReplacedInstances::default(),
            order: ArrivalOrder::default(),
            remarks: BTreeMap::new(),
            // The folder itself is the first change.
            notes: 1,
            synced_notes: 0,
            open_senders: BTreeMap::new(),
            elsewhere: BTreeSet::new(),
            broken_at: None,
            moving: 0,
            calling_aes: BTreeSet::new(),
            called_aes: BTreeSet::new(),
            standing,
        }
    }

    /// Adds an instance. Gives the instance that it replaces.
    pub fn insert(&mut self, instance: StudyInstance) -> Option<StudyInstance> {
        self.instances.insert(instance_key(&instance.item.name).to_owned(), instance)
    }

    /// Notes that an instance of a series was received.
    pub fn note(&mut self, arrived: &InstanceArrived, series_instance_uid: &str) {
        self.order.note(arrived, series_instance_uid);
        inbox::note_arrived(&self.folder, arrived);
    }

    /// Takes up the arrivals, replacements and remarks that an earlier process noted in a folder with these instances.
    pub fn remember(&mut self, names: &[String], folder: &Path) {
        let digest_of = |name: &str| self.instances.get(instance_key(name)).map(|now| now.item.digest);
        let replaced = replaced_until_now(inbox::replaced(folder), digest_of);
        for arrived in all_arrivals(names, inbox::arrivals(folder), &replaced) {
            if let Some(instance) = self.instances.get(instance_key(&arrived.name)) {
                self.order.note(&arrived, &instance.series_instance_uid);
            }
        }
        replaced.iter().for_each(|one| self.replaced.add(one));
        for remark in inbox::remarks(folder) {
            *self.remarks.entry(remark).or_default() += 1;
        }
    }

    /// Adds a remark, also for the next process.
    pub fn remark(&mut self, remark: StudyRemark) {
        *self.remarks.entry(remark).or_default() += 1;
        inbox::note_remark(&self.folder, remark);
    }

    /// Notes that a sender sends instances of the study.
    pub fn enter(&mut self, sender: &InstanceSender, now: Instant) -> io::Result<()> {
        let number = sender.session.number;
        self.elsewhere.remove(&number);
        if let Some(open) = self.open_senders.get_mut(&number) {
            open.last = now;
            return Ok(());
        }
        let session_use = sender.session_use;
        self.open_senders.insert(number, OpenSender { since: now, last: now, session_use });
        inbox::mark_open(&self.folder)
    }

    /// Notes the sender's AE titles, also in the study's folder: results are sent back to the sender after a
    /// restart.
    pub fn name(&mut self, calling_ae: &str, called_ae: &str) -> io::Result<()> {
        let known = self.calling_aes.contains(calling_ae) && self.called_aes.contains(called_ae);
        if known || calling_ae.is_empty() {
            return Ok(());
        }
        self.calling_aes.insert(calling_ae.to_owned());
        self.called_aes.insert(called_ae.to_owned());
        self.notes += 1;
        let senders = StudySenders { calling: self.calling_aes.clone(), called: self.called_aes.clone() };
        inbox::write_senders(&self.folder, &senders)
    }

    /// Notes that a sender has begun to send another study. It may come back to this one.
    pub fn go_on(&mut self, sender: u64) {
        if self.open_senders.contains_key(&sender) && self.elsewhere.insert(sender) {
            self.settle(SenderEnd::NextStudy, self.open_senders[&sender].since);
        }
    }

    pub fn leave(&mut self, sender: u64, left: SenderEnd) {
        let Some(OpenSender { since: came, .. }) = self.open_senders.remove(&sender) else { return };
        match (self.elsewhere.remove(&sender), left) {
            // The sender had gone on to another study, which counted as its end.
            (true, SenderEnd::Released | SenderEnd::RequestEnd) => {}
            (_, left) => self.settle(left, came),
        }
        if self.standing.left != SenderEnd::Aborted && self.open_senders.is_empty() {
            inbox::mark_released(&self.folder);
        }
    }

    /// Notes that an instance was cut off.
    pub fn break_off(&mut self) {
        self.settle(SenderEnd::Aborted, Instant::now());
    }

    /// Notes how a session ended that began at `came`. The normal end of a session cancels an earlier abort
    /// only if the session began after the abort: another one cannot have sent the missing instances again.
    fn settle(&mut self, left: SenderEnd, came: Instant) {
        let now = Instant::now();
        match self.broken_at {
            _ if left == SenderEnd::Aborted => (self.broken_at, self.standing.left) = (Some(now), left),
            Some(broken_at) if came <= broken_at => {}
            _ => (self.broken_at, self.standing.left) = (None, left),
        }
    }

    /// Activity of the most active of the study's open senders.
    pub fn senders(&self, receiving: &BTreeMap<u64, Instant>) -> SenderActivity {
        let here = self.open_senders.iter().filter(|(number, _)| !self.elsewhere.contains(number));
        let activity = here.map(|(number, sender)| match (receiving.get(number), sender.session_use) {
            (Some(last), _) => SenderActivity::Sending(*last),
            (None, SessionUse::OneTransfer) => SenderActivity::Sending(sender.last),
            (None, SessionUse::AsLongAsWanted) => SenderActivity::Open,
        });
        activity.max().unwrap_or(SenderActivity::Gone)
    }

    /// Whether the study's source is to be asked for its count at `now`: no sender is active.
    pub fn is_uncounted(
        &self,
        completion: &CompletionRules,
        receiving: &BTreeMap<u64, Instant>,
        now: Instant,
    ) -> bool {
        let is_quiet = match self.senders(receiving) {
            SenderActivity::Gone => true,
            SenderActivity::Open => now >= self.standing.last_arrival + completion.open_quiet_time(),
            SenderActivity::Sending(_) => false,
        };
        is_quiet && self.standing.count == InstanceCount::Wanted
    }

    /// Checks whether an operator has ordered that the study be handed over.
    pub fn look(&mut self) {
        self.standing.ordered |= inbox::is_ordered(&self.folder);
    }

    pub fn due<'a>(
        &self,
        completion: &CompletionRules,
        receiving: &BTreeMap<u64, Instant>,
        ended: bool,
        uid: &'a str,
    ) -> Option<(Instant, &'a str, StudyVerdict)> {
        let standing = StudyStanding {
            moving: self.moving > 0,
            senders: self.senders(receiving),
            instances: self.instances.len() as u64,
            ..self.standing.clone()
        };
        let (at, verdict) = completion.due(&standing)?;
        match verdict {
            // The missing instances may be sent to the next process.
            StudyVerdict::HandOver(CompletionSignal::BrokenOff | CompletionSignal::Lacking) if ended => None,
            StudyVerdict::HandOver(CompletionSignal::QuietTime) if ended => {
                Some((self.standing.last_arrival, uid, StudyVerdict::HandOver(CompletionSignal::End)))
            }
            verdict => Some((at, uid, verdict)).filter(|(at, ..)| !ended || *at <= Instant::now()),
        }
    }

    pub fn into_request(self, signal: CompletionSignal) -> Result<Request, PathBuf> {
        let joined = |titles: &BTreeSet<String>| titles.iter().cloned().collect::<Vec<_>>().join("\\");
        let is_open = self.open_senders.keys().any(|sender| !self.elsewhere.contains(sender));
        if is_open && self.standing.left != SenderEnd::Aborted {
            inbox::mark_released(&self.folder);
        }
        let association = match (self.standing.left, is_open) {
            (SenderEnd::Aborted, _) => "aborted",
            (_, true) => "open",
            (_, false) => "released",
        };
        let replaced = self.replaced.remark("before the study was complete");
        let remarks = self.remarks.iter().map(|(remark, count)| remark.text(*count));
        let remarks: Vec<String> = replaced.into_iter().chain(remarks).collect();
        let completed_by = inbox::ordered_by(&self.folder).unwrap_or_default();
        let attributes = [
            ("source", SOURCE),
            ("calling_ae", &joined(&self.calling_aes)),
            ("called_ae", &joined(&self.called_aes)),
            ("association", association),
            ("complete_by", signal.name()),
            ("completed_by", &completed_by),
            (MIXED_SERIES, &joined(&self.order.mixed_series())),
            ("remarks", &remarks.join("\\")),
        ];
        let request = request(self.instances.into_values().collect(), &attributes);
        let claims = self.folders.iter().map(|folder| inbox::claim(folder)).collect();
        request.map(|request| Request { claims, ..request }).ok_or(self.folder)
    }
}
