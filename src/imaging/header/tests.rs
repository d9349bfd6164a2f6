//! What is read of an instance's header, and what is said where it cannot be read.

use super::*;
use crate::imaging::sample;
use dicom_core::Tag;

#[test]
fn an_instance_says_what_and_whose_it_is() {
    let expected = sample::header(5);
    let bytes = sample::slice_file(&expected, &[0; 24]);
    let (header, study) = read_instance("slice-5", &expected.path, &bytes).unwrap();
    assert_eq!((header.rows, header.columns, header.decoded_bytes()), (3, 4, 24));
    assert_eq!((header.position, header.spacing), (expected.position, expected.spacing));
    assert_eq!((header.slope, header.intercept), (1.0, -1024.0));
    assert_eq!((study.study_instance_uid.as_str(), study.patient_name.as_str()), ("1.0", "Doe^Jane"));
}

#[test]
fn a_damaged_file_still_says_whose_it_is() {
    let header = sample::header(1);
    let data = sample::elements(&header);
    let bytes = sample::file(&header.transfer_syntax_uid, &data[..data.len() - 3]);
    match read_instance("bad", &header.path, &bytes) {
        Err(HeaderError::Damaged { fault, study }) => {
            assert!(fault.reason.contains("bad") && fault.reason.contains("cut off"), "{fault}");
            assert_eq!(study.study_instance_uid, "1.0");
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(read_instance("text", &header.path, b"text"), Err(HeaderError::NotDicom)));
}

#[test]
fn a_private_transfer_syntax_is_the_reason_why_a_file_cannot_be_read() {
    // Implicit elements, as in a private syntax of GE, are no explicit ones.
    let implicit = [8, 0, 0x16, 0, 4, 0, 0, 0, b'1', b'.', b'2', 0].repeat(3);
    let bytes = sample::file("1.2.840.113619.5.2", &implicit);
    let Err(HeaderError::Damaged { fault, .. }) = read_instance("ge", Path::new("ge"), &bytes) else {
        panic!("it cannot be read");
    };
    let reason =
        "the file ge cannot be read: there is no decoder for the private transfer syntax 1.2.840.113619.5.2";
    assert_eq!(fault.reason, reason);
}

#[test]
fn a_contrast_agent_called_none_is_none() {
    let agent = |value: &[u8]| {
        let header = sample::header(0);
        let agent = sample::element(tags::CONTRAST_BOLUS_AGENT, "LO", value);
        let data = [sample::elements(&header), agent, sample::element(tags::PIXEL_DATA, "OW", &[0; 24])];
        let bytes = sample::file(&header.transfer_syntax_uid, &data.concat());
        read_instance("", &header.path, &bytes).unwrap().0.contrast_agent
    };
    let none =
        "NONE|none|N/A|WITHOUT|No contrast|ohne KM|NATIV|N|oral|NON-CONTRAST|non contrast|w/o contrast|NO IV";
    none.split('|').for_each(|value| assert_eq!(agent(value.as_bytes()), "", "{value:?}"));
    let given =
        "Iohexol|ORAL & IV|Nonionic|NON-IONIC 100 ML|NO IONICO 300|NO ORAL, IV OMNIPAQUE|WITHOUT AND WITH";
    given.split('|').for_each(|value| assert_ne!(agent(value.as_bytes()), "", "{value:?}"));
}

#[test]
fn loss_is_told_by_ratio_and_method_too() {
    let lossy = |tag: Tag, vr: &str, value: &[u8]| {
        let header = sample::header(0);
        let pixels = sample::element(tags::PIXEL_DATA, "OW", &[0; 24]);
        let data = [sample::elements(&header), sample::element(tag, vr, value), pixels];
        let bytes = sample::file(&header.transfer_syntax_uid, &data.concat());
        read_instance("", &header.path, &bytes).unwrap().0.is_lossy
    };
    assert!(lossy(tags::LOSSY_IMAGE_COMPRESSION_RATIO, "DS", b"30"));
    assert!(lossy(tags::LOSSY_IMAGE_COMPRESSION_METHOD, "CS", b"ISO_10918_1 "));
    assert!(lossy(tags::LOSSY_IMAGE_COMPRESSION, "CS", b"01"));
    assert!(!lossy(tags::LOSSY_IMAGE_COMPRESSION, "CS", b"00"));
    assert!(!lossy(tags::LOSSY_IMAGE_COMPRESSION_RATIO, "DS", b"1 "));
}

#[test]
fn a_large_private_element_is_read_past() {
    let folder = tempfile::tempdir().unwrap();
    let expected = sample::header(2);
    let private = sample::element(Tag(0x0029, 0x1010), "OB", &vec![1; 300_000]);
    let data = [sample::elements(&expected), private, sample::element(tags::PIXEL_DATA, "OW", &[0; 24])];
    let path = folder.path().join("large.dcm");
    std::fs::write(&path, sample::file(&expected.transfer_syntax_uid, &data.concat())).unwrap();
    assert_eq!(InstanceHeader::read("large", &path).unwrap().rows, 3);
    let missing = InstanceHeader::read("gone", &folder.path().join("gone.dcm")).unwrap_err();
    assert!(missing.reason.contains("gone could not be read"), "{missing}");
}
