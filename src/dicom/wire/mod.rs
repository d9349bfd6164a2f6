//! DIMSE on a connection: associations, commands, and the errors of peers (PS3.7, PS3.8).

pub(in crate::dicom) mod association;
pub(in crate::dicom) mod caller;
pub(in crate::dicom) mod command;
pub(in crate::dicom) mod peer_error;
