//! Small synthetic instances for tests.

use std::path::PathBuf;

use dicom_core::Tag;
use dicom_dictionary_std::{tags, uids};

use super::InstanceHeader;
use super::rescale::PixelUnits;

/// Slice `index` of an axial CT series of 4 × 3 pixels, 1 mm apart.
pub fn header(index: usize) -> InstanceHeader {
    InstanceHeader {
        name: format!("slice-{index}"),
        path: PathBuf::from(format!("slice-{index}.dcm")),
        item: None,
        sop_class_uid: uids::CT_IMAGE_STORAGE.to_owned(),
        sop_instance_uid: format!("1.2.{index}"),
        series_instance_uid: "1.1".to_owned(),
        series_number: Some(3),
        series_description: "Thorax".to_owned(),
        frame_of_reference_uid: "1.3".to_owned(),
        transfer_syntax_uid: uids::EXPLICIT_VR_LITTLE_ENDIAN.to_owned(),
        modality: "CT".to_owned(),
        image_type: ["ORIGINAL", "PRIMARY", "AXIAL"].map(str::to_owned).to_vec(),
        instance_number: Some(index as i32),
        rows: 3,
        columns: 4,
        frames: 1,
        samples_per_pixel: 1,
        bits_allocated: 16,
        bits_stored: 12,
        signed: false,
        position: Some([-2.0, -1.5, index as f64]),
        orientation: Some([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]),
        spacing: Some([0.5, 0.5]),
        slice_thickness: Some(1.0),
        slope: 1.0,
        intercept: -1024.0,
        units: PixelUnits::Hounsfield,
        kernel: "B30f".to_owned(),
        manufacturer: "SIEMENS".to_owned(),
        contrast_agent: String::new(),
        peak_kilovoltage: Some(120.0),
        patient_id: "P1".to_owned(),
        issuer_of_patient_id: "WEST".to_owned(),
        patient_name: "Doe^Jane".to_owned(),
        patient_birth_date: "19600102".to_owned(),
        patient_sex: "F".to_owned(),
        acquisition_number: Some(1),
        acquisition_time: "120000".to_owned(),
        acquisition_datetime: String::new(),
        stack_id: String::new(),
        temporal_position: None,
        derivation_description: String::new(),
        calculation_technique: String::new(),
        reconstruction_diameter: None,
        slice_location: None,
        spacing_between_slices: None,
        is_lossy: false,
        lossy_ratio: None,
        frame: None,
        frame_attributes: Vec::new(),
        is_own_result: false,
    }
}

/// An element in explicit VR little endian, with a 16-bit length where its VR has one.
pub fn element(tag: Tag, vr: &str, value: &[u8]) -> Vec<u8> {
    let mut bytes = [tag.group().to_le_bytes(), tag.element().to_le_bytes()].concat();
    bytes.extend_from_slice(vr.as_bytes());
    match vr {
        "OB" | "OW" | "SQ" | "UN" => {
            bytes.extend_from_slice(&[0, 0]);
            bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
        }
        _ => bytes.extend_from_slice(&(value.len() as u16).to_le_bytes()),
    }
    bytes.extend_from_slice(value);
    bytes
}

/// A file of a data set, in a transfer syntax.
pub fn file(transfer_syntax_uid: &str, data: &[u8]) -> Vec<u8> {
    let syntax = element(tags::TRANSFER_SYNTAX_UID, "UI", transfer_syntax_uid.as_bytes());
    [&[0; 128], b"DICM".as_slice(), &syntax, data].concat()
}

/// The file of a slice with pixels, explicit VR little endian.
pub fn slice_file(header: &InstanceHeader, pixels: &[u8]) -> Vec<u8> {
    file(&header.transfer_syntax_uid, &[elements(header), element(tags::PIXEL_DATA, "OW", pixels)].concat())
}

/// The elements of a slice's file before its pixels.
pub fn elements(header: &InstanceHeader) -> Vec<u8> {
    let text = |tag, vr: &str, value: &str| element(tag, vr, value.as_bytes());
    let short = |tag, value: u16| element(tag, "US", &value.to_le_bytes());
    let numbers = |values: &[f64]| values.iter().map(f64::to_string).collect::<Vec<_>>().join("\\");
    [
        text(tags::SOP_CLASS_UID, "UI", &header.sop_class_uid),
        text(tags::SOP_INSTANCE_UID, "UI", &header.sop_instance_uid),
        text(tags::MODALITY, "CS", &header.modality),
        text(tags::PATIENT_NAME, "PN", "Doe^Jane"),
        text(tags::STUDY_INSTANCE_UID, "UI", "1.0"),
        text(tags::SERIES_INSTANCE_UID, "UI", &header.series_instance_uid),
        text(tags::IMAGE_POSITION_PATIENT, "DS", &numbers(&header.position.unwrap_or_default())),
        text(tags::IMAGE_ORIENTATION_PATIENT, "DS", &numbers(&header.orientation.unwrap_or_default())),
        short(tags::ROWS, header.rows),
        short(tags::COLUMNS, header.columns),
        text(tags::PIXEL_SPACING, "DS", &numbers(&header.spacing.unwrap_or_default())),
        short(tags::BITS_ALLOCATED, header.bits_allocated),
        short(tags::BITS_STORED, header.bits_stored),
        short(tags::PIXEL_REPRESENTATION, header.signed.into()),
        text(tags::RESCALE_INTERCEPT, "DS", &header.intercept.to_string()),
        text(tags::RESCALE_SLOPE, "DS", &header.slope.to_string()),
    ]
    .concat()
}
