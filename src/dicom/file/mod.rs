//! DICOM files as bytes: their data sets, and the forms into which they are changed.

pub(in crate::dicom) mod contents;
pub(in crate::dicom) mod data_set;
pub(in crate::dicom) mod deidentify;
pub(in crate::dicom) mod object;
mod plain;
pub(in crate::dicom) mod transcode;
