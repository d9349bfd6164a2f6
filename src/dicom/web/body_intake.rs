//! The intake of the instances of one body, piece by piece: of a request to us, or of a response to us.

use hyper::body::Bytes;

use crate::dicom::intake::completion::SenderEnd;
use crate::dicom::intake::event::{AssociationEnd, IntakeSession, ReceiverEvent};
use crate::dicom::intake::instance_intake::{InstanceIntake, InstanceRefusal, StoredInstance, refusal};
use crate::dicom::intake::panics::guarded;
use crate::dicom::intake::partial_file::PartialFile;
use crate::dicom::intake::sender::{InstanceSender, SessionUse};
use crate::dicom::names::status::DimseStatus;
use crate::dicom_file::part10::FileHead;

use super::media_type::MediaType;
use super::multipart::{self, MultipartPiece};
use super::order::{BodyForm, DICOM};
use super::pace::BodyError;
use super::store_response::{InstanceReference, StoreResponse};

/// The next piece of a body.
pub enum BodyChunk {
    Bytes(Bytes),
    /// The body is complete.
    End,
    Broken(BodyError),
}

/// Result of taking in a body.
pub struct BodyResult {
    pub response: StoreResponse,
    /// Instances that were refused for their size.
    pub too_large: usize,
    /// Whether the body was received to its end.
    pub end: Result<(), BodyError>,
}

pub struct BodyIntake<'a> {
    intake: &'a InstanceIntake<'a>,
    sender: InstanceSender,
    parts_max: usize,
    parts: usize,
    instance: Option<IncomingInstance>,
    response: StoreResponse,
    /// Instances that were refused for their size.
    too_large: usize,
    /// Whether an instance was refused that might be accepted later.
    wanting: bool,
}

/// An instance that is being received. One that is refused is received to its end.
struct IncomingInstance {
    part: Result<PartialFile, InstanceRefusal>,
    /// The first bytes, from which a refused instance can be named.
    beginning: Vec<u8>,
    size: u64,
}

/// Bytes of an instance that are kept to name it in a refusal. File heads are short; if a crafted one is
/// longer, the failure is listed without its UID.
const BEGINNING_BYTES: usize = 4 << 10;

impl<'a> BodyIntake<'a> {
    pub fn new(
        intake: &'a InstanceIntake<'a>,
        session: IntakeSession,
        study_instance_uid: Option<String>,
        parts_max: usize,
    ) -> BodyIntake<'a> {
        let (calling_ae, called_ae) = (String::new(), String::new());
        let session_use = SessionUse::OneTransfer;
        let sender = InstanceSender { session, calling_ae, called_ae, study_instance_uid, session_use };
        let response = StoreResponse::default();
        BodyIntake {
            intake,
            sender,
            parts_max,
            parts: 0,
            instance: None,
            response,
            too_large: 0,
            wanting: false,
        }
    }

    /// Takes in the pieces that `next` gives, to the end of the body.
    pub fn take(mut self, form: BodyForm, next: impl FnMut() -> BodyChunk) -> BodyResult {
        let end = guarded(|_| BodyError::Own, || self.body(form, next));
        self.leave(&end);
        let BodyIntake { response, too_large, .. } = self;
        BodyResult { response, too_large, end }
    }

    fn body(&mut self, form: BodyForm, mut next: impl FnMut() -> BodyChunk) -> Result<(), BodyError> {
        let mut multipart = match form {
            BodyForm::Parts(multipart) => Some(multipart),
            BodyForm::Whole => None,
        };
        if multipart.is_none() {
            self.begin(None);
        }
        loop {
            match (next(), &mut multipart) {
                (BodyChunk::Bytes(bytes), None) => self.bytes(&bytes),
                (BodyChunk::Bytes(bytes), Some(multipart)) => {
                    multipart.push(&bytes, &mut |piece| self.piece(piece))?;
                }
                (BodyChunk::End, _) => break,
                (BodyChunk::Broken(broken), _) => return Err(broken),
            }
            if self.parts > self.parts_max {
                return Err(BodyError::TooManyParts(self.parts_max));
            }
        }
        match multipart {
            Some(multipart) => multipart.end()?,
            None => self.end(),
        }
        Ok(())
    }

    fn piece(&mut self, piece: MultipartPiece) {
        match piece {
            MultipartPiece::Head(head) => self.begin(Some(&head)),
            MultipartPiece::Bytes(bytes) => self.bytes(bytes),
            MultipartPiece::End => self.end(),
        }
    }

    fn begin(&mut self, head: Option<&multipart::PartHead>) {
        self.parts += 1;
        let media_type = head.and_then(|head| head.field("content-type"));
        let is_dicom = |text| MediaType::read(text).is_some_and(|media_type| media_type.name == DICOM);
        let other = || refusal(DimseStatus::CANNOT_UNDERSTAND, "the part is not application/dicom");
        let part = if media_type.is_none_or(is_dicom) { self.intake.begin() } else { Err(other()) };
        self.instance = Some(IncomingInstance { part, beginning: Vec::new(), size: 0 });
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let Some(instance) = &mut self.instance else { return };
        let wanted = bytes.len().min(BEGINNING_BYTES - instance.beginning.len());
        instance.beginning.extend_from_slice(&bytes[..wanted]);
        instance.size += bytes.len() as u64;
        self.intake.write(&mut instance.part, bytes);
    }

    fn end(&mut self) {
        let Some(IncomingInstance { part, beginning, size }) = self.instance.take() else { return };
        match part.and_then(|part| self.intake.keep_file(&self.sender, part)) {
            Ok(StoredInstance { instance, .. }) => self.response.stored.push(InstanceReference {
                sop_class_uid: instance.sop_class_uid,
                sop_instance_uid: instance.sop_instance_uid,
                status: DimseStatus::SUCCESS,
            }),
            Err(InstanceRefusal { status, reason, .. }) => {
                self.wanting |= status == DimseStatus::OUT_OF_RESOURCES;
                self.too_large += usize::from(size > self.intake.rules.instance_bytes_max);
                self.failed(&beginning, status);
                (self.intake.tell)(&ReceiverEvent::Refused { session: self.sender.session, status, reason });
            }
        }
    }

    fn failed(&mut self, beginning: &[u8], status: DimseStatus) {
        match FileHead::decode(beginning) {
            Some((head, _)) if !head.sop_instance_uid.is_empty() => {
                self.response.failed.push(InstanceReference {
                    sop_class_uid: head.sop_class_uid,
                    sop_instance_uid: head.sop_instance_uid,
                    status,
                })
            }
            _ => self.response.others.push(status),
        }
    }

    /// Ends the sender's session: a complete body counts as a released association, a broken one as aborted.
    fn leave(&self, body: &Result<(), BodyError>) {
        let session = self.sender.session;
        let (end, reason) = match body {
            Ok(()) => (AssociationEnd::Released, String::new()),
            Err(broken) => (AssociationEnd::Aborted, broken.to_string()),
        };
        // If an instance is missing, a complete body counts as a broken one.
        let left = match end {
            AssociationEnd::Released if !self.wanting => SenderEnd::RequestEnd,
            AssociationEnd::Released | AssociationEnd::Aborted => SenderEnd::Aborted,
        };
        self.intake.studies.leave(session.number, left);
        let instances = self.response.stored.len() as u64;
        (self.intake.tell)(&ReceiverEvent::Closed { session, end, reason, instances });
    }
}
