//! `write-png`: writes pictures as PNG files.

use rayon::prelude::*;

use crate::imaging::{Picture, Pictures};
use crate::step::{BuiltIn, Fault, ResponseFile, ResponseFiles, Step, StepOutputs};

/// Encodes a picture as a PNG file (ISO/IEC 15948), 8 bits, RGB.
///
/// # Errors
/// If the number of bytes does not match the picture's size.
pub fn write_png(picture: &Picture) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let (width, height) = (picture.width as u32, picture.height as u32);
    let mut info = png::Info::with_size(width, height);
    info.color_type = png::ColorType::Rgb;
    info.bit_depth = png::BitDepth::Eight;
    let mut encoder = png::Encoder::with_info(&mut bytes, info)?;
    encoder.set_compression(png::Compression::Fastest);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&picture.rgb)?;
    writer.finish()?;
    Ok(bytes)
}

fn step() -> Step {
    Step::new("write-png", 1, "Writes pictures as PNG files.")
        .takes::<Pictures>("pictures")
        .gives::<ResponseFiles>("files")
        .runs(|call| {
            let pictures = call.input::<Pictures>("pictures");
            let files = pictures.0.par_iter().map(file).collect::<Result<Vec<_>, Fault>>()?;
            Ok(StepOutputs::one("files", ResponseFiles(files)))
        })
}

fn file(picture: &Picture) -> Result<ResponseFile, Fault> {
    let bytes = write_png(picture).map_err(|error| {
        Fault::new(
            format!("the picture {:?} could not be written as PNG: {error}", picture.name),
            "This is a mistake in flow: please report it with the request's name.",
        )
    })?;
    Ok(ResponseFile::new(format!("pictures/{}.png", picture.name), "image/png", bytes))
}

inventory::submit! { BuiltIn(step) }
