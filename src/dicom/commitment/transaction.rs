//! Storage commitment, push model (PS3.4 annex J), as both provider and user.
//!
//! As the provider, flow commits to instances in its inbox: they are kept until their request is answered,
//! and as long as answered requests are remembered. As the user, flow requests commitment from destinations;
//! the outcome arrives on the same association, or on one that the destination opens to our listener.

use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;

use crate::dicom::ask::query::encode;
use crate::dicom::names::dimse_node::DimseNode;
use crate::dicom::wire::command::CommandSet;
use crate::dicom_file::part10::FileHead;
use crate::imaging::{HeaderElements, Part10File};
use crate::step::Digest;

pub(in crate::dicom) const CLASS: &str = uids::STORAGE_COMMITMENT_PUSH_MODEL;

/// The longest data set of a commitment that is accepted, in bytes. One of 100 000 instances has 15 MB.
pub(in crate::dicom) const DATA_SET_BYTES_MAX: usize = 32 << 20;

/// The reference to an object: its SOP class and SOP instance.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct ObjectReference {
    pub sop_class_uid: String,
    pub sop_instance_uid: String,
}

/// A storage commitment transaction: its UID, and the objects to commit to.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(in crate::dicom) struct CommitmentTransaction {
    pub uid: String,
    pub references: Vec<ObjectReference>,
}

/// The outcome: which objects are safe, and which are not, with the reason (PS3.3 C.14.1.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitmentOutcome {
    pub safe: Vec<ObjectReference>,
    pub failed: Vec<(ObjectReference, u16)>,
}

impl CommitmentTransaction {
    pub(super) fn new(
        node: &DimseNode,
        references: &[ObjectReference],
        attempt: u64,
    ) -> CommitmentTransaction {
        let uids = references.iter().map(|one| one.sop_instance_uid.as_bytes());
        let number = attempt.to_be_bytes();
        let uid = Digest::of_parts(uids.chain([number.as_slice(), node.to_string().as_bytes()])).uid();
        CommitmentTransaction { uid, references: references.to_vec() }
    }

    /// Reads a request. `None` if it is not one, or has UIDs that could not be written into an outcome.
    pub fn decode(data_set: &[u8], transfer_syntax_uid: &str) -> Option<CommitmentTransaction> {
        with_elements(data_set, transfer_syntax_uid, |elements| {
            let uid = Some(elements.text(tags::TRANSACTION_UID)).filter(|uid| can_be_told(uid))?;
            let references = references(elements, tags::REFERENCED_SOP_SEQUENCE)?;
            (!references.is_empty()).then_some(CommitmentTransaction { uid, references })
        })
    }

    pub fn encode(&self, transfer_syntax_uid: &str) -> Vec<u8> {
        let items = self.references.iter().map(|reference| item(reference, None)).collect();
        let elements =
            [uid(tags::TRANSACTION_UID, &self.uid), sequence(tags::REFERENCED_SOP_SEQUENCE, items)];
        encode(&InMemDicomObject::from_element_iter(elements), transfer_syntax_uid)
    }
}

impl CommitmentOutcome {
    /// Reads an outcome: the transaction's UID, and the outcome.
    pub(in crate::dicom) fn decode(
        data_set: &[u8],
        transfer_syntax_uid: &str,
    ) -> Option<(String, CommitmentOutcome)> {
        with_elements(data_set, transfer_syntax_uid, |elements| {
            let failed = elements.items(tags::FAILED_SOP_SEQUENCE).map(|item| {
                Some((reference(&item)?, item.short(tags::FAILURE_REASON).unwrap_or(PROCESSING_FAILURE)))
            });
            let failed = failed.collect::<Option<_>>()?;
            let safe = references(elements, tags::REFERENCED_SOP_SEQUENCE)?;
            let uid = Some(elements.text(tags::TRANSACTION_UID)).filter(|uid| can_be_told(uid))?;
            Some((uid, CommitmentOutcome { safe, failed }))
        })
    }

    pub(in crate::dicom) fn encode(&self, transaction: &str, transfer_syntax_uid: &str) -> Vec<u8> {
        let mut elements = vec![uid(tags::TRANSACTION_UID, transaction)];
        if !self.safe.is_empty() {
            let items = self.safe.iter().map(|reference| item(reference, None)).collect();
            elements.push(sequence(tags::REFERENCED_SOP_SEQUENCE, items));
        }
        if !self.failed.is_empty() {
            let items =
                self.failed.iter().map(|(reference, reason)| item(reference, Some(*reason))).collect();
            elements.push(sequence(tags::FAILED_SOP_SEQUENCE, items));
        }
        encode(&InMemDicomObject::from_element_iter(elements), transfer_syntax_uid)
    }

    /// The event type of the report: all objects are committed to, or there are failures (PS3.4 table J.3-2).
    pub(in crate::dicom) fn event(&self) -> u16 {
        if self.failed.is_empty() { 1 } else { 2 }
    }
}

pub(in crate::dicom) const PROCESSING_FAILURE: u16 = 0x0110;
pub(in crate::dicom) const NO_SUCH_INSTANCE: u16 = 0x0112;
pub(in crate::dicom) const CLASS_INSTANCE_CONFLICT: u16 = 0x0119;

fn with_elements<T>(
    data_set: &[u8],
    syntax: &str,
    read: impl FnOnce(&HeaderElements) -> Option<T>,
) -> Option<T> {
    let head = FileHead { transfer_syntax_uid: syntax.to_owned(), ..FileHead::default() };
    let file = [head.encode(), data_set.to_vec()].concat();
    let file = Part10File::open(&file).ok()?;
    let elements = file.elements();
    if elements.damage.is_some() { None } else { read(&elements) }
}

/// The references of a sequence. `None` at the first item without UIDs: millions of empty items would take
/// much more memory than their bytes.
fn references(elements: &HeaderElements, tag: Tag) -> Option<Vec<ObjectReference>> {
    elements.items(tag).map(|item| reference(&item)).collect()
}

fn reference(item: &HeaderElements) -> Option<ObjectReference> {
    let sop_class_uid = item.text(tags::REFERENCED_SOP_CLASS_UID);
    let sop_instance_uid = item.text(tags::REFERENCED_SOP_INSTANCE_UID);
    let is_named = sop_class_uid.is_ascii() && can_be_told(&sop_instance_uid);
    is_named.then_some(ObjectReference { sop_class_uid, sop_instance_uid })
}

/// Whether a UID can be written into an outcome: UIDs are digits and dots, so text that is not ASCII cannot.
fn can_be_told(uid: &str) -> bool {
    !uid.is_empty() && uid.is_ascii()
}

fn item(reference: &ObjectReference, failure: Option<u16>) -> InMemDicomObject {
    let failure =
        failure.map(|reason| DataElement::new(tags::FAILURE_REASON, VR::US, PrimitiveValue::from(reason)));
    let named = [
        uid(tags::REFERENCED_SOP_CLASS_UID, &reference.sop_class_uid),
        uid(tags::REFERENCED_SOP_INSTANCE_UID, &reference.sop_instance_uid),
    ];
    InMemDicomObject::from_element_iter(named.into_iter().chain(failure))
}

fn uid(tag: Tag, text: &str) -> DataElement<InMemDicomObject> {
    DataElement::new(tag, VR::UI, PrimitiveValue::from(text))
}

fn sequence(tag: Tag, items: Vec<InMemDicomObject>) -> DataElement<InMemDicomObject> {
    DataElement::new(tag, VR::SQ, DataSetSequence::from(items))
}

pub(in crate::dicom) fn event_report(
    transaction: &str,
    outcome: &CommitmentOutcome,
    syntax: &str,
) -> (CommandSet, Vec<u8>) {
    let well_known = uids::STORAGE_COMMITMENT_PUSH_MODEL_INSTANCE;
    (CommandSet::event(1, CLASS, well_known, outcome.event()), outcome.encode(transaction, syntax))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(number: u32) -> ObjectReference {
        ObjectReference {
            sop_class_uid: "1.2.840.10008.5.1.4.1.1.2".to_owned(),
            sop_instance_uid: format!("1.2.{number}"),
        }
    }

    #[test]
    fn a_transaction_and_its_outcome_survive_the_wire() {
        let transaction =
            CommitmentTransaction { uid: "2.25.1".to_owned(), references: (0..3).map(reference).collect() };
        let outcome = CommitmentOutcome {
            safe: vec![reference(0), reference(1)],
            failed: vec![(reference(2), NO_SUCH_INSTANCE)],
        };
        for syntax in [uids::IMPLICIT_VR_LITTLE_ENDIAN, uids::EXPLICIT_VR_LITTLE_ENDIAN] {
            let bytes = transaction.encode(syntax);
            assert_eq!(CommitmentTransaction::decode(&bytes, syntax).as_ref(), Some(&transaction));
            let bytes = outcome.encode("2.25.1", syntax);
            assert_eq!(
                CommitmentOutcome::decode(&bytes, syntax),
                Some(("2.25.1".to_owned(), outcome.clone()))
            );
            for length in 0..bytes.len() {
                CommitmentOutcome::decode(&bytes[..length], syntax);
                CommitmentTransaction::decode(&bytes[..length], syntax);
            }
        }
    }

    #[test]
    fn what_cannot_be_told_is_not_agreed_to() {
        let syntax = uids::EXPLICIT_VR_LITTLE_ENDIAN;
        let asked =
            |reference| CommitmentTransaction { uid: "2.25.1".to_owned(), references: vec![reference] };
        let mut bytes = asked(reference(7)).encode(syntax);
        let last = bytes.iter().rposition(|byte| *byte == b'7').unwrap();
        assert!(CommitmentTransaction::decode(&bytes, syntax).is_some());
        bytes[last] = 0xFF;
        assert_eq!(CommitmentTransaction::decode(&bytes, syntax), None);
        // Four millions of items that name nothing: the first is enough.
        let empty = [0xFE, 0xFF, 0, 0xE0, 0, 0, 0, 0].repeat(DATA_SET_BYTES_MAX / 8);
        let head = [b"\x08\0\x99\x11SQ\0\0".as_slice(), &(empty.len() as u32).to_le_bytes()].concat();
        let uid =
            encode(&InMemDicomObject::from_element_iter([uid(tags::TRANSACTION_UID, "2.25.1")]), syntax);
        assert_eq!(CommitmentTransaction::decode(&[uid, head, empty].concat(), syntax), None);
    }
}
