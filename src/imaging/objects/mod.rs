//! Writing DICOM objects into the study of a request: the modules that all objects share, coded concepts, and
//! the tree of a structured report.

mod code;
mod content;
mod document;
mod instance;

pub use code::{Code, Name, codes};
pub use content::{Node, Relationship};
pub use document::{Document, Reference, device_observer};
pub use instance::{Instance, SeriesOf};
