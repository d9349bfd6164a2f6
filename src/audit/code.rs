//! Codes of PS3.16 CID 400 to 405, and of RFC 3881.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditCode {
    pub value: &'static str,
    pub system: &'static str,
    pub meaning: &'static str,
}

const fn dcm(value: &'static str, meaning: &'static str) -> AuditCode {
    AuditCode { value, system: "DCM", meaning }
}

const fn rfc_3881(value: &'static str, meaning: &'static str) -> AuditCode {
    AuditCode { value, system: "RFC-3881", meaning }
}

// Event identifiers.
pub const APPLICATION_ACTIVITY: AuditCode = dcm("110100", "Application Activity");
pub const BEGIN_TRANSFERRING: AuditCode = dcm("110102", "Begin Transferring DICOM Instances");
pub const INSTANCES_ACCESSED: AuditCode = dcm("110103", "DICOM Instances Accessed");
pub const INSTANCES_TRANSFERRED: AuditCode = dcm("110104", "DICOM Instances Transferred");
pub const EXPORT: AuditCode = dcm("110106", "Export");
pub const IMPORT: AuditCode = dcm("110107", "Import");
pub const QUERY: AuditCode = dcm("110112", "Query");
pub const SECURITY_ALERT: AuditCode = dcm("110113", "Security Alert");

// Event types.
pub const APPLICATION_START: AuditCode = dcm("110120", "Application Start");
pub const APPLICATION_STOP: AuditCode = dcm("110121", "Application Stop");
pub const NODE_AUTHENTICATION: AuditCode = dcm("110126", "Node Authentication");
pub const USE_OF_RESTRICTED_FUNCTION: AuditCode = dcm("110132", "Use of Restricted Function");
pub const AUDIT_RECORDING_STOPPED: AuditCode = dcm("110133", "Audit Recording Stopped");

// Roles of participants.
pub const APPLICATION: AuditCode = dcm("110150", "Application");
pub const DESTINATION: AuditCode = dcm("110152", "Destination Role ID");
pub const SOURCE: AuditCode = dcm("110153", "Source Role ID");
pub const DESTINATION_MEDIA: AuditCode = dcm("110154", "Destination Media");
pub const SOURCE_MEDIA: AuditCode = dcm("110155", "Source Media");

// Types of media.
pub const MEDIA_URI: AuditCode = dcm("110037", "URI");

// Types of object identifiers.
pub const STUDY_INSTANCE_UID: AuditCode = dcm("110180", "Study Instance UID");
pub const SOP_CLASS_UID: AuditCode = dcm("110181", "SOP Class UID");
pub const NODE_ID: AuditCode = dcm("110182", "Node ID");
pub const PATIENT_NUMBER: AuditCode = rfc_3881("2", "Patient Number");
pub const URI: AuditCode = rfc_3881("12", "URI");
