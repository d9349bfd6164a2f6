//! Arrays of numbers: the type `array`, and the form of other types as one.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::{Payload, Value};

/// The type of the numbers in an array, as NumPy names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ArrayElement {
    /// True or false, one byte each.
    Bool,
    /// 8 bits, signed.
    Int8,
    /// 8 bits.
    Uint8,
    /// 16 bits, signed.
    Int16,
    /// 16 bits.
    Uint16,
    /// 32 bits, signed.
    Int32,
    /// 32 bits.
    Uint32,
    /// 64 bits, signed.
    Int64,
    /// 64 bits.
    Uint64,
    /// IEEE 754, 32 bits.
    Float32,
    /// IEEE 754, 64 bits.
    Float64,
}

impl ArrayElement {
    /// All types, with the code of the NPY format.
    pub const ALL: [(ArrayElement, &'static str); 11] = [
        (ArrayElement::Bool, "|b1"),
        (ArrayElement::Int8, "|i1"),
        (ArrayElement::Uint8, "|u1"),
        (ArrayElement::Int16, "<i2"),
        (ArrayElement::Uint16, "<u2"),
        (ArrayElement::Int32, "<i4"),
        (ArrayElement::Uint32, "<u4"),
        (ArrayElement::Int64, "<i8"),
        (ArrayElement::Uint64, "<u8"),
        (ArrayElement::Float32, "<f4"),
        (ArrayElement::Float64, "<f8"),
    ];

    /// The code in the NPY format.
    pub fn code(self) -> &'static str {
        ArrayElement::ALL.iter().find(|(element, _)| *element == self).map_or("", |(_, code)| code)
    }

    /// Bytes of one number.
    pub fn size(self) -> usize {
        self.code().bytes().last().map_or(1, |digit| usize::from(digit - b'0'))
    }
}

/// An array of numbers of one type, and what is to be known about it.
///
/// ```
/// use flow::step::{ArrayElement, ArrayValue};
///
/// let array = ArrayValue {
///     element: ArrayElement::Int16,
///     shape: vec![2, 3],
///     bytes: vec![0; 12].into(),
///     about: serde_json::json!({"unit": "HU"}),
/// };
/// assert!(array.is_whole());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArrayValue {
    /// The type of the numbers.
    pub element: ArrayElement,
    /// The lengths along the axes, the slowest first.
    pub shape: Vec<usize>,
    /// The numbers, little-endian, the last axis fastest.
    pub bytes: ByteBuf,
    /// Anything that belongs to the numbers, for example spacing and origin.
    pub about: serde_json::Value,
}

impl ArrayValue {
    /// Whether there are as many bytes as shape and type say.
    pub fn is_whole(&self) -> bool {
        let numbers = self.shape.iter().try_fold(1_usize, |product, length| product.checked_mul(*length));
        numbers.and_then(|numbers| numbers.checked_mul(self.element.size())) == Some(self.bytes.len())
    }
}

impl Payload for ArrayValue {
    const TYPE: &'static str = "array";

    fn bytes_in_memory(&self) -> usize {
        size_of::<ArrayValue>() + self.bytes.len()
    }
}

/// A value seen as an array. The bytes are those of the value where it has them in this form.
pub struct ArrayView<'a> {
    /// The type of the numbers.
    pub element: ArrayElement,
    /// The lengths along the axes, the slowest first.
    pub shape: Vec<usize>,
    /// The numbers, little-endian, the last axis fastest.
    pub bytes: Cow<'a, [u8]>,
    /// Anything that belongs to the numbers.
    pub about: serde_json::Value,
}

/// The form of a type as an array, for programs that know no type but arrays. The owner of the type submits it:
/// `inventory::submit! { ArrayForm { … } }`.
pub struct ArrayForm {
    /// The type: its [`Payload::TYPE`].
    pub kind: &'static str,
    /// The value as an array; `None` if it has another type.
    pub view: for<'a> fn(&'a Value) -> Option<ArrayView<'a>>,
    /// The value of an array, or the reason why the array is none.
    pub make: fn(ArrayValue) -> Result<Value, String>,
    /// The function that reads a value back from its form on disk.
    pub read: fn(&[u8], super::PathOf) -> std::io::Result<Value>,
}

inventory::collect!(ArrayForm);

impl ArrayForm {
    /// The form of a type, if it has one.
    pub fn of(kind: &str) -> Option<&'static ArrayForm> {
        inventory::iter::<ArrayForm>.into_iter().find(|form| form.kind == kind)
    }
}

fn view(value: &Value) -> Option<ArrayView<'_>> {
    let ArrayValue { element, shape, bytes, about } = value.get::<ArrayValue>()?;
    let (shape, about) = (shape.clone(), about.clone());
    Some(ArrayView { element: *element, shape, bytes: Cow::Borrowed(bytes), about })
}

inventory::submit! {
    ArrayForm {
        kind: ArrayValue::TYPE,
        view,
        make: |array| Ok(Value::new(array)),
        read: Value::read::<ArrayValue>,
    }
}
