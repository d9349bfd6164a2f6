//! What is learnt of errors in like surroundings (T.87 A.4, A.6 and A.7.2).

use super::bits::Bits;
use super::parameters::Parameters;
use crate::imaging::codecs::stream::StreamError;

/// One of the 365 surroundings of a sample, or of the two of a sample that ends a run.
#[derive(Clone, Copy)]
pub struct Context {
    /// Sum of the sizes of errors.
    sizes: i32,
    count: i32,
    /// Sum of errors, as far as it is not in the correction; at the end of a run how many were negative.
    bias: i32,
    pub correction: i32,
}

impl Context {
    pub fn new(parameters: &Parameters) -> Context {
        Context { sizes: ((parameters.range + 32) / 64).max(2), count: 1, bias: 0, correction: 0 }
    }

    /// The next error of an ordinary sample.
    #[inline]
    pub fn error(&mut self, parameters: &Parameters, bits: &mut Bits) -> Result<i32, StreamError> {
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

    fn learn(&mut self, parameters: &Parameters, error: i32) {
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

    /// The next error of a sample that ends a run; `alike` (1 or 0) says that its neighbours at the left and
    /// above are as good as equal.
    pub fn error_after_run(
        &mut self,
        parameters: &Parameters,
        bits: &mut Bits,
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

/// The parameter of the code (A.5.1): how many bits are not in unary.
#[inline]
fn golomb(count: i32, sizes: i32) -> u32 {
    let mut golomb = 0;
    while count << golomb < sizes {
        golomb += 1;
    }
    golomb
}

/// A number in limited Golomb code (A.5.3), none larger than a sound encoder writes.
#[inline]
fn mapped(parameters: &Parameters, bits: &mut Bits, golomb: u32, limit: u32) -> Result<i32, StreamError> {
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
