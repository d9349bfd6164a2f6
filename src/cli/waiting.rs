//! The reason why a request has not been answered yet, as far as the journal shows it.

use serde::Serialize;

use crate::admission::DeliveryRecord;
use crate::dataflow::{Dataflow, InputWire, NodePhase};
use crate::journal::{JournalEntry, RequestHistory, RequestState};
use crate::step::Request;

/// What a request waits for that has not begun.
pub const ITS_TURN: &str = "its turn: others are in work";

/// A fragment that fits after "waits for".
pub fn waits_for(history: &RequestHistory, dataflow: Option<&Dataflow>) -> String {
    match history.row.state {
        RequestState::Accepted if history.is_cancelled() => {
            "its error response, which is being made".to_owned()
        }
        RequestState::Accepted if !history.has_begun() => ITS_TURN.to_owned(),
        RequestState::Accepted => match (dataflow, history.request()) {
            (Some(dataflow), Ok((request, _))) => steps(history, dataflow, request),
            _ => "its steps".to_owned(),
        },
        RequestState::Responded => undelivered(history).unwrap_or_else(|| "its delivery".to_owned()),
        RequestState::Undelivered => {
            undelivered(history).unwrap_or_else(|| "a place to be delivered to".to_owned())
        }
        RequestState::Answered | RequestState::Removed => "nothing".to_owned(),
    }
}

/// The steps whose needs are met and that have not ended.
fn steps(history: &RequestHistory, dataflow: &Dataflow, request: &Request) -> String {
    let ended: Vec<usize> = dataflow.nodes.iter().map(|node| history.runs_of(&node.name)).collect();
    let is_done = |index: usize| ended[index] >= dataflow.nodes[index].runs_of(request);
    let mut waiting = Vec::new();
    for (index, node) in dataflow.nodes.iter().enumerate().filter(|(_, node)| node.phase == NodePhase::Work) {
        let ready = node.wires.iter().all(|wire| match wire {
            InputWire::Port(_) | InputWire::Merge(_) => wire.ports().iter().all(|port| is_done(port.node)),
            InputWire::Absent | InputWire::Request | InputWire::Items | InputWire::Outcomes => true,
        });
        let runs = node.runs_of(request);
        if node.enabled && ready && !is_done(index) {
            let of =
                if runs > 1 { format!(" ({} of {runs} items done)", ended[index]) } else { String::new() };
            waiting.push(format!("{}{of}", node.name));
        }
    }
    match waiting.as_slice() {
        [] => "its response".to_owned(),
        [one] => format!("the step {one}"),
        several => format!("the steps {}", several.join(", ")),
    }
}

/// A destination that did not take all of a response at its last try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TroubledDestination {
    pub destination: String,
    /// Its answer, or why it was not reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The time of the first try since it last took everything: milliseconds of Unix time.
    pub since_ms: i64,
}

/// The destinations that have not taken all of the last response, in the order of their first tries.
pub fn troubled_destinations(history: &RequestHistory) -> Vec<TroubledDestination> {
    let responded =
        history.entries.iter().rposition(|dated| matches!(dated.entry, JournalEntry::Responded { .. }));
    let mut troubled: Vec<TroubledDestination> = Vec::new();
    for dated in responded.map(|first| &history.entries[first..]).unwrap_or_default() {
        let JournalEntry::Delivered { destination, complete, detail, .. } = &dated.entry else { continue };
        let known = troubled.iter().position(|one| one.destination == *destination);
        let told = DeliveryRecord::resumed(destination.clone(), std::slice::from_ref(detail)).told();
        let reason = Some(told).filter(|told| !told.is_empty());
        match known {
            Some(known) if *complete => drop(troubled.remove(known)),
            Some(known) => troubled[known].reason = reason,
            None if *complete => {}
            None => {
                let (destination, since_ms) = (destination.clone(), dated.time_ms);
                troubled.push(TroubledDestination { destination, reason, since_ms });
            }
        }
    }
    troubled
}

/// The time at which a request came to where it stands: milliseconds of Unix time.
pub fn since_ms(history: &RequestHistory) -> i64 {
    let is_it = |entry: &JournalEntry| match history.row.state {
        RequestState::Accepted => entry.opens(),
        RequestState::Responded => matches!(entry, JournalEntry::Responded { .. }),
        RequestState::Undelivered => matches!(entry, JournalEntry::Undelivered),
        RequestState::Answered => matches!(entry, JournalEntry::Answered),
        RequestState::Removed => false,
    };
    let entry = history.entries.iter().rev().find(|dated| is_it(&dated.entry));
    entry.map_or(history.row.changed_ms, |dated| dated.time_ms)
}

/// The destinations that did not take all of it, and why.
fn undelivered(history: &RequestHistory) -> Option<String> {
    let told = |one: TroubledDestination| match one.reason {
        Some(reason) => format!("{}: {reason}", one.destination),
        None => one.destination,
    };
    let each: Vec<String> = troubled_destinations(history).into_iter().map(told).collect();
    (!each.is_empty()).then(|| each.join("; "))
}
