//! The origin of a dataflow that was read from an overlay.

/// The customer of an overlay, and its base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverlayOrigin {
    /// The customer's name.
    pub customer: String,
    /// The base: the name of a built-in dataflow, or the path of a file.
    pub base: String,
}
