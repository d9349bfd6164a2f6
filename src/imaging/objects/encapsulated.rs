//! An Encapsulated PDF object (PS3.3 A.45.1).

use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;

use super::content::put;
use super::document::date_and_time;
use super::{CodedConcept, ConceptName, EvidenceReference, GeneratedInstance, GeneratedSeries};
use crate::imaging::StudyAttributes;

pub struct EncapsulatedPdf<'a> {
    pub uid: String,
    pub study: &'a StudyAttributes,
    pub series: GeneratedSeries,
    pub title: &'a str,
    pub concept: ConceptName,
    /// The instances that the document was made from.
    pub sources: Vec<EvidenceReference<'a>>,
    pub pdf: Vec<u8>,
}

impl EncapsulatedPdf<'_> {
    pub fn into_instance(self) -> GeneratedInstance<'static> {
        let EncapsulatedPdf { uid, study, series, title, concept, sources, mut pdf } = self;
        let class = uids::ENCAPSULATED_PDF_STORAGE;
        let mut instance = GeneratedInstance::new(class, uid, 1, study, &series);
        let (date, time) = date_and_time(study);
        let texts = [
            (tags::CONVERSION_TYPE, VR::CS, "WSD"),
            (tags::CONTENT_DATE, VR::DA, &date),
            (tags::CONTENT_TIME, VR::TM, &time),
            (tags::ACQUISITION_DATE_TIME, VR::DT, ""),
            // The page names the patient.
            (tags::BURNED_IN_ANNOTATION, VR::CS, "YES"),
            (tags::VERIFICATION_FLAG, VR::CS, "UNVERIFIED"),
            (tags::DOCUMENT_TITLE, VR::ST, title),
            (tags::MIME_TYPE_OF_ENCAPSULATED_DOCUMENT, VR::LO, "application/pdf"),
        ];
        texts.into_iter().for_each(|(tag, vr, text)| instance.text(tag, vr, text));
        instance.set.put(CodedConcept::from(concept).element(tags::CONCEPT_NAME_CODE_SEQUENCE));
        instance.items(tags::SOURCE_INSTANCE_SEQUENCE, sources.iter().map(source).collect());
        let length = PrimitiveValue::from(pdf.len() as u32);
        instance.set.put(DataElement::new(tags::ENCAPSULATED_DOCUMENT_LENGTH, VR::UL, length));
        pdf.resize(pdf.len().next_multiple_of(2), 0);
        instance.bytes(tags::ENCAPSULATED_DOCUMENT, VR::OB, pdf);
        instance
    }
}

fn source(instance: &EvidenceReference) -> InMemDicomObject {
    let mut item = InMemDicomObject::new_empty();
    put(&mut item, tags::REFERENCED_SOP_CLASS_UID, VR::UI, instance.sop_class_uid);
    put(&mut item, tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, instance.sop_instance_uid);
    item
}
