//! The attributes of a DICOM instance and of its study, without its pixels.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use dicom_dictionary_std::{tags, uids};

use serde::{Deserialize, Serialize};

use crate::dicom_file::content::is_image;
use crate::step::{Digest, Fault, PathOf, Payload};

use super::StudyAttributes;
use super::codecs::{DecodeError, is_private_syntax, stream_loses};
use super::elements::{HeaderElements, Part10File, PixelData};
use super::frames::{FRAMES_MOST, FrameAttributes, is_enhanced_ct};
use super::objects::is_own_result;
use super::rescale::{PixelUnits, rescale};

/// Bytes that most headers fit in; some scanners' private elements take more.
const FIRST_BYTES: u64 = 16 << 10;

/// The attributes of one instance that sorting, assembling and referring to it need.
///
/// Lengths are millimetres in the patient coordinate system of PS3.3 C.7.6.2.1.1 (x to the left,
/// y to the back, z to the head). A field is `None` where the instance lacks it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InstanceHeader {
    /// The instance's name in messages: the item's name.
    pub name: String,
    #[serde(skip)]
    pub path: PathBuf,
    /// The item's digest, if the file is an item's: the path is found by it.
    pub item: Option<Digest>,
    pub sop_class_uid: String,
    pub sop_instance_uid: String,
    pub series_instance_uid: String,
    pub series_number: Option<i32>,
    pub series_description: String,
    pub frame_of_reference_uid: String,
    pub transfer_syntax_uid: String,
    pub modality: String,
    pub image_type: Vec<String>,
    pub instance_number: Option<i32>,
    pub rows: u16,
    pub columns: u16,
    pub frames: u32,
    pub samples_per_pixel: u16,
    pub bits_allocated: u16,
    pub bits_stored: u16,
    /// Pixel representation 1: samples are two's complement.
    pub signed: bool,
    /// Image Position (Patient): the centre of the first pixel.
    pub position: Option<[f64; 3]>,
    /// Image Orientation (Patient): direction cosines of a row and of a column.
    pub orientation: Option<[f64; 6]>,
    /// Pixel Spacing: between rows, then between columns, in mm.
    pub spacing: Option<[f64; 2]>,
    /// Slice Thickness in mm.
    pub slice_thickness: Option<f64>,
    /// HU = stored value × slope + intercept, if the values are in Hounsfield units.
    pub slope: f64,
    pub intercept: f64,
    #[serde(default)]
    pub units: PixelUnits,
    pub kernel: String,
    #[serde(default)]
    pub manufacturer: String,
    /// The contrast agent as it is written; empty if none is named.
    #[serde(default)]
    pub contrast_agent: String,
    /// Peak voltage of the tube, in kV.
    pub peak_kilovoltage: Option<f64>,
    #[serde(default)]
    pub patient_id: String,
    /// Empty, like the following, in headers that earlier versions read.
    #[serde(default)]
    pub issuer_of_patient_id: String,
    #[serde(default)]
    pub patient_name: String,
    #[serde(default)]
    pub patient_birth_date: String,
    #[serde(default)]
    pub patient_sex: String,
    #[serde(default)]
    pub acquisition_number: Option<i32>,
    /// Acquisition Time (0008,0032) as it is written.
    #[serde(default)]
    pub acquisition_time: String,
    /// Acquisition DateTime (0008,002A) as it is written, of a frame its own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub acquisition_datetime: String,
    /// Stack ID (0020,9056) of a frame.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stack_id: String,
    /// Temporal Position Identifier (0020,0100).
    #[serde(default)]
    pub temporal_position: Option<i32>,
    /// Derivation Description (0008,2111).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub derivation_description: String,
    /// Volume Based Calculation Technique (0008,9207).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub calculation_technique: String,
    /// Reconstruction Diameter (0018,1100) in mm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reconstruction_diameter: Option<f64>,
    /// Slice Location (0020,1041) in mm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slice_location: Option<f64>,
    /// Spacing Between Slices (0018,0088) in mm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spacing_between_slices: Option<f64>,
    /// The pixels were compressed with loss at some time: by Lossy Image Compression (0028,2110), its ratio or method,
    /// by the transfer syntax, or by the first code stream itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_lossy: bool,
    /// Lossy Image Compression Ratio (0028,2112), if it is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lossy_ratio: Option<f64>,
    /// The index of the frame that this slice is, from 0, where an enhanced object holds several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame: Option<usize>,
    /// The frames of an enhanced object: see [`InstanceHeader::slices`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub frame_attributes: Vec<FrameAttributes>,
    /// The instance is a result that flow has made.
    #[serde(skip)]
    pub is_own_result: bool,
}

impl InstanceHeader {
    /// Reads the header of a file. Of a large file only the beginning is read.
    ///
    /// # Errors
    /// If the file cannot be read, is not DICOM, or ends within the header.
    pub fn read(name: &str, path: &Path) -> Result<InstanceHeader, Fault> {
        let bytes = beginning(path).map_err(|error| {
            Fault::new(
                format!("the file {name} could not be read: {error}"),
                "Check that the file is there and readable, then run the request again with `flow retry`.",
            )
        })?;
        match read_instance(name, path, &bytes) {
            Ok((header, _)) => Ok(header),
            Err(HeaderError::NotDicom) => Err(Fault::new(
                format!("the file {name} is not DICOM"),
                "Leave it out, or send it as a DICOM file (PS3.10).",
            )),
            Err(HeaderError::Damaged { fault, .. }) => Err(fault),
        }
    }

    fn of(name: &str, path: &Path, transfer_syntax_uid: &str, elements: &HeaderElements) -> InstanceHeader {
        let (slope, intercept, units) = rescale(elements);
        let sop_class_uid = elements.text(tags::SOP_CLASS_UID);
        let is_enhanced = is_enhanced_ct(&sop_class_uid);
        InstanceHeader {
            name: name.to_owned(),
            path: path.to_owned(),
            item: None,
            sop_class_uid,
            sop_instance_uid: elements.text(tags::SOP_INSTANCE_UID),
            series_instance_uid: elements.text(tags::SERIES_INSTANCE_UID),
            series_number: elements.integer(tags::SERIES_NUMBER),
            series_description: elements.text(tags::SERIES_DESCRIPTION),
            frame_of_reference_uid: elements.text(tags::FRAME_OF_REFERENCE_UID),
            transfer_syntax_uid: transfer_syntax_uid.to_owned(),
            modality: elements.text(tags::MODALITY),
            image_type: elements.texts(tags::IMAGE_TYPE),
            instance_number: elements.integer(tags::INSTANCE_NUMBER),
            rows: elements.short(tags::ROWS).unwrap_or(0),
            columns: elements.short(tags::COLUMNS).unwrap_or(0),
            frames: elements.integer(tags::NUMBER_OF_FRAMES).map_or(1, |frames| frames.max(1) as u32),
            samples_per_pixel: elements.short(tags::SAMPLES_PER_PIXEL).unwrap_or(1),
            bits_allocated: elements.short(tags::BITS_ALLOCATED).unwrap_or(0),
            bits_stored: elements.short(tags::BITS_STORED).unwrap_or(0),
            signed: elements.short(tags::PIXEL_REPRESENTATION) == Some(1),
            position: elements.decimals(tags::IMAGE_POSITION_PATIENT),
            orientation: elements.decimals(tags::IMAGE_ORIENTATION_PATIENT),
            spacing: elements.decimals(tags::PIXEL_SPACING),
            slice_thickness: elements.decimal(tags::SLICE_THICKNESS),
            slope,
            intercept,
            units,
            kernel: elements.text(tags::CONVOLUTION_KERNEL),
            manufacturer: elements.text(tags::MANUFACTURER),
            contrast_agent: contrast_agent(elements),
            peak_kilovoltage: elements.decimal(tags::KVP),
            patient_id: elements.text(tags::PATIENT_ID),
            issuer_of_patient_id: elements.text(tags::ISSUER_OF_PATIENT_ID),
            patient_name: elements.text(tags::PATIENT_NAME),
            patient_birth_date: elements.text(tags::PATIENT_BIRTH_DATE),
            patient_sex: elements.text(tags::PATIENT_SEX),
            acquisition_number: elements.integer(tags::ACQUISITION_NUMBER),
            acquisition_time: elements.text(tags::ACQUISITION_TIME),
            acquisition_datetime: elements.text(tags::ACQUISITION_DATE_TIME),
            stack_id: String::new(),
            temporal_position: elements.integer(tags::TEMPORAL_POSITION_IDENTIFIER),
            derivation_description: elements.text(tags::DERIVATION_DESCRIPTION),
            calculation_technique: elements.text(tags::VOLUME_BASED_CALCULATION_TECHNIQUE),
            reconstruction_diameter: elements.decimal(tags::RECONSTRUCTION_DIAMETER),
            slice_location: elements.decimal(tags::SLICE_LOCATION),
            spacing_between_slices: elements.decimal(tags::SPACING_BETWEEN_SLICES),
            is_lossy: is_lossy(transfer_syntax_uid, elements),
            lossy_ratio: elements.decimal(tags::LOSSY_IMAGE_COMPRESSION_RATIO),
            frame: None,
            frame_attributes: if is_enhanced { FrameAttributes::read(elements) } else { Vec::new() },
            is_own_result: is_own_result(elements),
        }
    }

    pub fn is_ct_image(&self) -> bool {
        self.sop_class_uid == uids::CT_IMAGE_STORAGE || is_enhanced_ct(&self.sop_class_uid)
    }

    /// Whether nothing can refer to the instance.
    pub fn lacks_uid(&self) -> bool {
        self.sop_instance_uid.is_empty() || self.series_instance_uid.is_empty()
    }

    /// Bytes of the pixels when decoded; 0 for an object without pixels.
    pub fn decoded_bytes(&self) -> u64 {
        let pixels = u64::from(self.rows) * u64::from(self.columns) * u64::from(self.samples_per_pixel);
        pixels
            .saturating_mul(u64::from(self.bits_allocated.div_ceil(8)))
            .saturating_mul(u64::from(self.frames))
    }

    /// The series' name in messages: "series 3 (Thorax 1.0 Br40)".
    pub fn series_label(&self) -> String {
        let number = self.series_number.map_or("without a number".to_owned(), |number| number.to_string());
        match self.series_description.as_str() {
            "" => format!("series {number}"),
            description => format!("series {number} ({description})"),
        }
    }
}

impl InstanceHeader {
    /// The slices of an instance: itself, or each frame of an enhanced object under the object's UIDs. A frame without
    /// functional groups of its own has no place; a group without a frame is a slice of 0 frames.
    pub fn slices(&self) -> Vec<InstanceHeader> {
        if self.frame_attributes.is_empty() {
            return vec![self.clone()];
        }
        let whole = InstanceHeader { frame_attributes: Vec::new(), ..self.clone() };
        let [groups, frames] = [self.frame_attributes.len(), self.frames as usize];
        let placeless = FrameAttributes::default();
        let slice = |index: usize| InstanceHeader {
            frames: u32::from(index < frames),
            ..whole.frame(index, self.frame_attributes.get(index).unwrap_or(&placeless))
        };
        (0..frames.min(FRAMES_MOST).max(groups)).map(slice).collect()
    }

    fn frame(&self, index: usize, frame: &FrameAttributes) -> InstanceHeader {
        let FrameAttributes { position, orientation, spacing, slice_thickness, slope, intercept, .. } =
            *frame;
        let or = |own: &str, whole: &str| if own.is_empty() { whole.to_owned() } else { own.to_owned() };
        InstanceHeader {
            name: format!("{}, frame {}", self.name, index + 1),
            frame: Some(index),
            position,
            orientation,
            spacing,
            slice_thickness,
            slope,
            intercept,
            units: frame.units.clone(),
            kernel: or(&frame.kernel, &self.kernel),
            image_type: match frame.frame_type.is_empty() {
                true => self.image_type.clone(),
                false => frame.frame_type.clone(),
            },
            calculation_technique: or(&frame.calculation_technique, &self.calculation_technique),
            peak_kilovoltage: frame.peak_kilovoltage.or(self.peak_kilovoltage),
            acquisition_datetime: or(&frame.acquisition_datetime, &self.acquisition_datetime),
            acquisition_time: or(&frame.acquisition_time, &self.acquisition_time),
            stack_id: frame.stack_id.clone(),
            acquisition_number: frame.acquisition_number.or(self.acquisition_number),
            temporal_position: frame.temporal_position.or(self.temporal_position),
            ..self.clone()
        }
    }
}

impl Payload for InstanceHeader {
    const TYPE: &'static str = "header";

    fn locate(&mut self, path_of: PathOf) {
        if let Some(path) = self.item.and_then(path_of) {
            self.path = path;
        }
    }
}

/// The reason why a file has no usable header.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    #[error("the file is not DICOM")]
    NotDicom,
    /// DICOM, but cut off or damaged before its pixels. `study` holds the attributes before the damage; its
    /// UID is empty if even that is lost.
    #[error("{fault}")]
    Damaged { fault: Fault, study: Box<StudyAttributes> },
}

/// Reads the attributes of any DICOM object and of its study, image or not.
///
/// `bytes` may be the whole file or its beginning, as long as everything before the pixels is included.
///
/// # Errors
/// If the bytes are not a DICOM file, or end before its pixels.
pub fn read_instance(
    name: &str,
    path: &Path,
    bytes: &[u8],
) -> Result<(InstanceHeader, StudyAttributes), HeaderError> {
    let file = Part10File::open_header(bytes).map_err(|_| HeaderError::NotDicom)?;
    let elements = file.elements();
    let study = study(&elements);
    if let Some(damage) = damage(&elements) {
        let syntax = &file.transfer_syntax_uid;
        // The elements of a private transfer syntax may be written in its own way.
        let fault = if is_private_syntax(syntax) {
            let error = DecodeError::no_decoder(syntax);
            Fault::new(format!("the file {name} cannot be read: {error}"), error.remedy())
        } else {
            Fault::new(
                format!("the file {name} cannot be read: {damage}"),
                "Send this instance again from its source.",
            )
        };
        return Err(HeaderError::Damaged { fault, study: Box::new(study) });
    }
    Ok((InstanceHeader::of(name, path, &file.transfer_syntax_uid, &elements), study))
}

/// The reason why elements before the pixels are missing.
fn damage(elements: &HeaderElements) -> Option<String> {
    let lacks_pixels = || elements.pixels.is_none() && is_image(&elements.text(tags::SOP_CLASS_UID));
    match &elements.damage {
        Some(damage) => Some(damage.to_string()),
        None => lacks_pixels().then(|| "the file is cut off: it ends before its pixels".to_owned()),
    }
}

/// Whether the pixels were compressed with loss at any time. JPEG 2000 can be without loss under either of its
/// transfer syntaxes, so that the attributes tell, or else the code stream. A ratio and a method are written only then.
fn is_lossy(transfer_syntax_uid: &str, elements: &HeaderElements) -> bool {
    const LOSSY: [&str; 3] =
        [uids::JPEG_BASELINE8_BIT, uids::JPEG_EXTENDED12_BIT, uids::JPEGLS_NEAR_LOSSLESS];
    let ratio = elements.decimal(tags::LOSSY_IMAGE_COMPRESSION_RATIO);
    let is_said = elements.text(tags::LOSSY_IMAGE_COMPRESSION) == "01"
        || ratio.is_some_and(|ratio| ratio > 1.0)
        || !elements.text(tags::LOSSY_IMAGE_COMPRESSION_METHOD).is_empty();
    let by_stream = || match elements.pixels {
        Some(PixelData::Encapsulated(items)) => stream_loses(transfer_syntax_uid, items),
        _ => false,
    };
    is_said || LOSSY.contains(&transfer_syntax_uid) || by_stream()
}

/// The contrast agent, of an enhanced object as the meaning of its code; empty where it says that there is none.
fn contrast_agent(elements: &HeaderElements) -> String {
    let coded = || elements.items(tags::CONTRAST_BOLUS_AGENT_SEQUENCE).next();
    let agent = match elements.text(tags::CONTRAST_BOLUS_AGENT) {
        text if text.is_empty() => coded().map_or(text, |code| code.text(tags::CODE_MEANING)),
        text => text,
    };
    if says_no_contrast(&agent) { String::new() } else { agent }
}

/// Whether people write this where nothing was given into a vein: an agent that was drunk makes no blood denser. Only whole
/// phrases count: a text that goes on may name an agent.
fn says_no_contrast(agent: &str) -> bool {
    const NOTHING: [&str; 11] =
        ["NONE", "NO", "N", "N/A", "NA", "-", "0", "NATIV", "NATIVE", "PLAIN", "ORAL"];
    const WITHOUT: [&str; 7] = ["WITHOUT", "W/O", "NO", "NON", "OHNE", "SANS", "SIN"];
    const AGENT: [&str; 14] = [
        "",
        "CONTRAST",
        "CONTRASTE",
        "CONTRAST AGENT",
        "CONTRAST MEDIUM",
        "CONTRAST MEDIA",
        "IV CONTRAST",
        "I.V. CONTRAST",
        "KM",
        "KONTRAST",
        "KONTRASTMITTEL",
        "PRODUIT DE CONTRASTE",
        "INJECTION",
        "IV",
    ];
    let agent = agent.to_uppercase();
    let (word, rest) = agent.split_once([' ', '-']).unwrap_or((&agent, ""));
    NOTHING.contains(&agent.as_str()) || WITHOUT.contains(&word) && AGENT.contains(&rest.trim())
}

fn study(elements: &HeaderElements) -> StudyAttributes {
    StudyAttributes {
        study_instance_uid: elements.text(tags::STUDY_INSTANCE_UID),
        study_id: elements.text(tags::STUDY_ID),
        study_date: elements.text(tags::STUDY_DATE),
        study_time: elements.text(tags::STUDY_TIME),
        study_description: elements.text(tags::STUDY_DESCRIPTION),
        accession_number: elements.text(tags::ACCESSION_NUMBER),
        referring_physician_name: elements.text(tags::REFERRING_PHYSICIAN_NAME),
        patient_name: elements.text(tags::PATIENT_NAME),
        patient_id: elements.text(tags::PATIENT_ID),
        patient_birth_date: elements.text(tags::PATIENT_BIRTH_DATE),
        patient_sex: elements.text(tags::PATIENT_SEX),
        patient_age: elements.text(tags::PATIENT_AGE),
    }
}

/// Bytes of encapsulated pixels that hold the head of the first code stream, after a table of frames.
const STREAM_BYTES: usize = 2 << 10;

/// The beginning of a file up to its pixels, and of encapsulated ones the first bytes. More is read until these are
/// in it.
fn beginning(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut bytes = Vec::with_capacity(FIRST_BYTES as usize);
    let mut wanted = FIRST_BYTES;
    loop {
        let missing = wanted - bytes.len() as u64;
        let read = file.by_ref().take(missing).read_to_end(&mut bytes)? as u64;
        let whole = Part10File::open_header(&bytes).is_ok_and(|file| match file.elements().pixels {
            Some(PixelData::Encapsulated(items)) => items.len() >= STREAM_BYTES,
            pixels => pixels.is_some(),
        });
        if whole || read < missing {
            return Ok(bytes);
        }
        wanted *= 8;
    }
}

#[cfg(test)]
mod tests;
