//! What one DICOM instance says of itself, without its pixels.

use std::path::PathBuf;

use crate::step::Payload;

/// The attributes of one instance that sorting, assembling and referring to it need.
///
/// Lengths are millimetres in the patient coordinate system of PS3.3 C.7.6.2.1.1 (x to the left,
/// y to the back, z to the head). A field is `None` where the instance lacks it.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// How messages call the instance: the item's name.
    pub name: String,
    pub path: PathBuf,
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
    /// Pixel representation 1: two's complement.
    pub signed: bool,
    /// Image Position (Patient): the centre of the first pixel.
    pub position: Option<[f64; 3]>,
    /// Image Orientation (Patient): direction cosines of a row and of a column.
    pub orientation: Option<[f64; 6]>,
    /// Pixel Spacing: between rows, then between columns, in mm.
    pub spacing: Option<[f64; 2]>,
    pub slice_thickness: Option<f64>,
    /// HU = stored value × slope + intercept.
    pub slope: f64,
    pub intercept: f64,
    pub kernel: String,
    pub peak_kilovoltage: Option<f64>,
}

impl Payload for Header {
    const TYPE: &'static str = "header";
}
