//! The samples of an image whose pixels are not compressed.

use dicom_dictionary_std::tags;

use super::InstanceHeader;
use super::codecs::{self, DecodeError};
use super::elements::{HeaderElements, NativePixels, is_native};

/// The samples of the only frame, or of the header's frame, from pixels whose size is what the header says. A few bytes
/// more are padding, and so are zeros; a row more is another picture.
///
/// # Errors
/// If bytes are missing, or if there are more than the header explains.
pub fn uncompressed<'a>(
    header: &InstanceHeader,
    syntax: &str,
    elements: &HeaderElements,
    native: NativePixels<'a>,
) -> Result<&'a [u8], DecodeError> {
    if !is_native(syntax) {
        return Err(match codecs::can_decode(syntax) {
            true => DecodeError::not_encapsulated(syntax),
            false => DecodeError::no_decoder(syntax),
        });
    }
    let [rows, columns] = [header.rows, header.columns].map(usize::from);
    let row_bytes = columns * usize::from(header.bits_allocated / 8);
    let frame_bytes = rows * row_bytes;
    let frames = elements.integer(tags::NUMBER_OF_FRAMES).map_or(1, |frames| frames.max(1) as usize);
    let expected = frame_bytes.saturating_mul(frames);
    let start = header.frame.unwrap_or(0).saturating_mul(frame_bytes);
    let needed = start.saturating_add(frame_bytes);
    let NativePixels { declared, bytes, .. } = native;
    let other_size = || {
        let pixels = format!("{frames} × {rows} × {columns} pixels of {} bits", header.bits_allocated);
        DecodeError::other_size(declared, pixels.trim_start_matches("1 × "), expected)
    };
    let is_long = declared >= expected.saturating_add(row_bytes);
    if is_long && !is_padded(bytes, expected, row_bytes, rows.saturating_mul(frames)) {
        return Err(other_size());
    }
    bytes.get(start..needed).ok_or_else(|| match declared < needed {
        true => other_size(),
        false => DecodeError::CutOff { needed, declared, present: bytes.len() },
    })
}

/// Whether there are only zeros after the pixels, and rows are not in truth so wide that these belong to them: pixels
/// below each other are alike, and in rows of the wrong width those are that lie askew.
fn is_padded(bytes: &[u8], expected: usize, row_bytes: usize, rows: usize) -> bool {
    let Some((pixels, rest)) = bytes.split_at_checked(expected) else { return false };
    let wide = row_bytes + rest.len() / rows.max(1);
    let difference = |stride: usize| -> u64 {
        let pairs = pixels.iter().zip(&pixels[stride.min(pixels.len())..]);
        pairs.take(expected.saturating_sub(wide)).map(|(one, below)| u64::from(one.abs_diff(*below))).sum()
    };
    let is_wider = rest.len().is_multiple_of(rows.max(1)) && difference(wide) < difference(row_bytes);
    rest.iter().all(|byte| *byte == 0) && !is_wider
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::pixels::decode_slice;
    use crate::imaging::sample;

    #[test]
    fn zeros_after_the_pixels_are_padding_where_the_rows_are_as_wide_as_the_header_says() {
        // Bright columns and a dark last row, which wider rows could end with.
        let picture = |rows: u16, columns: u16| -> Vec<u8> {
            let row: Vec<u8> = (0..columns).flat_map(|x| [0, (x * x % 7) as u8 + 1]).collect();
            let bright = row.repeat(usize::from(rows) - 1);
            [bright, vec![0; row.len()]].concat()
        };
        let header = InstanceHeader { rows: 8, columns: 8, ..sample::header(0) };
        let mut voxels = vec![0; 64];
        let mut decode =
            |pixels: &[u8]| decode_slice(&header, &sample::slice_file(&header, pixels), &mut voxels);
        for padding in [2, 16, 48, 16 * 8] {
            decode(&[picture(8, 8), vec![0; padding]].concat()).unwrap();
        }
        let wider = decode(&picture(8, 9)).unwrap_err();
        assert!(wider.reason.contains("144 bytes, but 8 × 8 pixels"), "{}", wider.reason);
    }
}
