//! What serves storage commitment: those that others ask us for, and outcomes of those that we asked for.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::dicom::names::destination::Destination;

use super::commitments::Commitments;
use super::reports::Reports;

/// Both sides of commitment, as an association needs them.
pub(in crate::dicom) struct CommitmentService {
    /// Those that we have asked for.
    pub asked: Arc<Commitments>,
    /// Those that we are asked for.
    pub reports: Reports,
}

impl CommitmentService {
    /// # Errors
    /// If the folder of reports cannot be made or read.
    pub fn open(
        inbox: &Path,
        nodes: BTreeMap<String, Destination>,
        asked: Arc<Commitments>,
    ) -> io::Result<CommitmentService> {
        Ok(CommitmentService { asked, reports: Reports::open(inbox, nodes)? })
    }
}
