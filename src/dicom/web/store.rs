//! The STOW-RS client (PS3.18 10.5): instances in batches, with an outcome for each.

use std::collections::BTreeMap;
use std::io::{self, Read};

use hyper::body::Bytes;
use hyper::{Method, StatusCode};
use memchr::memmem;

use crate::dicom::ask::send::{SendOutcome, SentObject};
use crate::dicom::file::object::DicomObject;
use crate::dicom::names::status::DimseStatus;

use crate::dicom::wire::peer_error::{PeerError, PeerErrorCause};

use super::WebNode;
use super::answer::DICOM_JSON;
use super::client::{BodyPieces, HttpQuestion, ask};
use super::store_response::{InstanceReference, StoreResponse};

/// The longest store response that is read. Real ones are much shorter.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// Sends the objects in order, and reports each outcome as soon as the response is there. Objects count as
/// stored only if the response names them as stored, whatever its status says.
///
/// If a service refuses a request as a whole, smaller requests follow until it is known which objects it
/// refuses.
///
/// # Errors
/// If the service cannot be reached, or refuses a request as a whole. A refused object is no error: its
/// [`SendOutcome`] says so.
pub fn store(
    node: &WebNode,
    objects: &[DicomObject],
    tell: &mut dyn FnMut(SentObject),
) -> Result<(), PeerError> {
    let mut batches = batches(objects, node.batch_instances_max, node.batch_bytes_max).into_iter();
    let stored = batches.try_for_each(|batch| store_batch(node, batch, tell));
    stored.map_err(|cause| PeerError::over_web(node.clone(), cause))
}

/// Splits objects into batches within the limits; an object that exceeds them is a batch of its own.
fn batches(objects: &[DicomObject], count_max: usize, bytes_max: u64) -> Vec<&[DicomObject]> {
    let mut batches = Vec::new();
    let mut rest = objects;
    while !rest.is_empty() {
        let mut bytes = 0_u64;
        let fits = rest.iter().take(count_max).take_while(|object| {
            // A file that is gone is reported when it is sent.
            bytes += object.size().unwrap_or(0);
            bytes <= bytes_max
        });
        let (batch, others) = rest.split_at(fits.count().max(1));
        batches.push(batch);
        rest = others;
    }
    batches
}

fn store_batch(
    node: &WebNode,
    batch: &[DicomObject],
    tell: &mut dyn FnMut(SentObject),
) -> Result<(), PeerErrorCause> {
    let mut told = |outcome: &dyn Fn(&DicomObject) -> SendOutcome| {
        batch.iter().for_each(|object| tell(SentObject::of(object, outcome(object))));
    };
    match answer(node, batch) {
        Ok(BatchAnswer::Each(outcomes)) => {
            told(&|object| outcomes.of(object));
            Ok(())
        }
        Ok(BatchAnswer::Refused(_)) if batch.len() > 1 => {
            let (one, other) = batch.split_at(batch.len() / 2);
            store_batch(node, one, tell)?;
            store_batch(node, other, tell)
        }
        Ok(BatchAnswer::Refused(outcome)) => {
            told(&|_| outcome.clone());
            Ok(())
        }
        Err(cause) if cause.is_absence() => Err(cause),
        Err(cause) => {
            told(&|_| SendOutcome::Unanswered);
            Err(cause)
        }
    }
}

/// A service's answer to one batch.
enum BatchAnswer {
    Each(StoreOutcomes),
    /// The batch was refused as a whole for its contents; a smaller batch may be accepted. Holds the outcome
    /// if the batch is a single object.
    Refused(SendOutcome),
}

fn answer(node: &WebNode, batch: &[DicomObject]) -> Result<BatchAnswer, PeerErrorCause> {
    let mut reply = ask(node, question(&read(batch)?))?;
    match reply.head.status {
        // The limit differs between services.
        StatusCode::PAYLOAD_TOO_LARGE => {
            let comment = "the instance is too large for the service".to_owned();
            Ok(BatchAnswer::Refused(SendOutcome::Refused { status: DimseStatus::OUT_OF_RESOURCES, comment }))
        }
        status if status.is_success() || status == StatusCode::CONFLICT => {
            let response = StoreResponse::read(&reply.read(ANSWER_BYTES_MAX)?);
            let nothing =
                || PeerErrorCause::NotUnderstood("it does not say what became of the instances".to_owned());
            Ok(BatchAnswer::Each(StoreOutcomes::new(response.ok_or_else(nothing)?, reply.head.status)))
        }
        status if is_about_instances(status) => {
            let comment = reply.refusal().to_string();
            Ok(BatchAnswer::Refused(SendOutcome::Refused { status: DimseStatus::CANNOT_UNDERSTAND, comment }))
        }
        _ => Err(reply.refusal()),
    }
}

/// Whether a refusal may be due to the instances, and not to the sender, the address or the time.
fn is_about_instances(status: StatusCode) -> bool {
    status.is_client_error() && !matches!(status.as_u16(), 401 | 403 | 404 | 408 | 429)
}

/// A batch is in memory as a whole: no batch is larger than the node's settings say, or than one object.
fn read(batch: &[DicomObject]) -> Result<Vec<Bytes>, PeerErrorCause> {
    let files = batch.iter().map(|object| {
        let mut bytes = Vec::new();
        object.file()?.read_to_end(&mut bytes)?;
        Ok(Bytes::from(bytes))
    });
    let files: io::Result<Vec<Bytes>> = files.collect();
    files.map_err(|error| PeerErrorCause::Unreadable(error.to_string()))
}

fn question(batch: &[Bytes]) -> HttpQuestion {
    let boundary = boundary(batch);
    let head = Bytes::from(format!("\r\n--{boundary}\r\nContent-Type: application/dicom\r\n\r\n"));
    let end = Bytes::from(format!("\r\n--{boundary}--\r\n"));
    let parts = batch.iter().flat_map(|file| [head.clone(), file.clone()]);
    HttpQuestion {
        method: Method::POST,
        path: "/studies".to_owned(),
        accept: DICOM_JSON,
        content_type: Some(format!("multipart/related; type=\"application/dicom\"; boundary={boundary}")),
        body: BodyPieces::new(parts.chain([end])),
    }
}

/// A boundary that occurs in none of the objects.
fn boundary(batch: &[Bytes]) -> String {
    let occurs = |boundary: &String| {
        let finder = memmem::Finder::new(boundary);
        batch.iter().any(|file| finder.find(file).is_some())
    };
    let mut boundaries = (0_u32..).map(|number| format!("flow-boundary-{number}"));
    boundaries.find(|boundary| !occurs(boundary)).expect("no batch is large enough to hold them all")
}

/// Outcomes in a store response, by SOP Instance UID.
struct StoreOutcomes {
    by_uid: BTreeMap<String, SendOutcome>,
    /// The reason of a failure that the service does not assign to an instance.
    others: Option<DimseStatus>,
}

impl StoreOutcomes {
    fn new(response: StoreResponse, status: StatusCode) -> StoreOutcomes {
        let StoreResponse { stored, failed, others } = response;
        // With the status "conflict" nothing was stored, whatever the body says.
        let stored = stored.into_iter().filter(|_| status.is_success());
        let stored = stored.map(|InstanceReference { sop_instance_uid, status, .. }| {
            let comment = String::new();
            let outcome = if status == DimseStatus::SUCCESS {
                SendOutcome::Stored
            } else {
                SendOutcome::Warned { status, comment }
            };
            (sop_instance_uid, outcome)
        });
        // An instance that is listed as stored and as failed counts as failed.
        let failed = failed.into_iter().map(|InstanceReference { sop_instance_uid, status, .. }| {
            let status =
                if status == DimseStatus::SUCCESS { DimseStatus::PROCESSING_FAILURE } else { status };
            let comment = String::new();
            let is_there = status.is_there_already();
            let outcome = if is_there {
                SendOutcome::Warned { status, comment }
            } else {
                SendOutcome::Refused { status, comment }
            };
            (sop_instance_uid, outcome)
        });
        StoreOutcomes { by_uid: stored.chain(failed).collect(), others: others.first().copied() }
    }

    fn of(&self, object: &DicomObject) -> SendOutcome {
        let unnamed = || {
            let comment = "the answer does not name it as stored".to_owned();
            SendOutcome::Refused { status: self.others.unwrap_or(DimseStatus::PROCESSING_FAILURE), comment }
        };
        self.by_uid.get(object.sop_instance_uid()).cloned().unwrap_or_else(unnamed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dicom_file::part10::FileHead;

    fn object(number: u32, bytes: usize) -> DicomObject {
        let head = FileHead {
            sop_class_uid: "1.2.840.10008.5.1.4.1.1.2".to_owned(),
            sop_instance_uid: format!("1.2.{number}"),
            transfer_syntax_uid: "1.2.840.10008.1.2.1".to_owned(),
        };
        let mut file = head.encode();
        file.resize(bytes, 7);
        DicomObject::read(number.to_string(), file.into()).unwrap()
    }

    #[test]
    fn batches_are_bounded_by_count_and_bytes() {
        let objects: Vec<DicomObject> =
            [1000, 1000, 5000, 1000, 1000, 1000, 1000].map(|bytes| object(1, bytes)).into();
        let sizes: Vec<usize> = batches(&objects, 3, 2500).iter().map(|batch| batch.len()).collect();
        assert_eq!(sizes, [2, 1, 2, 2]);
        let sizes: Vec<usize> = batches(&objects, 3, u64::MAX).iter().map(|batch| batch.len()).collect();
        assert_eq!(sizes, [3, 3, 1]);
        assert!(batches(&[], 3, 2500).is_empty());
    }

    #[test]
    fn a_boundary_occurs_in_no_object() {
        let file = Bytes::from_static(b"flow-boundary-0 flow-boundary-2");
        assert_eq!(boundary(&[Bytes::new(), file]), "flow-boundary-1");
    }

    #[test]
    fn only_what_is_named_as_stored_is_stored() {
        let reference = |number: u32, status| InstanceReference {
            sop_class_uid: String::new(),
            sop_instance_uid: format!("1.2.{number}"),
            status,
        };
        let response = StoreResponse {
            stored: vec![
                reference(1, DimseStatus::SUCCESS),
                reference(2, DimseStatus(0xB000)),
                reference(3, DimseStatus::SUCCESS),
            ],
            failed: vec![reference(3, DimseStatus(0xA900)), reference(4, DimseStatus::SUCCESS)],
            others: Vec::new(),
        };
        let outcomes = StoreOutcomes::new(response.clone(), StatusCode::OK);
        let of = |number| outcomes.of(&object(number, 500));
        assert_eq!(of(1), SendOutcome::Stored);
        assert!(matches!(of(2), SendOutcome::Warned { status: DimseStatus(0xB000), .. }));
        assert!(matches!(of(3), SendOutcome::Refused { status: DimseStatus(0xA900), .. }), "named as both");
        assert!(
            matches!(of(4), SendOutcome::Refused { status: DimseStatus::PROCESSING_FAILURE, .. }),
            "no reason given"
        );
        assert!(matches!(of(5), SendOutcome::Refused { .. }), "not named");
        let conflict = StoreOutcomes::new(response, StatusCode::CONFLICT);
        assert!(!conflict.of(&object(1, 500)).is_stored());
    }

    #[test]
    fn what_is_there_already_has_not_failed() {
        for status in [DimseStatus(0x0111), DimseStatus(0xB00E)] {
            let (sop_class_uid, sop_instance_uid) = (String::new(), "1.2.1".to_owned());
            let failed = vec![InstanceReference { sop_class_uid, sop_instance_uid, status }];
            let response = StoreResponse { failed, ..StoreResponse::default() };
            let outcome = StoreOutcomes::new(response, StatusCode::CONFLICT).of(&object(1, 500));
            assert!(matches!(outcome, SendOutcome::Warned { .. }), "{outcome}");
            assert!(outcome.to_string().contains("there already"), "{outcome}");
        }
    }
}
