//! One of those who bring instances.

use super::event::IntakeSession;

/// Who brings instances: an association, or a request over HTTP, or a file.
#[derive(Clone, Debug)]
pub(in crate::dicom) struct InstanceSender {
    pub session: IntakeSession,
    /// Empty where there are no AE titles.
    pub calling_ae: String,
    pub called_ae: String,
    /// The only study of which it may bring instances, if it said so.
    pub study_instance_uid: Option<String>,
}
