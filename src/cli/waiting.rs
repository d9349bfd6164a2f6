//! The reason why a request has not been answered yet, as far as the journal shows it.

use crate::dataflow::{Dataflow, InputWire, NodePhase};
use crate::journal::{JournalEntry, RequestHistory, RequestState};
use crate::step::Request;

/// A fragment that fits after "waits for".
pub fn waits_for(history: &RequestHistory, dataflow: Option<&Dataflow>) -> String {
    match history.row.state {
        RequestState::Accepted if history.is_cancelled() => {
            "its error response, which is being made".to_owned()
        }
        RequestState::Accepted if !has_begun(history) => "its turn: others are in work".to_owned(),
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

/// Whether it has taken a lane since it was last taken up.
fn has_begun(history: &RequestHistory) -> bool {
    let last = history.entries.iter().rev().find(|dated| {
        matches!(dated.entry, JournalEntry::Began | JournalEntry::TakenUp | JournalEntry::Accepted { .. })
    });
    last.is_some_and(|dated| dated.entry == JournalEntry::Began)
}

/// The steps whose needs are met and that have not ended.
fn steps(history: &RequestHistory, dataflow: &Dataflow, request: &Request) -> String {
    let ended: Vec<usize> = dataflow.nodes.iter().map(|node| history.runs_of(&node.name)).collect();
    let is_done = |index: usize| ended[index] >= dataflow.nodes[index].runs_of(request);
    let mut waiting = Vec::new();
    for (index, node) in dataflow.nodes.iter().enumerate().filter(|(_, node)| node.phase == NodePhase::Work) {
        let ready = node.wires.iter().all(|wire| match wire {
            InputWire::Port(port) => is_done(port.node),
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

/// The destination that did not take all of it at the last try, and why.
fn undelivered(history: &RequestHistory) -> Option<String> {
    let responded =
        history.entries.iter().rposition(|dated| matches!(dated.entry, JournalEntry::Responded { .. }));
    let last = history.entries[responded?..].iter().rev().find_map(|dated| match &dated.entry {
        JournalEntry::Delivered { destination, complete: false, detail, .. } => Some((destination, detail)),
        _ => None,
    });
    let (destination, detail) = last?;
    Some(match detail.get("trouble").and_then(|trouble| trouble.as_str()) {
        Some(trouble) => format!("{destination}: {trouble}"),
        None => destination.clone(),
    })
}
