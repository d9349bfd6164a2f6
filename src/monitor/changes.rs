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
    let first = match start {
        MirrorStart::Rows { time, rows } => {
            let state = api.mirror.read();
            let rows: Vec<Value> =
                rows.iter().map(|(row, count)| row_json(row, *count, &state.names)).collect();
            drop(state);
            vec![event(api, time, "rows", &json!({"rows": rows}))]
        }
        MirrorStart::Frames(missed) => missed.iter().map(|frame| changes(api, frame)).collect(),
    };
    for event in first {
        if send.blocking_send(event).is_err() {
            return;
        }
    }
    while !*stop.borrow() && !send.is_closed() {
        match frames.recv_timeout(LOOK) {
            Ok(frame) => {
                if send.blocking_send(changes(api, &frame)).is_err() {
                    return;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            // It was too slow: it comes back with the id of its last event.
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// The changes of a frame: each a row with the number that is added to its count.
fn changes(api: &MonitorApi, frame: &MirrorFrame) -> Bytes {
    let state = api.mirror.read();
    let rows: Vec<Value> =
        frame.changes.iter().map(|(row, change)| row_json(row, *change, &state.names)).collect();
    drop(state);
    event(api, frame.time, "changes", &json!({"commit": frame.commit, "changes": rows}))
}

fn event(api: &MonitorApi, time: u64, kind: &str, data: &Value) -> Bytes {
    Bytes::from(format!("id: {}-{time}\nevent: {kind}\ndata: {data}\n\n", api.started_ms))
}
