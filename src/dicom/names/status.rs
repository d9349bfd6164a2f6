//! The status of a DIMSE answer (PS3.7 annex C, PS3.4 B.2.3).

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DimseStatus(pub u16);

/// The class of a status: its meaning for the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusClass {
    Success,
    /// Stored, but not quite as sent.
    Warning,
    Failure,
}

impl DimseStatus {
    pub const SUCCESS: DimseStatus = DimseStatus(0x0000);
    pub const PROCESSING_FAILURE: DimseStatus = DimseStatus(0x0110);
    pub const INVALID_ARGUMENT: DimseStatus = DimseStatus(0x0115);
    pub const INVALID_INSTANCE: DimseStatus = DimseStatus(0x0117);
    pub const SOP_CLASS_NOT_SUPPORTED: DimseStatus = DimseStatus(0x0122);
    pub const UNRECOGNISED_OPERATION: DimseStatus = DimseStatus(0x0211);
    pub const MISTYPED_ARGUMENT: DimseStatus = DimseStatus(0x0212);
    pub const RESOURCE_LIMITATION: DimseStatus = DimseStatus(0x0213);
    pub const OUT_OF_RESOURCES: DimseStatus = DimseStatus(0xA700);
    pub const DATA_SET_MISMATCH: DimseStatus = DimseStatus(0xA900);
    pub const CANNOT_UNDERSTAND: DimseStatus = DimseStatus(0xC000);
    pub const TRANSFER_SYNTAX_NOT_SUPPORTED: DimseStatus = DimseStatus(0xC122);

    pub fn verdict(self) -> StatusClass {
        match self.0 {
            0x0000 => StatusClass::Success,
            0x0001 | 0x0107 | 0x0116 | 0xB000..=0xBFFF => StatusClass::Warning,
            _ => StatusClass::Failure,
        }
    }

    /// Whether a failure is due to the node's present state, and not to the instance.
    pub fn may_pass(self) -> bool {
        matches!(self.0, 0x0110 | 0x0213 | 0xA700..=0xA7FF)
    }

    /// Whether a store failed because the node has the instance: duplicate SOP instance (PS3.7 C.5.8), or the
    /// failure reason that STOW services use for it.
    pub fn is_there_already(self) -> bool {
        matches!(self.0, 0x0111 | 0xB00E)
    }

    pub(in crate::dicom) fn meaning(self) -> &'static str {
        match self.0 {
            0x0000 => "success",
            0x0110 => "processing failure",
            0x0111 | 0xB00E => "the instance is there already",
            0x0115 => "invalid argument value",
            0x0117 => "invalid SOP instance UID",
            0x0118 | 0x0122 => "SOP class not supported",
            0x0124 => "not authorised",
            0x0210 => "duplicate invocation",
            0x0211 => "unrecognised operation",
            0x0212 => "mistyped argument",
            0x0213 => "out of resources",
            0xA700..=0xA7FF => "out of resources",
            0xA800..=0xA8FF => "SOP class not supported",
            0xA900..=0xA9FF => "the data set does not match its SOP class",
            0xB000 => "stored with some values coerced",
            0xB006 => "stored with some elements discarded",
            0xB007 => "stored although the data set does not match its SOP class",
            0x0001 | 0x0107 | 0x0116 | 0xB001..=0xBFFF => "stored with a warning",
            0xC122 => "transfer syntax not supported",
            0xC000..=0xCFFF => "cannot understand",
            _ => "failure",
        }
    }
}

impl fmt::Display for DimseStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (status {:04X})", self.meaning(), self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_zero_is_success() {
        assert_eq!(DimseStatus(0).verdict(), StatusClass::Success);
        assert_eq!(DimseStatus(0xB007).verdict(), StatusClass::Warning);
        for failure in [0x0110, 0x0122, 0xA700, 0xA900, 0xC123, 0xFE00, 0xFFFF] {
            assert_eq!(DimseStatus(failure).verdict(), StatusClass::Failure, "{failure:04X}");
        }
        for (status, may_pass) in [(0xA700, true), (0x0110, true), (0xA900, false), (0xC000, false)] {
            assert_eq!(DimseStatus(status).may_pass(), may_pass, "{status:04X}");
        }
        assert_eq!(DimseStatus::OUT_OF_RESOURCES.to_string(), "out of resources (status A700)");
    }
}
