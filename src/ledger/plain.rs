//! The rows of the views, counted afresh from the records of the unanswered requests: for a flow that does not
//! run, and for comparison.

use std::collections::{BTreeMap, BTreeSet};

use crate::journal::{AcceptedSummary, JournalCut, RecordMeaning, RecordSummary, RequestState};
use crate::step::Digest;

use super::names::{NameId, NameTable};
use super::open_request::trouble;
use super::row::{RowCounts, ViewRow, WaitReason, add};
use super::wiring::StepWiring;

/// The rows of a journal at a commit, without notices.
pub fn plain_rows(
    cut: &JournalCut,
    wirings: &dyn Fn(Digest) -> Option<StepWiring>,
    names: &mut NameTable,
) -> RowCounts {
    let mut rows = RowCounts::new();
    for (key, totals) in &cut.standing {
        ViewRow::standing(key, *totals, names).into_iter().for_each(|(row, n)| add(&mut rows, row, n));
    }
    for (key, number) in &cut.tally {
        let row = ViewRow::tally(key, names);
        add(&mut rows, row, super::row::count(*number));
    }
    let mut down = BTreeMap::new();
    for (destination, health) in &cut.down {
        let (destination, reason) = (names.id(destination), names.reason(&trouble(&health.detail)));
        down.insert(destination, reason);
        add(&mut rows, ViewRow::Down(destination, reason, health.since_ms), 1);
    }
    let mut by_request: BTreeMap<i64, Vec<&RecordSummary>> = BTreeMap::new();
    cut.records.iter().for_each(|record| by_request.entry(record.request).or_default().push(record));
    for (number, records) in by_request {
        let accepted =
            records.iter().rposition(|record| matches!(record.meaning, RecordMeaning::Accepted(_)));
        let Some(accepted) = accepted else { continue };
        let request = PlainRequest { number, records: &records[accepted..] };
        for row in request.rows(&down, wirings, names) {
            add(&mut rows, row, 1);
        }
    }
    rows
}

/// A request with its records since it was last accepted.
struct PlainRequest<'a> {
    number: i64,
    records: &'a [&'a RecordSummary],
}

impl PlainRequest<'_> {
    fn rows(
        &self,
        down: &BTreeMap<NameId, NameId>,
        wirings: &dyn Fn(Digest) -> Option<StepWiring>,
        names: &mut NameTable,
    ) -> Vec<ViewRow> {
        let RecordMeaning::Accepted(accepted) = &self.records[0].meaning else { return Vec::new() };
        let end = self.last(|meaning| matches!(meaning, RecordMeaning::Answered | RecordMeaning::Retried));
        if end.is_some_and(|record| record.meaning == RecordMeaning::Answered) {
            return Vec::new();
        }
        let (state, since_ms) = self.state();
        let opened_ms = self.last(RecordMeaning::opens).map_or(0, |record| record.time_ms);
        let (dataflow, source) = (names.id(&accepted.dataflow), names.id(&accepted.source));
        let mut rows =
            vec![ViewRow::Open(dataflow, source, state), ViewRow::Oldest(opened_ms, self.number, dataflow)];
        let ended = self.ended();
        let names_of_steps = ended.iter().map(|(step, _)| *step).collect::<BTreeSet<&str>>();
        rows.extend(names_of_steps.iter().map(|step| ViewRow::StepEnded(dataflow, names.id(step))));
        let mut waits = Vec::new();
        match state {
            RequestState::Accepted if self.is_cancelled() => waits.push((WaitReason::Cancellation, since_ms)),
            RequestState::Accepted if !self.has_lane() => waits.push((WaitReason::Lane, since_ms)),
            RequestState::Accepted => {
                for step in self.ready(accepted, &ended, wirings) {
                    let step = names.id(&step);
                    rows.push(ViewRow::StepReady(dataflow, step));
                    waits.push((WaitReason::Step(step), since_ms));
                }
                if waits.is_empty() {
                    waits.push((WaitReason::Response, since_ms));
                }
            }
            RequestState::Responded | RequestState::Undelivered => {
                for (destination, since_ms) in self.troubles() {
                    let destination = names.id(destination);
                    rows.push(ViewRow::Queued(destination));
                    let reason = match down.get(&destination) {
                        Some(reason) => WaitReason::Down(destination, *reason),
                        None => WaitReason::Destination(destination),
                    };
                    waits.push((reason, since_ms));
                }
                if waits.is_empty() {
                    let is_new = state == RequestState::Responded;
                    waits.push((if is_new { WaitReason::Delivery } else { WaitReason::Operator }, since_ms));
                }
            }
            RequestState::Answered | RequestState::Removed => {}
        }
        for (reason, since_ms) in waits {
            rows.push(ViewRow::Waits(self.number, reason, since_ms));
            rows.push(ViewRow::WaitCount(dataflow, reason));
        }
        rows
    }

    fn last(&self, is_it: impl Fn(&RecordMeaning) -> bool) -> Option<&RecordSummary> {
        self.records.iter().rev().find(|record| is_it(&record.meaning)).copied()
    }

    fn state(&self) -> (RequestState, i64) {
        let state_of = |meaning: &RecordMeaning| match meaning {
            RecordMeaning::Accepted(_) | RecordMeaning::Retried => Some(RequestState::Accepted),
            RecordMeaning::Responded(_) => Some(RequestState::Responded),
            RecordMeaning::Undelivered => Some(RequestState::Undelivered),
            _ => None,
        };
        let last =
            self.records.iter().rev().find_map(|record| Some((state_of(&record.meaning)?, record.time_ms)));
        last.unwrap_or((RequestState::Accepted, 0))
    }

    fn is_cancelled(&self) -> bool {
        let last = self.last(|meaning| meaning.opens() || *meaning == RecordMeaning::Cancelled);
        last.is_some_and(|record| record.meaning == RecordMeaning::Cancelled)
    }

    fn has_lane(&self) -> bool {
        let last = self.last(|meaning| matches!(meaning, RecordMeaning::Began | RecordMeaning::TakenUp));
        last.is_some_and(|record| record.meaning == RecordMeaning::Began)
    }

    fn ended(&self) -> BTreeSet<(&str, Option<usize>)> {
        let is_retry = |record: &&RecordSummary| record.meaning == RecordMeaning::Retried;
        let since = self.records.iter().rposition(is_retry).unwrap_or(0);
        let runs = self.records.iter().enumerate().filter_map(|(index, record)| match &record.meaning {
            // A retry runs again what failed before it.
            RecordMeaning::Ran(run) if run.fault.is_none() || index >= since => {
                Some((run.step.as_str(), run.item))
            }
            _ => None,
        });
        runs.collect()
    }

    fn ready(
        &self,
        accepted: &AcceptedSummary,
        ended: &BTreeSet<(&str, Option<usize>)>,
        wirings: &dyn Fn(Digest) -> Option<StepWiring>,
    ) -> Vec<String> {
        let Some(StepWiring { steps }) = wirings(accepted.version) else { return Vec::new() };
        let has_ended = |index: usize| {
            let runs = ended.iter().filter(|(step, _)| *step == steps[index].name).count();
            runs >= steps[index].runs_of(accepted.items)
        };
        let ready = steps.iter().enumerate().filter(|(index, step)| {
            step.is_work && !has_ended(*index) && step.needs.iter().all(|need| has_ended(*need))
        });
        ready.map(|(_, step)| step.name.clone()).collect()
    }

    /// The destinations whose last answer to the last response was not complete, with the first such answer
    /// since they took everything.
    fn troubles(&self) -> Vec<(&str, i64)> {
        let responded = |record: &&RecordSummary| matches!(record.meaning, RecordMeaning::Responded(_));
        let since = self.records.iter().rposition(responded).unwrap_or(0);
        let mut troubles: BTreeMap<&str, i64> = BTreeMap::new();
        for record in &self.records[since..] {
            if let RecordMeaning::Delivered { destination, detail } = &record.meaning {
                match detail {
                    None => _ = troubles.remove(destination.as_str()),
                    Some(_) => _ = troubles.entry(destination).or_insert(record.time_ms),
                }
            }
        }
        troubles.into_iter().collect()
    }
}
