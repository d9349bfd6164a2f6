//! Codes of PS3.16 CID 400 to 405, and of RFC 3881.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    pub value: &'static str,
    pub system: &'static str,
    pub meaning: &'static str,
}

const fn dcm(value: &'static str, meaning: &'static str) -> Code {
    Code { value, system: "DCM", meaning }
}

const fn rfc_3881(value: &'static str, meaning: &'static str) -> Code {
    Code { value, system: "RFC-3881", meaning }
}

// Event identifiers.
pub const APPLICATION_ACTIVITY: Code = dcm("110100", "Application Activity");
pub const BEGIN_TRANSFERRING: Code = dcm("110102", "Begin Transferring DICOM Instances");
pub const INSTANCES_ACCESSED: Code = dcm("110103", "DICOM Instances Accessed");
pub const INSTANCES_TRANSFERRED: Code = dcm("110104", "DICOM Instances Transferred");
pub const EXPORT: Code = dcm("110106", "Export");
pub const IMPORT: Code = dcm("110107", "Import");
pub const QUERY: Code = dcm("110112", "Query");
pub const SECURITY_ALERT: Code = dcm("110113", "Security Alert");

// Event types.
pub const APPLICATION_START: Code = dcm("110120", "Application Start");
pub const APPLICATION_STOP: Code = dcm("110121", "Application Stop");
pub const NODE_AUTHENTICATION: Code = dcm("110126", "Node Authentication");
pub const USE_OF_RESTRICTED_FUNCTION: Code = dcm("110132", "Use of Restricted Function");
pub const AUDIT_RECORDING_STOPPED: Code = dcm("110133", "Audit Recording Stopped");

// Roles of participants.
pub const APPLICATION: Code = dcm("110150", "Application");
pub const DESTINATION: Code = dcm("110152", "Destination Role ID");
pub const SOURCE: Code = dcm("110153", "Source Role ID");
pub const DESTINATION_MEDIA: Code = dcm("110154", "Destination Media");
pub const SOURCE_MEDIA: Code = dcm("110155", "Source Media");

// Types of media.
pub const MEDIA_URI: Code = dcm("110037", "URI");

// Types of object identifiers.
pub const STUDY_INSTANCE_UID: Code = dcm("110180", "Study Instance UID");
pub const SOP_CLASS_UID: Code = dcm("110181", "SOP Class UID");
pub const NODE_ID: Code = dcm("110182", "Node ID");
pub const PATIENT_NUMBER: Code = rfc_3881("2", "Patient Number");
pub const URI: Code = rfc_3881("12", "URI");
