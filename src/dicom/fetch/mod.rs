//! Studies fetched from archives, by C-GET, C-MOVE or WADO-RS.

pub(in crate::dicom) mod order;
pub(in crate::dicom) mod pull;
pub(in crate::dicom) mod retrieval;
pub(in crate::dicom) mod troubles;
