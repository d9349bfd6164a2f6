//! One sender of instances.

use super::event::IntakeSession;

/// The length of a sender's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dicom) enum SessionUse {
    /// One transfer: the sender is active until the session ends.
    OneTransfer,
    /// As long as the sender keeps it open, also without sending anything.
    AsLongAsWanted,
}

/// Sender of instances: an association, an HTTP request, or a watched folder.
#[derive(Clone, Debug)]
pub(in crate::dicom) struct InstanceSender {
    pub session: IntakeSession,
    /// Empty where there are no AE titles.
    pub calling_ae: String,
    pub called_ae: String,
    /// The only study that the sender may store to, if its request named one.
    pub study_instance_uid: Option<String>,
    pub session_use: SessionUse,
}
