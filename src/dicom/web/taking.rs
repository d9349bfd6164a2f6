//! Takes in the instances of one request over HTTP, in a thread that may wait for the disk.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use hyper::StatusCode;
use hyper::body::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::super::completion::Left;
use super::super::door::{Door, Refusal, Stored, Visitor, refusal};
use super::super::inbox::Part;
use super::super::part10::Head;
use super::super::studies::End;
use super::super::{Event, Status, Way};
use super::answer::{Answer, DICOM_JSON};
use super::media_type::MediaType;
use super::multipart::{self, Piece};
use super::order::{DICOM, Form, Order};
use super::pace::Broken;
use super::store_response::{Reference, StoreResponse};

/// A request that has been let in: where its body comes from, and where its answer goes.
pub struct Job {
    pub peer: SocketAddr,
    pub order: Order,
    pub body: mpsc::Receiver<Chunk>,
    pub answer: oneshot::Sender<Answer>,
}

/// What comes of a body.
pub enum Chunk {
    Bytes(Bytes),
    /// It is whole.
    End,
    Broken(Broken),
}

/// Does a job to its end. Who asked may be gone by then, and need not be answered.
pub fn take_in(door: &Door, parts_max: usize, job: Job) {
    let Job { peer, order, mut body, answer } = job;
    let visit = door.visit(Way::Web);
    (door.tell)(&Event::Opened { visit, peer, calling_ae: String::new() });
    let visitor = Visitor {
        visit,
        calling_ae: String::new(),
        called_ae: String::new(),
        study_instance_uid: order.study_instance_uid,
    };
    let mut taking = Taking::new(door, visitor, parts_max);
    let next = || body.blocking_recv().unwrap_or(Chunk::Broken(Broken::Stopping));
    // A panic, for example in a library on damaged input, ends this request and no other.
    let end = catch_unwind(AssertUnwindSafe(|| taking.body(order.form, next)));
    drop(body);
    let _ = answer.send(taking.close(end.unwrap_or(Err(Broken::Own))));
}

struct Taking<'a> {
    door: &'a Door<'a>,
    visitor: Visitor,
    parts_max: usize,
    parts: usize,
    instance: Option<Instance>,
    response: StoreResponse,
    /// Instances that were refused for their size.
    too_large: usize,
    /// An instance was refused that may be taken later.
    wanting: bool,
}

/// An instance on its way in. One that is refused is received to its end all the same.
struct Instance {
    part: Result<Part, Refusal>,
    /// Enough to tell its name, even if it is refused.
    beginning: Vec<u8>,
    size: u64,
}

/// The head of a file is short, unless somebody plays tricks: then the failure has no name.
const BEGINNING_BYTES: usize = 4 << 10;

impl<'a> Taking<'a> {
    fn new(door: &'a Door<'a>, visitor: Visitor, parts_max: usize) -> Taking<'a> {
        let response = StoreResponse::default();
        Taking { door, visitor, parts_max, parts: 0, instance: None, response, too_large: 0, wanting: false }
    }

    fn body(&mut self, form: Form, mut next: impl FnMut() -> Chunk) -> Result<(), Broken> {
        let mut multipart = match form {
            Form::Parts(multipart) => Some(multipart),
            Form::Whole => None,
        };
        if multipart.is_none() {
            self.begin(None);
        }
        loop {
            match (next(), &mut multipart) {
                (Chunk::Bytes(bytes), None) => self.bytes(&bytes),
                (Chunk::Bytes(bytes), Some(multipart)) => {
                    multipart.push(&bytes, &mut |piece| self.piece(piece))?;
                }
                (Chunk::End, _) => break,
                (Chunk::Broken(broken), _) => return Err(broken),
            }
            if self.parts > self.parts_max {
                return Err(Broken::TooManyParts(self.parts_max));
            }
        }
        match multipart {
            Some(multipart) => multipart.end()?,
            None => self.end(),
        }
        Ok(())
    }

    fn piece(&mut self, piece: Piece) {
        match piece {
            Piece::Head(head) => self.begin(Some(&head)),
            Piece::Bytes(bytes) => self.bytes(bytes),
            Piece::End => self.end(),
        }
    }

    fn begin(&mut self, head: Option<&multipart::Head>) {
        self.parts += 1;
        let media_type = head.and_then(|head| head.field("content-type"));
        let is_dicom = |text| MediaType::read(text).is_some_and(|media_type| media_type.name == DICOM);
        let other = || refusal(Status::CANNOT_UNDERSTAND, "the part is not application/dicom");
        let part = if media_type.is_none_or(is_dicom) { self.door.begin() } else { Err(other()) };
        self.instance = Some(Instance { part, beginning: Vec::new(), size: 0 });
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let Some(instance) = &mut self.instance else { return };
        let wanted = bytes.len().min(BEGINNING_BYTES - instance.beginning.len());
        instance.beginning.extend_from_slice(&bytes[..wanted]);
        instance.size += bytes.len() as u64;
        self.door.write(&mut instance.part, bytes);
    }

    fn end(&mut self) {
        let Some(Instance { part, beginning, size }) = self.instance.take() else { return };
        match part.and_then(|part| self.door.keep_file(&self.visitor, part)) {
            Ok(Stored { instance, .. }) => self.response.stored.push(Reference {
                sop_class_uid: instance.sop_class_uid,
                sop_instance_uid: instance.sop_instance_uid,
                status: Status::SUCCESS,
            }),
            Err(Refusal { status, reason }) => {
                self.wanting |= status == Status::OUT_OF_RESOURCES;
                self.too_large += usize::from(size > self.door.settings.instance_bytes_max);
                self.failed(&beginning, status);
                (self.door.tell)(&Event::Refused { visit: self.visitor.visit, status, reason });
            }
        }
    }

    fn failed(&mut self, beginning: &[u8], status: Status) {
        match Head::decode(beginning) {
            Some((head, _)) if !head.sop_instance_uid.is_empty() => self.response.failed.push(Reference {
                sop_class_uid: head.sop_class_uid,
                sop_instance_uid: head.sop_instance_uid,
                status,
            }),
            _ => self.response.others.push(status),
        }
    }

    /// What the end of the body means for the studies in it, and for the sender.
    fn close(self, body: Result<(), Broken>) -> Answer {
        let visit = self.visitor.visit;
        let (end, reason) = match &body {
            Ok(()) => (End::Released, String::new()),
            Err(broken) => (End::Aborted, broken.to_string()),
        };
        // What lacks an instance is not complete, although the request is.
        let left = match end {
            End::Released if !self.wanting => Left::RequestEnd,
            End::Released | End::Aborted => Left::Aborted,
        };
        self.door.studies.leave(visit.number, left);
        let instances = self.response.stored.len() as u64;
        (self.door.tell)(&Event::Closed { visit, end, reason, instances });
        match body {
            Ok(()) => self.answer(),
            Err(broken) => Answer::refusal(status(&broken), broken.to_string()),
        }
    }

    /// The answer to a whole body (PS3.18 table 10.5.3-1).
    fn answer(&self) -> Answer {
        let StoreResponse { stored, failed, others } = &self.response;
        let refused = failed.len() + others.len();
        let reasons = || failed.iter().map(|one| &one.status).chain(others);
        let status = match (stored.len(), refused) {
            (0, 0) => return Answer::refusal(StatusCode::BAD_REQUEST, "there is no part in the body"),
            (_, 0) => StatusCode::OK,
            (1.., _) => StatusCode::ACCEPTED,
            (0, _) if self.too_large == refused => StatusCode::PAYLOAD_TOO_LARGE,
            (0, _) if reasons().all(|reason| *reason == Status::OUT_OF_RESOURCES) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            (0, _) => StatusCode::CONFLICT,
        };
        Answer { status, media_type: DICOM_JSON, body: self.response.write() }
    }
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
