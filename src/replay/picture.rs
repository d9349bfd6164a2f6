//! The comparison of two PNG files pixel by pixel, with a picture of the differences.
//!
//! Pixels are compared as 8-bit RGB, with transparent pixels blended onto black.

use std::fmt;
use std::io::Cursor;

use crate::imaging::Picture;

/// The difference between two pictures.
#[derive(Clone, Debug, PartialEq)]
pub enum PictureDifference {
    /// Width and height of both pictures.
    Size {
        before: [usize; 2],
        after: [usize; 2],
    },
    Pixels(PixelDifference),
}

/// The difference between two pictures of the same size.
#[derive(Clone, Debug, PartialEq)]
pub struct PixelDifference {
    pub width: usize,
    pub height: usize,
    /// The number of differing pixels; 0 for the same picture in another encoding.
    pub differing: usize,
    /// The largest difference in any of the three colours, of 255.
    pub largest: u8,
    /// The first picture in grey, with the differing pixels in a colour.
    pub marked: Picture,
}

#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    #[error("the file is not a readable PNG file")]
    Png(#[from] png::DecodingError),
    #[error("the picture is larger than {PIXELS_MAX} pixels")]
    Large,
}

/// Limit of the size of a picture, in pixels. A forged file may declare more.
const PIXELS_MAX: usize = 64 << 20;

const MARK: [u8; 3] = [255, 70, 0];

impl PictureDifference {
    /// Compares two PNG files; `name` becomes that of the marked picture.
    ///
    /// # Errors
    /// One of the files cannot be read.
    pub fn between(name: &str, before: &[u8], after: &[u8]) -> Result<PictureDifference, PictureError> {
        let (before, after) = (RgbImage::read(before)?, RgbImage::read(after)?);
        Ok(if before.size == after.size {
            PictureDifference::Pixels(PixelDifference::between(name, &before, &after))
        } else {
            PictureDifference::Size { before: before.size, after: after.size }
        })
    }
}

impl PixelDifference {
    fn between(name: &str, before: &RgbImage, after: &RgbImage) -> PixelDifference {
        let pairs = || before.pixels.iter().zip(&after.pixels);
        let differing = pairs().filter(|(before, after)| before != after).count();
        let [width, height] = before.size;
        let mut pixels = PixelDifference {
            width,
            height,
            differing,
            largest: pairs().map(|(before, after)| distance(before, after)).max().unwrap_or(0),
            marked: Picture::new(
                name,
                "",
                [width, height],
                pairs().flat_map(|(before, after)| marked(before, after)).collect(),
            ),
        };
        pixels.marked.title = pixels.to_string();
        pixels
    }
}

fn distance(before: &[u8; 3], after: &[u8; 3]) -> u8 {
    before.iter().zip(after).map(|(before, after)| before.abs_diff(*after)).max().unwrap_or(0)
}

/// A pixel of the marked picture: bright if the pixels differ, otherwise in dark grey.
fn marked(before: &[u8; 3], after: &[u8; 3]) -> [u8; 3] {
    if before != after {
        return MARK;
    }
    let sum: u16 = before.iter().map(|colour| u16::from(*colour)).sum();
    [(sum / 5) as u8; 3]
}

struct RgbImage {
    size: [usize; 2],
    pixels: Vec<[u8; 3]>,
}

impl RgbImage {
    fn read(bytes: &[u8]) -> Result<RgbImage, PictureError> {
        let mut decoder = png::Decoder::new(Cursor::new(bytes));
        decoder.set_transformations(png::Transformations::normalize_to_color8());
        let mut reader = decoder.read_info()?;
        let (width, height) = (reader.info().width as usize, reader.info().height as usize);
        let size = reader.output_buffer_size().filter(|_| width.saturating_mul(height) <= PIXELS_MAX);
        let mut samples = vec![0; size.ok_or(PictureError::Large)?];
        let frame = reader.next_frame(&mut samples)?;
        let of_pixel = frame.color_type.samples();
        let pixels = samples.chunks_exact(of_pixel).map(rgb).collect();
        Ok(RgbImage { size: [width, height], pixels })
    }
}

/// The samples of a pixel: grey or RGB, and opacity as the last if their number is even.
fn rgb(samples: &[u8]) -> [u8; 3] {
    let over_black = |colour: u8, opacity: u8| (u16::from(colour) * u16::from(opacity) / 255) as u8;
    match *samples {
        [red, green, blue, opacity] => [red, green, blue].map(|colour| over_black(colour, opacity)),
        [red, green, blue] => [red, green, blue],
        [grey, opacity] => [over_black(grey, opacity); 3],
        [grey, ..] => [grey; 3],
        [] => [0; 3],
    }
}

impl fmt::Display for PictureDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PictureDifference::Size { before: [width, height], after: [wide, high] } => {
                write!(f, "{width} × {height} → {wide} × {high} pixels")
            }
            PictureDifference::Pixels(pixels) => write!(f, "{pixels}"),
        }
    }
}

impl fmt::Display for PixelDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PixelDifference { width, height, differing, largest, .. } = self;
        if *differing == 0 {
            return f.write_str("the same pixels in another encoding");
        }
        let percent = 100.0 * *differing as f64 / (width * height) as f64;
        let verb = if *differing == 1 { "differs" } else { "differ" };
        write!(
            f,
            "{differing} of {width} × {height} pixels {verb} ({percent:.2} %), by up to {largest} of 255"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: usize, height: usize, rgb: Vec<u8>) -> Vec<u8> {
        Picture::new("", "", [width, height], rgb.into()).png().unwrap().to_vec()
    }

    /// A PNG of one pixel in some other colour type.
    fn pixel(colour: png::ColorType, samples: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 1, 1);
        encoder.set_color(colour);
        encoder.set_palette(&[9, 8, 7, 50, 100, 150][..]);
        encoder.write_header().unwrap().write_image_data(samples).unwrap();
        bytes
    }

    fn check(before: &[u8], after: &[u8], expected: &str) -> PictureDifference {
        let difference = PictureDifference::between("plane", before, after).unwrap();
        assert_eq!(difference.to_string(), expected);
        difference
    }

    #[test]
    fn the_pixels_that_differ_are_counted_and_marked() {
        let before = picture(2, 2, vec![10, 20, 30, 0, 0, 0, 255, 255, 255, 5, 5, 5]);
        let after = picture(2, 2, vec![10, 20, 30, 0, 7, 0, 255, 215, 255, 5, 5, 5]);
        let difference = check(&before, &after, "2 of 2 × 2 pixels differ (50.00 %), by up to 40 of 255");
        let PictureDifference::Pixels(PixelDifference { marked, .. }) = difference else {
            panic!("of one size")
        };
        assert_eq!(*marked.rgb, [[12; 3], MARK, MARK, [3; 3]].concat());
        assert_eq!((marked.name.as_str(), marked.width, marked.height), ("plane", 2, 2));
    }

    #[test]
    fn sizes_and_ways_of_writing() {
        let one = picture(1, 1, vec![50, 100, 150]);
        check(&one, &picture(1, 2, vec![0; 6]), "1 × 1 → 1 × 2 pixels");
        let same = "the same pixels in another encoding";
        check(&one, &pixel(png::ColorType::Indexed, &[1]), same);
        check(&one, &pixel(png::ColorType::Rgba, &[50, 100, 150, 255]), same);
        let grey = pixel(png::ColorType::Grayscale, &[40]);
        check(&grey, &pixel(png::ColorType::GrayscaleAlpha, &[80, 128]), same);
    }

    #[test]
    fn what_is_no_picture_is_refused() {
        let good = picture(1, 1, vec![1, 2, 3]);
        let cut = &good[..good.len() - 20];
        assert!(PictureDifference::between("x", &good, cut).is_err());
        assert!(PictureDifference::between("x", b"no picture", &good).is_err());
        let mut forged = good.clone();
        // Width and height, and the checksum of the header.
        forged[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
        let mut crc = flate2::Crc::new();
        crc.update(&forged[12..29]);
        forged[29..33].copy_from_slice(&crc.sum().to_be_bytes());
        let error = PictureDifference::between("x", &forged, &good).unwrap_err();
        assert!(matches!(error, PictureError::Large), "{error}");
    }
}
