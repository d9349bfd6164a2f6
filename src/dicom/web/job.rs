//! The work of an accepted HTTP request, on a thread that may wait for the disk.

use std::net::SocketAddr;

use hyper::StatusCode;
use tokio::sync::{mpsc, oneshot};

use crate::dicom::intake::event::{ReceiverEvent, SessionKind};
use crate::dicom::intake::instance_intake::InstanceIntake;
use crate::dicom::names::status::DimseStatus;

use super::answer::{DICOM_JSON, HttpAnswer};
use super::body_intake::{BodyChunk, BodyIntake, BodyResult};
use super::order::StoreOrder;
use super::pace::BodyError;
use super::store_response::StoreResponse;

/// An accepted request: the source of its body, and the receiver of its response.
pub struct WebJob {
    pub peer: SocketAddr,
    pub order: StoreOrder,
    pub body: mpsc::Receiver<BodyChunk>,
    pub answer: oneshot::Sender<HttpAnswer>,
}

/// Does a job to its end. If the client has disconnected by then, there is no answer.
pub fn take_in(intake: &InstanceIntake, parts_max: usize, job: WebJob) {
    let WebJob { peer, order, mut body, answer } = job;
    let session = intake.session(SessionKind::Web);
    (intake.tell)(&ReceiverEvent::Opened { session, peer, calling_ae: String::new() });
    let taking = BodyIntake::new(intake, session, order.study_instance_uid, parts_max);
    let gone = || BodyChunk::Broken(BodyError::CutOff("the connection is gone".to_owned()));
    let taken = taking.take(order.form, || body.blocking_recv().unwrap_or_else(gone));
    drop(body);
    let _ = answer.send(match &taken.end {
        Ok(()) => whole(&taken),
        Err(broken) => HttpAnswer::refusal(status(broken), broken.to_string()),
    });
}

/// The response to a complete body (PS3.18 table 10.5.3-1).
fn whole(taken: &BodyResult) -> HttpAnswer {
    let StoreResponse { stored, failed, others } = &taken.response;
    let refused = failed.len() + others.len();
    let reasons = || failed.iter().map(|one| &one.status).chain(others);
    let status = match (stored.len(), refused) {
        (0, 0) => return HttpAnswer::refusal(StatusCode::BAD_REQUEST, "there is no part in the body"),
        (_, 0) => StatusCode::OK,
        (1.., _) => StatusCode::ACCEPTED,
        (0, _) if taken.too_large == refused => StatusCode::PAYLOAD_TOO_LARGE,
        (0, _) if reasons().all(|reason| *reason == DimseStatus::OUT_OF_RESOURCES) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        (0, _) => StatusCode::CONFLICT,
    };
    HttpAnswer { status, media_type: DICOM_JSON, body: taken.response.write() }
}

fn status(broken: &BodyError) -> StatusCode {
    match broken {
        BodyError::Slow => StatusCode::REQUEST_TIMEOUT,
        BodyError::CutOff(_) | BodyError::Malformed(_) => StatusCode::BAD_REQUEST,
        BodyError::TooManyParts(_) => StatusCode::PAYLOAD_TOO_LARGE,
        BodyError::Stopping | BodyError::Evicted => StatusCode::SERVICE_UNAVAILABLE,
        BodyError::Own => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
