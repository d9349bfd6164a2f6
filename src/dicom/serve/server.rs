//! State of one run of the receiver.

use crate::dicom::commitment::service::CommitmentService;
use crate::dicom::intake::instance_intake::InstanceIntake;

use super::settings::ReceiveSettings;

/// The storage provider: how it is to serve, what lets instances in, and what serves commitment.
pub(in crate::dicom) struct StorageServer<'a> {
    pub settings: &'a ReceiveSettings,
    pub intake: InstanceIntake<'a>,
    pub commitments: CommitmentService,
}
