//! Numbers in comparisons: integers and floats, and the distance between two of them.

use std::fmt;

use ciborium::Value;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ComparedNumber {
    Whole(i128),
    Float(f64),
}

impl ComparedNumber {
    pub fn of(value: &Value) -> Option<ComparedNumber> {
        match value {
            Value::Integer(whole) => Some(ComparedNumber::Whole((*whole).into())),
            Value::Float(float) => Some(ComparedNumber::Float(*float)),
            _ => None,
        }
    }

    pub fn to(self, after: ComparedNumber) -> NumberDistance {
        NumberDistance { before: self.float(), after: after.float() }
    }

    fn float(self) -> f64 {
        match self {
            ComparedNumber::Whole(whole) => whole as f64,
            ComparedNumber::Float(float) => float,
        }
    }
}

impl fmt::Display for ComparedNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ComparedNumber::Whole(whole) => write!(f, "{whole}"),
            ComparedNumber::Float(float) => write!(f, "{float:?}"),
        }
    }
}

/// The distance between two numbers: absolute, and in percent of the first.
pub struct NumberDistance {
    before: f64,
    after: f64,
}

impl fmt::Display for NumberDistance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let absolute = self.after - self.before;
        write!(f, "{}", SignedNumber(absolute))?;
        let percent = 100.0 * absolute / self.before.abs();
        if percent.is_finite() { write!(f, ", {} %", SignedNumber(percent)) } else { Ok(()) }
    }
}

/// A number with its sign and four significant digits.
struct SignedNumber(f64);

impl fmt::Display for SignedNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.0.abs();
        if size == 0.0 {
            f.write_str("±0")
        } else if (0.001..1e6).contains(&size) {
            let digits = (3 - size.log10().floor() as i32).max(0);
            write!(f, "{:+.*}", digits as usize, self.0)
        } else {
            write!(f, "{:+.3e}", self.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(before: ComparedNumber, after: ComparedNumber, expected: &str) {
        assert_eq!(format!("{before} → {after} ({})", before.to(after)), expected);
    }

    #[test]
    fn numbers_of_any_size() {
        use ComparedNumber::{Float, Whole};
        check(Whole(0), Whole(5), "0 → 5 (+5.000)");
        check(Whole(2000), Whole(1000), "2000 → 1000 (-1000, -50.00 %)");
        check(Whole(1), Float(1.0), "1 → 1.0 (±0, ±0 %)");
        check(Float(0.0), Float(-0.0), "0.0 → -0.0 (±0)");
        check(Float(1e300), Float(-1e300), "1e300 → -1e300 (-2.000e300, -200.0 %)");
        check(Float(1.0), Float(1.0000001), "1.0 → 1.0000001 (+1.000e-7, +1.000e-5 %)");
        check(Float(f64::NAN), Float(1.0), "NaN → 1.0 (NaN)");
    }
}
