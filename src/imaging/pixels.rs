//! Decodes one slice's file to CT numbers.
//!
//! Stored values are the bits below and at High Bit, as many as Bits Stored (PS3.5 8.1.1), sign-extended if Pixel
//! Representation says so. They become HU = value × slope + intercept (PS3.3 C.11.1.1.2), rounded half away from
//! zero and clamped to 16 bits. Pixels with the Pixel Padding Value are outside the scan, and become air.

use dicom_dictionary_std::tags;

use crate::step::Fault;

use super::InstanceHeader;
use super::codecs;
use super::codecs::{DecodeError, PixelLayout};
use super::elements::{HeaderElements, Part10File, PixelData};
use super::uncompressed::uncompressed;

/// The CT number of padding: the lowest of most scanners.
const PADDING_HU: i16 = -1024;

/// Padding among the CT numbers of a body would erase it: converters write the attribute for voxels that are none, as 0.
const TISSUE_HU: std::ops::Range<f64> = -999.5..2000.0;

/// The largest slope and intercept: with them, every 16-bit value stays within 32 bits.
const WHOLE_MOST: f64 = 16_384.0;

/// Decodes a slice's file into its part of a volume: rows × columns voxels in HU, row by row from the top.
/// Either every voxel is written, or an error is returned.
///
/// # Errors
/// A fault whose reason is a fragment about the slice; the caller adds which slice it is.
///
/// # Panics
/// If the number of voxels is not the header's.
pub fn decode_slice(header: &InstanceHeader, bytes: &[u8], voxels: &mut [i16]) -> Result<(), Fault> {
    assert_eq!(voxels.len(), usize::from(header.rows) * usize::from(header.columns), "a place for the slice");
    let file = Part10File::open(bytes).map_err(|_| fault(&DecodeError::NotDicom))?;
    let elements = file.elements();
    let pixels = elements.pixels.ok_or_else(|| fault(&DecodeError::missing(&elements)))?;
    let scale = ValueScale::new(header, &elements).map_err(|error| fault(&error))?;
    match pixels {
        PixelData::Encapsulated(items) => {
            scale.check_stream(&file.transfer_syntax_uid).map_err(|error| fault(&error))?;
            let samples = compressed(header, &file.transfer_syntax_uid, &elements, items);
            scale.fill(&samples.map_err(|error| fault(&error))?, ByteOrder::Little, voxels);
        }
        PixelData::Native(native) => {
            let samples = uncompressed(header, &file.transfer_syntax_uid, &elements, native)
                .map_err(|error| fault(&error))?;
            let order = if native.big_endian { ByteOrder::Big } else { ByteOrder::Little };
            scale.fill(samples, order, voxels);
        }
    }
    Ok(())
}

/// The samples of the only frame, or of the header's frame, little endian.
fn compressed(
    header: &InstanceHeader,
    syntax: &str,
    elements: &HeaderElements,
    items: &[u8],
) -> Result<Vec<u8>, DecodeError> {
    let layout = PixelLayout::read(syntax, elements)?;
    let [asked, found] = [
        (header.rows.into(), header.columns.into(), u32::from(header.bits_allocated), 1),
        (layout.rows, layout.columns, layout.bits_allocated, layout.samples_per_pixel),
    ];
    let has_frame = header.frame.map_or(layout.frames == 1, |frame| frame < layout.frames);
    if asked != found || !has_frame {
        return Err(DecodeError::damaged("the file is another than its header"));
    }
    codecs::decode_frame(&layout, elements, items, header.frame.unwrap_or(0))
}

fn fault(error: &DecodeError) -> Fault {
    Fault::new(error.to_string(), error.remedy())
}

#[derive(Clone, Copy)]
enum ByteOrder {
    Little,
    Big,
}

/// The conversion from stored values to HU.
struct ValueScale {
    slope: f64,
    intercept: f64,
    bits_allocated: u16,
    bits_stored: u32,
    /// The number of bits above the stored ones.
    above: u32,
    signed: bool,
    /// The stored value of padding, or [`OUTSIDE`].
    padding: Option<i32>,
    /// The padding value if it has bits above the stored ones: then only all of its bits identify it.
    outside: Option<u16>,
}

/// Stands for a padding value that is not a stored value.
const OUTSIDE: i32 = i32::MIN;

impl ValueScale {
    fn new(header: &InstanceHeader, elements: &HeaderElements) -> Result<ValueScale, DecodeError> {
        let raw = elements.short(tags::PIXEL_PADDING_VALUE);
        let padding = raw.map(|raw| if header.signed { i32::from(raw as i16) } else { i32::from(raw) });
        let hu = padding.map(|padding| f64::from(padding) * header.slope + header.intercept);
        let is_tissue = hu.is_some_and(|hu| TISSUE_HU.contains(&hu));
        let (raw, padding) = if is_tissue { (None, None) } else { (raw, padding) };
        let bits_stored = u32::from(header.bits_stored).clamp(1, u32::from(header.bits_allocated));
        let mut scale = ValueScale {
            slope: header.slope,
            intercept: header.intercept,
            bits_allocated: header.bits_allocated,
            bits_stored,
            above: bits_above(header, elements, bits_stored)?,
            signed: header.signed,
            padding,
            outside: None,
        };
        if scale.bits_allocated < 32 && raw.is_some_and(|raw| Some(scale.stored(raw)) != padding) {
            scale.outside = raw;
            scale.padding = Some(OUTSIDE);
        }
        Ok(scale)
    }

    /// The numbers of bits to shift a sample of `width` bits to the left, and then to the right.
    fn shifts(&self, width: u32) -> [u32; 2] {
        let missing = width.saturating_sub(self.bits_allocated.into());
        [missing + self.above, width - self.bits_stored]
    }

    /// A code stream has samples of its own precision, and it is not known whether they hold empty bits, too.
    fn check_stream(&self, syntax: &str) -> Result<(), DecodeError> {
        let below = u32::from(self.bits_allocated) - self.above - self.bits_stored;
        if below == 0 || !codecs::says_precision(syntax) {
            return Ok(());
        }
        Err(DecodeError::Unsupported(format!(
            "a High Bit of {} with {} Bits Stored in {}",
            self.bits_stored + below - 1,
            self.bits_stored,
            codecs::syntax_name(syntax)
        )))
    }

    /// The stored bits of a sample as a number.
    fn stored(&self, raw: u16) -> i32 {
        let [up, down] = self.shifts(16);
        if self.signed { i32::from((raw << up) as i16 >> down) } else { i32::from((raw << up) >> down) }
    }

    /// # Panics
    /// If there are fewer samples than voxels: a voxel that is not written may hold another study's value.
    fn fill(&self, bytes: &[u8], order: ByteOrder, voxels: &mut [i16]) {
        let samples = bytes.len() / usize::from(self.bits_allocated / 8);
        assert!(samples >= voxels.len(), "{samples} samples for {} voxels", voxels.len());
        let pairs = bytes.as_chunks().0.iter();
        let words = bytes.as_chunks().0.iter();
        match (self.bits_allocated, order) {
            (32, ByteOrder::Little) => self.fill_wide(words.map(|word| u32::from_le_bytes(*word)), voxels),
            (32, ByteOrder::Big) => self.fill_wide(words.map(|word| u32::from_be_bytes(*word)), voxels),
            (8, _) => self.fill_from(bytes.iter().map(|byte| u16::from(*byte)), voxels),
            (_, ByteOrder::Little) => self.fill_from(pairs.map(|pair| u16::from_le_bytes(*pair)), voxels),
            (_, ByteOrder::Big) => self.fill_from(pairs.map(|pair| u16::from_be_bytes(*pair)), voxels),
        }
    }

    /// Samples of 32 bits. Pixel Padding Value has 16, and says nothing about them.
    fn fill_wide(&self, raw: impl Iterator<Item = u32>, voxels: &mut [i16]) {
        let [up, down] = self.shifts(32);
        for (voxel, raw) in voxels.iter_mut().zip(raw) {
            let value = match self.signed {
                true => f64::from((raw << up) as i32 >> down),
                false => f64::from((raw << up) >> down),
            };
            // The cast saturates.
            *voxel = (value * self.slope + self.intercept).round() as i16;
        }
    }

    fn fill_from(&self, raw: impl Iterator<Item = u16>, voxels: &mut [i16]) {
        let [up, down] = self.shifts(16);
        if let Some(intercept) = self.shift() {
            self.fill_shifted(raw, intercept, voxels);
        } else if let Some(outside) = self.outside {
            self.scale(raw.map(|raw| if raw == outside { OUTSIDE } else { self.stored(raw) }), voxels);
        } else if self.signed {
            self.scale(raw.map(|raw| i32::from((raw << up) as i16 >> down)), voxels);
        } else {
            self.scale(raw.map(|raw| i32::from((raw << up) >> down)), voxels);
        }
    }

    /// The intercept where adding it is all there is to do, and stored values are numbers of 16 bits with a sign.
    fn shift(&self) -> Option<i16> {
        let is_small = self.signed || self.bits_stored < 16;
        let intercept = self.intercept as i16;
        (is_small && self.outside.is_none() && self.slope == 1.0 && f64::from(intercept) == self.intercept)
            .then_some(intercept)
    }

    /// Converts in 16 bits: the processor adds eight and more of them at once.
    fn fill_shifted(&self, raw: impl Iterator<Item = u16>, intercept: i16, voxels: &mut [i16]) {
        let [up, down] = self.shifts(16);
        let padding = self.padding.and_then(|padding| i16::try_from(padding).ok());
        let hu = |stored: i16| {
            if padding == Some(stored) { PADDING_HU } else { stored.saturating_add(intercept) }
        };
        if self.signed {
            voxels.iter_mut().zip(raw).for_each(|(voxel, raw)| *voxel = hu((raw << up) as i16 >> down));
        } else {
            voxels.iter_mut().zip(raw).for_each(|(voxel, raw)| *voxel = hu(((raw << up) >> down) as i16));
        }
    }

    /// Converts without floating point where slope and intercept are whole numbers, as scanners write them.
    fn scale(&self, stored: impl Iterator<Item = i32>, voxels: &mut [i16]) {
        let whole = |number: f64| number.fract() == 0.0 && number.abs() <= WHOLE_MOST;
        let padding = self.padding.unwrap_or(OUTSIDE);
        if whole(self.slope) && whole(self.intercept) {
            let (slope, intercept) = (self.slope as i32, self.intercept as i32);
            let least = i32::from(i16::MIN);
            let most = i32::from(i16::MAX);
            set(voxels, stored, padding, |value| (value * slope + intercept).clamp(least, most) as i16);
        } else {
            let (slope, intercept) = (self.slope, self.intercept);
            // The cast saturates.
            set(voxels, stored, padding, |value| (f64::from(value) * slope + intercept).round() as i16);
        }
    }
}

/// The number of bits of a sample above those that are stored. A High Bit below the highest of Bits Stored leaves no
/// room for them: it is wrong, and they are taken to be the lowest bits, as if it were absent.
fn bits_above(
    header: &InstanceHeader,
    elements: &HeaderElements,
    bits_stored: u32,
) -> Result<u32, DecodeError> {
    let bits_allocated = u32::from(header.bits_allocated);
    let high_bit = elements.short(tags::HIGH_BIT).map_or(bits_stored - 1, u32::from).max(bits_stored - 1);
    bits_allocated.checked_sub(high_bit + 1).ok_or_else(|| {
        DecodeError::Damaged(format!(
            "the High Bit {high_bit} lies outside the {bits_allocated} bits of a pixel"
        ))
    })
}

fn set(voxels: &mut [i16], stored: impl Iterator<Item = i32>, padding: i32, hu: impl Fn(i32) -> i16) {
    for (voxel, value) in voxels.iter_mut().zip(stored) {
        *voxel = if value == padding { PADDING_HU } else { hu(value) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::sample;
    use dicom_dictionary_std::uids;

    /// The first voxels of a slice with these first pixels.
    fn decoded(header: &InstanceHeader, first: &[u8]) -> Vec<i16> {
        let bytes = 12 * usize::from(header.bits_allocated / 8);
        let pixels = [first, &vec![0; bytes - first.len()]].concat();
        let mut voxels = vec![0; 12];
        decode_slice(header, &sample::slice_file(header, &pixels), &mut voxels).unwrap();
        voxels
    }

    #[test]
    fn stored_values_become_hu() {
        let plain = sample::header(0);
        // 1000; then 1000 with overlay bits above the 12 stored ones; then 4095.
        let pixels = [0xE8, 0x03, 0xE8, 0xF3, 0xFF, 0x0F];
        assert_eq!(decoded(&plain, &pixels)[..4], [-24, -24, 3071, -1024]);
        let signed = InstanceHeader { signed: true, intercept: 0.0, ..sample::header(0) };
        assert_eq!(decoded(&signed, &pixels)[..3], [1000, 1000, -1]);
        let halved = InstanceHeader { slope: 0.5, intercept: 0.25, ..sample::header(0) };
        assert_eq!(decoded(&halved, &[3, 0, 4, 0])[..2], [2, 2]);
        let steep = InstanceHeader { slope: 100.0, intercept: 0.0, ..sample::header(0) };
        assert_eq!(decoded(&steep, &pixels)[2], i16::MAX);
        let bytes = InstanceHeader { bits_allocated: 8, bits_stored: 8, intercept: 0.0, ..sample::header(0) };
        assert_eq!(decoded(&bytes, &[5, 255])[..2], [5, 255]);
        let wide = InstanceHeader { bits_allocated: 32, bits_stored: 32, signed: true, ..sample::header(0) };
        let pixels = (24 - 70_000_i32).to_le_bytes().repeat(12);
        let mut voxels = vec![0; 12];
        let wide = InstanceHeader { intercept: 69_000.0, ..wide };
        decode_slice(&wide, &sample::slice_file(&wide, &pixels), &mut voxels).unwrap();
        assert_eq!(voxels, [-976; 12]);
    }

    /// The first voxels of a native slice with a High Bit.
    fn decoded_at(header: &InstanceHeader, high_bit: u16, first: &[u8]) -> Result<Vec<i16>, Fault> {
        let bytes = 12 * usize::from(header.bits_allocated / 8);
        let data = [
            sample::elements(header),
            sample::element(tags::HIGH_BIT, "US", &high_bit.to_le_bytes()),
            sample::element(tags::PIXEL_DATA, "OW", &[first, &vec![0; bytes - first.len()]].concat()),
        ];
        let mut voxels = vec![0; 12];
        let file = sample::file(&header.transfer_syntax_uid, &data.concat());
        decode_slice(header, &file, &mut voxels).map(|()| voxels)
    }

    /// 12 bits at the top of 16: the value 1000 is stored as 16 000, whatever the four bits below.
    #[test]
    fn stored_bits_end_at_the_high_bit() {
        let left = sample::header(0);
        let pixels = [0x80, 0x3E, 0x8F, 0x3E, 0xF0, 0xFF];
        assert_eq!(decoded_at(&left, 15, &pixels).unwrap()[..4], [-24, -24, 3071, -1024]);
        let signed = InstanceHeader { signed: true, slope: 2.0, ..sample::header(0) };
        assert_eq!(decoded_at(&signed, 15, &pixels).unwrap()[..3], [976, 976, -1026]);
        let wide = InstanceHeader { bits_allocated: 32, bits_stored: 16, ..sample::header(0) };
        assert_eq!(decoded_at(&wide, 31, &[9, 9, 0xE8, 0x03]).unwrap()[..2], [-24, -1024]);
        let low = decoded_at(&left, 7, &[0xE8, 0x03]).unwrap();
        assert_eq!(low[0], -24, "a High Bit that leaves no room for the stored bits says nothing");
        let fault = decoded_at(&left, 16, &pixels).unwrap_err();
        assert_eq!(fault.reason, "the High Bit 16 lies outside the 16 bits of a pixel");
    }

    #[test]
    fn a_code_stream_with_bits_below_the_stored_ones_is_refused_by_name() {
        let jpeg =
            InstanceHeader { transfer_syntax_uid: uids::JPEG2000_LOSSLESS.to_owned(), ..sample::header(0) };
        let mut head = sample::elements(&jpeg);
        head.extend(sample::element(tags::HIGH_BIT, "US", &15_u16.to_le_bytes()));
        head.extend([0xE0, 0x7F, 0x10, 0x00, b'O', b'B', 0, 0, 0xFF, 0xFF, 0xFF, 0xFF]);
        let file = sample::file(&jpeg.transfer_syntax_uid, &head);
        let fault = decode_slice(&jpeg, &file, &mut [0; 12]).unwrap_err();
        assert!(fault.reason.contains("a High Bit of 15 with 12 Bits Stored in JPEG 2000"), "{fault}");
    }

    /// Sums beyond 16 bits stay at their ends, in the fast way as in the other.
    #[test]
    fn a_large_intercept_saturates() {
        let pixels = [0xFF, 0x0F, 0x00, 0x00];
        let high = InstanceHeader { intercept: 32_000.0, ..sample::header(0) };
        assert_eq!(decoded(&high, &pixels)[..2], [i16::MAX, 32_000]);
        let low = InstanceHeader { signed: true, bits_stored: 16, intercept: -16_384.0, ..sample::header(0) };
        assert_eq!(decoded(&low, &[0x00, 0x80, 0xFF, 0x7F])[..2], [i16::MIN, 16_383]);
        let wide = InstanceHeader { bits_stored: 16, ..sample::header(0) };
        assert_eq!(decoded(&wide, &[0xFF, 0xFF, 0x00, 0x80])[..2], [i16::MAX, 31_744]);
    }

    #[test]
    fn padding_becomes_air() {
        let header = InstanceHeader { signed: true, bits_stored: 16, ..sample::header(0) };
        let data = [
            sample::elements(&header),
            sample::element(tags::PIXEL_PADDING_VALUE, "SS", &(-2000_i16).to_le_bytes()),
            sample::element(tags::PIXEL_DATA, "OW", &[[0x30, 0xF8].as_slice(), &[0; 22]].concat()),
        ];
        let mut voxels = vec![0; 12];
        let bytes = sample::file(&header.transfer_syntax_uid, &data.concat());
        decode_slice(&header, &bytes, &mut voxels).unwrap();
        assert_eq!(voxels, [PADDING_HU; 12], "also 0 − 1024 is −1024");
        voxels[0] = 0;
        let lower = InstanceHeader { intercept: 0.0, ..header };
        decode_slice(&lower, &bytes, &mut voxels).unwrap();
        assert_eq!(voxels[..2], [PADDING_HU, 0]);
    }

    #[test]
    fn padding_among_the_numbers_of_tissue_erases_nothing() {
        let header = InstanceHeader { signed: true, bits_stored: 16, intercept: 0.0, ..sample::header(0) };
        for padding in [0_i16, -850, 100] {
            let data = [
                sample::elements(&header),
                sample::element(tags::PIXEL_PADDING_VALUE, "SS", &padding.to_le_bytes()),
                sample::element(tags::PIXEL_DATA, "OW", &padding.to_le_bytes().repeat(12)),
            ];
            let mut voxels = vec![1; 12];
            let bytes = sample::file(&header.transfer_syntax_uid, &data.concat());
            decode_slice(&header, &bytes, &mut voxels).unwrap();
            assert_eq!(voxels, [padding; 12]);
        }
    }

    /// GE's padding of −2000 in 16 bits, of which 12 are stored and unsigned: its low bits alone are 1072 HU.
    #[test]
    fn padding_above_the_stored_bits_is_known_by_all_of_its_bits() {
        let header = sample::header(0);
        let data = [
            sample::elements(&header),
            sample::element(tags::PIXEL_PADDING_VALUE, "SS", &(-2000_i16).to_le_bytes()),
            sample::element(
                tags::PIXEL_DATA,
                "OW",
                &[[0x30, 0xF8, 0x30, 0x08].as_slice(), &[0; 20]].concat(),
            ),
        ];
        let mut voxels = vec![0; 12];
        let bytes = sample::file(&header.transfer_syntax_uid, &data.concat());
        decode_slice(&header, &bytes, &mut voxels).unwrap();
        assert_eq!(voxels[..3], [PADDING_HU, 1072, -1024]);
    }

    #[test]
    fn big_endian_is_the_same() {
        let syntax = "1.2.840.10008.1.2.2";
        let head = [0x7F, 0xE0, 0x00, 0x10, b'O', b'W', 0, 0, 0, 0, 0, 24];
        let file = sample::file(syntax, &[&head[..], &[0x03, 0xE8].repeat(12)].concat());
        let header = InstanceHeader { transfer_syntax_uid: syntax.to_owned(), ..sample::header(0) };
        let mut voxels = vec![0; 12];
        decode_slice(&header, &file, &mut voxels).unwrap();
        assert_eq!(voxels, [-24; 12]);
    }

    #[test]
    fn what_cannot_be_decoded_is_said() {
        let header = sample::header(0);
        let whole = sample::slice_file(&header, &[0; 24]);
        let mut voxels = vec![0; 12];
        let mut refused =
            |header: &InstanceHeader, bytes: &[u8]| decode_slice(header, bytes, &mut voxels).unwrap_err();
        let cut = refused(&header, &whole[..whole.len() - 5]);
        assert_eq!(cut.reason, "the pixel data is cut off: 24 bytes are needed, 24 declared, 19 there");
        let rows = InstanceHeader { rows: 4, ..sample::header(0) };
        let small = sample::slice_file(&rows, &[0; 24]);
        let fault = decode_slice(&rows, &small, &mut [0; 16]).unwrap_err();
        assert!(fault.reason.starts_with("the pixel data has 24 bytes, but 4 × 4 pixels of 16 bits take 32"));
        let large = refused(&header, &sample::slice_file(&header, &[1; 32]));
        assert!(large.reason.starts_with("the pixel data has 32 bytes, but 3 × 4 pixels of 16 bits take 24"));
        let private = InstanceHeader { transfer_syntax_uid: "1.3.46.1".to_owned(), ..sample::header(0) };
        let fault = refused(&header, &sample::slice_file(&private, &[0; 24]));
        assert_eq!(fault.reason, "there is no decoder for the private transfer syntax 1.3.46.1");
        assert!(fault.remedy.starts_with("Send the study uncompressed"), "{fault}");
        let none = sample::file(&header.transfer_syntax_uid, &sample::elements(&header));
        assert_eq!(refused(&header, &none).reason, "the file has no pixel data");
        let lossy =
            InstanceHeader { transfer_syntax_uid: uids::JPEG_EXTENDED12_BIT.to_owned(), ..sample::header(0) };
        let fault = refused(&header, &sample::slice_file(&lossy, &[0; 24]));
        assert!(
            fault.reason.contains("not encapsulated") && fault.reason.contains("JPEG Extended"),
            "{fault}"
        );
    }
}
