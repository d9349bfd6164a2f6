//! Columns: the numbers or texts of a message as bytes behind its line.
//!
//! Numbers are floats or whole numbers of 64 bits, little-endian; texts are UTF-8, each with a zero byte behind it. A
//! column has at most [`ITEMS_MAX`] items.

use std::fmt::{self, Display};

use serde::Deserialize;

/// The head of a column that a program gives, in the line before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnHead {
    pub r#type: ColumnType,
    /// The number of items.
    pub count: usize,
    /// The number of bytes behind the line.
    pub bytes: usize,
    /// Said by flow, of which a program may give a head back.
    #[serde(default)]
    pub mixed: bool,
}

/// The form of the items of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColumnType {
    Float64,
    Int64,
    Text,
}

/// A column as it is sent.
#[derive(Debug, PartialEq, Eq)]
pub struct SentColumn {
    pub r#type: ColumnType,
    /// The number of items.
    pub count: usize,
    pub bytes: Vec<u8>,
    /// Whether some of its floats are whole, and some are not.
    pub is_mixed: bool,
}

/// More items than any batch has.
const ITEMS_MAX: usize = 1 << 20;

/// The bytes of a number.
const NUMBER: usize = 8;

impl ColumnHead {
    /// Checks what can be said without the bytes.
    ///
    /// # Errors
    /// The reason why there is no such column.
    pub fn check(self) -> Result<(), String> {
        if self.count > ITEMS_MAX {
            return Err(format!("its column has {} items, and {ITEMS_MAX} are the most", self.count));
        }
        let is_possible = match self.r#type {
            ColumnType::Float64 | ColumnType::Int64 => self.bytes == NUMBER * self.count,
            ColumnType::Text => self.bytes >= self.count && (self.count > 0 || self.bytes == 0),
        };
        if is_possible {
            return Ok(());
        }
        Err(format!("a column of {} times {} cannot have {} bytes", self.count, self.r#type, self.bytes))
    }
}

impl Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ColumnType::Float64 => "float64",
            ColumnType::Int64 => "int64",
            ColumnType::Text => "text",
        })
    }
}

/// A column that came, as long as its head says.
#[derive(Debug)]
pub struct GivenColumn {
    pub head: ColumnHead,
    pub bytes: Vec<u8>,
}

impl GivenColumn {
    /// The numbers. One that a float does not keep exactly is NaN.
    ///
    /// # Errors
    /// The reason why they are none.
    pub fn numbers(&self) -> Result<Vec<f64>, String> {
        let (numbers, _) = self.bytes.as_chunks::<NUMBER>();
        match self.head.r#type {
            ColumnType::Float64 => Ok(numbers.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect()),
            ColumnType::Int64 => {
                let exact = |bytes: &[u8; NUMBER]| exact(i64::from_le_bytes(*bytes)).unwrap_or(f64::NAN);
                Ok(numbers.iter().map(exact).collect())
            }
            ColumnType::Text => Err("has texts, and the step gives numbers".to_owned()),
        }
    }

    /// The texts.
    ///
    /// # Errors
    /// The reason why they are none.
    pub fn texts(self) -> Result<Vec<String>, String> {
        let count = self.head.count;
        if self.head.r#type != ColumnType::Text {
            return Err("has numbers, and the step gives texts".to_owned());
        }
        let all = String::from_utf8(self.bytes).map_err(|error| format!("is not UTF-8: {error}"))?;
        // Counted first: what a program says must not make more texts than the column may have.
        let ends = memchr::memchr_iter(0, all.as_bytes()).count();
        if ends != count || !(all.is_empty() || all.ends_with('\0')) {
            return Err(format!("has {ends} zero bytes, or not the last one at its end, and {count} texts"));
        }
        Ok(all.split_terminator('\0').map(str::to_owned).collect())
    }
}

/// A whole number as a float, if the float is the same number.
fn exact(whole: i64) -> Option<f64> {
    let number = whole as f64;
    (number as i128 == i128::from(whole)).then_some(number)
}

/// The largest whole number up to which a float keeps every one.
pub const EXACT_MAX: u64 = 1 << 53;

/// A number that is whole, as far as a float keeps every whole one.
pub fn whole(number: f64) -> Option<i64> {
    (number.abs() <= EXACT_MAX as f64 && number.trunc() == number).then_some(number as i64)
}

/// A column of numbers: of whole ones, if all of them are, and none is a zero with a minus, which arrays of floats keep.
pub fn of_numbers(numbers: impl ExactSizeIterator<Item = f64> + Clone) -> SentColumn {
    let (count, mut bytes) = (numbers.len(), Vec::with_capacity(NUMBER * numbers.len()));
    let wholes = numbers.clone().filter(|number| whole(*number).is_some()).count();
    let has_minus_zero = numbers.clone().any(|number| number == 0.0 && number.is_sign_negative());
    if wholes > 0 && wholes == count && !has_minus_zero {
        numbers.for_each(|number| bytes.extend_from_slice(&(number as i64).to_le_bytes()));
        return SentColumn { r#type: ColumnType::Int64, count, bytes, is_mixed: false };
    }
    numbers.for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
    SentColumn { r#type: ColumnType::Float64, count, bytes, is_mixed: wholes > 0 }
}

/// A column of texts; `None` if one of them has a zero byte.
pub fn of_texts<'a>(texts: impl ExactSizeIterator<Item = &'a str>) -> Option<SentColumn> {
    let (count, mut bytes) = (texts.len(), Vec::new());
    for text in texts {
        if memchr::memchr(0, text.as_bytes()).is_some() {
            return None;
        }
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
    }
    Some(SentColumn { r#type: ColumnType::Text, count, bytes, is_mixed: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(r#type: ColumnType, count: usize, bytes: &[u8]) -> GivenColumn {
        GivenColumn {
            head: ColumnHead { r#type, count, bytes: bytes.len(), mixed: false },
            bytes: bytes.to_vec(),
        }
    }

    #[test]
    fn numbers_and_texts_are_read_back() {
        let numbers = [0.1, -0.0, 3.0, 1e300];
        let sent = of_numbers(numbers.into_iter());
        assert_eq!((sent.r#type, sent.count, sent.is_mixed), (ColumnType::Float64, 4, true));
        let read = column(sent.r#type, 4, &sent.bytes).numbers().unwrap();
        assert!(read.iter().zip(numbers).all(|(read, number)| read.to_bits() == number.to_bits()));
        let numbers = [7.0, -3.0, 0.0, -9_007_199_254_740_992.0];
        let sent = of_numbers(numbers.into_iter());
        assert_eq!((sent.r#type, sent.is_mixed), (ColumnType::Int64, false));
        assert_eq!(column(sent.r#type, 4, &sent.bytes).numbers().unwrap(), numbers);
        // What a float does not keep exactly, or is no number, is not whole.
        for other in [0.5, 9_007_199_254_740_994.0, f64::NAN, f64::INFINITY] {
            let sent = |numbers: [f64; 2]| {
                let sent = of_numbers(numbers.into_iter());
                (sent.r#type, sent.is_mixed)
            };
            assert_eq!(sent([1.0, other]), (ColumnType::Float64, true));
            assert_eq!(sent([other, other]), (ColumnType::Float64, false));
        }
        assert_eq!(of_numbers([1.0, -0.0].into_iter()).r#type, ColumnType::Float64);
        assert_eq!(of_numbers(std::iter::empty()).r#type, ColumnType::Float64);
        let texts = ["", "ä b", "\n\"", ""];
        let SentColumn { bytes, .. } = of_texts(texts.into_iter()).unwrap();
        assert_eq!(column(ColumnType::Text, 4, &bytes).texts().unwrap(), texts);
        assert!(column(ColumnType::Text, 0, b"").texts().unwrap().is_empty());
        assert_eq!(of_texts(["a", "b\0c"].into_iter()), None);
    }

    #[test]
    fn whole_numbers_that_would_become_others_are_none() {
        let whole = [3, -9_007_199_254_740_992, 9_007_199_254_740_993, i64::MIN, i64::MAX];
        let bytes: Vec<u8> = whole.iter().flat_map(|number: &i64| number.to_le_bytes()).collect();
        let read = column(ColumnType::Int64, 5, &bytes).numbers().unwrap();
        assert_eq!(
            (read[0], read[1], read[3]),
            (3.0, -9_007_199_254_740_992.0, -9_223_372_036_854_775_808.0)
        );
        assert!(read[2].is_nan() && read[4].is_nan());
    }

    #[test]
    fn a_head_that_its_bytes_cannot_have_is_refused() {
        let check = |r#type, count, bytes| ColumnHead { r#type, count, bytes, mixed: false }.check();
        for (kind, count, bytes) in [
            (ColumnType::Float64, 2, 15),
            (ColumnType::Float64, 2, 17),
            (ColumnType::Int64, 0, 8),
            (ColumnType::Int64, usize::MAX, usize::MAX),
            (ColumnType::Float64, ITEMS_MAX + 1, 8 * (ITEMS_MAX + 1)),
            (ColumnType::Text, 2, 1),
            (ColumnType::Text, 0, 1),
        ] {
            assert!(check(kind, count, bytes).is_err(), "{kind} {count} {bytes}");
        }
        assert!(check(ColumnType::Float64, ITEMS_MAX, 8 * ITEMS_MAX).is_ok());
        assert!(check(ColumnType::Text, 3, 3).is_ok() && check(ColumnType::Text, 0, 0).is_ok());
    }

    #[test]
    fn what_is_not_as_many_texts_is_refused() {
        for (count, bytes, reason) in [
            (2, &b"a\0b"[..], "zero bytes"),
            (1, b"a\0b", "zero bytes"),
            (2, b"a\0b\0c\0", "zero bytes"),
            (1, b"a", "zero bytes"),
            (1, b"\xff\0", "not UTF-8"),
            // A lone surrogate.
            (1, b"\xed\xa0\x80\0", "not UTF-8"),
        ] {
            let said = column(ColumnType::Text, count, bytes).texts().unwrap_err();
            assert!(said.contains(reason), "{said}");
        }
        assert!(column(ColumnType::Text, 1, b"a\0").numbers().is_err());
        assert!(column(ColumnType::Int64, 1, &[0; 8]).texts().is_err());
    }
}
