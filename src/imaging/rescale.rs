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
    /// Rescale Slope or Rescale Intercept holds this text, which is no usable number.
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
            PixelUnits::Unreadable(text) => Some(format!("with the unusable rescale value {text:?}")),
            PixelUnits::Other(kind) => Some(format!("with Rescale Type {kind:?}, not HU")),
        }
    }
}

/// Slope, intercept and their units. A value that is absent or cannot be read never becomes 0.
pub fn rescale(elements: &HeaderElements) -> (f64, f64, PixelUnits) {
    let value = |tag| (elements.decimal(tag), elements.text(tag));
    let (slope, slope_text) = value(tags::RESCALE_SLOPE);
    let (intercept, intercept_text) = value(tags::RESCALE_INTERCEPT);
    let (Some(slope), Some(intercept)) = (slope.filter(|slope| *slope != 0.0), intercept) else {
        let unreadable = if intercept.is_some() { slope_text } else { intercept_text };
        let units = match unreadable.as_str() {
            "" => PixelUnits::NotRescaled,
            _ => PixelUnits::Unreadable(unreadable),
        };
        return (1.0, 0.0, units);
    };
    let units = match elements.text(tags::RESCALE_TYPE).as_str() {
        "" | "HU" => PixelUnits::Hounsfield,
        other => PixelUnits::Other(other.to_owned()),
    };
    (slope, intercept, units)
}
