//! The views as differential collections.
//!
//! All arrangements have one key type and one value type, and joins take functions: each further
//! combination of types would be compiled anew.

use differential_dataflow::VecCollection;
use differential_dataflow::input::InputSession;
use timely::dataflow::Scope;

use super::fold::FoldOutput;
use super::names::NameId;
use super::open_request::RequestDetail;
use super::row::{ViewRow, WaitReason};

type ViewInput<D> = InputSession<u64, D, isize>;
type ViewCollection<'s, D> = VecCollection<'s, u64, D, isize>;

/// A detail under the number of its request or destination.
type KeyedDetail = (u64, RequestDetail);

/// The inputs of the collections. The fold writes to them.
pub struct ViewInputs {
    heads: ViewInput<KeyedDetail>,
    details: ViewInput<KeyedDetail>,
    sending: ViewInput<KeyedDetail>,
    health: ViewInput<KeyedDetail>,
    rows: ViewInput<ViewRow>,
}

impl ViewInputs {
    pub fn new() -> ViewInputs {
        ViewInputs {
            heads: InputSession::new(),
            details: InputSession::new(),
            sending: InputSession::new(),
            health: InputSession::new(),
            rows: InputSession::new(),
        }
    }

    /// Ends a time: what was written belongs to it.
    pub fn advance(&mut self, time: u64) {
        for input in [&mut self.heads, &mut self.details, &mut self.sending, &mut self.health] {
            input.advance_to(time);
            input.flush();
        }
        self.rows.advance_to(time);
        self.rows.flush();
    }
}

impl FoldOutput for ViewInputs {
    fn detail(&mut self, request: i64, detail: RequestDetail, change: isize) {
        let input =
            if matches!(detail, RequestDetail::Head(..)) { &mut self.heads } else { &mut self.details };
        input.update((request.unsigned_abs(), detail), change);
    }

    fn sending(&mut self, destination: NameId, detail: RequestDetail, change: isize) {
        self.sending.update((destination.key(), detail), change);
    }

    fn health(&mut self, destination: NameId, detail: RequestDetail, change: isize) {
        self.health.update((destination.key(), detail), change);
    }

    fn row(&mut self, row: ViewRow, change: isize) {
        self.rows.update(row, change);
    }
}

/// The rows of all views.
pub fn views<'s>(scope: Scope<'s, u64>, inputs: &mut ViewInputs) -> ViewCollection<'s, ViewRow> {
    let heads = inputs.heads.to_collection(scope).arrange_by_key();
    let details = inputs.details.to_collection(scope);
    let sending = inputs.sending.to_collection(scope);
    let health = inputs.health.to_collection(scope);

    // A delivery waits for its destination. One change of a destination changes all that wait for it.
    let is_down = sending.clone().arrange_by_key().join_core(health.clone().arrange_by_key(), down);
    let going = sending.clone().antijoin(health.clone().map(|(destination, _)| destination)).map(going);
    let deliveries = is_down.concat(going);

    // The views by dataflow and source join the requests with what is known of each.
    let by_request = details.concat(deliveries).arrange_by_key().join_core(heads, of_request);
    let queued = sending.map(|(destination, _)| ViewRow::Queued(NameId::of_key(destination)));
    let troubles = health.flat_map(trouble);
    inputs.rows.to_collection(scope).concat(by_request).concat(queued).concat(troubles).consolidate()
}

/// A request whose destination takes nothing.
fn down(destination: &u64, sending: &RequestDetail, health: &RequestDetail) -> Option<KeyedDetail> {
    match (sending, health) {
        (RequestDetail::Sending(request, since_ms), RequestDetail::Down(reason, _)) => {
            let reason = WaitReason::Down(NameId::of_key(*destination), *reason);
            Some((request.unsigned_abs(), RequestDetail::Wait(reason, *since_ms)))
        }
        _ => None,
    }
}

/// A request whose destination takes others.
fn going((destination, sending): KeyedDetail) -> KeyedDetail {
    match sending {
        RequestDetail::Sending(request, since_ms) => {
            let reason = WaitReason::Destination(NameId::of_key(destination));
            (request.unsigned_abs(), RequestDetail::Wait(reason, since_ms))
        }
        other => (destination, other),
    }
}

fn trouble((destination, health): KeyedDetail) -> Option<ViewRow> {
    match health {
        RequestDetail::Down(reason, since_ms) => {
            Some(ViewRow::Down(NameId::of_key(destination), reason, since_ms))
        }
        _ => None,
    }
}

/// The rows of a detail, with the dataflow and the source of its request.
fn of_request(request: &u64, detail: &RequestDetail, head: &RequestDetail) -> DetailRows {
    let RequestDetail::Head(dataflow, source) = *head else { return DetailRows::default() };
    let number = i64::try_from(*request).unwrap_or(i64::MAX);
    DetailRows(match *detail {
        RequestDetail::State(state) => [Some(ViewRow::Open(dataflow, source, state)), None],
        RequestDetail::Opened(time_ms) => [Some(ViewRow::Oldest(time_ms, number, dataflow)), None],
        RequestDetail::Wait(reason, since_ms) => {
            let row = ViewRow::Waits(number, reason, since_ms);
            [Some(row), Some(ViewRow::WaitCount(dataflow, reason))]
        }
        RequestDetail::StepReady(step) => [Some(ViewRow::StepReady(dataflow, step)), None],
        RequestDetail::StepEnded(step) => [Some(ViewRow::StepEnded(dataflow, step)), None],
        RequestDetail::Head(..) | RequestDetail::Sending(..) | RequestDetail::Down(..) => [None, None],
    })
}

/// At most two rows.
#[derive(Default)]
struct DetailRows([Option<ViewRow>; 2]);

impl IntoIterator for DetailRows {
    type Item = ViewRow;
    type IntoIter = std::iter::Flatten<std::array::IntoIter<Option<ViewRow>, 2>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter().flatten()
    }
}
