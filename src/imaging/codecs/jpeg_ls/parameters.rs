//! The parameters of a scan (T.87 A.2.1 and C.2.4.1): sizes, and thresholds of the gradients.

use crate::imaging::codecs::stream::{StreamError, byte, short};

/// The largest RESET, so that sums of errors fit 32 bits; the standard's default is 64.
const RESET_MOST: i32 = 4096;

/// Preset parameters; 0 stands for the standard's default.
#[derive(Clone, Default)]
pub struct PresetParameters {
    largest: i32,
    thresholds: [i32; 3],
    reset: i32,
}

impl PresetParameters {
    /// Reads an LSE segment; only its first type has coding parameters.
    pub fn read(bytes: &[u8]) -> Result<PresetParameters, StreamError> {
        if byte(bytes, 0)? != 1 {
            return Err(StreamError::Unsupported("JPEG-LS with mapping tables or sizes over 65 535"));
        }
        let number = |at: usize| Ok(short(bytes, at)? as i32);
        Ok(PresetParameters {
            largest: number(1)?,
            thresholds: [number(3)?, number(5)?, number(7)?],
            reset: number(9)?,
        })
    }
}

pub struct ScanParameters {
    /// MAXVAL: the largest sample.
    pub largest: i32,
    /// NEAR: the most by which a sample may differ from the original.
    pub near: i32,
    /// The distance between distinct errors: 2 NEAR + 1.
    pub step: i32,
    /// RANGE: the number of distinct errors.
    pub range: i32,
    /// qbpp: the bits of an error that is written directly.
    pub error_bits: u32,
    /// LIMIT: the longest code of an error, in bits.
    pub limit: u32,
    pub thresholds: [i32; 3],
    pub reset: i32,
}

impl ScanParameters {
    pub fn new(precision: u32, near: i32, preset: &PresetParameters) -> Result<ScanParameters, StreamError> {
        let most = (1 << precision) - 1;
        let largest = if preset.largest == 0 { most } else { preset.largest };
        if largest > most || near > largest / 2 {
            return Err(StreamError::Wrong("parameter"));
        }
        let step = 2 * near + 1;
        let range = (largest + 2 * near) / step + 1;
        let bits = bits_of(largest + 1).max(2);
        let thresholds = thresholds(largest, near, preset.thresholds)?;
        let reset = if preset.reset == 0 { 64 } else { preset.reset };
        if !(3..=RESET_MOST).contains(&reset) {
            return Err(StreamError::Wrong("parameter"));
        }
        let limit = 2 * (bits + bits.max(8));
        Ok(ScanParameters {
            largest,
            near,
            step,
            range,
            error_bits: bits_of(range),
            limit,
            thresholds,
            reset,
        })
    }

    /// Quantizes a gradient to one of nine values (A.3.3).
    #[inline]
    pub fn quantized(&self, gradient: i32) -> i32 {
        let [first, second, third] = self.thresholds;
        let size = gradient.abs();
        let level = if size <= self.near {
            return 0;
        } else if size < first {
            1
        } else if size < second {
            2
        } else if size < third {
            3
        } else {
            4
        };
        if gradient < 0 { -level } else { level }
    }

    /// Corrects a prediction by an error and brings it back to the range of samples (A.4.5).
    #[inline]
    pub fn corrected(&self, predicted: i32, error: i32) -> u16 {
        let mut value = predicted + error * self.step;
        if value < -self.near {
            value += self.range * self.step;
        } else if value > self.largest + self.near {
            value -= self.range * self.step;
        }
        value.clamp(0, self.largest) as u16
    }
}

/// ⌈log₂ n⌉ for n ≥ 1.
fn bits_of(number: i32) -> u32 {
    i32::BITS - (number - 1).leading_zeros()
}

/// The thresholds (C.2.4.1.1): given ones, else the standard's defaults; each is at least the one before.
fn thresholds(largest: i32, near: i32, given: [i32; 3]) -> Result<[i32; 3], StreamError> {
    let usual = if largest >= 128 {
        let factor = (largest.min(4095) + 128) / 256;
        [factor + 2 + 3 * near, 4 * factor + 3 + 5 * near, 17 * factor + 4 + 7 * near]
    } else {
        let factor = 256 / (largest + 1);
        [(3 / factor + 3 * near).max(2), (7 / factor + 5 * near).max(3), (21 / factor + 7 * near).max(4)]
    };
    let mut least = near + 1;
    let mut thresholds = [0; 3];
    for (threshold, (given, usual)) in thresholds.iter_mut().zip(given.into_iter().zip(usual)) {
        *threshold = match given {
            0 if (least..=largest).contains(&usual) => usual,
            0 => least,
            given if (least..=largest).contains(&given) => given,
            _ => return Err(StreamError::Wrong("parameter")),
        };
        least = *threshold;
    }
    Ok(thresholds)
}
