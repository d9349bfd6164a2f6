//! What one run of the receiver has, for as long as it runs.

use crate::dicom::commitment::service::CommitmentService;
use crate::dicom::intake::door::Door;

use super::settings::Settings;

/// The storage provider: how it is to serve, what lets instances in, and what serves commitment.
pub(in crate::dicom) struct StorageServer<'a> {
    pub settings: &'a Settings,
    pub door: Door<'a>,
    pub commitments: CommitmentService,
}
