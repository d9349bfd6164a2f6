//! The rows of the views at one state and then every change after it, without a gap and none twice, as server-sent
//! events: for programs that keep the rows themselves.

use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use hyper::body::Bytes;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use crate::ledger::{MirrorFrame, MirrorStart, row_json};

use super::api::MonitorApi;

/// The time between two looks whether the server ends.
const LOOK: Duration = Duration::from_millis(250);

/// Sends events until the reader leaves or is too slow, or the server ends. It blocks its thread. `last` is the id of
/// the last event that a reader who comes back has.
pub fn send_changes(
    api: &Arc<MonitorApi>,
    stop: &watch::Receiver<bool>,
    last: Option<&str>,
    send: &mpsc::Sender<Bytes>,
) {
    let since = last.and_then(|last| {
        let (process, time) = last.split_once('-')?;
        (process == api.started_ms.to_string()).then(|| time.parse::<u64>().ok())?
    });
    let (start, frames) = api.mirror.subscribe(since);
    let (first, mut said) = match start {
        MirrorStart::Rows { time, rows, is_complete } => {
            let state = api.mirror.read();
            let rows: Vec<Value> =
                rows.iter().map(|(row, count)| row_json(row, *count, &state.names)).collect();
            drop(state);
            let data = json!({"rows": rows, "is_complete": is_complete});
            (vec![event(api, time, "rows", &data)], LastEvent { time, is_complete })
        }
        MirrorStart::Frames(missed) => {
            let time = missed.last().map(|frame| frame.time).or(since).unwrap_or_default();
            let events = missed.iter().map(|frame| changes(api, frame)).collect();
            (events, LastEvent { time, is_complete: true })
        }
    };
    for event in first {
        if send.blocking_send(event).is_err() {
            return;
        }
    }
    while !*stop.borrow() && !send.is_closed() {
        let event = match frames.recv_timeout(LOOK) {
            Ok(frame) => {
                said = LastEvent { time: frame.time, is_complete: true };
                Some(changes(api, &frame))
            }
            Err(RecvTimeoutError::Timeout) => lost(api, &mut said),
            // It was too slow: it comes back with the id of its last event.
            Err(RecvTimeoutError::Disconnected) => return,
        };
        if event.is_some_and(|event| send.blocking_send(event).is_err()) {
            return;
        }
    }
}

/// The last event that was sent.
struct LastEvent {
    time: u64,
    is_complete: bool,
}

/// An event without changes, if rows may be missing since the last one: no frame says so.
fn lost(api: &MonitorApi, said: &mut LastEvent) -> Option<Bytes> {
    let state = api.mirror.read();
    let (commit, is_lost) = (state.commit, said.is_complete && !state.is_complete && state.time == said.time);
    drop(state);
    is_lost.then(|| {
        said.is_complete = false;
        event(api, said.time, "changes", &json!({"commit": commit, "is_complete": false, "changes": []}))
    })
}

/// The changes of a frame: each a row with the number that is added to its count. After them all rows are there.
fn changes(api: &MonitorApi, frame: &MirrorFrame) -> Bytes {
    let state = api.mirror.read();
    let rows: Vec<Value> =
        frame.changes.iter().map(|(row, change)| row_json(row, *change, &state.names)).collect();
    drop(state);
    let data = json!({"commit": frame.commit, "is_complete": true, "changes": rows});
    event(api, frame.time, "changes", &data)
}

fn event(api: &MonitorApi, time: u64, kind: &str, data: &Value) -> Bytes {
    Bytes::from(format!("id: {}-{time}\nevent: {kind}\ndata: {data}\n\n", api.started_ms))
}
