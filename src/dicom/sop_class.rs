//! Which SOP classes are served: what the negotiation accepts and the conformance statement lists.

use dicom_dictionary_std::uids;

/// Whether objects of this class are stored: every storage class of the standard, retired ones and
/// those of editions to come too, and every class that is not of the standard, because only its maker
/// knows what it is.
pub(super) fn is_storage(uid: &str) -> bool {
    !uid.starts_with(OF_THE_STANDARD) || uid.starts_with(OF_STORAGE) || STORAGE.lines().any(|one| one == uid)
}

pub(super) const OF_THE_STANDARD: &str = "1.2.840.10008.";

/// Below it there are storage classes only.
pub(super) const OF_STORAGE: &str = "1.2.840.10008.5.1.4.1.1.";

/// The storage classes of PS3.6 table A-1, a UID a line.
const STORAGE: &str = include_str!("storage-classes.txt");

/// The storage classes of the standard.
pub(super) fn storage() -> impl Iterator<Item = &'static str> {
    STORAGE.lines()
}

/// Whether a presentation context of this class is accepted.
pub(super) fn is_served(uid: &str) -> bool {
    matches!(uid, uids::VERIFICATION | uids::STORAGE_COMMITMENT_PUSH_MODEL) || is_storage(uid)
}

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
