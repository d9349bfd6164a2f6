//! A DICOM instance under construction, in the study of a request.
//!
//! Dates are the study's, so that no clock is needed. Text beyond ASCII makes the character set UTF-8.

use std::sync::Arc;

use dicom_core::{DataElement, PrimitiveValue, Tag, VR, value::Value};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use dicom_transfer_syntax_registry::entries;

use super::content::{put, put_items};
use crate::dicom_file::encoding::{ITEM, ITEM_END, SEQUENCE_END};
use crate::imaging::StudyAttributes;
use crate::imaging::elements::HeaderElements;
use crate::step::{Call, Digest, Fault, Parameter, ResponseFile};

/// The series of an instance.
#[derive(Clone, Debug)]
pub struct GeneratedSeries {
    pub uid: String,
    pub modality: &'static str,
    pub number: u32,
    pub description: String,
}

impl GeneratedSeries {
    /// The parameters of a step that makes a series: its number and its description.
    pub fn parameters(number: u32, description: &'static str) -> [Parameter; 2] {
        let about = "of the new series";
        [
            Parameter::number("series_number", number.into(), 1.0, 99999.0, "").about(about),
            Parameter::text("series_description", description, &[]).about(about),
        ]
    }

    /// The series of a run, with what was chosen.
    pub fn of(call: &Call, modality: &'static str) -> GeneratedSeries {
        GeneratedSeries {
            uid: call.uid(0),
            modality,
            number: call.number("series_number") as u32,
            description: call.text("series_description").to_owned(),
        }
    }
}

pub struct GeneratedInstance<'a> {
    pub set: InMemDicomObject,
    /// The sequence behind all other elements but Pixel Data.
    last_items: Option<(Tag, Box<dyn Iterator<Item = InMemDicomObject> + 'a>)>,
    /// Pixel Data, the last element: it is written once, into the file.
    pixels: Option<PixelSource<'a>>,
    sop_class_uid: &'static str,
    uid: String,
}

type PixelWriter<'a> = dyn FnOnce(&mut [u8]) + 'a;

/// Pixel Data before it is written.
pub struct PixelSource<'a> {
    /// The number of bytes.
    length: usize,
    /// Writes all of them, into bytes that are zero.
    write: Box<PixelWriter<'a>>,
}

impl<'a> PixelSource<'a> {
    pub fn new(length: usize, write: impl FnOnce(&mut [u8]) + 'a) -> PixelSource<'a> {
        PixelSource { length, write: Box::new(write) }
    }
}

const PRODUCT: &str = "flow";
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Tag and VR of Pixel Data in explicit VR little endian, before its length (PS3.5 7.1.2).
const PIXEL_HEAD: [u8; 8] = [0xE0, 0x7F, 0x10, 0x00, b'O', b'B', 0, 0];

impl<'a> GeneratedInstance<'a> {
    /// Begins an instance with the patient, study, series, equipment and SOP common modules.
    pub fn new(
        sop_class_uid: &'static str,
        uid: String,
        number: usize,
        study: &StudyAttributes,
        series: &GeneratedSeries,
    ) -> GeneratedInstance<'a> {
        let set = InMemDicomObject::new_empty();
        let mut instance = GeneratedInstance { set, last_items: None, pixels: None, sop_class_uid, uid };
        let uid = instance.uid.clone();
        instance.text(tags::SOP_CLASS_UID, VR::UI, sop_class_uid);
        instance.text(tags::SOP_INSTANCE_UID, VR::UI, &uid);
        instance.text(tags::INSTANCE_NUMBER, VR::IS, &number.to_string());
        instance.patient_and_study(study);
        instance.series(series);
        instance.equipment();
        instance
    }

    pub fn text(&mut self, tag: Tag, vr: VR, text: &str) {
        put(&mut self.set, tag, vr, text);
    }

    pub fn number(&mut self, tag: Tag, number: u16) {
        self.set.put(DataElement::new(tag, VR::US, PrimitiveValue::from(number)));
    }

    pub fn bytes(&mut self, tag: Tag, vr: VR, bytes: Vec<u8>) {
        self.set.put(DataElement::new(tag, vr, PrimitiveValue::from(bytes)));
    }

    /// Pixel Data (VR OB), which is the last element.
    pub fn pixels(&mut self, pixels: PixelSource<'a>) {
        self.pixels = Some(pixels);
    }

    pub fn items(&mut self, tag: Tag, items: Vec<InMemDicomObject>) {
        put_items(&mut self.set, tag, items);
    }

    /// A sequence that stands behind all other elements but Pixel Data, and is ASCII. Each item is made when it is
    /// written: hundreds of them, with copies for the writer, take many times the memory of the file's header.
    pub fn last_items(&mut self, tag: Tag, items: impl Iterator<Item = InMemDicomObject> + 'a) {
        self.last_items = Some((tag, Box::new(items)));
    }

    /// Writes the instance as a DICOM file, explicit VR little endian.
    ///
    /// # Errors
    /// If a value cannot be written in its type.
    pub fn into_file(mut self, name: impl Into<String>) -> Result<ResponseFile, Fault> {
        if !is_ascii(&self.set) {
            self.text(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 192");
        }
        let name = name.into();
        let bytes = self.encode().map_err(|error| {
            Fault::new(
                format!("the file {name:?} could not be written as DICOM: {error}"),
                "This is a mistake in flow: please report it with the request's name.",
            )
        })?;
        Ok(ResponseFile::shared(name, "application/dicom", bytes))
    }

    fn encode(self) -> Result<Arc<[u8]>, Box<dyn std::error::Error>> {
        let meta = FileMetaTableBuilder::new()
            .media_storage_sop_class_uid(self.sop_class_uid)
            .media_storage_sop_instance_uid(self.uid)
            .transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN)
            .implementation_class_uid(implementation_uid())
            .implementation_version_name(format!("FLOW_{VERSION}"));
        let mut head = Vec::new();
        self.set.with_meta(meta)?.write_all(&mut head)?;
        if let Some((tag, items)) = self.last_items {
            write_items(&mut head, tag, items)?;
        }
        let Some(pixels) = self.pixels else { return Ok(head.into()) };
        let length = pixels.length.next_multiple_of(2);
        head.extend_from_slice(&PIXEL_HEAD);
        head.extend_from_slice(&u32::try_from(length)?.to_le_bytes());
        let mut bytes: Arc<[u8]> = std::iter::repeat_n(0, head.len() + length).collect();
        let (start, place) =
            Arc::get_mut(&mut bytes).expect("nobody else has it yet").split_at_mut(head.len());
        start.copy_from_slice(&head);
        (pixels.write)(&mut place[..pixels.length]);
        Ok(bytes)
    }

    fn patient_and_study(&mut self, study: &StudyAttributes) {
        let attributes = [
            (tags::STUDY_INSTANCE_UID, VR::UI, &study.study_instance_uid),
            (tags::STUDY_ID, VR::SH, &study.study_id),
            (tags::STUDY_DATE, VR::DA, &study.study_date),
            (tags::STUDY_TIME, VR::TM, &study.study_time),
            (tags::ACCESSION_NUMBER, VR::SH, &study.accession_number),
            (tags::REFERRING_PHYSICIAN_NAME, VR::PN, &study.referring_physician_name),
            (tags::PATIENT_NAME, VR::PN, &study.patient_name),
            (tags::PATIENT_ID, VR::LO, &study.patient_id),
            (tags::PATIENT_BIRTH_DATE, VR::DA, &study.patient_birth_date),
            (tags::PATIENT_SEX, VR::CS, &study.patient_sex),
        ];
        attributes.into_iter().for_each(|(tag, vr, text)| self.text(tag, vr, text));
        let optional = [
            (tags::STUDY_DESCRIPTION, VR::LO, &study.study_description),
            (tags::PATIENT_AGE, VR::AS, &study.patient_age),
        ];
        let given = optional.into_iter().filter(|(_, _, text)| !text.is_empty());
        given.for_each(|(tag, vr, text)| self.text(tag, vr, text));
    }

    fn series(&mut self, series: &GeneratedSeries) {
        self.text(tags::MODALITY, VR::CS, series.modality);
        self.text(tags::SERIES_INSTANCE_UID, VR::UI, &series.uid);
        self.text(tags::SERIES_NUMBER, VR::IS, &series.number.to_string());
        self.text(tags::SERIES_DESCRIPTION, VR::LO, &series.description);
    }

    fn equipment(&mut self) {
        self.text(tags::MANUFACTURER, VR::LO, PRODUCT);
        self.text(tags::MANUFACTURER_MODEL_NAME, VR::LO, PRODUCT);
        self.text(tags::SOFTWARE_VERSIONS, VR::LO, VERSION);
    }
}

/// Writes a sequence, explicit VR little endian, with delimiters (PS3.5 7.5) as the writer of whole sets has them.
fn write_items(
    bytes: &mut Vec<u8>,
    tag: Tag,
    items: impl Iterator<Item = InMemDicomObject>,
) -> Result<(), Box<dyn std::error::Error>> {
    let syntax = entries::EXPLICIT_VR_LITTLE_ENDIAN.erased();
    let mark = |bytes: &mut Vec<u8>, tag: Tag, length: &[u8]| {
        bytes.extend_from_slice(&tag.group().to_le_bytes());
        bytes.extend_from_slice(&tag.element().to_le_bytes());
        bytes.extend_from_slice(length);
    };
    mark(bytes, tag, b"SQ\0\0\xFF\xFF\xFF\xFF");
    for item in items {
        mark(bytes, ITEM, &[0xFF; 4]);
        item.write_dataset_with_ts(&mut *bytes, &syntax)?;
        mark(bytes, ITEM_END, &[0; 4]);
    }
    mark(bytes, SEQUENCE_END, &[0; 4]);
    Ok(())
}

/// Whether an instance is one that [`GeneratedInstance`] made: by its equipment, and its UID, which is derived.
pub fn is_own_result(elements: &HeaderElements) -> bool {
    let is_ours = |tag| elements.text(tag) == PRODUCT;
    is_ours(tags::MANUFACTURER)
        && is_ours(tags::MANUFACTURER_MODEL_NAME)
        && elements.text(tags::SOP_INSTANCE_UID).starts_with("2.25.")
}

/// The implementation class UID of flow, in file headers and as the observer of a report.
pub fn implementation_uid() -> String {
    Digest::of(b"flow: implementation class").uid()
}

fn is_ascii(set: &InMemDicomObject) -> bool {
    set.iter().all(|element| match element.value() {
        Value::Primitive(PrimitiveValue::Str(text)) => text.is_ascii(),
        Value::Primitive(PrimitiveValue::Strs(texts)) => texts.iter().all(|text| text.is_ascii()),
        Value::Sequence(items) => items.items().iter().all(is_ascii),
        Value::Primitive(_) | Value::PixelSequence(_) => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::{Part10File, sample};

    #[test]
    fn items_one_by_one_give_the_same_bytes() {
        let series = GeneratedSeries {
            uid: Digest::of(b"series").uid(),
            modality: "SEG",
            number: 1,
            description: String::new(),
        };
        let item = |number: u16| {
            let mut inner = InMemDicomObject::new_empty();
            put(&mut inner, tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, "1.2.3");
            inner.put(DataElement::new(
                tags::REFERENCED_SEGMENT_NUMBER,
                VR::US,
                PrimitiveValue::from(number),
            ));
            let mut item = InMemDicomObject::new_empty();
            put_items(&mut item, tags::SEGMENT_IDENTIFICATION_SEQUENCE, vec![inner.clone(), inner]);
            item
        };
        let file = |is_one_by_one: u8| {
            let study = StudyAttributes::default();
            let class = uids::SEGMENTATION_STORAGE;
            let mut made = GeneratedInstance::new(class, "1.2".to_owned(), 1, &study, &series);
            match is_one_by_one {
                0 => made.items(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, (0..3).map(item).collect()),
                _ => made.last_items(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, (0..3).map(item)),
            }
            made.pixels(PixelSource::new(3, |bytes| bytes.fill(7)));
            made.into_file("segmentation.dcm").unwrap().bytes
        };
        assert!(file(0) == file(1));
    }

    #[test]
    fn a_result_is_recognised_and_a_slice_is_none() {
        let series = GeneratedSeries {
            uid: Digest::of(b"series").uid(),
            modality: "SR",
            number: 1,
            description: String::new(),
        };
        let uid = Digest::of(b"instance").uid();
        let study = StudyAttributes::default();
        let made = GeneratedInstance::new(uids::COMPREHENSIVE_SR_STORAGE, uid, 1, &study, &series);
        let made = made.into_file("report.dcm").unwrap();
        assert!(is_own_result(&Part10File::open(&made.bytes).unwrap().elements()));
        let slice = sample::slice_file(&sample::header(1), &[0; 24]);
        assert!(!is_own_result(&Part10File::open(&slice).unwrap().elements()));
    }
}
