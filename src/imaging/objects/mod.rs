//! Writing DICOM objects into the study of a request: the modules that all objects share, coded concepts, and
//! the tree of a structured report.

mod code;
mod content;
mod document;
mod encapsulated;
mod instance;
mod qualitative;
mod segmentation;

pub use code::{CodedConcept, ConceptName, codes};
pub use content::{ContentItem, ContentRelationship};
pub use document::{EvidenceReference, ReportDocument, device_observer};
pub use encapsulated::EncapsulatedPdf;
pub use instance::{GeneratedInstance, GeneratedSeries, PixelSource, implementation_uid, is_own_result};
pub use qualitative::qualitative_evaluations;
pub use segmentation::{
    FrameSize, SegmentDescription, SegmentFrame, SegmentMaker, SegmentationObject, SourcePlane, decimals,
};
