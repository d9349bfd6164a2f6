//! JPEG 2000 and HTJ2K by openjp2, a translation of OpenJPEG to Rust.
//!
//! The declarations by which openjp2 allocates memory are checked before ([`check`]). Panics of openjp2 are
//! caught, and Cargo.toml makes its arithmetic panic on overflow.

mod check;

use std::panic::{AssertUnwindSafe, catch_unwind};

use jpeg2k::{Image, ImageComponent};

use super::samples::{fit, write};
use super::stream::StreamError;
use super::{DecodeError, PixelLayout};

/// Decodes one frame into `place`.
pub fn decode(layout: &PixelLayout, stream: &[u8], place: &mut [u8]) -> Result<(), DecodeError> {
    check::check(layout, stream)?;
    let image = catch_unwind(AssertUnwindSafe(|| Image::from_bytes(stream)))
        .map_err(|_| DecodeError::damaged("the decoder gave up"))?
        .map_err(DecodeError::damaged)?;
    let whole = |component: &ImageComponent| {
        [component.width() as usize, component.height() as usize] == [layout.columns, layout.rows]
    };
    let components = image.components();
    if components.len() != layout.samples_per_pixel || !components.iter().all(whole) {
        return Err(StreamError::Unsupported("JPEG 2000 with colours of different size").into());
    }
    let size = layout.bytes_per_sample();
    match components {
        [only] => write(place, size, only.data().iter().map(|sample| *sample as u32)),
        several => {
            let planes: Vec<&[i32]> = several.iter().map(ImageComponent::data).collect();
            let pixels = (0..layout.frame_pixels()).flat_map(|at| planes.iter().map(move |plane| plane[at]));
            write(place, size, pixels.map(|sample| sample as u32));
        }
    }
    // The header's sign is decisive, also where the code stream declares another.
    let [precision, signed] = [components[0].precision(), u32::from(components[0].is_signed())];
    if (signed == 1) != layout.signed {
        fit(place, layout.bits_allocated, precision, layout.signed);
    }
    Ok(())
}

/// 32 × 32 samples of 12 bits, written by OpenJPEG: −2000 first, 2047 last, all others −5.
#[cfg(test)]
pub const SIGNED: &str = "ff4fff5100290000000000200000002000000000000000000000002000000020000000000000000000018b01\
    01ff52000c00000001000504040001ff5c00134060686870686870686870686870686870ff640025000143726561746564206279204f\
    70656e4a5045472076657273696f6e20322e352e32ff90000a0000000000970001ff93c01f201005c01f381803e70300fb4080000009\
    bfc07da0901f681c03ed03051d771f05275907ac21c0fc01e07e00d03f304014b9183546ab7f14c52dee2fa912b29892c1f98441f984\
    c0fcc1c014e4fdd8086a725714e54fa851377a09df12cee1e4a0467fc3f60a87ec131fe02014e72e08665b4858637f14e72e0866d748\
    642eadb250f269282b7fffd9";

/// The same twelve bits, declared unsigned.
#[cfg(test)]
pub const UNSIGNED: &str = "ff4fff5100290000000000200000002000000000000000000000002000000020000000000000000000010b\
    0101ff52000c00000001000504040001ff5c00134060686870686870686870686870686870ff640025000143726561746564206279204\
    f70656e4a5045472076657273696f6e20322e352e32ff90000a0000000000940001ff93cfe40800bbc01f381803e70300fb4080000009\
    bfc07da0901f681c03ed03051d771f05275907ac3fc0fc01e07e00f03f304014b91835469d7f14c52dee2f9e3f12b298a3c1f98441f984\
    40fcc18014e4fdd7dd2a16ab14e54fa8441bc78c12cee50e8653c3f60987ec130fe41c14e871e8beeb0d241d14e871e8c12f02b05fad9a\
    6cd17fbb19ffd9";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::codecs::testing::{hex, layout, refused_mutations};
    use dicom_dictionary_std::uids;

    /// HTJ2K, 12 samples of 12 bits, by OpenJPH.
    const HIGH_THROUGHPUT: &str = "ff4fff5100294000000000040000000300000000000000000000000400000003000000000000000000\
        010b0101ff500008000200000007ff52000c00020001000104044001ff5c00072070707078ff64001600014f70656e4a504820566572\
        20302e392e302eff90000a00000000003d0001ff93c001541b6acfda89c00181b400c001550004f0002a00aaa3609189dd0181b4001c\
        acfc00c234002af8ecfe00e23400ffd9";

    #[test]
    fn high_throughput_comes_back() {
        let mut place = [0; 24];
        decode(&layout(uids::HTJ2K_LOSSLESS), &hex(HIGH_THROUGHPUT), &mut place).unwrap();
        let expected = [5_u16, 0, 100, 2000, 7, 4095, 2048, 3, 1, 2, 3, 4];
        assert_eq!(place.to_vec(), expected.into_iter().flat_map(u16::to_le_bytes).collect::<Vec<u8>>());
    }

    #[test]
    fn a_forged_size_is_refused_before_it_is_decoded() {
        let large = PixelLayout { columns: 32, rows: 32, ..layout(uids::JPEG2000) };
        let mut place = vec![0; large.frame_bytes()];
        let mut refused = |at: usize, byte: u8| {
            let mut stream = hex(SIGNED);
            stream[at] = byte;
            decode(&large, &stream, &mut place).unwrap_err().to_string()
        };
        assert!(refused(8, 0x10).contains("268435488 columns and 32 rows"), "Xsiz");
        assert!(refused(40, 0x40).contains("16385 components, the header says 1"), "Csiz");
        assert!(refused(27, 0).contains("a wrong size"), "XTsiz");
        assert!(refused(42, 31).contains("32 bits, the header allocates 16"), "Ssiz");
        assert!(refused(0, 0).contains("no known code stream"), "SOC");
        let tiles = |layout: &PixelLayout| {
            let mut stream = hex(SIGNED);
            for at in [8, 12] {
                stream[at..at + 4].copy_from_slice(&128_u32.to_be_bytes());
            }
            (stream[27], stream[31]) = (1, 1);
            decode(layout, &stream, &mut [0; 32_768]).unwrap_err().to_string()
        };
        let layout = PixelLayout { columns: 128, rows: 128, ..layout(uids::JPEG2000) };
        assert!(tiles(&layout).contains("a wrong number of tiles"));
    }

    /// Precincts of single samples in many layers, for each of which openjp2 would allocate some kilobytes.
    #[test]
    fn a_stream_has_a_byte_for_each_of_its_packets() {
        let layout = PixelLayout { columns: 32, rows: 32, ..layout(uids::JPEG2000) };
        let coding =
            hex(SIGNED).windows(2).position(|marker| marker == [0xFF, 0x52]).expect("there is a COD");
        let changed = |at: usize, with: &[u8]| {
            let mut stream = hex(SIGNED);
            stream.splice(coding + at..coding + at + with.len(), with.iter().copied());
            decode(&layout, &stream, &mut [0; 2048]).unwrap_err().to_string()
        };
        assert!(changed(6, &[0xFF]).contains("a wrong number of packets"), "layers");
        assert!(changed(10, &[0, 0]).contains("code-blocks of under 64 samples"));
        // Precinct sizes for six resolutions, a single sample each.
        let mut stream = hex(SIGNED);
        stream[coding + 3] = 12 + 6;
        stream[coding + 4] |= 1;
        stream.splice(coding + 14..coding + 14, [0; 6]);
        let refused = decode(&layout, &stream, &mut [0; 2048]).unwrap_err();
        assert!(refused.to_string().contains("a wrong number of packets"), "{refused}");
    }

    /// A stream without its last bytes, without its end marker, and padded; then with a tile of unknown
    /// length.
    #[test]
    fn a_stream_has_to_be_whole() {
        let layout = layout(uids::HTJ2K_LOSSLESS);
        let decoded = |stream: &[u8]| decode(&layout, stream, &mut [0; 24]);
        let whole = hex(HIGH_THROUGHPUT);
        let (end, tile) = (whole.len() - 2, whole.len() - 2 - 0x3D);
        for cut in [tile, tile + 6, end - 20, end, end + 1] {
            let refused = decoded(&whole[..cut]).unwrap_err();
            assert!(refused.to_string().contains("cut off"), "{cut}: {refused}");
        }
        assert_eq!(decoded(&[&whole[..], &[0]].concat()), Ok(()));
        // A tile that ends before its beginning, and data outside any tile.
        for (at, bytes) in [(tile + 6, [0, 0, 0, 13]), (tile, [0xFF, 0x93, 0xFF, 0x93])] {
            let mut turned = whole.clone();
            turned[at..at + 4].copy_from_slice(&bytes);
            let refused = decoded(&turned).unwrap_err();
            assert!(refused.to_string().contains("a wrong tile"), "{refused}");
        }
        let mut unknown = whole.clone();
        unknown[tile + 6..tile + 10].fill(0);
        assert_eq!(decoded(&unknown), Ok(()));
        assert!(decoded(&unknown[..end]).unwrap_err().to_string().contains("cut off"));
    }

    #[test]
    fn mutations_do_no_harm() {
        let refused = refused_mutations(&layout(uids::HTJ2K), &hex(HIGH_THROUGHPUT));
        assert!(refused > 50, "{refused}");
        let large = PixelLayout { columns: 32, rows: 32, ..layout(uids::JPEG2000) };
        let refused = refused_mutations(&large, &hex(SIGNED));
        assert!(refused > 50, "{refused}");
    }
}
