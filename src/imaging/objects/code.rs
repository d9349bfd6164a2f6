//! Coded concepts (PS3.3 table 8.8-1): a value in a scheme, with its meaning in words.

use std::borrow::Cow;

use dicom_core::{DataElement, VR, value::DataSetSequence};
use dicom_dictionary_std::tags;
use dicom_object::{InMemDicomObject, mem::InMemElement};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    /// At most 16 characters.
    pub value: Cow<'static, str>,
    pub scheme: &'static str,
    /// At most 64 characters.
    pub meaning: Cow<'static, str>,
}

/// A code from constants: value, scheme, meaning.
pub type Name = (&'static str, &'static str, &'static str);

impl From<Name> for Code {
    fn from((value, scheme, meaning): Name) -> Code {
        Code { value: value.into(), scheme, meaning: meaning.into() }
    }
}

impl Code {
    /// A concept that no public scheme has, in flow's private scheme.
    pub fn private(value: String, meaning: String) -> Code {
        Code { value: value.into(), scheme: codes::PRIVATE_SCHEME, meaning: meaning.into() }
    }

    /// The code as a sequence of one item.
    pub fn element(&self, tag: dicom_core::Tag) -> InMemElement {
        let text = |tag, vr, value: &str| DataElement::new(tag, vr, value);
        let item = InMemDicomObject::from_element_iter([
            text(tags::CODE_VALUE, VR::SH, &self.value),
            text(tags::CODING_SCHEME_DESIGNATOR, VR::SH, self.scheme),
            text(tags::CODE_MEANING, VR::LO, &self.meaning),
        ]);
        DataElement::new(tag, VR::SQ, DataSetSequence::from(vec![item]))
    }
}

/// The concepts of flow's reports: PS3.16 (DCM and its context groups), SNOMED CT, LOINC, UCUM.
pub mod codes {
    use super::Name;

    pub const PRIVATE_SCHEME: &str = "99FLOW";

    pub const MEASUREMENT_REPORT: Name = ("126000", "DCM", "Imaging Measurement Report");
    pub const IMAGING_MEASUREMENTS: Name = ("126010", "DCM", "Imaging Measurements");
    pub const MEASUREMENT_GROUP: Name = ("125007", "DCM", "Measurement Group");
    pub const ERROR_REPORT: Name = ("ERROR-REPORT", PRIVATE_SCHEME, "Processing Error Report");

    pub const LANGUAGE: Name = ("121049", "DCM", "Language of Content Item and Descendants");
    pub const ENGLISH: Name = ("en-US", "RFC5646", "English (United States)");
    pub const OBSERVER_TYPE: Name = ("121005", "DCM", "Observer Type");
    pub const DEVICE: Name = ("121007", "DCM", "Device");
    pub const DEVICE_UID: Name = ("121012", "DCM", "Device Observer UID");
    pub const DEVICE_NAME: Name = ("121013", "DCM", "Device Observer Name");
    pub const DEVICE_MANUFACTURER: Name = ("121014", "DCM", "Device Observer Manufacturer");
    pub const DEVICE_MODEL: Name = ("121015", "DCM", "Device Observer Model Name");

    pub const PROCEDURE_REPORTED: Name = ("121058", "DCM", "Procedure reported");
    // CID 100 has no code for the chest; the groups name the body region.
    pub const CT: Name = ("25045-6", "LN", "CT unspecified body region");
    pub const SERIES_UID: Name = ("112002", "DCM", "Series Instance UID");
    pub const COMMENT: Name = ("121106", "DCM", "Comment");
    pub const FINDINGS: Name = ("121070", "DCM", "Findings");
    pub const FINDING: Name = ("121071", "DCM", "Finding");
    pub const RECOMMENDATIONS: Name = ("121074", "DCM", "Recommendations");
    pub const RECOMMENDATION: Name = ("121075", "DCM", "Recommendation");

    pub const TRACKING_IDENTIFIER: Name = ("112039", "DCM", "Tracking Identifier");
    pub const TRACKING_UID: Name = ("112040", "DCM", "Tracking Unique Identifier");
    pub const ALGORITHM_NAME: Name = ("111001", "DCM", "Algorithm Name");
    pub const ALGORITHM_VERSION: Name = ("111003", "DCM", "Algorithm Version");
    pub const FINDING_SITE: Name = ("363698007", "SCT", "Finding Site");
    pub const LATERALITY: Name = ("272741003", "SCT", "Laterality");
    pub const RIGHT: Name = ("24028007", "SCT", "Right");
    pub const LEFT: Name = ("7771000", "SCT", "Left");
    pub const BILATERAL: Name = ("51440002", "SCT", "Bilateral");
    pub const LUNG: Name = ("39607008", "SCT", "Lung");
    pub const RIGHT_LUNG: Name = ("3341006", "SCT", "Right lung");
    pub const LEFT_LUNG: Name = ("44029006", "SCT", "Left lung");

    pub const VOLUME: Name = ("118565006", "SCT", "Volume");
    // CID 6141, measurements of attenuation in chest CT.
    pub const MEAN: Name = ("112181", "DCM", "Mean Attenuation Coefficient");
    pub const MEDIAN: Name = ("112182", "DCM", "Median Attenuation Coefficient");
    pub const DEVIATION: Name = ("112183", "DCM", "Standard Deviation of Attenuation Coefficient");
    pub const PERCENTILE_15: Name = ("PERC15", PRIVATE_SCHEME, "15th percentile of lung density");

    pub const MILLILITRE: Name = ("ml", "UCUM", "milliliter");
    pub const HOUNSFIELD: Name = ("[hnsf'U]", "UCUM", "Hounsfield unit");
    pub const PERCENT: Name = ("%", "UCUM", "Percent");
}
