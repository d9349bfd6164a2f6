//! The changes of rows that each record brings.

use std::collections::{BTreeMap, HashMap};

use crate::journal::{DestinationHealth, JournalCommit, JournalCut, RecordMeaning, RecordSummary};
use crate::journal::{StandingCounts, tally::TallyCounts};
use crate::step::Digest;

use super::declared::DeclaredView;
use super::names::{NameId, NameTable};
use super::notice::LedgerNotice;
use super::open_request::{RequestDetail, UnansweredRequest, trouble};
use super::row::{ViewRow, count};
use super::wiring::{StepWiring, WiringLookup};

/// The receiver of changes: the inputs of the differential collections.
pub trait FoldOutput {
    /// A detail of a request, under its number.
    fn detail(&mut self, request: i64, detail: RequestDetail, change: isize);
    /// A request that waits for a destination.
    fn sending(&mut self, destination: NameId, detail: RequestDetail, change: isize);
    /// A destination that takes nothing.
    fn health(&mut self, destination: NameId, detail: RequestDetail, change: isize);
    /// A row that needs no other.
    fn row(&mut self, row: ViewRow, change: isize);
}

/// The state of the fold: the unanswered requests.
pub struct RequestFold {
    open: HashMap<i64, FoldedRequest>,
    /// The numbers of open requests by id.
    by_id: HashMap<Digest, Vec<i64>>,
    down: HashMap<NameId, RequestDetail>,
    wirings: HashMap<Digest, Option<StepWiring>>,
    lookup: WiringLookup,
    declared: Vec<DeclaredView>,
    /// What was counted, so that it can be taken back.
    standing: StandingCounts,
    tally: TallyCounts,
}

/// A request with what was said of it.
struct FoldedRequest {
    request: UnansweredRequest,
    details: Vec<RequestDetail>,
    sending: Vec<(NameId, i64)>,
    notices: BTreeMap<ViewRow, isize>,
}

impl RequestFold {
    pub fn new(lookup: WiringLookup, declared: Vec<DeclaredView>) -> RequestFold {
        RequestFold {
            open: HashMap::new(),
            by_id: HashMap::new(),
            down: HashMap::new(),
            wirings: HashMap::new(),
            lookup,
            declared,
            standing: StandingCounts::new(),
            tally: TallyCounts::new(),
        }
    }

    /// Puts the journal at a commit in the place of all that was there.
    pub fn load(&mut self, cut: JournalCut, names: &mut NameTable, out: &mut impl FoldOutput) {
        let numbers: Vec<i64> = self.open.keys().copied().collect();
        numbers.into_iter().for_each(|number| self.close(number, out));
        self.down.drain().for_each(|(destination, down)| out.health(destination, down, -1));
        let (standing, tally) = (std::mem::take(&mut self.standing), std::mem::take(&mut self.tally));
        self.count(&standing, &tally, -1, names, out);
        self.count(&cut.standing, &cut.tally, 1, names, out);
        (self.standing, self.tally) = (cut.standing, cut.tally);
        for (destination, DestinationHealth { since_ms, detail }) in &cut.down {
            let (destination, reason) = (names.id(destination), names.reason(&trouble(detail)));
            self.set_health(destination, Some(RequestDetail::Down(reason, *since_ms)), out);
        }
        cut.records.iter().for_each(|record| self.record(record, names, Health::Known, out));
    }

    /// Takes account of a commit. Returns whether the journal has to be read again: an answered request, of which
    /// nothing is known here any more, goes on.
    #[must_use]
    pub fn commit(
        &mut self,
        commit: JournalCommit,
        names: &mut NameTable,
        out: &mut impl FoldOutput,
    ) -> bool {
        self.count(&commit.standing, &commit.tally, 1, names, out);
        for (key, totals) in commit.standing {
            self.standing.entry(key).or_default().add(totals);
        }
        for (key, count) in commit.tally {
            *self.tally.entry(key).or_default() += count;
        }
        self.tally.retain(|_, count| *count != 0);
        let mut has_unknown = false;
        for record in &commit.records {
            has_unknown |=
                record.meaning == RecordMeaning::Retried && !self.open.contains_key(&record.request);
            self.record(record, names, Health::Follows, out);
        }
        has_unknown
    }

    /// Takes account of a notice.
    pub fn notice(&mut self, notice: &LedgerNotice, names: &mut NameTable, out: &mut impl FoldOutput) {
        let numbers = self.by_id.get(&notice.request()).cloned().unwrap_or_default();
        for number in numbers {
            let Some(folded) = self.open.get_mut(&number) else { continue };
            match notice {
                LedgerNotice::Started { step, .. } => {
                    let step = names.id(step);
                    folded.forget(out, |row| matches!(row, ViewRow::RetryAt(_, of, _) if *of == step));
                    folded.notice(ViewRow::Running(number, folded.request.dataflow, step), 1, out);
                }
                LedgerNotice::Ended { step, .. } => {
                    let row = ViewRow::Running(number, folded.request.dataflow, names.id(step));
                    if folded.notices.contains_key(&row) {
                        folded.notice(row, -1, out);
                    }
                }
                LedgerNotice::RetryAt { step, at_ms, .. } => {
                    let step = names.id(step);
                    folded.forget(out, |row| matches!(row, ViewRow::RetryAt(_, of, _) if *of == step));
                    folded.notice(ViewRow::RetryAt(number, step, *at_ms), 1, out);
                }
                LedgerNotice::NextTry { destination, at_ms, .. } => {
                    let destination = names.id(destination);
                    folded.forget(out, |row| matches!(row, ViewRow::NextTry(_, of, _) if *of == destination));
                    folded.notice(ViewRow::NextTry(number, destination, *at_ms), 1, out);
                }
            }
        }
    }

    fn record(
        &mut self,
        record: &RecordSummary,
        names: &mut NameTable,
        health: Health,
        out: &mut impl FoldOutput,
    ) {
        if let (RecordMeaning::Delivered { destination, detail }, Health::Follows) = (&record.meaning, health)
        {
            let destination = names.id(destination);
            let down = detail.as_ref().map(|detail| {
                let since_ms = match self.down.get(&destination) {
                    Some(RequestDetail::Down(_, since_ms)) => *since_ms,
                    _ => record.time_ms,
                };
                RequestDetail::Down(names.reason(&trouble(detail)), since_ms)
            });
            self.set_health(destination, down, out);
        }
        match &record.meaning {
            RecordMeaning::Accepted(accepted) => {
                // A known request may be accepted once more.
                self.close(record.request, out);
                let request = UnansweredRequest::accepted(accepted, record.time_ms, names);
                self.by_id.entry(request.id).or_default().push(record.request);
                let (details, sending, notices) = (Vec::new(), Vec::new(), BTreeMap::new());
                self.open.insert(record.request, FoldedRequest { request, details, sending, notices });
                self.say(record.request, names, out);
            }
            RecordMeaning::Answered => self.close(record.request, out),
            _ => {
                let Some(folded) = self.open.get_mut(&record.request) else { return };
                folded.request.note(record, names);
                if let RecordMeaning::Delivered { destination, .. } = &record.meaning {
                    let destination = names.id(destination);
                    folded.forget(out, |row| matches!(row, ViewRow::NextTry(_, of, _) if *of == destination));
                }
                self.say(record.request, names, out);
            }
        }
    }

    fn count(
        &self,
        standing: &StandingCounts,
        tally: &TallyCounts,
        sign: isize,
        names: &mut NameTable,
        out: &mut impl FoldOutput,
    ) {
        for (key, totals) in standing {
            let rows = ViewRow::standing(key, *totals, names);
            let rows = rows.into_iter().filter(|(_, count)| *count != 0);
            rows.for_each(|(row, count)| out.row(row, sign * count));
        }
        for (key, number) in tally {
            let change = sign * count(*number);
            out.row(ViewRow::tally(key, names), change);
            let rows = self.declared.iter().filter_map(|view| view.row(key, names));
            rows.for_each(|row| out.row(row, change));
        }
    }

    fn set_health(&mut self, destination: NameId, down: Option<RequestDetail>, out: &mut impl FoldOutput) {
        let before = match down {
            Some(down) => self.down.insert(destination, down),
            None => self.down.remove(&destination),
        };
        if before != down {
            before.iter().for_each(|before| out.health(destination, *before, -1));
            down.iter().for_each(|down| out.health(destination, *down, 1));
        }
    }

    /// Says what has changed of a request.
    fn say(&mut self, number: i64, names: &mut NameTable, out: &mut impl FoldOutput) {
        let Some(folded) = self.open.get_mut(&number) else { return };
        let lookup = &self.lookup;
        let version = folded.request.version;
        let wiring = self.wirings.entry(version).or_insert_with(|| lookup(version)).as_ref();
        let details = folded.request.details(wiring, names);
        let sending = folded.request.sending().to_vec();
        for gone in folded.details.iter().filter(|detail| !details.contains(detail)) {
            out.detail(number, *gone, -1);
        }
        for new in details.iter().filter(|detail| !folded.details.contains(detail)) {
            out.detail(number, *new, 1);
        }
        for (destination, since_ms) in folded.sending.iter().filter(|one| !sending.contains(one)) {
            out.sending(*destination, RequestDetail::Sending(number, *since_ms), -1);
        }
        for (destination, since_ms) in sending.iter().filter(|one| !folded.sending.contains(one)) {
            out.sending(*destination, RequestDetail::Sending(number, *since_ms), 1);
        }
        (folded.details, folded.sending) = (details, sending);
    }

    /// Takes back all that was said of a request.
    fn close(&mut self, number: i64, out: &mut impl FoldOutput) {
        let Some(mut folded) = self.open.remove(&number) else { return };
        folded.details.iter().for_each(|detail| out.detail(number, *detail, -1));
        for (destination, since_ms) in &folded.sending {
            out.sending(*destination, RequestDetail::Sending(number, *since_ms), -1);
        }
        folded.forget(out, |_| true);
        if let Some(numbers) = self.by_id.get_mut(&folded.request.id) {
            numbers.retain(|other| *other != number);
            if numbers.is_empty() {
                self.by_id.remove(&folded.request.id);
            }
        }
    }
}

/// Whether a record says how its destination is, or that is known already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Known,
    Follows,
}

impl FoldedRequest {
    fn notice(&mut self, row: ViewRow, change: isize, out: &mut impl FoldOutput) {
        super::row::add(&mut self.notices, row, change);
        out.row(row, change);
    }

    fn forget(&mut self, out: &mut impl FoldOutput, is_over: impl Fn(&ViewRow) -> bool) {
        self.notices.retain(|row, count| {
            let is_over = is_over(row);
            if is_over {
                out.row(*row, -*count);
            }
            !is_over
        });
    }
}
