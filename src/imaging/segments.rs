//! The segments of a segmentation object, and the reference by which a report names them.

use serde::{Deserialize, Serialize};

use crate::step::Payload;

/// A set of voxels that a segmentation object shows, in the order of the segments' numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SegmentKind {
    RightLung,
    LeftLung,
    Airways,
    Gas,
}

/// A segmentation object of the same response. Without segments there is no object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentationReference {
    pub sop_class_uid: String,
    pub sop_instance_uid: String,
    pub series_instance_uid: String,
    /// Segment `n` is at index `n - 1`.
    pub segments: Vec<SegmentKind>,
}

impl SegmentationReference {
    /// The number of a segment, from 1; `None` if the object does not have it.
    pub fn number(&self, kind: SegmentKind) -> Option<u16> {
        self.segments.iter().zip(1..).find(|(one, _)| **one == kind).map(|(_, number)| number)
    }
}

impl Payload for SegmentationReference {
    const TYPE: &'static str = "segmentation";
}
