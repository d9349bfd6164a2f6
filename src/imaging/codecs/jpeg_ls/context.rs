//! Statistics of the errors in similar contexts (T.87 A.4, A.6 and A.7.2).

use super::bits::JpegLsBits;
use super::parameters::ScanParameters;
use crate::imaging::codecs::stream::StreamError;

/// Statistics of one of the 365 contexts of a sample, or of the two contexts of a sample that ends a run.
#[derive(Clone, Copy)]
pub struct SampleContext {
    /// The sum of the errors' sizes.
    sizes: i32,
    count: i32,
    /// The sum of errors that the correction does not contain yet; for the end of a run, the count of
    /// negative errors.
    bias: i32,
    pub correction: i32,
}

impl SampleContext {
    pub fn new(parameters: &ScanParameters) -> SampleContext {
        SampleContext { sizes: ((parameters.range + 32) / 64).max(2), count: 1, bias: 0, correction: 0 }
    }

    /// Decodes the error of an ordinary sample.
    #[inline]
    pub fn error(&mut self, parameters: &ScanParameters, bits: &mut JpegLsBits) -> Result<i32, StreamError> {
        let golomb = golomb(self.count, self.sizes);
        let mapped = mapped(parameters, bits, golomb, parameters.limit)?;
        let turned = parameters.near == 0 && golomb == 0 && 2 * self.bias <= -self.count;
        let error = match (mapped & 1 == 1, turned) {
            (true, false) => -((mapped + 1) >> 1),
            (false, false) => mapped >> 1,
            (true, true) => (mapped - 1) >> 1,
            (false, true) => -(mapped >> 1) - 1,
        };
        self.learn(parameters, error);
        Ok(error)
    }

    fn learn(&mut self, parameters: &ScanParameters, error: i32) {
        self.bias += error * parameters.step;
        self.sizes += error.abs();
        if self.count == parameters.reset {
            self.sizes >>= 1;
            self.bias >>= 1;
            self.count >>= 1;
        }
        self.count += 1;
        if self.bias <= -self.count {
            self.bias = (self.bias + self.count).max(1 - self.count);
            self.correction = (self.correction - 1).max(-128);
        } else if self.bias > 0 {
            self.bias = (self.bias - self.count).min(0);
            self.correction = (self.correction + 1).min(127);
        }
    }

    /// Decodes the error of a sample that ends a run; `alike` is 1 if its left and upper neighbours are equal
    /// within the allowed difference, otherwise 0.
    pub fn error_after_run(
        &mut self,
        parameters: &ScanParameters,
        bits: &mut JpegLsBits,
        alike: i32,
        limit: u32,
    ) -> Result<i32, StreamError> {
        let golomb = golomb(self.count, self.sizes + alike * (self.count >> 1));
        let mapped = mapped(parameters, bits, golomb, limit)?;
        let sum = mapped + alike;
        let size = (sum + 1) >> 1;
        let negative = (golomb != 0 || 2 * self.bias >= self.count) == (sum & 1 == 1);
        self.bias += i32::from(negative && size > 0);
        self.sizes += (mapped + 1 - alike) >> 1;
        if self.count == parameters.reset {
            self.sizes >>= 1;
            self.bias >>= 1;
            self.count >>= 1;
        }
        self.count += 1;
        Ok(if negative { -size } else { size })
    }
}

/// The parameter of the Golomb code (A.5.1): the number of bits that are not unary.
#[inline]
fn golomb(count: i32, sizes: i32) -> u32 {
    let mut golomb = 0;
    while count << golomb < sizes {
        golomb += 1;
    }
    golomb
}

/// Decodes a number in limited Golomb code (A.5.3), none larger than a correct encoder writes.
#[inline]
fn mapped(
    parameters: &ScanParameters,
    bits: &mut JpegLsBits,
    golomb: u32,
    limit: u32,
) -> Result<i32, StreamError> {
    let zeros = bits.zeros()?;
    let unary_most = limit.saturating_sub(parameters.error_bits + 1);
    let mapped = if zeros < unary_most {
        (zeros as i32) << golomb | bits.number(golomb)?
    } else {
        bits.number(parameters.error_bits)? + 1
    };
    if mapped > 2 * parameters.range {
        return Err(StreamError::Wrong("code"));
    }
    Ok(mapped)
}
