//! Small pictures of single images, whatever their modality.
//!
//! Grey values are shown as the image's own window asks (PS3.3 C.11.2), or else from the darkest hundredth of
//! its pixels to the brightest.

use std::fs;

use dicom_dictionary_std::tags;

use super::codecs::{DecodedPixels, decoded};
use super::drawing::Canvas;
use super::elements::Part10File;
use super::{DecodeError, InstanceHeader};

/// Images larger than this when decoded are not opened for a thumbnail.
const DECODED_BYTES_MOST: u64 = 1 << 30;
/// Share of the pixels that is darker, and that is brighter, than what is shown.
const OUTSIDE_SHARE: f64 = 0.01;

/// The reason why there is no thumbnail.
#[derive(Debug, thiserror::Error)]
pub enum ThumbnailError {
    /// The instance has no pixels, as a report or a presentation state.
    #[error("no image")]
    NoImage,
    #[error("{} MiB of pixels are too much for a thumbnail", .0 >> 20)]
    TooLarge(u64),
    /// Its pixels are indexes into a table of colours.
    #[error("palette colours are not drawn")]
    Palette,
    #[error("the file could not be read: {0}")]
    Unreadable(#[from] std::io::Error),
    #[error(transparent)]
    Damaged(#[from] DecodeError),
}

/// Draws the middle frame of an instance within so many pixels.
///
/// # Errors
/// If the instance has no pixels, or they cannot be decoded.
pub fn thumbnail(header: &InstanceHeader, [width, height]: [usize; 2]) -> Result<Canvas, ThumbnailError> {
    match header.decoded_bytes() {
        0 => return Err(ThumbnailError::NoImage),
        bytes if bytes > DECODED_BYTES_MOST => return Err(ThumbnailError::TooLarge(bytes)),
        _ => {}
    }
    let bytes = fs::read(&header.path)?;
    let pixels = decoded(&bytes)?;
    if pixels.photometric_interpretation == "PALETTE COLOR" {
        return Err(ThumbnailError::Palette);
    }
    let image = GreyImage::of(&pixels, &bytes);
    let [down, across] = header.spacing.unwrap_or([1.0, 1.0]);
    let [mm_wide, mm_high] = [pixels.columns as f64 * across, pixels.rows as f64 * down];
    let scale = (width as f64 / mm_wide).min(height as f64 / mm_high);
    let fitting = |mm: f64, most: usize| ((mm * scale).round() as usize).clamp(1, most);
    let mut canvas = Canvas::filled(fitting(mm_wide, width), fitting(mm_high, height), [0; 3]);
    let [wide, high] = [canvas.width, canvas.height];
    for (index, pixel) in canvas.rgb.chunks_exact_mut(3).enumerate() {
        let columns = span(index % wide, wide, pixels.columns);
        let rows = span(index / wide, high, pixels.rows);
        pixel.copy_from_slice(&image.colour(&pixels, columns, rows));
    }
    Ok(canvas)
}

/// The source pixels that a pixel of the thumbnail stands for: at least one.
fn span(at: usize, count: usize, source: usize) -> [usize; 2] {
    let start = (at * source / count).min(source - 1);
    [start, ((at + 1) * source / count).clamp(start + 1, source)]
}

/// One frame with the values that become black and white.
struct GreyImage {
    samples: Vec<u8>,
    black: f64,
    white: f64,
}

impl GreyImage {
    fn of(pixels: &DecodedPixels, file: &[u8]) -> GreyImage {
        let samples = pixels.frame(pixels.frames / 2).into_owned();
        let mut image = GreyImage { samples, black: 0.0, white: 255.0 };
        if pixels.samples_per_pixel == 1 {
            let [black, white] = window(file).unwrap_or_else(|| image.range(pixels));
            let is_inverted = pixels.photometric_interpretation == "MONOCHROME1";
            (image.black, image.white) = if is_inverted { (white, black) } else { (black, white) };
        }
        image
    }

    fn value(&self, pixels: &DecodedPixels, sample: usize) -> f64 {
        match (pixels.bits_allocated, pixels.signed) {
            (16, signed) => {
                let raw = u16::from_le_bytes([self.samples[2 * sample], self.samples[2 * sample + 1]]);
                if signed { f64::from(raw as i16) } else { f64::from(raw) }
            }
            (32, signed) => {
                let bytes: [u8; 4] = std::array::from_fn(|byte| self.samples[4 * sample + byte]);
                let raw = u32::from_le_bytes(bytes);
                if signed { f64::from(raw as i32) } else { f64::from(raw) }
            }
            (_, true) => f64::from(self.samples[sample] as i8),
            (_, false) => f64::from(self.samples[sample]),
        }
    }

    /// The range of the values without the outermost.
    fn range(&self, pixels: &DecodedPixels) -> [f64; 2] {
        let count = pixels.rows * pixels.columns;
        let mut values: Vec<f64> = (0..count).map(|sample| self.value(pixels, sample)).collect();
        values.sort_unstable_by(f64::total_cmp);
        let at = |share: f64| values[((count - 1) as f64 * share) as usize];
        [at(OUTSIDE_SHARE), at(1.0 - OUTSIDE_SHARE)]
    }

    /// The mean of a rectangle of pixels, as RGB.
    fn colour(&self, pixels: &DecodedPixels, columns: [usize; 2], rows: [usize; 2]) -> [u8; 3] {
        let colours = pixels.samples_per_pixel;
        let count = ((columns[1] - columns[0]) * (rows[1] - rows[0])) as f64;
        let mean = |colour: usize| {
            let places = (rows[0]..rows[1])
                .flat_map(|row| (columns[0]..columns[1]).map(move |column| row * pixels.columns + column));
            places.map(|place| self.value(pixels, place * colours + colour)).sum::<f64>() / count
        };
        if colours == 1 {
            let width = self.white - self.black;
            let share = if width == 0.0 { 0.5 } else { (mean(0) - self.black) / width };
            return [(share.clamp(0.0, 1.0) * 255.0).round() as u8; 3];
        }
        let [first, second, third] = [mean(0), mean(1), mean(2)];
        if pixels.photometric_interpretation.starts_with("YBR") {
            return rgb(first, second, third);
        }
        [first, second, third].map(|mean| mean.round() as u8)
    }
}

/// RGB of full-range luminance and chrominance (PS3.3 C.7.6.3.1.2).
fn rgb(luminance: f64, blue: f64, red: f64) -> [u8; 3] {
    let (blue, red) = (blue - 128.0, red - 128.0);
    [luminance + 1.402 * red, luminance - 0.344_136 * blue - 0.714_136 * red, luminance + 1.772 * blue]
        .map(|value| value.round() as u8)
}

/// Black and white of the image's first window, in stored values.
fn window(file: &[u8]) -> Option<[f64; 2]> {
    let file = Part10File::open_header(file).ok()?;
    let elements = file.elements();
    let [centre, width] = [elements.decimal(tags::WINDOW_CENTER)?, elements.decimal(tags::WINDOW_WIDTH)?];
    let slope = elements.decimal(tags::RESCALE_SLOPE).filter(|slope| *slope != 0.0).unwrap_or(1.0);
    let intercept = elements.decimal(tags::RESCALE_INTERCEPT).unwrap_or(0.0);
    let stored = |value: f64| (value - intercept) / slope;
    (width > 1.0).then(|| [stored(centre - width / 2.0), stored(centre + width / 2.0)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::sample;

    fn drawn(header: &InstanceHeader, pixels: &[u8], size: [usize; 2]) -> Result<Canvas, ThumbnailError> {
        let folder = tempfile::tempdir().unwrap();
        let header = InstanceHeader { path: folder.path().join("image"), ..header.clone() };
        fs::write(&header.path, sample::slice_file(&header, pixels)).unwrap();
        thumbnail(&header, size)
    }

    #[test]
    fn the_darkest_is_black_and_the_brightest_white() {
        let values: Vec<u8> = (0..12_u16).flat_map(|value| (100 * value).to_le_bytes()).collect();
        let canvas = drawn(&sample::header(0), &values, [8, 6]).unwrap();
        assert_eq!((canvas.width, canvas.height), (8, 6));
        assert_eq!(canvas.rgb[..3], [0; 3]);
        assert_eq!(canvas.rgb[canvas.rgb.len() - 3..], [255; 3]);
    }

    #[test]
    fn pixels_that_are_not_square_keep_their_shape() {
        let header = InstanceHeader { spacing: Some([2.0, 0.5]), ..sample::header(0) };
        let canvas = drawn(&header, &[0; 24], [60, 60]).unwrap();
        assert_eq!((canvas.width, canvas.height), (20, 60));
    }

    #[test]
    fn an_instance_without_an_image_has_none() {
        let header = InstanceHeader { rows: 0, ..sample::header(0) };
        assert!(matches!(thumbnail(&header, [8, 8]), Err(ThumbnailError::NoImage)));
        assert!(matches!(drawn(&sample::header(0), &[0; 10], [8, 8]), Err(ThumbnailError::Damaged(_))));
    }
}
