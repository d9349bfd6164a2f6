//! The conversion of stored pixel values to Hounsfield units, as a header declares it.

use dicom_dictionary_std::tags;
use serde::{Deserialize, Serialize};

use super::elements::HeaderElements;

/// The meaning of an instance's rescaled pixel values (PS3.3 C.11.1.1.2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PixelUnits {
    /// Rescale Type is `HU` or absent, which means the same for CT.
    #[default]
    Hounsfield,
    /// Rescale Slope or Rescale Intercept is absent.
    NotRescaled,
    /// Rescale Slope or Rescale Intercept holds no usable number: the attribute's name and its text.
    Unreadable(String),
    /// Another Rescale Type, for example `Z_EFF` or `US` (unspecified).
    Other(String),
}

impl PixelUnits {
    /// The reason why the values cannot be taken for Hounsfield units, as a fragment; `None` if they can.
    pub fn obstacle(&self) -> Option<String> {
        match self {
            PixelUnits::Hounsfield => None,
            PixelUnits::NotRescaled => Some("without Rescale Slope and Intercept".to_owned()),
            PixelUnits::Unreadable(text) => Some(format!("with the unusable {text}")),
            PixelUnits::Other(kind) => Some(format!("with Rescale Type {kind:?}, not HU")),
        }
    }
}

/// Slope, intercept and their units. A value that is absent or cannot be read never becomes 0.
pub fn rescale(elements: &HeaderElements) -> (f64, f64, PixelUnits) {
    let value = |tag| (elements.decimal(tag), elements.text(tag));
    // A comma in it separates decimals: no slope of HU is 1000.
    let (slope, slope_text) = value(tags::RESCALE_SLOPE);
    let (intercept, intercept_text) = value(tags::RESCALE_INTERCEPT);
    let intercept = intercept.filter(|_| !is_ambiguous(&intercept_text));
    let (Some(slope), Some(intercept)) = (slope.filter(|slope| *slope != 0.0), intercept) else {
        let (name, text) = match intercept {
            Some(_) => ("Rescale Slope", slope_text),
            None => ("Rescale Intercept", intercept_text),
        };
        let units = match text.as_str() {
            "" => PixelUnits::NotRescaled,
            _ => PixelUnits::Unreadable(format!("{name} {text:?}")),
        };
        return (1.0, 0.0, units);
    };
    (slope, intercept, units(&elements.text(tags::RESCALE_TYPE)))
}

/// The units that a Rescale Type names. HU is the defined term; some writers spell it in small letters or in full.
fn units(kind: &str) -> PixelUnits {
    match kind.trim().to_ascii_uppercase().as_str() {
        "" | "HU" | "HOUNSFIELD" | "HOUNSFIELD UNIT" | "HOUNSFIELD UNITS" => PixelUnits::Hounsfield,
        _ => PixelUnits::Other(kind.to_owned()),
    }
}

/// Whether a comma in a number may separate thousands as well as decimals, as in `-1,024`.
fn is_ambiguous(text: &str) -> bool {
    let Some((whole, rest)) = text.split_once(',') else { return false };
    let whole = whole.trim_start_matches(['-', '+', ' ']);
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_group = rest.trim_end().len() == 3 && is_digits(rest.trim_end());
    is_group && (1..=3).contains(&whole.len()) && is_digits(whole) && !whole.starts_with('0')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dicom_file::encoding::Encoding;
    use crate::imaging::CharacterSet;

    /// Implicit VR Little Endian.
    fn rescaled(slope: &str, intercept: &str) -> (f64, f64, PixelUnits) {
        let element = |number: u8, text: &str| {
            let text = format!("{text}{}", if text.len().is_multiple_of(2) { "" } else { " " });
            [&[0x28, 0, number, 0x10, text.len() as u8, 0, 0, 0], text.as_bytes()].concat()
        };
        let bytes = [element(0x52, intercept), element(0x53, slope)].concat();
        rescale(&HeaderElements::of(&bytes, Encoding::IMPLICIT, CharacterSet::default()))
    }

    #[test]
    fn decimal_commas_are_read_where_they_are_no_thousands() {
        assert_eq!(rescaled("1,000", "-1024,000"), (1.0, -1024.0, PixelUnits::Hounsfield));
        let unreadable = PixelUnits::Unreadable("Rescale Intercept \"-1,024\"".to_owned());
        assert_eq!(rescaled("1", "-1,024").2, unreadable);
    }

    #[test]
    fn hounsfield_units_are_known_as_they_are_spelt() {
        for kind in ["", "HU", "hu", " Hu ", "Hounsfield", "Hounsfield Units"] {
            assert_eq!(units(kind), PixelUnits::Hounsfield, "{kind}");
        }
        for kind in ["HU_MOD", "US", "Z_EFF", "H"] {
            assert_eq!(units(kind), PixelUnits::Other(kind.to_owned()));
        }
    }

    #[test]
    fn a_comma_that_may_separate_thousands_is_not_read() {
        for text in ["-1,024", "1,000", "+10,240", "-1,024 "] {
            assert!(is_ambiguous(text), "{text}");
        }
        for text in ["-1024", "-1024,0", "0,125", "-1000,000", "1,5", "-1024.000", "1,0000", "a,024"] {
            assert!(!is_ambiguous(text), "{text}");
        }
    }
}
