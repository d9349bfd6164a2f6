//! A binary Segmentation object (PS3.3 A.51): a frame for each segment and plane of the source series.

use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;

use super::content::{put, put_items};
use super::document::date_and_time;
use super::instance::implementation_uid;
use super::{CodedConcept, ConceptName, GeneratedInstance, GeneratedSeries, PixelSource, codes};
use crate::imaging::{InstanceHeader, StudyAttributes};

pub struct SegmentationObject<'a> {
    pub uid: String,
    pub dimensions_uid: String,
    pub study: &'a StudyAttributes,
    pub series: GeneratedSeries,
    pub frame_of_reference_uid: &'a str,
    /// Segment `n` is at index `n - 1`.
    pub segments: Vec<SegmentDescription>,
    pub maker: SegmentMaker<'a>,
    /// The planes of the source that frames show, in the order of their places.
    pub planes: Vec<SourcePlane<'a>>,
    pub frames: Vec<SegmentFrame>,
    pub size: FrameSize,
    /// One bit per pixel: the frames one behind the other.
    pub pixels: PixelSource<'a>,
}

/// Measures that all frames share.
#[derive(Clone, Copy, Debug)]
pub struct FrameSize {
    pub rows: u16,
    pub columns: u16,
    /// Distance of the planes in mm.
    pub plane_spacing: f64,
}

/// A segment's meaning and look.
#[derive(Clone, Debug)]
pub struct SegmentDescription {
    pub label: &'static str,
    pub category: ConceptName,
    pub property: ConceptName,
    pub modifier: Option<ConceptName>,
    /// CIELab, as PS3.3 C.10.7.1.1 scales it.
    pub colour: [u16; 3],
}

/// The algorithm that has made the segments.
#[derive(Clone, Copy, Debug)]
pub enum SegmentMaker<'a> {
    FindLungs,
    /// Another program, by its name and version.
    Other(&'a str),
}

/// A slice of the source series: an instance, or a frame of one.
#[derive(Clone, Copy, Debug)]
pub struct SourcePlane<'a> {
    pub series_uid: &'a str,
    pub sop_class_uid: &'a str,
    pub sop_instance_uid: &'a str,
    /// The index, from 0.
    pub frame: Option<usize>,
    pub position: [f64; 3],
    pub orientation: [f64; 6],
    /// Distance of rows, then of columns.
    pub spacing: [f64; 2],
    pub thickness: f64,
}

/// A frame: the number of its segment, from 1, and the index of its plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentFrame {
    pub segment: u16,
    pub plane: usize,
}

/// Functional groups in which planes differ, so that each frame has its own.
struct OwnGroups {
    orientation: bool,
    measures: bool,
}

const ALGORITHM: &str = "flow find-lungs";

impl<'a> SegmentationObject<'a> {
    pub fn into_instance(self) -> GeneratedInstance<'a> {
        let class = uids::SEGMENTATION_STORAGE;
        let mut instance = GeneratedInstance::new(class, self.uid.clone(), 1, self.study, &self.series);
        self.put_image(&mut instance);
        instance.items(tags::SEGMENT_SEQUENCE, self.segments());
        instance.items(tags::REFERENCED_SERIES_SEQUENCE, referenced_series(&self.planes));
        self.put_dimensions(&mut instance);
        let is_own = self.put_shared_groups(&mut instance);
        let SegmentationObject { frames, planes, size, pixels, .. } = self;
        let groups = frames.into_iter().map(move |frame| {
            let plane = &planes[frame.plane];
            let mut groups = frame.groups(plane);
            if is_own.orientation {
                plane.put_orientation(&mut groups);
            }
            if is_own.measures {
                plane.put_measures(&mut groups, size.plane_spacing);
            }
            groups
        });
        instance.last_items(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, groups);
        instance.pixels(pixels);
        instance
    }

    fn put_image(&self, instance: &mut GeneratedInstance) {
        let (date, time) = date_and_time(self.study);
        let frames = self.frames.len().to_string();
        let texts = [
            (tags::FRAME_OF_REFERENCE_UID, VR::UI, self.frame_of_reference_uid),
            (tags::POSITION_REFERENCE_INDICATOR, VR::LO, ""),
            (tags::DEVICE_SERIAL_NUMBER, VR::LO, &implementation_uid()),
            (tags::IMAGE_TYPE, VR::CS, "DERIVED\\PRIMARY"),
            (tags::CONTENT_DATE, VR::DA, &date),
            (tags::CONTENT_TIME, VR::TM, &time),
            (tags::CONTENT_LABEL, VR::CS, "LUNGS"),
            (tags::CONTENT_DESCRIPTION, VR::LO, "Lungs, airways and gas that is no lung"),
            (tags::CONTENT_CREATOR_NAME, VR::PN, "flow"),
            (tags::SEGMENTATION_TYPE, VR::CS, "BINARY"),
            (tags::SEGMENTS_OVERLAP, VR::CS, "NO"),
            (tags::LOSSY_IMAGE_COMPRESSION, VR::CS, "00"),
            (tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2"),
            (tags::NUMBER_OF_FRAMES, VR::IS, &frames),
        ];
        texts.into_iter().for_each(|(tag, vr, text)| instance.text(tag, vr, text));
        let numbers = [
            (tags::SAMPLES_PER_PIXEL, 1),
            (tags::ROWS, self.size.rows),
            (tags::COLUMNS, self.size.columns),
            (tags::BITS_ALLOCATED, 1),
            (tags::BITS_STORED, 1),
            (tags::HIGH_BIT, 0),
            (tags::PIXEL_REPRESENTATION, 0),
        ];
        numbers.into_iter().for_each(|(tag, number)| instance.number(tag, number));
    }

    fn segments(&self) -> Vec<InMemDicomObject> {
        self.segments.iter().zip(1..).map(|(segment, number)| segment.item(number, self.maker)).collect()
    }

    /// Two dimensions: segment, then place along the patient.
    fn put_dimensions(&self, instance: &mut GeneratedInstance) {
        let mut organization = InMemDicomObject::new_empty();
        put(&mut organization, tags::DIMENSION_ORGANIZATION_UID, VR::UI, &self.dimensions_uid);
        let index = |pointer: Tag, group: Tag, label: &str| {
            let mut item = InMemDicomObject::new_empty();
            put(&mut item, tags::DIMENSION_ORGANIZATION_UID, VR::UI, &self.dimensions_uid);
            for (tag, value) in
                [(tags::DIMENSION_INDEX_POINTER, pointer), (tags::FUNCTIONAL_GROUP_POINTER, group)]
            {
                item.put(DataElement::new(tag, VR::AT, PrimitiveValue::from(value)));
            }
            put(&mut item, tags::DIMENSION_DESCRIPTION_LABEL, VR::LO, label);
            item
        };
        instance.items(tags::DIMENSION_ORGANIZATION_SEQUENCE, vec![organization]);
        let indexes = vec![
            index(
                tags::REFERENCED_SEGMENT_NUMBER,
                tags::SEGMENT_IDENTIFICATION_SEQUENCE,
                "Referenced Segment Number",
            ),
            index(tags::IMAGE_POSITION_PATIENT, tags::PLANE_POSITION_SEQUENCE, "Image Position (Patient)"),
        ];
        instance.items(tags::DIMENSION_INDEX_SEQUENCE, indexes);
    }

    /// Functional groups in which all planes are equal. Tells those that each frame has of its own.
    fn put_shared_groups(&self, instance: &mut GeneratedInstance) -> OwnGroups {
        let mut shared = InMemDicomObject::new_empty();
        let first = &self.planes[0];
        let are_equal = |equal: fn(&SourcePlane, &SourcePlane) -> bool| {
            self.planes.iter().all(|plane| equal(first, plane))
        };
        let one_orientation = are_equal(|a, b| a.orientation == b.orientation);
        let one_measure = are_equal(|a, b| a.spacing == b.spacing && a.thickness == b.thickness);
        if one_orientation {
            first.put_orientation(&mut shared);
        }
        if one_measure {
            first.put_measures(&mut shared, self.size.plane_spacing);
        }
        instance.items(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, vec![shared]);
        OwnGroups { orientation: !one_orientation, measures: !one_measure }
    }
}

impl SegmentDescription {
    fn item(&self, number: u16, maker: SegmentMaker) -> InMemDicomObject {
        let mut item = InMemDicomObject::new_empty();
        put_number(&mut item, tags::SEGMENT_NUMBER, number);
        put(&mut item, tags::SEGMENT_LABEL, VR::LO, self.label);
        put(&mut item, tags::SEGMENT_ALGORITHM_TYPE, VR::CS, "AUTOMATIC");
        match maker {
            SegmentMaker::FindLungs => {
                put(&mut item, tags::SEGMENT_ALGORITHM_NAME, VR::LO, ALGORITHM);
                put_items(&mut item, tags::SEGMENTATION_ALGORITHM_IDENTIFICATION_SEQUENCE, vec![algorithm()]);
            }
            // Its family and version are not known as codes.
            SegmentMaker::Other(name) => put(&mut item, tags::SEGMENT_ALGORITHM_NAME, VR::LO, name),
        }
        put_code(&mut item, tags::SEGMENTED_PROPERTY_CATEGORY_CODE_SEQUENCE, self.category);
        let mut property = CodedConcept::from(self.property).item();
        if let Some(modifier) = self.modifier {
            // The modifier belongs into the item of the type.
            put_code(&mut property, tags::SEGMENTED_PROPERTY_TYPE_MODIFIER_CODE_SEQUENCE, modifier);
        }
        put_items(&mut item, tags::SEGMENTED_PROPERTY_TYPE_CODE_SEQUENCE, vec![property]);
        let colour = PrimitiveValue::U16(self.colour.into_iter().collect());
        item.put(DataElement::new(tags::RECOMMENDED_DISPLAY_CIE_LAB_VALUE, VR::US, colour));
        item
    }
}

impl<'a> SourcePlane<'a> {
    /// The plane of a sorted slice. Where the slice names no thickness, it is the distance of slices.
    ///
    /// # Panics
    /// If the slice lacks its geometry.
    pub fn of(slice: &'a InstanceHeader, slice_spacing: f64) -> SourcePlane<'a> {
        SourcePlane {
            series_uid: &slice.series_instance_uid,
            sop_class_uid: &slice.sop_class_uid,
            sop_instance_uid: &slice.sop_instance_uid,
            frame: slice.frame,
            position: slice.position.expect("sorted slices have a position"),
            orientation: slice.orientation.expect("sorted slices have an orientation"),
            spacing: slice.spacing.expect("sorted slices have a spacing"),
            thickness: slice.slice_thickness.filter(|mm| *mm > 0.0).unwrap_or(slice_spacing),
        }
    }

    fn put_orientation(&self, groups: &mut InMemDicomObject) {
        let mut item = InMemDicomObject::new_empty();
        put(&mut item, tags::IMAGE_ORIENTATION_PATIENT, VR::DS, &decimals(&self.orientation));
        put_items(groups, tags::PLANE_ORIENTATION_SEQUENCE, vec![item]);
    }

    fn put_measures(&self, groups: &mut InMemDicomObject, plane_spacing: f64) {
        let mut item = InMemDicomObject::new_empty();
        put(&mut item, tags::SLICE_THICKNESS, VR::DS, &decimal(self.thickness));
        put(&mut item, tags::SPACING_BETWEEN_SLICES, VR::DS, &decimal(plane_spacing));
        put(&mut item, tags::PIXEL_SPACING, VR::DS, &decimals(&self.spacing));
        put_items(groups, tags::PIXEL_MEASURES_SEQUENCE, vec![item]);
    }

    /// The instance, and the frame of it if it has several.
    fn reference(&self) -> InMemDicomObject {
        let mut item = InMemDicomObject::new_empty();
        put(&mut item, tags::REFERENCED_SOP_CLASS_UID, VR::UI, self.sop_class_uid);
        put(&mut item, tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, self.sop_instance_uid);
        item
    }

    /// The same as the source of a picture whose pixels lie on it.
    pub fn source_image(&self) -> InMemDicomObject {
        let mut item = self.reference();
        if let Some(frame) = self.frame {
            put(&mut item, tags::REFERENCED_FRAME_NUMBER, VR::IS, &(frame + 1).to_string());
        }
        put_code(&mut item, tags::PURPOSE_OF_REFERENCE_CODE_SEQUENCE, codes::SOURCE_IMAGE);
        put(&mut item, tags::SPATIAL_LOCATIONS_PRESERVED, VR::CS, "YES");
        item
    }
}

impl SegmentFrame {
    fn groups(&self, plane: &SourcePlane) -> InMemDicomObject {
        let mut derivation = InMemDicomObject::new_empty();
        put_code(&mut derivation, tags::DERIVATION_CODE_SEQUENCE, codes::SEGMENTATION);
        put_items(&mut derivation, tags::SOURCE_IMAGE_SEQUENCE, vec![plane.source_image()]);
        let mut content = InMemDicomObject::new_empty();
        let place = [u32::from(self.segment), self.plane as u32 + 1];
        let place = PrimitiveValue::U32(place.into_iter().collect());
        content.put(DataElement::new(tags::DIMENSION_INDEX_VALUES, VR::UL, place));
        let mut position = InMemDicomObject::new_empty();
        put(&mut position, tags::IMAGE_POSITION_PATIENT, VR::DS, &decimals(&plane.position));
        let mut segment = InMemDicomObject::new_empty();
        put_number(&mut segment, tags::REFERENCED_SEGMENT_NUMBER, self.segment);
        let mut groups = InMemDicomObject::new_empty();
        put_items(&mut groups, tags::DERIVATION_IMAGE_SEQUENCE, vec![derivation]);
        put_items(&mut groups, tags::FRAME_CONTENT_SEQUENCE, vec![content]);
        put_items(&mut groups, tags::PLANE_POSITION_SEQUENCE, vec![position]);
        put_items(&mut groups, tags::SEGMENT_IDENTIFICATION_SEQUENCE, vec![segment]);
        groups
    }
}

fn algorithm() -> InMemDicomObject {
    let mut item = InMemDicomObject::new_empty();
    put_code(&mut item, tags::ALGORITHM_FAMILY_CODE_SEQUENCE, codes::MORPHOLOGICAL_OPERATIONS);
    put(&mut item, tags::ALGORITHM_NAME, VR::LO, ALGORITHM);
    put(&mut item, tags::ALGORITHM_VERSION, VR::LO, env!("CARGO_PKG_VERSION"));
    item
}

/// The instances of the planes (PS3.3 C.12.2), by series in the order in which each series first occurs.
fn referenced_series(planes: &[SourcePlane]) -> Vec<InMemDicomObject> {
    let mut instances: Vec<&SourcePlane> = planes.iter().collect();
    // The frames of an enhanced object are planes of one instance.
    instances.dedup_by_key(|plane| plane.sop_instance_uid);
    let mut series: Vec<(&str, Vec<InMemDicomObject>)> = Vec::new();
    for plane in instances {
        match series.iter_mut().find(|(uid, _)| *uid == plane.series_uid) {
            Some((_, items)) => items.push(plane.reference()),
            None => series.push((plane.series_uid, vec![plane.reference()])),
        }
    }
    let item = |(uid, instances): (&str, Vec<InMemDicomObject>)| {
        let mut item = InMemDicomObject::new_empty();
        put(&mut item, tags::SERIES_INSTANCE_UID, VR::UI, uid);
        put_items(&mut item, tags::REFERENCED_INSTANCE_SEQUENCE, instances);
        item
    };
    series.into_iter().map(item).collect()
}

fn put_number(set: &mut InMemDicomObject, tag: Tag, number: u16) {
    set.put(DataElement::new(tag, VR::US, PrimitiveValue::from(number)));
}

fn put_code(set: &mut InMemDicomObject, tag: Tag, name: ConceptName) {
    set.put(CodedConcept::from(name).element(tag));
}

/// Numbers as decimal strings (VR DS).
pub fn decimals(numbers: &[f64]) -> String {
    numbers.iter().map(|number| decimal(*number)).collect::<Vec<_>>().join("\\")
}

/// The most characters of a decimal string (VR DS).
const DECIMAL_MOST: usize = 16;

/// A number with as many digits as a decimal string holds.
fn decimal(number: f64) -> String {
    let shortest = number.to_string();
    if shortest.len() <= DECIMAL_MOST {
        return shortest;
    }
    let rounded = (0..DECIMAL_MOST).rev().map(|digits| format!("{number:.digits$}"));
    let exponential = (0..DECIMAL_MOST).rev().map(|digits| format!("{number:.digits$e}"));
    let fits = |text: &String| text.len() <= DECIMAL_MOST;
    // A small number would lose its digits without an exponent.
    let found = if number.abs() < 1e-3 {
        exponential.chain(rounded).find(fits)
    } else {
        rounded.chain(exponential).find(fits)
    };
    found.expect("a number without decimals and with an exponent fits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_fit_and_lose_little() {
        for number in [0.5, -123.4567890123456, 1.0 / 3.0, 1e-17, -7.123456789e-12, 1.0e20] {
            let text = decimal(number);
            assert!(text.len() <= DECIMAL_MOST, "{text}");
            let back: f64 = text.parse().unwrap();
            assert!((back - number).abs() <= 1e-9 * number.abs(), "{text}");
        }
        assert_eq!(decimals(&[0.7421875, -2.0]), "0.7421875\\-2");
    }
}
