//! Frames of an enhanced or legacy converted enhanced CT object, each as a slice of its own.
//!
//! Such an object holds a whole series. Attributes that a single slice has at the top level stand in
//! functional groups (PS3.3 C.7.6.16): one set shared by all frames (5200,9229), one for each frame
//! (5200,9230). A frame's own group goes before the shared one.

use dicom_core::Tag;
use dicom_dictionary_std::{tags, uids};
use serde::{Deserialize, Serialize};

use super::elements::HeaderElements;
use super::rescale::{PixelUnits, rescale};

/// The most frames of an object that are read: more slices than any scan of a patient has.
pub const FRAMES_MOST: usize = 20_000;

/// Attributes of one frame; units as in [`super::InstanceHeader`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FrameAttributes {
    pub position: Option<[f64; 3]>,
    pub orientation: Option<[f64; 6]>,
    pub spacing: Option<[f64; 2]>,
    pub slice_thickness: Option<f64>,
    pub slope: f64,
    pub intercept: f64,
    pub units: PixelUnits,
    pub kernel: String,
    /// Frame Type (0008,9007).
    pub frame_type: Vec<String>,
    /// Volume Based Calculation Technique (0008,9207).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub calculation_technique: String,
    pub acquisition_number: Option<i32>,
    pub temporal_position: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_kilovoltage: Option<f64>,
    /// Frame Acquisition DateTime (0018,9074).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub acquisition_datetime: String,
    /// Acquisition Time of the slice from which the frame was converted.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub acquisition_time: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stack_id: String,
}

/// Whether instances of a class hold a series of CT slices as frames.
pub fn is_enhanced_ct(sop_class_uid: &str) -> bool {
    [uids::ENHANCED_CT_IMAGE_STORAGE, uids::LEGACY_CONVERTED_ENHANCED_CT_IMAGE_STORAGE]
        .contains(&sop_class_uid)
}

impl FrameAttributes {
    /// The frames of an object, in their order; as many as have a functional group of their own.
    pub fn read(elements: &HeaderElements) -> Vec<FrameAttributes> {
        let shared = elements.items(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE).next();
        let frames = elements.items(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE).take(FRAMES_MOST);
        frames.map(|own| FunctionalGroups { own, shared: shared.as_ref(), elements }.attributes()).collect()
    }
}

/// The groups that hold for one frame.
struct FunctionalGroups<'a> {
    own: HeaderElements<'a>,
    shared: Option<&'a HeaderElements<'a>>,
    /// The object's top level, where some converters leave an attribute.
    elements: &'a HeaderElements<'a>,
}

impl FunctionalGroups<'_> {
    /// The first item of a functional group, of the frame itself or shared by all.
    fn group(&self, sequence: Tag) -> Option<HeaderElements<'_>> {
        let shared = || self.shared.and_then(|shared| shared.items(sequence).next());
        self.own.items(sequence).next().or_else(shared)
    }

    fn attributes(&self) -> FrameAttributes {
        let plane = self.group(tags::PLANE_POSITION_SEQUENCE);
        let turned = self.group(tags::PLANE_ORIENTATION_SEQUENCE);
        let measures = self.group(tags::PIXEL_MEASURES_SEQUENCE);
        let content = self.group(tags::FRAME_CONTENT_SEQUENCE);
        let transformation = self.group(tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE);
        let (slope, intercept, units) = rescale(transformation.as_ref().unwrap_or(self.elements));
        FrameAttributes {
            position: plane.and_then(|group| group.decimals(tags::IMAGE_POSITION_PATIENT)),
            orientation: turned.and_then(|group| group.decimals(tags::IMAGE_ORIENTATION_PATIENT)),
            spacing: measures.as_ref().and_then(|group| group.decimals(tags::PIXEL_SPACING)),
            slice_thickness: measures.and_then(|group| group.decimal(tags::SLICE_THICKNESS)),
            slope,
            intercept,
            units,
            kernel: self.of_slice(tags::CT_RECONSTRUCTION_SEQUENCE, tags::CONVOLUTION_KERNEL),
            peak_kilovoltage: self.of_slice(tags::CTX_RAY_DETAILS_SEQUENCE, tags::KVP).parse().ok(),
            acquisition_datetime: content
                .as_ref()
                .map_or(String::new(), |group| group.text(tags::FRAME_ACQUISITION_DATE_TIME)),
            acquisition_time: self.converted(tags::ACQUISITION_TIME),
            stack_id: content.as_ref().map_or(String::new(), |group| group.text(tags::STACK_ID)),
            frame_type: self
                .group(tags::CT_IMAGE_FRAME_TYPE_SEQUENCE)
                .map_or(Vec::new(), |group| group.texts(tags::FRAME_TYPE)),
            calculation_technique: self
                .group(tags::CT_IMAGE_FRAME_TYPE_SEQUENCE)
                .map_or(String::new(), |group| group.text(tags::VOLUME_BASED_CALCULATION_TECHNIQUE)),
            acquisition_number: content
                .as_ref()
                .and_then(|group| group.short(tags::FRAME_ACQUISITION_NUMBER))
                .map(i32::from),
            temporal_position: content
                .and_then(|group| long(&group, tags::TEMPORAL_POSITION_INDEX))
                .map(|index| index as i32),
        }
    }

    /// An attribute in its functional group, or where a legacy converted object keeps it.
    fn of_slice(&self, sequence: Tag, tag: Tag) -> String {
        let own = self.group(sequence).map(|group| group.text(tag));
        own.filter(|text| !text.is_empty()).unwrap_or_else(|| self.converted(tag))
    }

    /// An attribute of a single slice as a legacy converted object keeps it, in groups of their own.
    fn converted(&self, tag: Tag) -> String {
        let sequences = [
            tags::UNASSIGNED_PER_FRAME_CONVERTED_ATTRIBUTES_SEQUENCE,
            tags::UNASSIGNED_SHARED_CONVERTED_ATTRIBUTES_SEQUENCE,
        ];
        let texts = sequences.into_iter().filter_map(|sequence| self.group(sequence));
        texts.map(|group| group.text(tag)).find(|text| !text.is_empty()).unwrap_or_default()
    }
}

/// A 32-bit number (VR UL). Big endian has not been allowed since these objects came up.
fn long(elements: &HeaderElements, tag: Tag) -> Option<u32> {
    elements.bytes(tag).first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::imaging::InstanceHeader;
    use crate::imaging::sample::{element, file};
    use crate::imaging::steps::{assemble_volume::assemble_volume, sort_series::sort_series};
    use crate::imaging::{Volume, decode_slice, read_instance};
    use crate::step::CancelToken;

    fn item(content: &[Vec<u8>]) -> Vec<u8> {
        let content = content.concat();
        [&[0xFE, 0xFF, 0x00, 0xE0], &(content.len() as u32).to_le_bytes()[..], &content].concat()
    }

    fn group(sequence: Tag, content: &[Vec<u8>]) -> Vec<u8> {
        element(sequence, "SQ", &item(content))
    }

    fn text(tag: Tag, vr: &str, value: &str) -> Vec<u8> {
        element(tag, vr, value.as_bytes())
    }

    /// Further functional groups of a frame, by its index.
    type GroupsOfFrame = fn(usize) -> Vec<u8>;

    /// An enhanced object of 4 × 3 pixels; frame `n` lies at `positions[n]` and holds `1000 + n`.
    fn enhanced(class: &str, positions: &[f64]) -> Vec<u8> {
        enhanced_with(class, positions, positions.len(), |_| Vec::new())
    }

    /// The same with a number of frames, and with further functional groups of each frame.
    fn enhanced_with(
        class: &str,
        positions: &[f64],
        frames: usize,
        groups: impl Fn(usize) -> Vec<u8>,
    ) -> Vec<u8> {
        let count = frames;
        let short = |tag, value: u16| element(tag, "US", &value.to_le_bytes());
        let shared = item(&[
            group(
                tags::PLANE_ORIENTATION_SEQUENCE,
                &[text(tags::IMAGE_ORIENTATION_PATIENT, "DS", "1\\0\\0\\0\\1\\0")],
            ),
            group(
                tags::PIXEL_MEASURES_SEQUENCE,
                &[text(tags::SLICE_THICKNESS, "DS", "2"), text(tags::PIXEL_SPACING, "DS", "0.5\\0.5 ")],
            ),
            group(
                tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE,
                &[
                    text(tags::RESCALE_INTERCEPT, "DS", "-1024 "),
                    text(tags::RESCALE_SLOPE, "DS", "1 "),
                    text(tags::RESCALE_TYPE, "LO", "HU"),
                ],
            ),
            group(tags::CT_RECONSTRUCTION_SEQUENCE, &[text(tags::CONVOLUTION_KERNEL, "SH", "B30f")]),
        ]);
        let frame = |(index, z): (usize, &f64)| {
            let position = text(tags::IMAGE_POSITION_PATIENT, "DS", &format!("-2\\-1.5\\{z}"));
            item(&[group(tags::PLANE_POSITION_SEQUENCE, &[position]), groups(index)])
        };
        let frames: Vec<Vec<u8>> = positions.iter().enumerate().map(frame).collect();
        let pixels: Vec<u8> = (0..count).flat_map(|n| (1000 + n as u16).to_le_bytes().repeat(12)).collect();
        let data = [
            text(tags::SOP_CLASS_UID, "UI", class),
            text(tags::SOP_INSTANCE_UID, "UI", "1.2.3"),
            text(tags::MODALITY, "CS", "CT"),
            text(tags::STUDY_INSTANCE_UID, "UI", "1.0"),
            text(tags::SERIES_INSTANCE_UID, "UI", "1.1"),
            text(tags::NUMBER_OF_FRAMES, "IS", &count.to_string()),
            short(tags::ROWS, 3),
            short(tags::COLUMNS, 4),
            short(tags::BITS_ALLOCATED, 16),
            short(tags::BITS_STORED, 12),
            short(tags::PIXEL_REPRESENTATION, 0),
            element(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, "SQ", &shared),
            element(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, "SQ", &frames.concat()),
            element(tags::PIXEL_DATA, "OW", &pixels),
        ];
        file(uids::EXPLICIT_VR_LITTLE_ENDIAN, &data.concat())
    }

    fn volume(folder: &Path, class: &str, positions: &[f64]) -> Volume {
        let path = folder.join("enhanced.dcm");
        fs::write(&path, enhanced(class, positions)).unwrap();
        let header = InstanceHeader::read("enhanced.dcm", &path).unwrap();
        assemble_volume(&sort_series(&[&header], 2).unwrap(), &CancelToken::default()).unwrap()
    }

    #[test]
    fn the_frames_of_an_object_are_the_slices_of_a_volume() {
        let folder = tempfile::tempdir().unwrap();
        for class in [uids::ENHANCED_CT_IMAGE_STORAGE, uids::LEGACY_CONVERTED_ENHANCED_CT_IMAGE_STORAGE] {
            let volume = volume(folder.path(), class, &[4.0, 0.0, 2.0, 6.0]);
            assert_eq!((volume.size, volume.spacing), ([4, 3, 4], [0.5, 0.5, 2.0]));
            let along: Vec<i16> = (0..4).map(|z| volume.hu([0, 0, z])).collect();
            assert_eq!(along, [-23, -22, -24, -21], "in the order of their positions");
        }
    }

    /// The chosen slices' places, remarks and codes of reservations of an object.
    fn sorted(bytes: &[u8]) -> (Vec<f64>, Vec<String>, Vec<String>) {
        let (header, _) = read_instance("enhanced", Path::new("enhanced"), bytes).unwrap();
        let series = sort_series(&[&header], 2).unwrap();
        let places = series.slices.iter().map(|slice| slice.position.unwrap()[2]).collect();
        (places, series.remarks, series.reservations.into_iter().map(|one| one.code).collect())
    }

    #[test]
    fn frames_without_groups_and_groups_without_frames_are_said_to_be_left_out() {
        let class = uids::ENHANCED_CT_IMAGE_STORAGE;
        let positions: Vec<f64> = (0..12).map(f64::from).collect();
        for (frames, used, said) in [
            (14, 12, "2 frames left out, without functional groups that say where they lie"),
            (9, 9, "3 frames left out, without pixels: their object says that it has fewer frames"),
        ] {
            let (places, remarks, codes) = sorted(&enhanced_with(class, &positions, frames, |_| Vec::new()));
            assert_eq!((places, codes), (positions[..used].to_vec(), vec!["frames_left_out".to_owned()]));
            assert!(remarks[0].ends_with(said), "{remarks:?}");
        }
        let bytes = enhanced(class, &[]);
        let (header, _) = read_instance("enhanced", Path::new("enhanced"), &bytes).unwrap();
        let header = InstanceHeader { frames: 12, ..header };
        let fault = sort_series(&[&header], 2).unwrap_err();
        assert!(fault.reason.starts_with("the CT objects of the study do not say what their frames are"));
    }

    #[test]
    fn frames_of_two_tube_voltages_or_stacks_are_two_sets() {
        let class = uids::ENHANCED_CT_IMAGE_STORAGE;
        let twice: Vec<f64> = (0..24).map(|index| f64::from(index / 2)).collect();
        let voltage = |index: usize| {
            group(tags::CTX_RAY_DETAILS_SEQUENCE, &[text(tags::KVP, "DS", ["80", "140 "][index % 2])])
        };
        let stack = |index: usize| {
            group(tags::FRAME_CONTENT_SEQUENCE, &[text(tags::STACK_ID, "SH", ["1 ", "2 "][index % 2])])
        };
        let groups: [(GroupsOfFrame, &str); 2] = [(voltage, "tube voltage"), (stack, "stack")];
        for (groups, name) in groups {
            let (places, remarks, _) = sorted(&enhanced_with(class, &twice, twice.len(), groups));
            assert_eq!(places, (0..12).map(f64::from).collect::<Vec<_>>());
            assert!(remarks.iter().any(|remark| remark.ends_with(&format!("differ in {name}: one is used"))));
        }
    }

    #[test]
    fn a_frame_has_the_shared_attributes_and_its_own() {
        let bytes = enhanced(uids::ENHANCED_CT_IMAGE_STORAGE, &[0.0, 2.0]);
        let (header, _) = read_instance("enhanced", Path::new("enhanced"), &bytes).unwrap();
        let slices = header.slices();
        assert_eq!((slices.len(), slices[1].frame, slices[1].frames), (2, Some(1), 1));
        assert_eq!(slices[1].position, Some([-2.0, -1.5, 2.0]));
        assert_eq!((slices[1].spacing, slices[1].slice_thickness), (Some([0.5, 0.5]), Some(2.0)));
        assert_eq!((slices[1].intercept, slices[1].kernel.as_str()), (-1024.0, "B30f"));
        assert_eq!(slices[1].name, "enhanced, frame 2");
        let mut voxels = vec![0; 12];
        let fault = decode_slice(&slices[1], &bytes[..bytes.len() - 2], &mut voxels).unwrap_err();
        assert_eq!(fault.reason, "the pixel data is cut off: 48 bytes are needed, 48 declared, 46 there");
        decode_slice(&slices[0], &bytes[..bytes.len() - 2], &mut voxels).unwrap();
        assert_eq!(voxels, [-24; 12]);
    }
}
