//! A structured report as an instance: the modules around its content tree (PS3.3 C.17.1, C.17.2).

use dicom_core::VR;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use super::content::{put, put_items};
use super::instance::implementation_uid;
use super::{ContentItem, ContentRelationship, GeneratedInstance, GeneratedSeries, codes};
use crate::imaging::{InstanceHeader, StudyAttributes};

pub struct ReportDocument<'a> {
    pub sop_class_uid: &'static str,
    pub uid: String,
    pub study: &'a StudyAttributes,
    pub series: GeneratedSeries,
    pub root: ContentItem,
    /// The instances that the report was made from.
    pub evidence: Vec<EvidenceReference<'a>>,
}

/// An instance of the study.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvidenceReference<'a> {
    pub series_uid: &'a str,
    pub sop_class_uid: &'a str,
    pub sop_instance_uid: &'a str,
}

impl<'a> EvidenceReference<'a> {
    pub fn of(header: &'a InstanceHeader) -> EvidenceReference<'a> {
        EvidenceReference {
            series_uid: &header.series_instance_uid,
            sop_class_uid: &header.sop_class_uid,
            sop_instance_uid: &header.sop_instance_uid,
        }
    }
}

/// The date of an object whose study has none: reports and segmentations require date and time.
const NO_DATE: &str = "19000101";
const NO_TIME: &str = "000000";

impl ReportDocument<'_> {
    pub fn into_instance(self) -> GeneratedInstance<'static> {
        let ReportDocument { sop_class_uid, uid, study, series, root, evidence } = self;
        let mut instance = GeneratedInstance::new(sop_class_uid, uid, 1, study, &series);
        let (date, time) = date_and_time(study);
        instance.text(tags::CONTENT_DATE, VR::DA, &date);
        instance.text(tags::CONTENT_TIME, VR::TM, &time);
        instance.text(tags::COMPLETION_FLAG, VR::CS, "COMPLETE");
        instance.text(tags::VERIFICATION_FLAG, VR::CS, "UNVERIFIED");
        instance.items(tags::REFERENCED_PERFORMED_PROCEDURE_STEP_SEQUENCE, Vec::new());
        instance.items(tags::PERFORMED_PROCEDURE_CODE_SEQUENCE, Vec::new());
        instance.items(tags::CODING_SCHEME_IDENTIFICATION_SEQUENCE, vec![private_scheme()]);
        if !evidence.is_empty() {
            let evidence = vec![references(&study.study_instance_uid, &evidence)];
            instance.items(tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE, evidence);
        }
        root.put_into(&mut instance.set);
        instance
    }
}

/// Date and time of an object that requires them: the study's.
pub fn date_and_time(study: &StudyAttributes) -> (String, String) {
    let or = |text: &str, other: &str| if text.is_empty() { other.to_owned() } else { text.to_owned() };
    (or(&study.study_date, NO_DATE), or(&study.study_time, NO_TIME))
}

/// The language and the observer of a report (PS3.16 TID 1204, 1001, 1004): flow itself.
pub fn device_observer(root: ContentItem) -> ContentItem {
    use ContentRelationship::{HasContext, HasModifier};
    root.with(HasModifier, ContentItem::code(codes::LANGUAGE, codes::ENGLISH))
        .with(HasContext, ContentItem::code(codes::OBSERVER_TYPE, codes::DEVICE))
        .with(HasContext, ContentItem::uid(codes::DEVICE_UID, implementation_uid()))
        .with(HasContext, ContentItem::text(codes::DEVICE_NAME, "flow"))
        .with(HasContext, ContentItem::text(codes::DEVICE_MANUFACTURER, "flow"))
        .with(HasContext, ContentItem::text(codes::DEVICE_MODEL, concat!("flow ", env!("CARGO_PKG_VERSION"))))
}

fn private_scheme() -> InMemDicomObject {
    let mut item = InMemDicomObject::new_empty();
    put(&mut item, tags::CODING_SCHEME_DESIGNATOR, VR::SH, codes::PRIVATE_SCHEME);
    put(&mut item, tags::CODING_SCHEME_NAME, VR::ST, "Concepts of flow that no public scheme has");
    put(&mut item, tags::CODING_SCHEME_RESPONSIBLE_ORGANIZATION, VR::ST, "flow");
    item
}

/// References to instances of one study, grouped by series in the order in which each series first occurs.
fn references(study_uid: &str, instances: &[EvidenceReference]) -> InMemDicomObject {
    let mut series: Vec<(&str, Vec<InMemDicomObject>)> = Vec::new();
    for instance in instances {
        let mut item = InMemDicomObject::new_empty();
        put(&mut item, tags::REFERENCED_SOP_CLASS_UID, VR::UI, instance.sop_class_uid);
        put(&mut item, tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, instance.sop_instance_uid);
        match series.iter_mut().find(|(uid, _)| *uid == instance.series_uid) {
            Some((_, items)) => items.push(item),
            None => series.push((instance.series_uid, vec![item])),
        }
    }
    let series = series.into_iter().map(|(uid, instances)| {
        let mut item = InMemDicomObject::new_empty();
        put(&mut item, tags::SERIES_INSTANCE_UID, VR::UI, uid);
        put_items(&mut item, tags::REFERENCED_SOP_SEQUENCE, instances);
        item
    });
    let mut study = InMemDicomObject::new_empty();
    put(&mut study, tags::STUDY_INSTANCE_UID, VR::UI, study_uid);
    put_items(&mut study, tags::REFERENCED_SERIES_SEQUENCE, series.collect());
    study
}
