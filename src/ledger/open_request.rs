//! An unanswered request, as its records so far show it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::admission::DeliveryRecord;
use crate::journal::{AcceptedSummary, RecordMeaning, RecordSummary, RequestState, RunSummary, general};
use crate::step::Digest;

use super::names::{NameId, NameTable};
use super::row::WaitReason;
use super::wiring::StepWiring;

/// An unanswered request.
#[derive(Clone, Debug)]
pub struct UnansweredRequest {
    pub id: Digest,
    pub version: Digest,
    pub dataflow: NameId,
    pub source: NameId,
    items: usize,
    opened_ms: i64,
    state: RequestState,
    /// The time at which it came to its state.
    since_ms: i64,
    has_lane: bool,
    is_cancelled: bool,
    /// Items of which a run has ended, by step; one `None` for a step that runs once.
    ended: Vec<(NameId, BTreeSet<Option<usize>>)>,
    /// Those of them that have only failed: a retry runs them again.
    failed: BTreeSet<(NameId, Option<usize>)>,
    /// Destinations that have not taken all of the last response, since their first such answer.
    troubles: Vec<(NameId, i64)>,
}

/// A detail of a request, as a value of the differential collections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RequestDetail {
    /// Dataflow and source.
    Head(NameId, NameId),
    State(RequestState),
    /// The time at which the request was opened.
    Opened(i64),
    /// A reason to wait, with the time since which it holds.
    Wait(WaitReason, i64),
    /// A step of which a run has ended.
    StepEnded(NameId),
    StepReady(NameId),
    /// A request that waits for a destination; under the key of the destination.
    Sending(i64, i64),
    /// The reason for which a destination takes nothing, and since when; under the key of the destination.
    Down(NameId, i64),
}

impl UnansweredRequest {
    pub fn accepted(accepted: &AcceptedSummary, time_ms: i64, names: &mut NameTable) -> UnansweredRequest {
        UnansweredRequest {
            id: accepted.id,
            version: accepted.version,
            dataflow: names.id(&accepted.dataflow),
            source: names.id(&accepted.source),
            items: accepted.items,
            opened_ms: time_ms,
            state: RequestState::Accepted,
            since_ms: time_ms,
            has_lane: false,
            is_cancelled: false,
            ended: Vec::new(),
            failed: BTreeSet::new(),
            troubles: Vec::new(),
        }
    }

    /// Takes account of a record that does not end the request.
    pub fn note(&mut self, record: &RecordSummary, names: &mut NameTable) {
        match &record.meaning {
            RecordMeaning::TakenUp => self.has_lane = false,
            RecordMeaning::Began => self.has_lane = true,
            RecordMeaning::Ran(run) => self.ran(run, names),
            RecordMeaning::Responded(_) => {
                self.troubles.clear();
                self.come_to(RequestState::Responded, record.time_ms);
            }
            RecordMeaning::Delivered { destination, detail } => {
                let destination = names.id(destination);
                let known = self.troubles.iter().position(|(other, _)| *other == destination);
                match (known, detail) {
                    (Some(known), None) => drop(self.troubles.remove(known)),
                    (None, Some(_)) => self.troubles.push((destination, record.time_ms)),
                    (Some(_), Some(_)) | (None, None) => {}
                }
            }
            RecordMeaning::Undelivered => self.come_to(RequestState::Undelivered, record.time_ms),
            RecordMeaning::Cancelled => self.is_cancelled = true,
            RecordMeaning::Retried => {
                (self.is_cancelled, self.opened_ms) = (false, record.time_ms);
                self.forget_failed();
                self.come_to(RequestState::Accepted, record.time_ms);
            }
            RecordMeaning::Accepted(_)
            | RecordMeaning::Answered
            | RecordMeaning::Interim
            | RecordMeaning::Other => {}
        }
    }

    fn come_to(&mut self, state: RequestState, time_ms: i64) {
        (self.state, self.since_ms) = (state, time_ms);
    }

    fn ran(&mut self, run: &RunSummary, names: &mut NameTable) {
        let step = names.id(&run.step);
        let is_new = match self.ended.iter_mut().find(|(known, _)| *known == step) {
            Some((_, items)) => items.insert(run.item),
            None => {
                self.ended.push((step, [run.item].into()));
                true
            }
        };
        match run.fault {
            None => _ = self.failed.remove(&(step, run.item)),
            Some(_) if is_new => _ = self.failed.insert((step, run.item)),
            Some(_) => {}
        }
    }

    fn forget_failed(&mut self) {
        let failed = std::mem::take(&mut self.failed);
        for (step, items) in &mut self.ended {
            items.retain(|item| !failed.contains(&(*step, *item)));
        }
        self.ended.retain(|(_, items)| !items.is_empty());
    }

    /// The details of the request, each once.
    pub fn details(&self, wiring: Option<&StepWiring>, names: &mut NameTable) -> Vec<RequestDetail> {
        let mut details = vec![
            RequestDetail::Head(self.dataflow, self.source),
            RequestDetail::State(self.state),
            RequestDetail::Opened(self.opened_ms),
        ];
        details.extend(self.ended.iter().map(|(step, _)| RequestDetail::StepEnded(*step)));
        let wait = |reason: WaitReason| RequestDetail::Wait(reason, self.since_ms);
        match self.state {
            RequestState::Accepted if self.is_cancelled => details.push(wait(WaitReason::Cancellation)),
            RequestState::Accepted if !self.has_lane => details.push(wait(WaitReason::Lane)),
            RequestState::Accepted => {
                let ready = wiring.map(|wiring| self.ready(wiring, names)).unwrap_or_default();
                details.extend(ready.iter().map(|step| RequestDetail::StepReady(*step)));
                details.extend(ready.iter().map(|step| wait(WaitReason::Step(*step))));
                if ready.is_empty() {
                    details.push(wait(WaitReason::Response));
                }
            }
            // Its destinations say what it waits for.
            RequestState::Responded | RequestState::Undelivered if !self.troubles.is_empty() => {}
            RequestState::Responded => details.push(wait(WaitReason::Delivery)),
            RequestState::Undelivered => details.push(wait(WaitReason::Operator)),
            RequestState::Answered | RequestState::Removed => {}
        }
        details
    }

    /// The destinations that have not taken the response, with the time since which.
    pub fn sending(&self) -> &[(NameId, i64)] {
        match self.state {
            RequestState::Responded | RequestState::Undelivered => &self.troubles,
            RequestState::Accepted | RequestState::Answered | RequestState::Removed => &[],
        }
    }

    /// The steps whose needs have ended and that have not.
    fn ready(&self, wiring: &StepWiring, names: &mut NameTable) -> Vec<NameId> {
        let ids: Vec<NameId> = wiring.steps.iter().map(|step| names.id(&step.name)).collect();
        let ended = |index: usize| {
            let items = self.ended.iter().find(|(step, _)| *step == ids[index]).map(|(_, items)| items.len());
            items.unwrap_or(0) >= wiring.steps[index].runs_of(self.items)
        };
        let is_ready = |index: &usize| {
            let step = &wiring.steps[*index];
            step.is_work && !ended(*index) && step.needs.iter().all(|need| ended(*need))
        };
        (0..ids.len()).filter(is_ready).map(|index| ids[index]).collect()
    }
}

/// The reason for which a destination does not take a response, in general words.
pub fn trouble(detail: &serde_json::Value) -> String {
    let record = DeliveryRecord::resumed(String::new(), std::slice::from_ref(detail));
    // The answers without the names of the files, which may have a patient's in them.
    let answer = || record.files.iter().find(|file| !file.is_there()).map(|file| &file.answer);
    let told = record.trouble.as_ref().or_else(answer).map(|told| general(told));
    told.filter(|told| !told.is_empty()).unwrap_or_else(|| "it does not take everything".to_owned())
}
