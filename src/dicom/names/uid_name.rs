//! Names of the standard's UIDs.

use dicom_core::dictionary::{UidDictionary, UidDictionaryEntry};
use dicom_dictionary_std::sop_class::StandardSopClassDictionary;
use dicom_encoding::transfer_syntax::TransferSyntaxIndex;
use dicom_transfer_syntax_registry::TransferSyntaxRegistry;

/// The name of a SOP class or transfer syntax with its UID, or the UID alone.
pub(in crate::dicom) fn of(uid: &str) -> String {
    name(uid).map_or_else(|| uid.to_owned(), |name| format!("{name} ({uid})"))
}

/// Name of a UID, without the UID.
pub(in crate::dicom) fn name(uid: &str) -> Option<&'static str> {
    let class = StandardSopClassDictionary.by_uid(uid).map(|entry| entry.name());
    let syntax = || TransferSyntaxRegistry.get(uid).map(|syntax| syntax.name());
    class.or_else(syntax).map(|name| match name {
        // The registry has a typing mistake in some versions.
        "JPIP HT2JK Referenced Deflate" => "JPIP HTJ2K Referenced Deflate",
        name => name,
    })
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
