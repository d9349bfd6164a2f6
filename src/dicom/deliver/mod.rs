//! DICOM peers as destinations of responses: nodes by C-STORE, services by STOW-RS, and the sender of the
//! study. A response's DICOM files go there as objects, one answer each.

mod noted_destination;
mod target;
mod verifier;

pub use noted_destination::NotedDestination;
pub use target::ObjectTarget;
pub use verifier::{ObjectFinding, ObjectVerifier, by_commitment, by_query};

use std::sync::Arc;

use crate::admission::{
    self, DeliveryErrorKind, DeliveryTrouble, OutgoingResponse, PartAnswer, PartFinding, PartOutcome,
};
use crate::dataflow::Response;
use crate::step::Request;

use super::{DeliveredObjects, DicomObject, ObjectError, SendOutcome, SentObject};

/// A peer that gets the DICOM files of responses.
#[derive(Clone)]
pub struct ObjectDestination {
    pub target: ObjectTarget,
    /// With it, what the peer has taken is stored only when this has found it there.
    pub verifier: Option<ObjectVerifier>,
    /// The record of objects that programs have made, before they are sent.
    pub delivered: Arc<DeliveredObjects>,
}

impl admission::Destination for ObjectDestination {
    fn name(&self) -> String {
        self.target.to_string()
    }

    fn takes(&self, request: &Request) -> bool {
        self.target.concerns(request)
    }

    fn parts(&self, response: &Response) -> Vec<String> {
        let dicom = response.files.iter().filter(|file| file.media_type == "application/dicom");
        dicom.map(|file| file.name.clone()).collect()
    }

    fn shares_peer(&self, one: &Request, other: &Request) -> bool {
        self.target.is_same_node(one, other)
    }

    fn send(
        &self,
        outgoing: &OutgoingResponse,
        parts: &[&str],
        answered: &mut dyn FnMut(PartAnswer),
    ) -> Result<(), DeliveryTrouble> {
        let OpenedObjects { objects, refused, trouble, .. } = open(outgoing, parts);
        refused.into_iter().for_each(&mut *answered);
        if !objects.is_empty() {
            note_foreign(&self.delivered, outgoing.request, &objects)?;
            self.target.send(outgoing.request, &objects, &mut |sent| answered(self.answer(sent)))?;
        }
        trouble.map_or(Ok(()), Err)
    }

    fn verify(
        &self,
        outgoing: &OutgoingResponse,
        parts: &[&str],
        found: &mut dyn FnMut(PartFinding),
    ) -> Result<(), DeliveryTrouble> {
        let Some(verifier) = &self.verifier else {
            parts.iter().for_each(|part| found(PartFinding { part: (*part).to_owned(), safe: Ok(()) }));
            return Ok(());
        };
        let OpenedObjects { objects, trouble, .. } = open(outgoing, parts);
        if objects.is_empty() {
            return trouble.map_or(Ok(()), Err);
        }
        let passing = |text: String| DeliveryTrouble { text, kind: DeliveryErrorKind::Passing };
        let findings = verifier(&objects).map_err(passing)?;
        for object in &objects {
            let finding = findings.iter().find(|one| one.sop_instance_uid == object.sop_instance_uid());
            let unknown = || Err("the destination did not report on it".to_owned());
            let safe = finding.map_or_else(unknown, |one| one.safe.clone());
            found(PartFinding { part: object.name().to_owned(), safe });
        }
        trouble.map_or(Ok(()), Err)
    }
}

impl ObjectDestination {
    fn answer(&self, sent: SentObject) -> PartAnswer {
        let outcome = match &sent.outcome {
            SendOutcome::Stored | SendOutcome::Warned { .. } if self.verifier.is_some() => PartOutcome::Taken,
            SendOutcome::Stored => PartOutcome::Stored,
            SendOutcome::Warned { .. } => PartOutcome::Warned,
            SendOutcome::Refused { status, .. } if status.may_pass() => PartOutcome::Deferred,
            SendOutcome::Unanswered => PartOutcome::Unanswered,
            SendOutcome::Refused { .. } | SendOutcome::NotTaken { .. } | SendOutcome::NotConverted { .. } => {
                PartOutcome::Refused
            }
        };
        let details = [(SOP_CLASS_UID.to_owned(), sent.sop_class_uid)].into();
        PartAnswer { part: sent.name, outcome, text: sent.outcome.to_string(), details }
    }
}

/// The name under which a part's SOP class is recorded.
pub const SOP_CLASS_UID: &str = "sop_class_uid";

/// Notes the objects that flow has not made itself, before anybody gets them.
fn note_foreign(
    delivered: &DeliveredObjects,
    request: &Request,
    objects: &[DicomObject],
) -> Result<(), DeliveryTrouble> {
    let foreign = objects.iter().filter(|object| !object.is_of_flow());
    let noted = delivered.note(request, foreign.map(DicomObject::sop_instance_uid));
    noted.map_err(DeliveryTrouble::passing)
}

/// Files of a response, opened as far as they can be.
#[derive(Default)]
struct OpenedObjects {
    objects: Vec<DicomObject>,
    refused: Vec<PartAnswer>,
    /// Names of the objects that cannot be read now.
    unreadable: Vec<String>,
    /// Error of the objects that cannot be read now. The store is local, so the error says nothing about the
    /// objects.
    trouble: Option<DeliveryTrouble>,
}

fn open(outgoing: &OutgoingResponse, parts: &[&str]) -> OpenedObjects {
    let mut opened = OpenedObjects::default();
    for file in parts.iter().filter_map(|part| outgoing.file(part)) {
        match DicomObject::open(&file.name, outgoing.path(file)) {
            Ok(object) => opened.objects.push(object),
            Err(error @ ObjectError::NotDicom { .. }) => {
                opened.refused.push(PartAnswer::new(&file.name, PartOutcome::Refused, error.to_string()));
            }
            Err(error @ ObjectError::Unreadable { .. }) => {
                let text = format!("{error}. Check the disk, and how many files may be open.");
                opened.unreadable.push(file.name.clone());
                opened.trouble = Some(DeliveryTrouble { text, kind: DeliveryErrorKind::Partial });
            }
        }
    }
    opened
}
