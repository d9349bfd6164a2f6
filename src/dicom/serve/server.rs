//! The shared state of one run of the receiver.

use crate::dicom::commitment::service::CommitmentService;
use crate::dicom::intake::instance_intake::InstanceIntake;

use super::settings::ReceiveSettings;

/// The storage provider: its settings, the intake of instances, and the commitment service.
pub(in crate::dicom) struct StorageServer<'a> {
    pub settings: &'a ReceiveSettings,
    pub intake: InstanceIntake<'a>,
    pub commitments: CommitmentService,
}
