//! Names that DICOM has for things: application entities, classes, statuses, identifiers.

pub(in crate::dicom) mod ae_title;
pub(in crate::dicom) mod delivered_objects;
pub(in crate::dicom) mod destination;
pub(in crate::dicom) mod sop_class;
pub(in crate::dicom) mod status;
pub(in crate::dicom) mod uid_name;
