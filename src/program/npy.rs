//! The NPY format of NumPy: an array as a file that can be mapped into memory.
//!
//! Written is version 1.0 in C order, little-endian; read are versions 1.0 to 3.0, C order, and the types of
//! [`ArrayElement`]. <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>

use crate::step::{ArrayElement, ArrayValue};

const MAGIC: &[u8] = b"\x93NUMPY";
/// The numbers begin at a multiple of this.
const ALIGNMENT: usize = 64;

/// The header of a file.
pub fn header(element: ArrayElement, shape: &[usize]) -> Vec<u8> {
    let lengths: String = shape.iter().map(|length| format!("{length}, ")).collect();
    let shape = if shape.len() == 1 { lengths.trim_end() } else { lengths.trim_end_matches(", ") };
    let mut text = format!("{{'descr': '{}', 'fortran_order': False, 'shape': ({shape}), }}", element.code());
    let unpadded = MAGIC.len() + 4 + text.len() + 1;
    text.extend(std::iter::repeat_n(' ', unpadded.next_multiple_of(ALIGNMENT) - unpadded));
    text.push('\n');
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes();
    [MAGIC, &[1, 0], &length, text.as_bytes()].concat()
}

/// The array in a file.
///
/// # Errors
/// The reason why it cannot be read.
pub fn parse(mut file: Vec<u8>, about: serde_json::Value) -> Result<ArrayValue, String> {
    let begins = file.get(..MAGIC.len()) == Some(MAGIC);
    let place: Option<(usize, usize)> = match (begins, file.get(6), file.get(8..12)) {
        (true, Some(1), Some(four)) => Some((10, usize::from(u16::from_le_bytes([four[0], four[1]])))),
        (true, Some(2 | 3), Some(four)) => {
            let length = u32::from_le_bytes([four[0], four[1], four[2], four[3]]);
            Some((12, usize::try_from(length).unwrap_or(usize::MAX)))
        }
        _ => None,
    };
    let (start, length) = place.ok_or("it is no file in the NPY format")?;
    let end = start.checked_add(length).filter(|end| *end <= file.len()).ok_or("its header is cut off")?;
    let text = String::from_utf8_lossy(&file[start..end]).into_owned();
    let element = element(&text)?;
    if field(&text, "fortran_order").is_some_and(|order| order.starts_with("True")) {
        return Err("its numbers are in Fortran order: use numpy.ascontiguousarray".to_owned());
    }
    let shape = shape(&text).ok_or("its header has no shape")?;
    file.drain(..end);
    let array = ArrayValue { element, shape, bytes: file.into(), about };
    if array.is_whole() { Ok(array) } else { Err("it has not as many numbers as its shape says".to_owned()) }
}

/// The text behind a key of the header.
fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let quoted = format!("'{key}'");
    let (_, rest) = text.split_once(&quoted)?;
    Some(rest.trim_start().strip_prefix(':')?.trim_start())
}

fn element(text: &str) -> Result<ArrayElement, String> {
    let code = field(text, "descr").and_then(|rest| rest.strip_prefix('\'')?.split('\'').next());
    let code = code.ok_or("its header has no type")?;
    // `=` and `|` leave the order to the machine; one byte has none.
    let written = match code.strip_suffix('1').and_then(|code| code.get(1..)) {
        Some(kind) => format!("|{kind}1"),
        None => code.replace('=', "<"),
    };
    let known = ArrayElement::ALL.iter().find(|(_, known)| *known == written);
    known.map(|(element, _)| *element).ok_or_else(|| {
        let all: Vec<&str> = ArrayElement::ALL.iter().map(|(_, code)| *code).collect();
        format!("its type {code} is not one of {}", all.join(", "))
    })
}

fn shape(text: &str) -> Option<Vec<usize>> {
    let inside = field(text, "shape")?.strip_prefix('(')?.split(')').next()?;
    let lengths = inside.split(',').map(str::trim).filter(|length| !length.is_empty());
    lengths.map(|length| length.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_written_and_read_back() {
        for (element, _) in ArrayElement::ALL {
            for shape in [vec![], vec![3], vec![2, 3], vec![0, 2]] {
                let bytes = vec![7; shape.iter().product::<usize>() * element.size()];
                let file = [header(element, &shape), bytes.clone()].concat();
                assert_eq!((file.len() - bytes.len()) % ALIGNMENT, 0);
                let array = parse(file, serde_json::Value::Null).unwrap();
                assert_eq!((array.element, array.shape, array.bytes.into_vec()), (element, shape, bytes));
            }
        }
    }

    #[test]
    fn what_is_no_such_file_is_refused_with_the_reason() {
        let good = header(ArrayElement::Int16, &[4]);
        let refused = |file: Vec<u8>| parse(file, serde_json::Value::Null).unwrap_err();
        assert!(refused(good.clone()).contains("as many numbers"));
        assert!(refused(b"\x93NUMPY".to_vec()).contains("no file in the NPY format"));
        assert!(refused(good[..20].to_vec()).contains("cut off"));
        let text = |from: &str, to: &str| {
            let text = String::from_utf8_lossy(&good[10..]).replace(from, to);
            [&good[..10], text.as_bytes()].concat()
        };
        assert!(refused(text("<i2", ">i2")).contains("its type >i2 is not one of"));
        assert!(refused(text("False", "True ")).contains("Fortran"));
        // No character may be cut through.
        assert!(refused(text("<i2", "é1")).contains("its type é1 is not one of"));
    }
}
