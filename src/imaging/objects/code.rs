//! Coded concepts (PS3.3 table 8.8-1): a value in a scheme, with its meaning in words.

use std::borrow::Cow;

use dicom_core::{DataElement, VR, value::DataSetSequence};
use dicom_dictionary_std::tags;
use dicom_object::{InMemDicomObject, mem::InMemElement};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodedConcept {
    /// At most 16 characters.
    pub value: Cow<'static, str>,
    pub scheme: &'static str,
    /// At most 64 characters.
    pub meaning: Cow<'static, str>,
}

/// A code from constants: value, scheme, meaning.
pub type ConceptName = (&'static str, &'static str, &'static str);

impl From<ConceptName> for CodedConcept {
    fn from((value, scheme, meaning): ConceptName) -> CodedConcept {
        CodedConcept { value: value.into(), scheme, meaning: meaning.into() }
    }
}

impl CodedConcept {
    /// A concept that no public scheme has, in flow's private scheme.
    pub fn private(value: String, meaning: String) -> CodedConcept {
        CodedConcept { value: value.into(), scheme: codes::PRIVATE_SCHEME, meaning: meaning.into() }
    }

    /// The code as a sequence of one item.
    pub fn element(&self, tag: dicom_core::Tag) -> InMemElement {
        DataElement::new(tag, VR::SQ, DataSetSequence::from(vec![self.item()]))
    }

    pub fn item(&self) -> InMemDicomObject {
        let text = |tag, vr, value: &str| DataElement::new(tag, vr, value);
        InMemDicomObject::from_element_iter([
            text(tags::CODE_VALUE, VR::SH, &self.value),
            text(tags::CODING_SCHEME_DESIGNATOR, VR::SH, self.scheme),
            text(tags::CODE_MEANING, VR::LO, &self.meaning),
        ])
    }
}

/// The concepts of flow's reports: PS3.16 (DCM and its context groups), SNOMED CT, LOINC, UCUM.
pub mod codes {
    use super::ConceptName;

    pub const PRIVATE_SCHEME: &str = "99FLOW";

    pub const MEASUREMENT_REPORT: ConceptName = ("126000", "DCM", "Imaging Measurement Report");
    pub const IMAGING_MEASUREMENTS: ConceptName = ("126010", "DCM", "Imaging Measurements");
    pub const MEASUREMENT_GROUP: ConceptName = ("125007", "DCM", "Measurement Group");
    pub const STUDY_REPORT: ConceptName = ("STUDY-REPORT", PRIVATE_SCHEME, "Study Content Report");
    pub const ERROR_REPORT: ConceptName = ("ERROR-REPORT", PRIVATE_SCHEME, "Processing Error Report");

    pub const LANGUAGE: ConceptName = ("121049", "DCM", "Language of Content Item and Descendants");
    pub const ENGLISH: ConceptName = ("en-US", "RFC5646", "English (United States)");
    pub const OBSERVER_TYPE: ConceptName = ("121005", "DCM", "Observer Type");
    pub const DEVICE: ConceptName = ("121007", "DCM", "Device");
    pub const DEVICE_UID: ConceptName = ("121012", "DCM", "Device Observer UID");
    pub const DEVICE_NAME: ConceptName = ("121013", "DCM", "Device Observer Name");
    pub const DEVICE_MANUFACTURER: ConceptName = ("121014", "DCM", "Device Observer Manufacturer");
    pub const DEVICE_MODEL: ConceptName = ("121015", "DCM", "Device Observer Model Name");

    pub const PROCEDURE_REPORTED: ConceptName = ("121058", "DCM", "Procedure reported");
    // CID 100 has no code for the chest; the groups name the body region.
    pub const CT: ConceptName = ("25045-6", "LN", "CT unspecified body region");
    pub const SERIES_UID: ConceptName = ("112002", "DCM", "Series Instance UID");
    pub const COMMENT: ConceptName = ("121106", "DCM", "Comment");
    pub const FINDINGS: ConceptName = ("121070", "DCM", "Findings");
    pub const FINDING: ConceptName = ("121071", "DCM", "Finding");
    pub const RECOMMENDATIONS: ConceptName = ("121074", "DCM", "Recommendations");
    pub const RECOMMENDATION: ConceptName = ("121075", "DCM", "Recommendation");

    pub const QUALITATIVE_EVALUATIONS: ConceptName = ("C0034375", "UMLS", "Qualitative Evaluations");
    pub const VERDICT: ConceptName = ("VERDICT", PRIVATE_SCHEME, "Verdict");
    pub const COMPLETE: ConceptName = ("COMPLETE", PRIVATE_SCHEME, "Complete");
    pub const RESERVED: ConceptName = ("RESERVED", PRIVATE_SCHEME, "Complete, with reservations");
    // CID 6044, quality control standards.
    pub const QUALITY_ASSESSMENT: ConceptName = ("111050", "DCM", "Quality Assessment");
    pub const QUALITY_MET: ConceptName = ("111237", "DCM", "Usable - Meets the quality control standard");
    pub const QUALITY_NOT_MET: ConceptName =
        ("111236", "DCM", "Usable - Does not meet the quality control standard");
    pub const QUALITY_FINDING: ConceptName = ("111052", "DCM", "Quality Finding");
    pub const CONTRAST_AGENT: ConceptName = ("7140000", "SCT", "Contrast agent");
    pub const COVERAGE_INCOMPLETE: ConceptName = ("130576", "DCM", "Anatomy coverage incomplete");

    pub const TRACKING_IDENTIFIER: ConceptName = ("112039", "DCM", "Tracking Identifier");
    pub const TRACKING_UID: ConceptName = ("112040", "DCM", "Tracking Unique Identifier");
    pub const ALGORITHM_NAME: ConceptName = ("111001", "DCM", "Algorithm Name");
    pub const ALGORITHM_VERSION: ConceptName = ("111003", "DCM", "Algorithm Version");
    pub const FINDING_SITE: ConceptName = ("363698007", "SCT", "Finding Site");
    pub const LATERALITY: ConceptName = ("272741003", "SCT", "Laterality");
    pub const RIGHT: ConceptName = ("24028007", "SCT", "Right");
    pub const LEFT: ConceptName = ("7771000", "SCT", "Left");
    pub const BILATERAL: ConceptName = ("51440002", "SCT", "Bilateral");
    pub const LUNG: ConceptName = ("39607008", "SCT", "Lung");
    pub const RIGHT_LUNG: ConceptName = ("3341006", "SCT", "Right lung");
    pub const LEFT_LUNG: ConceptName = ("44029006", "SCT", "Left lung");

    pub const ANATOMICAL_STRUCTURE: ConceptName = ("91723000", "SCT", "Anatomical Structure");
    pub const BODY_SUBSTANCE: ConceptName = ("91720002", "SCT", "Body Substance");
    pub const TRACHEA_AND_BRONCHUS: ConceptName = ("110726009", "SCT", "Trachea and bronchus");
    pub const GAS: ConceptName = ("74947009", "SCT", "Gas");
    pub const MORPHOLOGICAL_OPERATIONS: ConceptName = ("123104", "DCM", "Morphological Operations");
    pub const SEGMENTATION: ConceptName = ("113076", "DCM", "Segmentation");
    pub const SOURCE_IMAGE: ConceptName = ("121322", "DCM", "Source image for image processing operation");
    pub const REFERENCED_SEGMENT: ConceptName = ("121191", "DCM", "Referenced Segment");
    pub const SEGMENTATION_SERIES: ConceptName = ("121232", "DCM", "Source series for segmentation");
    pub const SEGMENTATION_IMAGE: ConceptName = ("121233", "DCM", "Source image for segmentation");

    pub const VOLUME: ConceptName = ("118565006", "SCT", "Volume");
    // CID 6141, measurements of attenuation in chest CT.
    pub const MEAN: ConceptName = ("112181", "DCM", "Mean Attenuation Coefficient");
    pub const MEDIAN: ConceptName = ("112182", "DCM", "Median Attenuation Coefficient");
    pub const DEVIATION: ConceptName = ("112183", "DCM", "Standard Deviation of Attenuation Coefficient");
    pub const PERCENTILE_15: ConceptName = ("PERC15", PRIVATE_SCHEME, "15th percentile of lung density");
    pub const DENSITY_15: ConceptName =
        ("PERC15-GL", PRIVATE_SCHEME, "15th percentile of lung density, in g/L");
    pub const DENSITY_15_ADJUSTED: ConceptName =
        ("PERC15-ADJUSTED", PRIVATE_SCHEME, "15th percentile of lung density, volume-adjusted");
    pub const HIGH_ATTENUATION: ConceptName =
        ("HAA-600-250", PRIVATE_SCHEME, "Lung voxels from -600 to below -250 HU");
    pub const CLUSTER_SLOPE: ConceptName =
        ("LAA-950-D", PRIVATE_SCHEME, "Slope D of cluster sizes below -950 HU");
    // CID 7477, shape features.
    pub const MESH_VOLUME: ConceptName = ("RNU0", "IBSI", "Volume of Mesh");
    pub const MESH_AREA: ConceptName = ("C0JK", "IBSI", "Surface Area of Mesh");
    pub const COMPACTNESS_2: ConceptName = ("BQWJ", "IBSI", "Compactness 2");
    pub const SPHERICITY: ConceptName = ("QCFX", "IBSI", "Sphericity");
    pub const MAXIMUM_DIAMETER: ConceptName = ("L0JK", "IBSI", "Maximum 3D Diameter of a Mesh");
    pub const MAJOR_AXIS: ConceptName = ("TDIC", "IBSI", "Major Axis in 3D Length");
    pub const MINOR_AXIS: ConceptName = ("P9VJ", "IBSI", "Minor Axis in 3D Length");
    pub const LEAST_AXIS: ConceptName = ("7J51", "IBSI", "Least Axis in 3D Length");
    pub const ELONGATION: ConceptName = ("Q3CK", "IBSI", "Elongation");
    pub const FLATNESS: ConceptName = ("N17B", "IBSI", "Flatness");

    pub const MILLIMETRE: ConceptName = ("mm", "UCUM", "millimeter");
    pub const SQUARE_MILLIMETRE: ConceptName = ("mm2", "UCUM", "square millimeter");
    pub const CUBIC_MILLIMETRE: ConceptName = ("mm3", "UCUM", "cubic millimeter");
    pub const MILLILITRE: ConceptName = ("ml", "UCUM", "milliliter");
    pub const HOUNSFIELD: ConceptName = ("[hnsf'U]", "UCUM", "Hounsfield unit");
    pub const GRAM_PER_LITRE: ConceptName = ("g/L", "UCUM", "gram per liter");
    pub const NO_UNITS: ConceptName = ("1", "UCUM", "no units");
    pub const PERCENT: ConceptName = ("%", "UCUM", "Percent");
}
