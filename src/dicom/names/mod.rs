//! Names that DICOM has for things: application entities, classes, statuses, identifiers.

pub(in crate::dicom) mod ae_title;
pub(in crate::dicom) mod dimse_node;
pub(in crate::dicom) mod peer_address;
pub(in crate::dicom) mod sop_class;
pub(in crate::dicom) mod status;
pub(in crate::dicom) mod uid_name;
pub(in crate::dicom) mod web_node;
