//! Verification that objects are safe at a peer: by storage commitment, by query, or over the web.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::dicom::verify::{self, VerifiedObjects};
use crate::dicom::wire::peer_error::PeerError;
use crate::dicom::{DicomObject, DimseNode, OutcomeChannel, PeerAddress, RequestedCommitments};

/// A function that finds out which of the objects that a peer has accepted are safe there. An object that is
/// missing from its result, or is not safe, is verified once more and then sent again.
pub type ObjectVerifier = Arc<dyn Fn(&[DicomObject]) -> Result<Vec<ObjectFinding>, String> + Send + Sync>;

/// Result of verifying one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectFinding {
    pub sop_instance_uid: String,
    /// The reason if the object is not safe.
    pub safe: Result<(), String>,
}

/// The longest wait for the outcome from a peer that reports on an association of its own. A later outcome is
/// used at the next attempt; other responses are sent meanwhile.
const CALL_TIME: Duration = Duration::from_secs(5);

/// A verifier by storage commitment. With `commitments`, outcomes may also arrive at our listener.
pub fn by_commitment(node: &DimseNode, commitments: Option<Arc<RequestedCommitments>>) -> ObjectVerifier {
    let node = node.clone();
    // The time makes the transaction UIDs of this process differ from those of an earlier one.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let attempts = AtomicU64::new(since.as_nanos() as u64);
    Arc::new(move |objects| {
        let attempt = attempts.fetch_add(1, Ordering::Relaxed);
        let (answer, time) = match commitments.as_deref() {
            Some(commitments) => (OutcomeChannel::Listener(commitments), CALL_TIME),
            None => (OutcomeChannel::Here, verify::COMMITMENT_TIME),
        };
        let outcome = verify::committed(&node, objects, attempt, answer, time);
        Ok(findings(objects, outcome.map_err(|error| error.advice())?))
    })
}

/// A verifier that queries the peer for the objects (C-FIND, QIDO-RS). A peer that answers no queries is logged
/// once.
pub fn by_query(peer: &PeerAddress) -> ObjectVerifier {
    let (peer, is_told) = (peer.clone(), AtomicBool::new(false));
    Arc::new(move |objects| {
        let found = verify::found(&peer, objects, &mut |error| tell_unanswered(error, &is_told));
        Ok(findings(objects, found.map_err(|error| error.advice())?))
    })
}

fn tell_unanswered(error: &PeerError, is_told: &AtomicBool) {
    if !is_told.swap(true, Ordering::Relaxed) {
        let PeerError { peer, cause, .. } = error;
        tracing::warn!(
            "{peer} answers no queries: {cause}. What it takes counts as stored, and is not looked up there; \
             {}",
            verify::QUERY_HINT
        );
    }
}

/// The results in the order of the objects.
fn findings(objects: &[DicomObject], mut found: VerifiedObjects) -> Vec<ObjectFinding> {
    let each = objects.iter().filter_map(|object| {
        let sop_instance_uid = object.sop_instance_uid().to_owned();
        let safe = found.remove(&sop_instance_uid)?;
        Some(ObjectFinding { sop_instance_uid, safe })
    });
    each.collect()
}
