//! One sender of instances.

use super::event::IntakeSession;

/// Sender of instances: an association, an HTTP request, or a watched folder.
#[derive(Clone, Debug)]
pub(in crate::dicom) struct InstanceSender {
    pub session: IntakeSession,
    /// Empty where there are no AE titles.
    pub calling_ae: String,
    pub called_ae: String,
    /// The only study that the sender may store to, if its request named one.
    pub study_instance_uid: Option<String>,
}
