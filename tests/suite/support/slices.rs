//! Small CT slices for tests, with known identifiers.

use dicom_core::{PrimitiveValue, VR, dicom_value};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};

/// A slice of one series: what differs between tests.
#[derive(Clone)]
pub struct Slice {
    pub study: String,
    pub number: u32,
    /// Square, 16 bits: `2 * edge * edge` bytes of pixels.
    pub edge: u16,
    pub transfer_syntax: &'static str,
    pub patient_name: &'static str,
    pub series_description: &'static str,
    pub rescale_intercept: &'static str,
}

impl Slice {
    pub fn new(study: &str, number: u32) -> Slice {
        let transfer_syntax = uids::EXPLICIT_VR_LITTLE_ENDIAN;
        Slice {
            study: study.to_owned(),
            number,
            edge: 32,
            transfer_syntax,
            patient_name: "Test^Seven",
            series_description: "Thorax",
            rescale_intercept: "-1024",
        }
    }

    pub fn uid(&self) -> String {
        format!("{}.1.{}", self.study, self.number)
    }

    /// The slice as a DICOM file.
    pub fn file(&self) -> Vec<u8> {
        let meta = FileMetaTableBuilder::new()
            .transfer_syntax(self.transfer_syntax)
            .media_storage_sop_class_uid(uids::CT_IMAGE_STORAGE)
            .media_storage_sop_instance_uid(self.uid());
        let mut bytes = Vec::new();
        let object = self.object().with_meta(meta).expect("the meta group is complete");
        object.write_all(&mut bytes).expect("a slice can be written");
        bytes
    }

    fn object(&self) -> InMemDicomObject {
        let mut object = InMemDicomObject::new_empty();
        for (tag, vr, text) in [
            (tags::SOP_CLASS_UID, VR::UI, uids::CT_IMAGE_STORAGE.to_owned()),
            (tags::SOP_INSTANCE_UID, VR::UI, self.uid()),
            (tags::STUDY_INSTANCE_UID, VR::UI, self.study.clone()),
            (tags::SERIES_INSTANCE_UID, VR::UI, format!("{}.1", self.study)),
            (tags::SERIES_DESCRIPTION, VR::LO, self.series_description.to_owned()),
            (tags::MODALITY, VR::CS, "CT".to_owned()),
            (tags::PATIENT_ID, VR::LO, "TEST-7".to_owned()),
            (tags::PATIENT_NAME, VR::PN, self.patient_name.to_owned()),
            (tags::STUDY_DATE, VR::DA, "20260131".to_owned()),
            (tags::INSTANCE_NUMBER, VR::IS, self.number.to_string()),
            (tags::RESCALE_INTERCEPT, VR::DS, self.rescale_intercept.to_owned()),
            (tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2".to_owned()),
        ] {
            object.put_element(dicom_core::DataElement::new(tag, vr, text));
        }
        for (tag, number) in [
            (tags::SAMPLES_PER_PIXEL, 1),
            (tags::ROWS, self.edge),
            (tags::COLUMNS, self.edge),
            (tags::BITS_ALLOCATED, 16),
            (tags::BITS_STORED, 16),
            (tags::HIGH_BIT, 15),
            (tags::PIXEL_REPRESENTATION, 0),
        ] {
            object.put_element(dicom_core::DataElement::new(tag, VR::US, dicom_value!(U16, [number])));
        }
        object.put_element(self.pixels());
        object
    }

    fn pixels(&self) -> dicom_core::DataElement<InMemDicomObject> {
        let count = usize::from(self.edge) * usize::from(self.edge);
        if self.transfer_syntax == uids::RLE_LOSSLESS {
            // Not an image, but a fragment that has to come through as it is.
            let fragment = vec![self.number as u8; count];
            let fragments = dicom_core::value::PixelFragmentSequence::new_fragments(vec![fragment]);
            return dicom_core::DataElement::new(tags::PIXEL_DATA, VR::OB, fragments);
        }
        let pixels: Vec<u16> =
            (0..count).map(|index| (index as u16).wrapping_add(self.number as u16)).collect();
        dicom_core::DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(pixels.into()))
    }
}

/// The data set of a file: what stands behind the meta group, whose length it tells.
pub fn data_set(file: &[u8]) -> &[u8] {
    let length = u32::from_le_bytes(file[140..144].try_into().expect("four bytes"));
    &file[144 + length as usize..]
}
