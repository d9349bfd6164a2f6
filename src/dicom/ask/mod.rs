//! Requests to other nodes over DIMSE: C-ECHO, C-FIND and C-STORE.

pub(in crate::dicom) mod exchange;
pub(in crate::dicom) mod find;
pub(in crate::dicom) mod query;
pub(in crate::dicom) mod send;
