//! Storage commitment, both sides (PS3.4 annex J).

pub(in crate::dicom) mod commitments;
pub(in crate::dicom) mod reports;
pub(in crate::dicom) mod request;
pub(in crate::dicom) mod service;
pub(in crate::dicom) mod transaction;
