//! What UIDs of the standard are called.

use dicom_core::dictionary::{UidDictionary, UidDictionaryEntry};
use dicom_dictionary_std::sop_class::StandardSopClassDictionary;
use dicom_encoding::transfer_syntax::TransferSyntaxIndex;
use dicom_transfer_syntax_registry::TransferSyntaxRegistry;

/// The name of a SOP class or transfer syntax with its UID, or the UID alone.
pub(super) fn of(uid: &str) -> String {
    let class = StandardSopClassDictionary.by_uid(uid).map(|entry| entry.name());
    match class.or_else(|| TransferSyntaxRegistry.get(uid).map(|syntax| syntax.name())) {
        Some(name) => format!("{name} ({uid})"),
        None => uid.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn a_name_stands_before_its_uid() {
        assert_eq!(of("1.2.840.10008.5.1.4.1.1.2"), "CT Image Storage (1.2.840.10008.5.1.4.1.1.2)");
        assert!(
            of("1.2.840.10008.1.2.4.70").starts_with("JPEG Lossless"),
            "{}",
            of("1.2.840.10008.1.2.4.70")
        );
        assert_eq!(of("1.2.3"), "1.2.3");
    }
}
