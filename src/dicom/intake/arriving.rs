//! One study being received: its instances, its senders, and its completion.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::time::Instant;

use crate::step::Request;

use super::completion::{
    CompletionRules, CompletionSignal, InstanceCount, SenderEnd, StudyStanding, StudyVerdict,
};
use super::inbox;
use super::inbox::StudySenders;
use super::instance::{SOURCE, StudyInstance, request};
use super::replacement::{ReplacedInstances, instance_key};

pub(in crate::dicom) struct ArrivingStudy {
    pub folder: PathBuf,
    /// All folders with files of the study: after a restart there may be several.
    pub folders: BTreeSet<PathBuf>,
    /// By SOP Instance UID: what is received again replaces what was there.
    pub instances: BTreeMap<String, StudyInstance>,
    pub replaced: ReplacedInstances,
    /// Senders with an open session that brought an instance of the study, by session number: since when.
    pub open_senders: BTreeMap<u64, Instant>,
    /// Open senders that have begun with another study.
    pub elsewhere: BTreeSet<u64>,
    /// When the last session was aborted, unless a session that began later has ended normally since.
    pub broken_at: Option<Instant>,
    /// How many instances are on their way into the folder.
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
            has_senders: false,
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
            open_senders: BTreeMap::new(),
            elsewhere: BTreeSet::new(),
            broken_at: None,
            moving: 0,
            calling_aes: BTreeSet::new(),
            called_aes: BTreeSet::new(),
            standing,
        }
    }

    /// Adds an instance, and gives the one that it replaces.
    pub fn insert(&mut self, instance: StudyInstance) -> Option<StudyInstance> {
        self.instances.insert(instance_key(&instance.item.name).to_owned(), instance)
    }

    /// Notes that a sender brings an instance of the study.
    pub fn enter(&mut self, sender: u64, now: Instant) -> io::Result<()> {
        self.elsewhere.remove(&sender);
        if self.open_senders.insert(sender, now).is_none() {
            inbox::mark_open(&self.folder)?;
        }
        Ok(())
    }

    /// Notes the sender's AE titles, in the study's folder too: results go back to the sender after a
    /// restart.
    pub fn name(&mut self, calling_ae: &str, called_ae: &str) -> io::Result<()> {
        let known = self.calling_aes.contains(calling_ae) && self.called_aes.contains(called_ae);
        if known || calling_ae.is_empty() {
            return Ok(());
        }
        self.calling_aes.insert(calling_ae.to_owned());
        self.called_aes.insert(called_ae.to_owned());
        let senders = StudySenders { calling: self.calling_aes.clone(), called: self.called_aes.clone() };
        inbox::write_senders(&self.folder, &senders)
    }

    /// Notes that a sender has begun with another study; it may come back to this one.
    pub fn go_on(&mut self, sender: u64) {
        if self.open_senders.contains_key(&sender) && self.elsewhere.insert(sender) {
            self.settle(SenderEnd::NextStudy, self.open_senders[&sender]);
        }
    }

    pub fn leave(&mut self, sender: u64, left: SenderEnd) {
        let Some(came) = self.open_senders.remove(&sender) else { return };
        match (self.elsewhere.remove(&sender), left) {
            // Its going on was the end of this study.
            (true, SenderEnd::Released | SenderEnd::RequestEnd) => {}
            (_, left) => self.settle(left, came),
        }
        if self.standing.left != SenderEnd::Aborted && self.open_senders.is_empty() {
            inbox::mark_released(&self.folder);
        }
    }

    /// An aborted session is made good only by the normal end of a session that began after the abort: an
    /// earlier one cannot have sent the missing instances again.
    fn settle(&mut self, left: SenderEnd, came: Instant) {
        let now = Instant::now();
        match self.broken_at {
            _ if left == SenderEnd::Aborted => (self.broken_at, self.standing.left) = (Some(now), left),
            Some(broken_at) if came <= broken_at => {}
            _ => (self.broken_at, self.standing.left) = (None, left),
        }
    }

    /// Whether a sender is at work on the study.
    pub fn has_senders(&self) -> bool {
        self.open_senders.keys().any(|sender| !self.elsewhere.contains(sender))
    }

    /// Checks whether an operator has ordered the study to be handed over.
    pub fn look(&mut self) {
        self.standing.ordered |= inbox::is_ordered(&self.folder);
    }

    pub fn due<'a>(
        &self,
        completion: &CompletionRules,
        ended: bool,
        uid: &'a str,
    ) -> Option<(Instant, &'a str, StudyVerdict)> {
        let standing = StudyStanding {
            moving: self.moving > 0,
            has_senders: self.has_senders(),
            instances: self.instances.len() as u64,
            ..self.standing.clone()
        };
        let (at, verdict) = completion.due(&standing)?;
        match verdict {
            // The rest may be sent to the next process.
            StudyVerdict::HandOver(CompletionSignal::BrokenOff | CompletionSignal::Lacking) if ended => None,
            StudyVerdict::HandOver(CompletionSignal::QuietTime) if ended => {
                Some((self.standing.last_arrival, uid, StudyVerdict::HandOver(CompletionSignal::End)))
            }
            verdict => Some((at, uid, verdict)).filter(|(at, ..)| !ended || *at <= Instant::now()),
        }
    }

    pub fn into_request(self, signal: CompletionSignal) -> Result<Request, PathBuf> {
        let joined = |titles: &BTreeSet<String>| titles.iter().cloned().collect::<Vec<_>>().join("\\");
        let aborted = self.standing.left == SenderEnd::Aborted || self.has_senders();
        let attributes = [
            ("source", SOURCE),
            ("calling_ae", &joined(&self.calling_aes)),
            ("called_ae", &joined(&self.called_aes)),
            ("association", if aborted { "aborted" } else { "released" }),
            ("complete_by", signal.name()),
            ("remarks", &self.replaced.remark("before the study was complete").unwrap_or_default()),
        ];
        let request = request(self.instances.into_values().collect(), &attributes);
        let claims = self.folders.iter().map(|folder| inbox::claim(folder)).collect();
        request.map(|request| Request { claims, ..request }).ok_or(self.folder)
    }
}
