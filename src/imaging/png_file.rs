//! Pixels as PNG files, and the compressed pixels of one.

/// Encodes pixels of a width and height as a PNG file (ISO/IEC 15948), 8 bits, RGB.
///
/// # Errors
/// If the number of bytes does not match the size.
pub fn encode([width, height]: [usize; 2], rgb: &[u8]) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let mut info = png::Info::with_size(width as u32, height as u32);
    info.color_type = png::ColorType::Rgb;
    info.bit_depth = png::BitDepth::Eight;
    let mut encoder = png::Encoder::with_info(&mut bytes, info)?;
    encoder.set_compression(png::Compression::Fastest);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(rgb)?;
    writer.finish()?;
    Ok(bytes)
}

/// The compressed rows of a PNG file: the contents of its IDAT chunks, each row filtered as it says itself.
///
/// # Panics
/// If the file is not one of [`encode`].
pub fn compressed_rows(png: &[u8]) -> Vec<u8> {
    const SIGNATURE: usize = 8;
    let (mut rows, mut rest) = (Vec::with_capacity(png.len()), &png[SIGNATURE..]);
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*length) as usize;
        if after.starts_with(b"IDAT") {
            rows.extend_from_slice(&after[4..4 + length]);
        }
        // Behind the content is a checksum.
        rest = &after[4 + length + 4..];
    }
    rows
}
