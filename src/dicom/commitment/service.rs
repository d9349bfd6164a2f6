//! What serves storage commitment: those that others ask us for, and outcomes of those that we asked for.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::dicom::names::destination::DimseNode;

use super::commitments::RequestedCommitments;
use super::reports::CommitmentReports;

/// Both sides of commitment, as an association needs them.
pub(in crate::dicom) struct CommitmentService {
    /// Those that we have asked for.
    pub asked: Arc<RequestedCommitments>,
    /// Those that we are asked for.
    pub reports: CommitmentReports,
}

impl CommitmentService {
    /// # Errors
    /// If the folder of reports cannot be made or read.
    pub fn open(
        inbox: &Path,
        nodes: BTreeMap<String, DimseNode>,
        asked: Arc<RequestedCommitments>,
    ) -> io::Result<CommitmentService> {
        Ok(CommitmentService { asked, reports: CommitmentReports::open(inbox, nodes)? })
    }
}
