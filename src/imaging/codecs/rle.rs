//! RLE Lossless (PS3.5 annex G): byte planes packed by PackBits.
//!
//! Input may be malicious: every offset and count is checked, the output has the size that the caller asked
//! for, and no other memory is allocated.

const HEADER_BYTES: usize = 64;
const SEGMENTS_MOST: usize = 15;

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RleError {
    #[error("the RLE header is cut off")]
    NoHeader,
    #[error("the RLE header names {found} segments, {expected} are needed")]
    Segments { found: usize, expected: usize },
    #[error("RLE segment {segment} begins outside the data")]
    Outside { segment: usize },
    #[error("RLE segment {segment} ends after {found} of {expected} bytes")]
    Short { segment: usize, found: usize, expected: usize },
}

/// Unpacks one frame into samples of `size` bytes, little endian, the `colours` of a pixel side by side.
///
/// # Errors
/// If the data has too few segments, or a segment outside the data or too short.
pub fn unpack(data: &[u8], size: usize, colours: usize, samples: &mut [u8]) -> Result<(), RleError> {
    let header = data.get(..HEADER_BYTES).ok_or(RleError::NoHeader)?;
    let words: Vec<usize> =
        header.as_chunks().0.iter().map(|word| u32::from_le_bytes(*word) as usize).collect();
    let (found, offsets) = (words[0], &words[1..]);
    let expected = size * colours;
    if found != expected || found > SEGMENTS_MOST {
        return Err(RleError::Segments { found, expected });
    }
    let pixels = samples.len() / expected;
    for segment in 0..found {
        let end = if segment + 1 < found { offsets[segment + 1] } else { data.len() };
        let packed = data.get(offsets[segment]..end).ok_or(RleError::Outside { segment: segment + 1 })?;
        // Segments are ordered by colour; the most significant byte of a sample comes first.
        let place = segment / size * size + size - 1 - segment % size;
        let unpacked = unpack_segment(packed, samples.iter_mut().skip(place).step_by(expected));
        if unpacked < pixels {
            return Err(RleError::Short { segment: segment + 1, found: unpacked, expected: pixels });
        }
    }
    Ok(())
}

/// Fills the plane and returns the number of bytes written.
fn unpack_segment<'a>(mut packed: &[u8], mut plane: impl Iterator<Item = &'a mut u8>) -> usize {
    let mut filled = 0;
    while let Some((&control, rest)) = packed.split_first() {
        let literal = usize::from(control) + 1;
        let count = match control {
            0..=127 => {
                let bytes = &rest[..literal.min(rest.len())];
                packed = &rest[bytes.len()..];
                plane.by_ref().zip(bytes).map(|(sample, byte)| *sample = *byte).count()
            }
            128 => {
                packed = rest;
                continue;
            }
            129..=255 => {
                let Some((byte, after)) = rest.split_first() else { break };
                packed = after;
                plane.by_ref().take(258 - literal).map(|sample| *sample = *byte).count()
            }
        };
        filled += count;
        if count == 0 {
            break;
        }
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(segments: &[&[u8]]) -> Vec<u8> {
        let mut words = [0_u32; 16];
        words[0] = segments.len() as u32;
        let mut data = Vec::new();
        for (segment, bytes) in segments.iter().enumerate() {
            words[segment + 1] = (HEADER_BYTES + data.len()) as u32;
            data.extend_from_slice(bytes);
        }
        [words.map(u32::to_le_bytes).concat(), data].concat()
    }

    /// Unpacks a frame of `pixels` samples of `size` bytes.
    fn unpacked(data: &[u8], pixels: usize, size: usize) -> Result<Vec<u8>, RleError> {
        let mut samples = vec![0; pixels * size];
        unpack(data, size, 1, &mut samples).map(|()| samples)
    }

    #[test]
    fn planes_of_runs_and_literals() {
        // High bytes: four times 1; low bytes: 2, a no-op, then three times 5.
        let data = frame(&[&[253, 1], &[0, 2, 128, 254, 5]]);
        assert_eq!(unpacked(&data, 4, 2).unwrap(), [2, 1, 5, 1, 5, 1, 5, 1]);
    }

    /// Two pixels of three colours of 16 bits: six segments.
    #[test]
    fn colours_stand_side_by_side() {
        let planes: Vec<[u8; 3]> = (0..6).map(|segment| [1, segment, segment + 10]).collect();
        let data = frame(&planes.iter().map(|plane| &plane[..]).collect::<Vec<_>>());
        let mut samples = [0; 12];
        unpack(&data, 2, 3, &mut samples).unwrap();
        assert_eq!(samples, [1, 0, 3, 2, 5, 4, 11, 10, 13, 12, 15, 14]);
    }

    #[test]
    fn damage_is_named() {
        let data = frame(&[&[253, 1], &[0, 2]]);
        assert_eq!(unpacked(&data, 4, 2), Err(RleError::Short { segment: 2, found: 1, expected: 4 }));
        assert_eq!(unpacked(&data, 4, 1), Err(RleError::Segments { found: 2, expected: 1 }));
        assert_eq!(unpacked(&data[..60], 4, 2), Err(RleError::NoHeader));
        let mut outside = data.clone();
        outside[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(unpacked(&outside, 4, 2), Err(RleError::Outside { segment: 1 }));
    }

    /// Sets every byte of a sound frame to every value, and takes every prefix: no panic, and the output has
    /// the size asked for.
    #[test]
    fn mutations_do_no_harm() {
        let good = frame(&[&[253, 1, 3, 9, 8, 7, 6], &[7, 1, 2, 3, 4, 5, 6, 7, 8]]);
        assert!(unpacked(&good, 8, 2).is_ok());
        let mut refused = 0;
        for at in 0..good.len() {
            for byte in 0..=255 {
                let mut bad = good.clone();
                bad[at] = byte;
                match unpacked(&bad, 8, 2) {
                    Ok(samples) => assert_eq!(samples.len(), 16),
                    Err(_) => refused += 1,
                }
            }
            assert!(unpacked(&good[..at], 8, 2).is_err());
        }
        assert!(refused > 1000, "{refused} mutations were refused");
    }
}
