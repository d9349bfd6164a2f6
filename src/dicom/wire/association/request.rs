//! The requestor's side of the negotiation (PS3.8 7.1, PS3.7 annex D).

use std::io;
use std::net::{TcpStream, ToSocketAddrs};

use dicom_ul::Pdu;
use dicom_ul::pdu::{
    AssociationAC, AssociationRQ, PresentationContextProposed,
    PresentationContextResultReason as ContextResult, RequestorRoles, UserVariableItem,
};

use crate::dicom::names::dimse_node::DimseNode;
use crate::dicom_file::part10::{IMPLEMENTATION_VERSION, implementation_class_uid};

use super::super::peer_error::PeerErrorCause;
use super::connection::{DicomStream, PduConnection};
use super::{Association, AssociationError, ExpectedMessage, PresentationContext};

/// The DICOM application context (PS3.7 A.2.1).
pub const APPLICATION_CONTEXT: &str = "1.2.840.10008.3.1.1.1";

/// Longest PDU that the peer may send us.
pub const PDU_BYTES_MAX: u32 = 128 << 10;

/// A presentation context to propose on an association.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContextProposal {
    pub abstract_syntax: String,
    pub transfer_syntaxes: Vec<String>,
    pub role: ServiceRole,
}

/// Role of flow on a presentation context: user or provider of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceRole {
    /// The peer provides the service, as is usual.
    User,
    /// The requestor, flow, provides the service: to receive objects by C-GET, or to report a commitment.
    Provider,
}

/// Opens an association.
///
/// # Errors
/// If the connection fails, the peer's certificate is not trusted, or the association is rejected. Proposals
/// that the peer does not accept are no error: they are missing in the association's contexts.
pub fn request(
    destination: &DimseNode,
    proposals: &[ContextProposal],
) -> Result<Association, PeerErrorCause> {
    let stream = connect(destination)?;
    stream.set_read_timeout(Some(destination.wait_max))?;
    stream.set_write_timeout(Some(destination.wait_max))?;
    let stream = match &destination.tls {
        None => DicomStream::Plain(stream),
        Some(client) => DicomStream::Tls(
            client
                .connect(destination.host(), stream)
                .map_err(|error| PeerErrorCause::Tls(error.to_string()))?,
        ),
    };
    let mut connection = PduConnection::new(stream, destination.wait_max)?;
    connection.send(&Pdu::AssociationRQ(asked(destination, proposals)))?;
    let answer = match connection.receive_parsed()? {
        Pdu::AssociationAC(answer) => answer,
        Pdu::AssociationRJ(rejection) => return Err(AssociationError::Rejected(rejection).into()),
        Pdu::AbortRQ { .. } => return Err(AssociationError::Aborted.into()),
        _ => return Err(AssociationError::Peer("did not answer the request for an association").into()),
    };
    let contexts = agreed(proposals, &answer);
    connection.limit(PDU_BYTES_MAX);
    let association = Association {
        connection,
        calling_ae: destination.calling_ae.to_string(),
        called_ae: destination.ae_title.to_string(),
        contexts,
        pdu_bytes_sent_max: pdu_bytes_max(&answer.user_variables),
        rest: 0..0,
        expected: ExpectedMessage::Command(Vec::new()),
    };
    if association.contexts.is_empty() {
        // The association has no accepted context, so it is of no use, however it ends.
        let _ = association.release();
        return Err(PeerErrorCause::NothingTaken);
    }
    Ok(association)
}

fn connect(destination: &DimseNode) -> Result<TcpStream, PeerErrorCause> {
    let addresses = destination.address.to_socket_addrs().map_err(PeerErrorCause::Unresolved)?;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match TcpStream::connect_timeout(&address, destination.wait_max) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(PeerErrorCause::Unconnected(last))
}

fn asked(destination: &DimseNode, proposals: &[ContextProposal]) -> AssociationRQ {
    let contexts = proposals.iter().zip(ids()).map(|(proposal, id)| PresentationContextProposed {
        id,
        abstract_syntax: proposal.abstract_syntax.clone(),
        transfer_syntaxes: proposal.transfer_syntaxes.clone(),
    });
    let mut variables = user_variables(PDU_BYTES_MAX);
    let mut provided: Vec<&str> = proposals
        .iter()
        .filter(|one| one.role == ServiceRole::Provider)
        .map(|one| one.abstract_syntax.as_str())
        .collect();
    provided.sort_unstable();
    provided.dedup();
    let roles = RequestorRoles { scu: false, scp: true };
    variables.extend(
        provided.into_iter().map(|uid| UserVariableItem::ScuScpRoleSelectionSubItem(uid.to_owned(), roles)),
    );
    AssociationRQ {
        protocol_version: 1,
        calling_ae_title: destination.calling_ae.to_string(),
        called_ae_title: destination.ae_title.to_string(),
        application_context_name: APPLICATION_CONTEXT.to_owned(),
        presentation_contexts: contexts.collect(),
        user_variables: variables,
    }
}

/// Presentation contexts have odd numbers (PS3.8 9.3.2.2).
fn ids() -> impl Iterator<Item = u8> {
    (1..=u8::MAX).step_by(2)
}

fn agreed(proposals: &[ContextProposal], answer: &AssociationAC) -> Vec<PresentationContext> {
    let proposed = proposals.iter().zip(ids());
    let contexts = proposed.filter_map(|(proposal, id)| {
        let mut results = answer.presentation_contexts.iter();
        let result = results.find(|one| one.id == id && one.reason == ContextResult::Acceptance)?;
        let transfer_syntax = result.transfer_syntax.trim_end_matches(['\0', ' ']).to_owned();
        // A peer might choose a syntax that was not proposed, and that it could not be sent in.
        let is_ours = proposal.transfer_syntaxes.contains(&transfer_syntax);
        is_ours.then(|| PresentationContext {
            id,
            abstract_syntax: proposal.abstract_syntax.clone(),
            transfer_syntax,
        })
    });
    contexts.collect()
}

/// The user information that we send, as requestor and as acceptor.
pub(super) fn user_variables(pdu_bytes_max: u32) -> Vec<UserVariableItem> {
    vec![
        UserVariableItem::MaxLength(pdu_bytes_max),
        UserVariableItem::ImplementationClassUID(implementation_class_uid()),
        UserVariableItem::ImplementationVersionName(IMPLEMENTATION_VERSION.to_owned()),
    ]
}

/// The longest PDU that a peer accepts; without a value, or with 0, there is no limit.
pub(super) fn pdu_bytes_max(variables: &[UserVariableItem]) -> u32 {
    let named = variables.iter().find_map(|item| match item {
        UserVariableItem::MaxLength(length) => Some(*length),
        _ => None,
    });
    named.filter(|length| *length != 0).unwrap_or(u32::MAX)
}
