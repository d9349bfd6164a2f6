//! `write-overlay`: writes the slices that show the lungs in colour, to be scrolled beside the source.
//!
//! Each object is a Secondary Capture image with the pixels, the place and the frame of reference of a slice, and
//! refers to it, so that viewers scroll both series together. The lungs are tinted and outlined, and lung of low
//! density is tinted by itself; airways and gas that is no lung stay grey.
//!
//! An object has three bytes a pixel: a series of 275 slices of 512 × 512 takes 216 MB.

use dicom_core::VR;
use dicom_dictionary_std::{tags, uids};
use rayon::prelude::*;

use crate::imaging::drawing::{LEFT_LUNG, LOW_DENSITY, RIGHT_LUNG, RgbColour, mix};
use crate::imaging::objects::{GeneratedInstance, GeneratedSeries, SourcePlane, decimals};
use crate::imaging::upright::UprightFrame;
use crate::imaging::{InstanceHeader, Lungs, SortedSeries, StudyAttributes, Volume};
use crate::step::{BuiltIn, Call, Fault, Parameter, Request, ResponseFile, ResponseFiles, Step, StepOutputs};

/// CT numbers that are black and white: a lung window.
const WINDOW_HU: [f32; 2] = [-1350.0, 150.0];
const LUNG_TINT: f32 = 0.2;
const OUTLINE_TINT: f32 = 0.8;
const LOW_DENSITY_TINT: f32 = 0.6;

fn step() -> Step {
    let [series_number, description] = GeneratedSeries::parameters(9008, "flow: lungs in colour");
    let about = "Writes the slices with the lungs in colour, to scroll beside the source series.";
    let number = Parameter::number;
    Step::new("write-overlay", 2, about)
        .takes::<Request>("request")
        .takes::<SortedSeries>("series")
        .takes::<Volume>("volume")
        .takes::<Lungs>("lungs")
        .gives::<ResponseFiles>("files")
        .identifies()
        .parameter(series_number)
        .parameter(description)
        .parameter(
            number("spacing_mm", 0.0, 0.0, 100.0, "mm")
                .about("The least distance between slices that are written; 0 for all that show the lungs."),
        )
        .parameter(
            number("low_density_hu", -950.0, -1024.0, 0.0, "HU")
                .about("Lung below this is tinted by itself."),
        )
        .runs(|call| {
            let overlay = OverlaySeries::of(call)?;
            let files: Result<Vec<ResponseFile>, Fault> = overlay
                .slices(call.number("spacing_mm"))
                .into_par_iter()
                .map(|z| overlay.file(call, z))
                .collect();
            call.token.check()?;
            Ok(StepOutputs::one("files", ResponseFiles(files?)))
        })
}

inventory::submit! { BuiltIn(step) }

struct OverlaySeries<'a> {
    series: &'a SortedSeries,
    volume: &'a Volume,
    lungs: &'a Lungs,
    upright: UprightFrame,
    low_density_hu: i16,
    study: StudyAttributes,
    own: GeneratedSeries,
    /// Where the source names none.
    own_frame_of_reference: String,
}

impl<'a> OverlaySeries<'a> {
    fn of(call: &Call<'a>) -> Result<OverlaySeries<'a>, Fault> {
        let series = call.input::<SortedSeries>("series");
        Ok(OverlaySeries {
            series,
            volume: call.input("volume"),
            lungs: call.input("lungs"),
            upright: UprightFrame::around(series)?,
            low_density_hu: call.number("low_density_hu") as i16,
            study: series.study(call.input("request")),
            own: GeneratedSeries::of(call, "OT"),
            own_frame_of_reference: call.uid(1),
        })
    }

    /// The slices from the first to the last that shows a lung, at least so far apart.
    fn slices(&self, spacing_mm: f64) -> Vec<usize> {
        let bounds = [&self.lungs.right, &self.lungs.left].map(|lung| lung.bounds());
        let bounds = || bounds.iter().flatten();
        let first = bounds().map(|bounds| bounds.low[2]).min().unwrap_or(0);
        let end = bounds().map(|bounds| bounds.high[2]).max().unwrap_or(0);
        let step = (spacing_mm / self.series.slice_spacing - 1e-6).ceil().max(1.0) as usize;
        (first..end).step_by(step).collect()
    }

    fn file(&self, call: &Call, z: usize) -> Result<ResponseFile, Fault> {
        let slice = &self.series.slices[z];
        let class = uids::SECONDARY_CAPTURE_IMAGE_STORAGE;
        // The numbers below 16 are not those of slices.
        let uid = call.uid(16 + z as u64);
        let mut instance = GeneratedInstance::new(class, uid, z + 1, &self.study, &self.own);
        let frame_of_reference = match slice.frame_of_reference_uid.as_str() {
            "" => &self.own_frame_of_reference,
            uid => uid,
        };
        let texts = [
            (tags::LATERALITY, VR::CS, ""),
            (tags::PATIENT_ORIENTATION, VR::CS, ""),
            (tags::CONVERSION_TYPE, VR::CS, "WSD"),
            (tags::IMAGE_TYPE, VR::CS, "DERIVED\\SECONDARY"),
            (tags::DERIVATION_DESCRIPTION, VR::ST, "Lungs and low density in colour over the source image"),
            (tags::BURNED_IN_ANNOTATION, VR::CS, "NO"),
            (tags::LOSSY_IMAGE_COMPRESSION, VR::CS, "00"),
            (tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "RGB"),
            (tags::FRAME_OF_REFERENCE_UID, VR::UI, frame_of_reference),
            (tags::POSITION_REFERENCE_INDICATOR, VR::LO, ""),
        ];
        texts.into_iter().for_each(|(tag, vr, text)| instance.text(tag, vr, text));
        for (date, time) in [(tags::CONTENT_DATE, tags::CONTENT_TIME), (tags::SERIES_DATE, tags::SERIES_TIME)]
        {
            instance.text(date, VR::DA, &self.study.study_date);
            instance.text(time, VR::TM, &self.study.study_time);
        }
        self.put_plane(&mut instance, slice);
        let numbers = [
            (tags::SAMPLES_PER_PIXEL, 3),
            (tags::PLANAR_CONFIGURATION, 0),
            (tags::ROWS, slice.rows),
            (tags::COLUMNS, slice.columns),
            (tags::BITS_ALLOCATED, 8),
            (tags::BITS_STORED, 8),
            (tags::HIGH_BIT, 7),
            (tags::PIXEL_REPRESENTATION, 0),
        ];
        numbers.into_iter().for_each(|(tag, number)| instance.number(tag, number));
        let mut pixels = self.pixels(z);
        pixels.resize(pixels.len().next_multiple_of(2), 0);
        instance.bytes(tags::PIXEL_DATA, VR::OB, pixels);
        instance.into_file(format!("overlay/{:04}.dcm", z + 1))
    }

    /// Where the source's slice lies, and which one it is.
    fn put_plane(&self, instance: &mut GeneratedInstance, slice: &InstanceHeader) {
        let plane = SourcePlane::of(slice, self.series.slice_spacing);
        let numbers = [
            (tags::IMAGE_POSITION_PATIENT, decimals(&plane.position)),
            (tags::IMAGE_ORIENTATION_PATIENT, decimals(&plane.orientation)),
            (tags::PIXEL_SPACING, decimals(&plane.spacing)),
            (tags::SLICE_THICKNESS, decimals(&[plane.thickness])),
            (tags::SPACING_BETWEEN_SLICES, decimals(&[self.series.slice_spacing])),
        ];
        numbers.into_iter().for_each(|(tag, text)| instance.text(tag, VR::DS, &text));
        instance.items(tags::SOURCE_IMAGE_SEQUENCE, vec![plane.source_image()]);
    }

    /// Red, green and blue of the pixels of a slice.
    fn pixels(&self, z: usize) -> Vec<u8> {
        let slice = &self.series.slices[z];
        let [columns, rows] = [slice.columns, slice.rows].map(usize::from);
        let [left, top] = self.upright.corner(self.series.shifts.get(z).copied().unwrap_or([0, 0]));
        let mut pixels = Vec::with_capacity(3 * columns * rows);
        for y in top..top + rows {
            let row = &self.volume.row(y, z)[left..left + columns];
            for (x, hu) in (left..).zip(row) {
                let mut pixel = [grey(*hu); 3];
                self.tint(&mut pixel, [x, y, z], *hu);
                pixels.extend_from_slice(&pixel);
            }
        }
        pixels
    }

    fn tint(&self, pixel: &mut [u8; 3], at: [usize; 3], hu: i16) {
        let colour: RgbColour = match self.lungs.label(at) {
            Lungs::RIGHT => RIGHT_LUNG,
            Lungs::LEFT => LEFT_LUNG,
            _ => return,
        };
        if self.is_border(at) {
            mix(pixel, colour, OUTLINE_TINT);
        } else if hu < self.low_density_hu {
            mix(pixel, LOW_DENSITY, LOW_DENSITY_TINT);
        } else {
            mix(pixel, colour, LUNG_TINT);
        }
    }

    /// Whether a neighbour in the slice is not of the same lung.
    fn is_border(&self, [x, y, z]: [usize; 3]) -> bool {
        let own = self.lungs.label([x, y, z]);
        let [columns, rows, _] = self.volume.size;
        let is_other = |x: usize, y: usize| x >= columns || y >= rows || self.lungs.label([x, y, z]) != own;
        let beside = [(x.wrapping_sub(1), y), (x + 1, y), (x, y.wrapping_sub(1)), (x, y + 1)];
        beside.into_iter().any(|(x, y)| is_other(x, y))
    }
}

fn grey(hu: i16) -> u8 {
    let [black, white] = WINDOW_HU;
    // The conversion is exact: the value lies between 0 and 255.
    ((f32::from(hu) - black) / (white - black)).clamp(0.0, 1.0).mul_add(255.0, 0.5) as u8
}
