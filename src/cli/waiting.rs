//! What a request that is not answered waits for, as far as the journal can tell.

use crate::dataflow::{Dataflow, Phase, Wire};
use crate::journal::{Entry, History, State};
use crate::step::Request;

/// A fragment that fits after "waits for".
pub fn waits_for(history: &History, dataflow: Option<&Dataflow>) -> String {
    match history.row.state {
        State::Accepted if !has_begun(history) => "its turn: others are in work".to_owned(),
        State::Accepted => match (dataflow, history.request()) {
            (Some(dataflow), Ok((request, _))) => steps(history, dataflow, request),
            _ => "its steps".to_owned(),
        },
        State::Responded => undelivered(history).unwrap_or_else(|| "its delivery".to_owned()),
        State::Undelivered => undelivered(history).unwrap_or_else(|| "a place to be delivered to".to_owned()),
        State::Answered | State::Removed => "nothing".to_owned(),
    }
}

/// Whether it has taken a lane since it was last taken up.
fn has_begun(history: &History) -> bool {
    let last = history
        .entries
        .iter()
        .rev()
        .find(|dated| matches!(dated.entry, Entry::Began | Entry::TakenUp | Entry::Accepted { .. }));
    last.is_some_and(|dated| dated.entry == Entry::Began)
}

/// The steps whose needs are met and that have not ended.
fn steps(history: &History, dataflow: &Dataflow, request: &Request) -> String {
    let ended: Vec<usize> = dataflow.nodes.iter().map(|node| history.runs_of(&node.name)).collect();
    let is_done = |index: usize| ended[index] >= dataflow.nodes[index].runs_of(request);
    let mut waiting = Vec::new();
    for (index, node) in dataflow.nodes.iter().enumerate().filter(|(_, node)| node.phase == Phase::Work) {
        let ready = node.wires.iter().all(|wire| match wire {
            Wire::Port(port) => is_done(port.node),
            Wire::Absent | Wire::Request | Wire::Items | Wire::Outcomes => true,
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
fn undelivered(history: &History) -> Option<String> {
    let responded = history.entries.iter().rposition(|dated| matches!(dated.entry, Entry::Responded { .. }));
    let last = history.entries[responded?..].iter().rev().find_map(|dated| match &dated.entry {
        Entry::Delivered { destination, complete: false, detail, .. } => Some((destination, detail)),
        _ => None,
    });
    let (destination, detail) = last?;
    Some(match detail.get("trouble").and_then(|trouble| trouble.as_str()) {
        Some(trouble) => format!("{destination}: {trouble}"),
        None => destination.clone(),
    })
}
