//! The user of query and retrieve: C-FIND, C-MOVE and C-GET, Study Root (PS3.4 annex C).

use std::sync::Arc;

use dicom_dictionary_std::{tags, uids};

use crate::dicom::intake::completion::Counter;
use crate::dicom::names::dimse_node::DimseNode;
use crate::dicom::names::status::DimseStatus;
use crate::dicom::wire::association::{
    Association, AssociationError, AssociationMessage, ContextProposal, ServiceRole,
};
use crate::dicom::wire::command::{CommandSet, PendingResponses};
use crate::dicom::wire::peer_error::{PeerError, PeerErrorCause};

use super::exchange::{associated, status_for};
use super::query::{DimseQuery, QueryLevel, QueryMatch, ReturnKeys};

/// The most matches taken from one query. Further ones are cut off, because an archive may have millions.
pub(in crate::dicom) const MATCHES_MAX: usize = 10_000;

/// The longest identifier of a query response that is accepted, in bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Result of a C-FIND query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FindResult {
    pub matches: Vec<QueryMatch>,
    /// The archive has more matches than are taken from one query.
    pub cut_off: bool,
}

/// Queries an archive (C-FIND).
///
/// # Errors
/// If it cannot be reached, does not answer queries, or answers with a failure.
pub fn find(node: &DimseNode, query: &DimseQuery) -> Result<FindResult, PeerError> {
    associated(node, &[proposal(FIND, ServiceRole::User)], |association| {
        let (context, syntax) = only(association);
        let identifier = query.identifier(ReturnKeys::Usual, &syntax);
        let asked = CommandSet::find(1, FIND);
        association.send_with(context, &asked, &identifier)?;
        answers(association, &asked, context, |answer| QueryMatch::read(answer, &syntax, query))
    })
}

/// A counter that asks an archive how many instances of a study it has. It gives `None` if the archive does
/// not say.
pub fn counter(node: DimseNode) -> Counter {
    Arc::new(move |study, _| {
        let found = find(&node, &DimseQuery::study(study, QueryLevel::Study));
        if let Err(error) = &found {
            tracing::warn!("the number of instances of a study could not be queried: {error}");
        }
        found.ok()?.matches.first()?.count(tags::NUMBER_OF_STUDY_RELATED_INSTANCES)
    })
}

pub(in crate::dicom) const FIND: &str = uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_FIND;
pub(in crate::dicom) const MOVE: &str = uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_MOVE;
pub(in crate::dicom) const GET: &str = uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_GET;

pub(in crate::dicom) const UNCOMPRESSED: [&str; 2] =
    [uids::EXPLICIT_VR_LITTLE_ENDIAN, uids::IMPLICIT_VR_LITTLE_ENDIAN];

pub(in crate::dicom) const COMPRESSED: [&str; 9] = [
    uids::JPEG_LOSSLESS_SV1,
    uids::JPEG_LOSSLESS,
    uids::JPEGLS_LOSSLESS,
    uids::JPEG2000_LOSSLESS,
    uids::RLE_LOSSLESS,
    uids::JPEG_BASELINE8_BIT,
    uids::JPEG_EXTENDED12_BIT,
    uids::JPEGLS_NEAR_LOSSLESS,
    uids::JPEG2000,
];

pub(in crate::dicom) fn proposal(abstract_syntax: &str, role: ServiceRole) -> ContextProposal {
    let transfer_syntaxes = UNCOMPRESSED.map(str::to_owned).into();
    ContextProposal { abstract_syntax: abstract_syntax.to_owned(), transfer_syntaxes, role }
}

pub(in crate::dicom) fn only(association: &Association) -> (u8, String) {
    let context = &association.contexts[0];
    (context.id, context.transfer_syntax.clone())
}

/// Receives responses until the last one, and cancels the query at too many.
fn answers(
    association: &mut Association,
    asked: &CommandSet,
    context: u8,
    read: impl Fn(&[u8]) -> QueryMatch,
) -> Result<FindResult, PeerErrorCause> {
    let mut found = FindResult::default();
    let mut answer = Vec::new();
    loop {
        match association.hear()? {
            AssociationMessage::Release => {
                return Err(AssociationError::Peer("ended the association while it was asked").into());
            }
            AssociationMessage::Data { bytes, last } => {
                if answer.len() + bytes.len() > ANSWER_BYTES_MAX {
                    return Err(AssociationError::Peer("sent too long an answer").into());
                }
                answer.extend_from_slice(bytes);
                if last && found.matches.len() < MATCHES_MAX {
                    found.matches.push(read(&answer));
                }
                if last {
                    answer.clear();
                }
            }
            AssociationMessage::Command { command, .. } => match pending(&command, asked) {
                Ok(PendingResponses::Last) => return Ok(found),
                // The query ended because it was cancelled, which is no failure.
                Err(_) if found.cut_off => return Ok(found),
                Err(cause) => return Err(cause),
                Ok(PendingResponses::More) => {}
            },
        }
        if found.matches.len() == MATCHES_MAX && !found.cut_off {
            found.cut_off = true;
            association.send(context, &asked.cancel())?;
        }
    }
}

pub(in crate::dicom) fn pending(
    answer: &CommandSet,
    asked: &CommandSet,
) -> Result<PendingResponses, PeerErrorCause> {
    let status = status_for(answer, asked)?;
    let comment = answer.comment();
    status.pending().ok_or_else(|| match &*comment {
        "" => PeerErrorCause::Answered(status, String::new()),
        comment => PeerErrorCause::Answered(status, format!(": {comment}")),
    })
}

impl DimseStatus {
    /// Whether an answer is one of several; `None` if it is a failure.
    fn pending(self) -> Option<PendingResponses> {
        match self.0 {
            0xFF00 | 0xFF01 => Some(PendingResponses::More),
            // The number of failed sub-operations of a move is in the response.
            0x0000 | 0xB000 => Some(PendingResponses::Last),
            _ => None,
        }
    }
}
