//! Fetches studies from DICOMweb services. Fetched instances pass the same intake as received ones, and make
//! the same requests.

use crate::admission::StopSignal;
use crate::dicom::intake::event::SessionKind;
use crate::dicom::intake::instance_intake::InstanceIntake;
use crate::dicom::names::status::DimseStatus;

use crate::dicom::wire::peer_error::{PeerError, PeerErrorCause};

use super::WebNode;
use super::body_intake::{BodyChunk, BodyIntake, BodyResult};
use super::client::HttpReply;
use super::order::BodyForm;
use super::pace::BodyError;
use super::retrieve::{ask_for, parts};

/// Result of fetching a study.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PullResult {
    pub stored: usize,
    /// Statuses of the instances that the intake refused.
    pub refused: Vec<DimseStatus>,
}

/// The most instances of a study; no real one has more.
const INSTANCES_MAX: usize = 100_000;

/// Fetches a study; the rest of it is left where the stop is asked for.
///
/// # Errors
/// If the service does not give it, or not to its end.
pub(in crate::dicom) fn fetch(
    intake: &InstanceIntake,
    node: &WebNode,
    study_instance_uid: &str,
    stop: &StopSignal,
) -> Result<PullResult, PeerError> {
    let failed = |cause| PeerError::over_web(node.clone(), cause);
    pull(intake, node, study_instance_uid, stop).map_err(failed)
}

fn pull(
    intake: &InstanceIntake,
    node: &WebNode,
    study_instance_uid: &str,
    stop: &StopSignal,
) -> Result<PullResult, PeerErrorCause> {
    let mut reply = ask_for(node, study_instance_uid)?;
    let form = BodyForm::Parts(Box::new(parts(&reply)?));
    let study = Some(study_instance_uid.to_owned());
    let taking = BodyIntake::new(intake, intake.session(SessionKind::Web), study, INSTANCES_MAX);
    let mut broken = None;
    let BodyResult { response, end, .. } = taking.take(form, || next(&mut reply, stop, &mut broken));
    let refused = response.failed.iter().map(|one| one.status).chain(response.others).collect();
    match (end, broken) {
        (Ok(()), _) => Ok(PullResult { stored: response.stored.len(), refused }),
        (Err(_), Some(cause)) => Err(cause),
        (Err(end), None) => Err(end.into()),
    }
}

/// The next chunk of the response. The reason why there is none is stored in `broken`.
fn next(reply: &mut HttpReply, stop: &StopSignal, broken: &mut Option<PeerErrorCause>) -> BodyChunk {
    match reply.next() {
        _ if stop.is_requested() => BodyChunk::Broken(BodyError::Stopping),
        Some(Ok(bytes)) => BodyChunk::Bytes(bytes),
        None => BodyChunk::End,
        Some(Err(cause)) => {
            let reason = cause.to_string();
            *broken = Some(cause);
            BodyChunk::Broken(BodyError::CutOff(reason))
        }
    }
}
