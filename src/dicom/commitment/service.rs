//! Storage commitment service: handles requests from other nodes, and the outcomes of our own requests.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::dicom::names::dimse_node::DimseNode;

use super::commitments::RequestedCommitments;
use super::reports::CommitmentReports;

/// Both sides of commitment, as an association needs them.
pub(in crate::dicom) struct CommitmentService {
    /// Commitments requested from other nodes.
    pub asked: Arc<RequestedCommitments>,
    /// The outcomes that are still to be reported to other nodes.
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
