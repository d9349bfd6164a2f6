//! Fetches studies from DICOMweb services: what comes is taken in through the same door as what others
//! send, and makes the same requests.

use crate::dicom::intake::door::Door;
use crate::dicom::intake::event::Way;
use crate::dicom::intake::stop::Stop;
use crate::dicom::names::status::Status;

use super::Node;
use super::ask_error::{AskError, Cause};
use super::client::Reply;
use super::order::Form;
use super::pace::Broken;
use super::retrieve::{ask_for, parts};
use super::taking::{Chunk, Taken, Taking};

/// What of a study has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pulled {
    pub stored: usize,
    /// Of those that were not let in, why.
    pub refused: Vec<Status>,
}

/// No study has more.
const INSTANCES_MAX: usize = 100_000;

/// Fetches a study; the rest of it is left where the stop is asked for.
///
/// # Errors
/// If the service does not give it, or not to its end.
pub(in crate::dicom) fn fetch(
    door: &Door,
    node: &Node,
    study_instance_uid: &str,
    stop: &Stop,
) -> Result<Pulled, AskError> {
    let failed = |cause| AskError { node: Box::new(node.clone()), cause, sent: Vec::new() };
    pull(door, node, study_instance_uid, stop).map_err(failed)
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
