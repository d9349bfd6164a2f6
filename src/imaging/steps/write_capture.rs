//! `write-capture`: writes pictures as a Secondary Capture series in the study of the request.

use dicom_core::VR;
use dicom_dictionary_std::{tags, uids};

use crate::imaging::objects::{GeneratedInstance, GeneratedSeries, PixelSource};
use crate::imaging::{Picture, Pictures, SortedSeries, StudyAttributes};
use crate::step::{BuiltIn, Fault, Request, ResponseFile, ResponseFiles, Step, StepOutputs};

/// Writes a Secondary Capture image (PS3.3 A.8.1), RGB, with the picture's title as its comment.
///
/// # Errors
/// If the picture has more rows or columns than DICOM can count, or cannot be written.
fn write_capture(
    picture: &Picture,
    number: usize,
    uid: String,
    study: &StudyAttributes,
    series: &GeneratedSeries,
) -> Result<ResponseFile, Fault> {
    let class = uids::SECONDARY_CAPTURE_IMAGE_STORAGE;
    let mut instance = GeneratedInstance::new(class, uid, number, study, series);
    // Two attributes are required and may be empty: a page has no laterality and no orientation.
    instance.text(tags::LATERALITY, VR::CS, "");
    instance.text(tags::PATIENT_ORIENTATION, VR::CS, "");
    instance.text(tags::CONVERSION_TYPE, VR::CS, "WSD");
    instance.text(tags::IMAGE_TYPE, VR::CS, "DERIVED\\SECONDARY");
    instance.text(tags::IMAGE_COMMENTS, VR::LT, &picture.title);
    instance.text(tags::DERIVATION_DESCRIPTION, VR::ST, "Drawn by flow from the images of this study");
    // An error page names the request, whose name may be the patient's.
    instance.text(tags::BURNED_IN_ANNOTATION, VR::CS, "YES");
    instance.text(tags::LOSSY_IMAGE_COMPRESSION, VR::CS, "00");
    for (date, time) in [(tags::CONTENT_DATE, tags::CONTENT_TIME), (tags::SERIES_DATE, tags::SERIES_TIME)] {
        instance.text(date, VR::DA, &study.study_date);
        instance.text(time, VR::TM, &study.study_time);
    }
    pixels(&mut instance, picture)?;
    instance.into_file(format!("capture/{}.dcm", picture.name))
}

fn pixels<'a>(instance: &mut GeneratedInstance<'a>, picture: &'a Picture) -> Result<(), Fault> {
    let (rows, columns) = (count(picture, picture.height)?, count(picture, picture.width)?);
    let numbers = [
        (tags::SAMPLES_PER_PIXEL, 3),
        (tags::PLANAR_CONFIGURATION, 0),
        (tags::ROWS, rows),
        (tags::COLUMNS, columns),
        (tags::BITS_ALLOCATED, 8),
        (tags::BITS_STORED, 8),
        (tags::HIGH_BIT, 7),
        (tags::PIXEL_REPRESENTATION, 0),
    ];
    numbers.into_iter().for_each(|(tag, number)| instance.number(tag, number));
    instance.text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "RGB");
    let rgb = &picture.rgb;
    instance.pixels(PixelSource::new(rgb.len(), |bytes| bytes.copy_from_slice(rgb)));
    Ok(())
}

fn count(picture: &Picture, pixels: usize) -> Result<u16, Fault> {
    u16::try_from(pixels).map_err(|_| {
        let Picture { name, width, height, .. } = picture;
        Fault::new(
            format!("the picture {name:?} of {width} × {height} pixels is too large for DICOM"),
            "Draw it with at most 65535 rows and columns.",
        )
    })
}

fn step() -> Step {
    let [number, description] = GeneratedSeries::parameters(9001, "flow: pictures");
    Step::new("write-capture", 2, "Writes pictures as a Secondary Capture series in the request's study.")
        .takes::<Request>("request")
        .takes::<Pictures>("pictures")
        .takes_optional::<SortedSeries>("series")
        .gives::<ResponseFiles>("files")
        .identifies()
        .parameter(number)
        .parameter(description)
        .runs(|call| {
            let request = call.input::<Request>("request");
            let study = match call.optional::<SortedSeries>("series") {
                Some(series) => series.study(request),
                None => StudyAttributes::of(request),
            };
            let series = GeneratedSeries::of(call, "OT");
            let pictures = call.input::<Pictures>("pictures").0.iter().zip(1..);
            let files = pictures.map(|(picture, number)| {
                write_capture(picture, number, call.uid(number as u64), &study, &series)
            });
            Ok(StepOutputs::one("files", ResponseFiles(files.collect::<Result<_, _>>()?)))
        })
}

inventory::submit! { BuiltIn(step) }
