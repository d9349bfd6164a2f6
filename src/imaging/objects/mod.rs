//! Writing DICOM objects into the study of a request: the modules that all objects share, coded concepts, and
//! the tree of a structured report.

mod code;
mod content;
mod document;
mod instance;

pub use code::{CodedConcept, ConceptName, codes};
pub use content::{ContentItem, ContentRelationship};
pub use document::{EvidenceReference, ReportDocument, device_observer};
pub use instance::{GeneratedInstance, GeneratedSeries, implementation_uid, is_own_result};
