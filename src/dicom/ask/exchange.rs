//! One exchange with a node: an association for some work, and the answers on it.

use crate::dicom::names::dimse_node::DimseNode;
use crate::dicom::names::status::DimseStatus;
use crate::dicom::wire::association::{Association, ContextProposal, request};
use crate::dicom::wire::command::CommandSet;
use crate::dicom::wire::peer_error::{ExchangeStage, PeerError, PeerErrorCause};

/// Opens an association, does some work on it, and releases it; after an error it is aborted.
pub(in crate::dicom) fn associated<T>(
    node: &DimseNode,
    proposals: &[ContextProposal],
    work: impl FnOnce(&mut Association) -> Result<T, PeerErrorCause>,
) -> Result<T, PeerError> {
    let failed = |cause, stage| PeerError { peer: node.clone().into(), cause, stage };
    let mut association = request(node, proposals).map_err(|cause| failed(cause, ExchangeStage::Opening))?;
    match work(&mut association) {
        Ok(done) => {
            if let Err(error) = association.release() {
                tracing::debug!("the association was not released in good order: {error}");
            }
            Ok(done)
        }
        Err(cause) => {
            association.abort();
            Err(failed(cause, ExchangeStage::Open))
        }
    }
}

/// The status in a response, if it responds to this request.
pub(super) fn status_for(answer: &CommandSet, asked: &CommandSet) -> Result<DimseStatus, PeerErrorCause> {
    let other = || PeerErrorCause::Broken("the destination responded to another request".to_owned());
    answer.status_for(asked).ok_or_else(other)
}
