//! Does what a request over HTTP orders, in a thread that may wait for the disk.

use std::net::SocketAddr;

use hyper::StatusCode;
use tokio::sync::{mpsc, oneshot};

use crate::dicom::intake::door::Door;
use crate::dicom::intake::event::{Event, Way};
use crate::dicom::names::status::Status;

use super::answer::{Answer, DICOM_JSON};
use super::order::Order;
use super::pace::Broken;
use super::store_response::StoreResponse;
use super::taking::{Chunk, Taken, Taking};

/// A request that has been let in: where its body comes from, and where its answer goes.
pub struct Job {
    pub peer: SocketAddr,
    pub order: Order,
    pub body: mpsc::Receiver<Chunk>,
    pub answer: oneshot::Sender<Answer>,
}

/// Does a job to its end. Who asked may be gone by then, and need not be answered.
pub fn take_in(door: &Door, parts_max: usize, job: Job) {
    let Job { peer, order, mut body, answer } = job;
    let visit = door.visit(Way::Web);
    (door.tell)(&Event::Opened { visit, peer, calling_ae: String::new() });
    let taking = Taking::new(door, visit, order.study_instance_uid, parts_max);
    let gone = || Chunk::Broken(Broken::CutOff("the connection is gone".to_owned()));
    let taken = taking.take(order.form, || body.blocking_recv().unwrap_or_else(gone));
    drop(body);
    let _ = answer.send(match &taken.end {
        Ok(()) => whole(&taken),
        Err(broken) => Answer::refusal(status(broken), broken.to_string()),
    });
}

/// The answer to a whole body (PS3.18 table 10.5.3-1).
fn whole(taken: &Taken) -> Answer {
    let StoreResponse { stored, failed, others } = &taken.response;
    let refused = failed.len() + others.len();
    let reasons = || failed.iter().map(|one| &one.status).chain(others);
    let status = match (stored.len(), refused) {
        (0, 0) => return Answer::refusal(StatusCode::BAD_REQUEST, "there is no part in the body"),
        (_, 0) => StatusCode::OK,
        (1.., _) => StatusCode::ACCEPTED,
        (0, _) if taken.too_large == refused => StatusCode::PAYLOAD_TOO_LARGE,
        (0, _) if reasons().all(|reason| *reason == Status::OUT_OF_RESOURCES) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        (0, _) => StatusCode::CONFLICT,
    };
    Answer { status, media_type: DICOM_JSON, body: taken.response.write() }
}

fn status(broken: &Broken) -> StatusCode {
    match broken {
        Broken::Slow => StatusCode::REQUEST_TIMEOUT,
        Broken::CutOff(_) | Broken::Malformed(_) => StatusCode::BAD_REQUEST,
        Broken::TooManyParts(_) => StatusCode::PAYLOAD_TOO_LARGE,
        Broken::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        Broken::Own => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
