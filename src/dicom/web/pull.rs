//! Fetches studies from DICOMweb services while receiving goes on: what comes is taken in through the
//! same door as what others send, and makes the same requests.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::super::door::Door;
use super::super::{Status, Stop, Way};
use super::Node;
use super::ask_error::{AskError, Cause};
use super::client::Reply;
use super::order::Form;
use super::pace::Broken;
use super::retrieve::{ask_for, parts};
use super::taking::{Chunk, Taken, Taking};

/// A study to fetch.
#[derive(Debug)]
pub struct Pull {
    pub node: Node,
    pub study_instance_uid: String,
    /// Where the outcome is told, if there is room for it.
    pub outcome: SyncSender<Result<Pulled, AskError>>,
}

/// What of a study has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pulled {
    pub stored: usize,
    /// Of those that were not let in, why.
    pub refused: Vec<Status>,
}

/// The receiver's end of a queue of studies to fetch.
#[derive(Clone, Debug)]
pub struct Pulls(Arc<Mutex<Receiver<Pull>>>);

/// A queue that holds so many.
pub fn pulls(most: usize) -> (SyncSender<Pull>, Pulls) {
    let (give, take) = sync_channel(most);
    (give, Pulls(Arc::new(Mutex::new(take))))
}

/// No study has more.
const INSTANCES_MAX: usize = 100_000;

/// How soon a stop is noticed.
const LOOK: Duration = Duration::from_millis(100);

impl Pulls {
    /// Fetches one study after the other until the stop.
    pub(in super::super) fn fetch(&self, door: &Door, stop: &Stop) {
        let pulls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while !stop.is_requested() {
            match pulls.recv_timeout(LOOK) {
                Ok(Pull { node, study_instance_uid, outcome }) => {
                    let pulled = pull(door, &node, &study_instance_uid, stop);
                    let failed = |cause| AskError { node: Box::new(node), cause, sent: Vec::new() };
                    let _ = outcome.try_send(pulled.map_err(failed));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

fn pull(door: &Door, node: &Node, study_instance_uid: &str, stop: &Stop) -> Result<Pulled, Cause> {
    let mut reply = ask_for(node, study_instance_uid)?;
    let form = Form::Parts(Box::new(parts(&reply)?));
    let study = Some(study_instance_uid.to_owned());
    let taking = Taking::new(door, door.visit(Way::Web), study, INSTANCES_MAX);
    let mut broken = None;
    let Taken { response, end, .. } = taking.take(form, || next(&mut reply, stop, &mut broken));
    let refused = response.failed.iter().map(|one| one.status).chain(response.others).collect();
    match (end, broken) {
        (Ok(()), _) => Ok(Pulled { stored: response.stored.len(), refused }),
        (Err(_), Some(cause)) => Err(cause),
        (Err(end), None) => Err(end.into()),
    }
}

/// The next chunk of the answer; why there is none is put aside.
fn next(reply: &mut Reply, stop: &Stop, broken: &mut Option<Cause>) -> Chunk {
    match reply.next() {
        _ if stop.is_requested() => Chunk::Broken(Broken::Stopping),
        Some(Ok(bytes)) => Chunk::Bytes(bytes),
        None => Chunk::End,
        Some(Err(cause)) => {
            let reason = cause.to_string();
            *broken = Some(cause);
            Chunk::Broken(Broken::CutOff(reason))
        }
    }
}
