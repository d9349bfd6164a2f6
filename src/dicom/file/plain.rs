//! The bytes of one element as a plain value.

use std::str::FromStr;

use ciborium::Value;
use dicom_core::{Tag, VR};
use dicom_encoding::transfer_syntax::Endianness;

use crate::imaging::CharacterSet;

/// The value of an element: a list if it has several, bytes (little endian) for bulk data, null without a
/// value. Bytes that are invalid for the VR stay bytes.
pub(in crate::dicom) fn plain(vr: VR, bytes: &[u8], order: Endianness, character_set: CharacterSet) -> Value {
    let numbers = NumberValues { bytes, order };
    let texts = || character_set.decode(vr, bytes);
    match vr {
        _ if bytes.is_empty() => Value::Null,
        VR::US => numbers.values(u16::from_le_bytes),
        VR::SS => numbers.values(i16::from_le_bytes),
        VR::UL => numbers.values(u32::from_le_bytes),
        VR::SL => numbers.values(i32::from_le_bytes),
        VR::UV => numbers.values(u64::from_le_bytes),
        VR::SV => numbers.values(i64::from_le_bytes),
        VR::FL => numbers.values(|bytes| f64::from(f32::from_le_bytes(bytes))),
        VR::FD => numbers.values(f64::from_le_bytes),
        VR::AT => numbers.tags(),
        VR::OW => numbers.bulk::<2>(),
        VR::OF | VR::OL => numbers.bulk::<4>(),
        VR::OD | VR::OV => numbers.bulk::<8>(),
        VR::OB | VR::UN | VR::SQ => Value::Bytes(bytes.to_vec()),
        VR::LT | VR::ST | VR::UR | VR::UT => unpadded(&texts()),
        VR::DS => one_or_list(texts().split('\\').map(number::<f64>)),
        VR::IS => one_or_list(texts().split('\\').map(number::<i64>)),
        _ => one_or_list(texts().split('\\').map(unpadded)),
    }
}

/// A number that is written as text; the text itself if it is no number.
fn number<T: FromStr + Into<Value>>(text: &str) -> Value {
    text.trim_matches([' ', '\0']).parse::<T>().map_or_else(|_| unpadded(text), Into::into)
}

fn unpadded(text: &str) -> Value {
    Value::from(text.trim_end_matches([' ', '\0']))
}

fn one_or_list(values: impl Iterator<Item = Value>) -> Value {
    let mut values: Vec<Value> = values.collect();
    if values.len() == 1 { values.swap_remove(0) } else { Value::Array(values) }
}

/// Numbers of one size.
#[derive(Clone, Copy)]
struct NumberValues<'a> {
    bytes: &'a [u8],
    order: Endianness,
}

impl NumberValues<'_> {
    /// The bytes of each number, little endian. `None` if the length is no multiple of the size.
    fn each<const SIZE: usize>(&self) -> Option<impl Iterator<Item = [u8; SIZE]>> {
        let (numbers, rest) = self.bytes.as_chunks::<SIZE>();
        let little = move |mut number: [u8; SIZE]| {
            if self.order == Endianness::Big {
                number.reverse();
            }
            number
        };
        rest.is_empty().then(|| numbers.iter().copied().map(little))
    }

    fn values<const SIZE: usize, T: Into<Value>>(self, read: impl Fn([u8; SIZE]) -> T) -> Value {
        let numbers = self.each().map(|numbers| one_or_list(numbers.map(|bytes| read(bytes).into())));
        numbers.unwrap_or_else(|| Value::Bytes(self.bytes.to_vec()))
    }

    fn bulk<const SIZE: usize>(self) -> Value {
        let little = self.each::<SIZE>().map(|numbers| numbers.flatten().collect());
        Value::Bytes(little.unwrap_or_else(|| self.bytes.to_vec()))
    }

    fn tags(self) -> Value {
        let halves: Vec<u16> = self.each().into_iter().flatten().map(u16::from_le_bytes).collect();
        let (tags, rest) = halves.as_chunks();
        if tags.is_empty() || !rest.is_empty() {
            return Value::Bytes(self.bytes.to_vec());
        }
        one_or_list(tags.iter().map(|[group, element]| Value::from(Tag(*group, *element).to_string())))
    }
}
