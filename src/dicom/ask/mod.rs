//! What is asked of other nodes over DIMSE: echoes, queries, and to store instances.

pub(in crate::dicom) mod find;
pub(in crate::dicom) mod query;
pub(in crate::dicom) mod send;
