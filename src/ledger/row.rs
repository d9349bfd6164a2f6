//! The rows of the views. How often a row is there is its count.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::journal::tally::{TallyEvent, TallyKey};
use crate::journal::{AnswerKind, RequestState, StandingKey, StandingTotals};

use super::names::{NameId, NameTable};

/// Rows with their counts.
pub type RowCounts = BTreeMap<ViewRow, isize>;

/// A row of a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ViewRow {
    /// Remembered requests by dataflow, state and kind of the last response.
    Standing(NameId, RequestState, AnswerKind),
    /// Bytes of the remembered requests of a dataflow.
    Bytes(NameId, RequestState, AnswerKind),
    /// Unanswered requests by dataflow, source and state.
    Open(NameId, NameId, RequestState),
    /// The time at which an unanswered request was last opened, with its number and dataflow: the first such
    /// row is the oldest request.
    Oldest(i64, i64, NameId),
    /// A reason why a request waits, and the time since which it does.
    Waits(i64, WaitReason, i64),
    /// Requests by dataflow and reason.
    WaitCount(NameId, WaitReason),
    /// Unanswered requests of a dataflow in which a run of a step has ended.
    StepEnded(NameId, NameId),
    /// Requests in which a step of a dataflow can run and has not ended.
    StepReady(NameId, NameId),
    /// A destination that did not take a response at its last try: the reason, and the time since which no try
    /// has succeeded.
    Down(NameId, NameId, i64),
    /// Unanswered requests that wait for a destination.
    Queued(NameId),
    /// A count of events of an hour.
    Tally(i64, NameId, TallyRow),
    /// Runs of a request that are under way, by dataflow and step; known only while flow runs.
    Running(i64, NameId, NameId),
    /// A step of a request that is run again at a time; known only while flow runs.
    RetryAt(i64, NameId, i64),
    /// A delivery to a destination that is tried again at a time; known only while flow runs.
    NextTry(i64, NameId, i64),
    /// A count of a view that the site declares: its title, the values of the fields by which it counts, and the
    /// bucket of a time.
    Declared(NameId, [NameId; 4], u16),
}

/// The reason why a request is not answered yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum WaitReason {
    /// A lane: others are in work.
    Lane,
    /// A step that can run and has not ended.
    Step(NameId),
    /// The response, which is being made.
    Response,
    /// The error response of a cancelled request.
    Cancellation,
    /// The first try of its delivery.
    Delivery,
    /// The next try at a destination that takes others.
    Destination(NameId),
    /// A destination that takes nothing, with the reason.
    Down(NameId, NameId),
    /// An operator, or the next start.
    Operator,
}

/// Something that is counted by hour: see [`TallyEvent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TallyRow {
    Accepted(NameId),
    Answered(AnswerKind, u16),
    Ran(NameId, u16),
    Failed(NameId, NameId, NameId),
    Delivered(NameId),
    NotDelivered(NameId),
}

impl ViewRow {
    /// Whether only a running flow knows it.
    pub fn is_notice(&self) -> bool {
        matches!(self, ViewRow::Running(..) | ViewRow::RetryAt(..) | ViewRow::NextTry(..))
    }

    /// The row of a count.
    pub(super) fn tally(key: &TallyKey, names: &mut NameTable) -> ViewRow {
        let dataflow = names.id(&key.dataflow);
        let row = match &key.event {
            TallyEvent::Accepted { source } => TallyRow::Accepted(names.id(source)),
            TallyEvent::Answered { answer, bucket } => TallyRow::Answered(*answer, *bucket),
            TallyEvent::Ran { step, bucket } => TallyRow::Ran(names.id(step), *bucket),
            TallyEvent::Failed { step, kind, reason } => {
                TallyRow::Failed(names.id(step), names.id(kind), names.reason(reason))
            }
            TallyEvent::Delivered { destination } => TallyRow::Delivered(names.id(destination)),
            TallyEvent::NotDelivered { destination } => TallyRow::NotDelivered(names.id(destination)),
        };
        ViewRow::Tally(key.hour, dataflow, row)
    }

    /// The rows of the requests that stand somewhere, with their counts.
    pub(super) fn standing(
        key: &StandingKey,
        totals: StandingTotals,
        names: &mut NameTable,
    ) -> [(ViewRow, isize); 2] {
        let dataflow = names.id(&key.dataflow);
        [
            (ViewRow::Standing(dataflow, key.state, key.answer), count(totals.requests)),
            (ViewRow::Bytes(dataflow, key.state, key.answer), count(totals.bytes)),
        ]
    }
}

/// A count of the journal as a count of rows.
pub(super) fn count(number: i64) -> isize {
    isize::try_from(number).unwrap_or(isize::MAX)
}

/// Adds to the count of a row; a row that is there no times is removed.
pub(super) fn add(rows: &mut RowCounts, row: ViewRow, change: isize) {
    let count = rows.entry(row).or_insert(0);
    *count += change;
    if *count == 0 {
        rows.remove(&row);
    }
}
