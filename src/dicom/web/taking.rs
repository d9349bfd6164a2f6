//! Takes in the instances of one body, as they come: of a request to us, or of an answer to us.

use std::panic::{AssertUnwindSafe, catch_unwind};

use hyper::body::Bytes;

use crate::dicom::intake::completion::Left;
use crate::dicom::intake::door::{Door, Refusal, Stored, refusal};
use crate::dicom::intake::event::{End, Event, Visit};
use crate::dicom::intake::inbox::Part;
use crate::dicom::intake::visitor::Visitor;
use crate::dicom::names::status::Status;
use crate::dicom_file::part10::Head;

use super::media_type::MediaType;
use super::multipart::{self, Piece};
use super::order::{DICOM, Form};
use super::pace::Broken;
use super::store_response::{Reference, StoreResponse};

/// What comes of a body.
pub enum Chunk {
    Bytes(Bytes),
    /// It is whole.
    End,
    Broken(Broken),
}

/// What became of a body.
pub struct Taken {
    pub response: StoreResponse,
    /// Instances that were refused for their size.
    pub too_large: usize,
    /// Whether it came to its end.
    pub end: Result<(), Broken>,
}

pub struct Taking<'a> {
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
    pub fn new(
        door: &'a Door<'a>,
        visit: Visit,
        study_instance_uid: Option<String>,
        parts_max: usize,
    ) -> Taking<'a> {
        let (calling_ae, called_ae) = (String::new(), String::new());
        let visitor = Visitor { visit, calling_ae, called_ae, study_instance_uid };
        let response = StoreResponse::default();
        Taking { door, visitor, parts_max, parts: 0, instance: None, response, too_large: 0, wanting: false }
    }

    /// Takes in what comes, to the end of the body.
    pub fn take(mut self, form: Form, next: impl FnMut() -> Chunk) -> Taken {
        // A panic, for example in a library on damaged input, ends this body and no other.
        let end = catch_unwind(AssertUnwindSafe(|| self.body(form, next))).unwrap_or(Err(Broken::Own));
        self.leave(&end);
        let Taking { response, too_large, .. } = self;
        Taken { response, too_large, end }
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
                self.too_large += usize::from(size > self.door.rules.instance_bytes_max);
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

    /// What the end of the body means for the studies in it.
    fn leave(&self, body: &Result<(), Broken>) {
        let visit = self.visitor.visit;
        let (end, reason) = match body {
            Ok(()) => (End::Released, String::new()),
            Err(broken) => (End::Aborted, broken.to_string()),
        };
        // What lacks an instance is not complete, although the body is.
        let left = match end {
            End::Released if !self.wanting => Left::RequestEnd,
            End::Released | End::Aborted => Left::Aborted,
        };
        self.door.studies.leave(visit.number, left);
        let instances = self.response.stored.len() as u64;
        (self.door.tell)(&Event::Closed { visit, end, reason, instances });
    }
}
