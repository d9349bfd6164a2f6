//! SOP classes that are served: accepted in the negotiation and listed in the conformance statement.

use dicom_dictionary_std::uids;

/// Whether objects of this class are stored: every storage class of the standard, also retired and future
/// ones, and every private class, because only its maker knows whether it is one.
pub(in crate::dicom) fn is_storage(uid: &str) -> bool {
    !uid.starts_with(OF_THE_STANDARD) || uid.starts_with(OF_STORAGE) || STORAGE.lines().any(|one| one == uid)
}

pub(in crate::dicom) const OF_THE_STANDARD: &str = "1.2.840.10008.";

/// The root of the UIDs below which there are storage classes only.
pub(in crate::dicom) const OF_STORAGE: &str = "1.2.840.10008.5.1.4.1.1.";

/// The storage classes of PS3.6 table A-1, one UID per line.
const STORAGE: &str = include_str!("storage-classes.txt");

/// The storage classes of the standard.
pub(in crate::dicom) fn storage() -> impl Iterator<Item = &'static str> {
    STORAGE.lines()
}

/// Whether a presentation context of this class is accepted.
pub(in crate::dicom) fn is_served(uid: &str) -> bool {
    matches!(uid, uids::VERIFICATION | uids::STORAGE_COMMITMENT_PUSH_MODEL) || is_storage(uid)
}

/// Common storage classes, proposed to an archive that does not tell the classes of a study's objects. Each
/// takes two of the 128 contexts of an association.
pub(in crate::dicom) const USUAL: [&str; 46] = [
    uids::CT_IMAGE_STORAGE,
    uids::ENHANCED_CT_IMAGE_STORAGE,
    uids::LEGACY_CONVERTED_ENHANCED_CT_IMAGE_STORAGE,
    uids::MR_IMAGE_STORAGE,
    uids::ENHANCED_MR_IMAGE_STORAGE,
    uids::LEGACY_CONVERTED_ENHANCED_MR_IMAGE_STORAGE,
    uids::POSITRON_EMISSION_TOMOGRAPHY_IMAGE_STORAGE,
    uids::ENHANCED_PET_IMAGE_STORAGE,
    uids::NUCLEAR_MEDICINE_IMAGE_STORAGE,
    uids::COMPUTED_RADIOGRAPHY_IMAGE_STORAGE,
    uids::DIGITAL_X_RAY_IMAGE_STORAGE_FOR_PRESENTATION,
    uids::DIGITAL_X_RAY_IMAGE_STORAGE_FOR_PROCESSING,
    uids::DIGITAL_MAMMOGRAPHY_X_RAY_IMAGE_STORAGE_FOR_PRESENTATION,
    uids::DIGITAL_MAMMOGRAPHY_X_RAY_IMAGE_STORAGE_FOR_PROCESSING,
    uids::BREAST_TOMOSYNTHESIS_IMAGE_STORAGE,
    uids::X_RAY_ANGIOGRAPHIC_IMAGE_STORAGE,
    uids::ENHANCED_XA_IMAGE_STORAGE,
    uids::X_RAY3_D_ANGIOGRAPHIC_IMAGE_STORAGE,
    uids::X_RAY_RADIOFLUOROSCOPIC_IMAGE_STORAGE,
    uids::ULTRASOUND_IMAGE_STORAGE,
    uids::ULTRASOUND_MULTI_FRAME_IMAGE_STORAGE,
    uids::SECONDARY_CAPTURE_IMAGE_STORAGE,
    uids::MULTI_FRAME_SINGLE_BIT_SECONDARY_CAPTURE_IMAGE_STORAGE,
    uids::MULTI_FRAME_GRAYSCALE_BYTE_SECONDARY_CAPTURE_IMAGE_STORAGE,
    uids::MULTI_FRAME_GRAYSCALE_WORD_SECONDARY_CAPTURE_IMAGE_STORAGE,
    uids::MULTI_FRAME_TRUE_COLOR_SECONDARY_CAPTURE_IMAGE_STORAGE,
    uids::VL_PHOTOGRAPHIC_IMAGE_STORAGE,
    uids::SEGMENTATION_STORAGE,
    uids::LABEL_MAP_SEGMENTATION_STORAGE,
    uids::PARAMETRIC_MAP_STORAGE,
    uids::RAW_DATA_STORAGE,
    uids::SPATIAL_REGISTRATION_STORAGE,
    uids::RT_IMAGE_STORAGE,
    uids::RT_DOSE_STORAGE,
    uids::RT_STRUCTURE_SET_STORAGE,
    uids::RT_PLAN_STORAGE,
    uids::GRAYSCALE_SOFTCOPY_PRESENTATION_STATE_STORAGE,
    uids::COLOR_SOFTCOPY_PRESENTATION_STATE_STORAGE,
    uids::KEY_OBJECT_SELECTION_DOCUMENT_STORAGE,
    uids::BASIC_TEXT_SR_STORAGE,
    uids::ENHANCED_SR_STORAGE,
    uids::COMPREHENSIVE_SR_STORAGE,
    uids::COMPREHENSIVE3_DSR_STORAGE,
    uids::X_RAY_RADIATION_DOSE_SR_STORAGE,
    uids::CHEST_CADSR_STORAGE,
    uids::ENCAPSULATED_PDF_STORAGE,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_served_and_what_is_asked_for_elsewhere_is_not() {
        for uid in [
            uids::CT_IMAGE_STORAGE,
            uids::RT_PLAN_STORAGE,
            uids::HANGING_PROTOCOL_STORAGE,
            uids::RAW_DATA_STORAGE,
            "1.2.840.10008.5.1.4.1.1.6",
            "1.3.12.2.1107.5.9.1",
            "1.2.840.10008.5.1.4.1.1.987654",
            uids::VERIFICATION,
        ] {
            assert!(is_served(uid), "{uid}");
        }
        for uid in [
            uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_FIND,
            uids::MODALITY_WORKLIST_INFORMATION_MODEL_FIND,
            uids::BASIC_FILM_SESSION,
            uids::MEDIA_STORAGE_DIRECTORY_STORAGE,
            "1.2.840.10008.1.20.2",
        ] {
            assert!(!is_served(uid), "{uid}");
        }
    }
}
