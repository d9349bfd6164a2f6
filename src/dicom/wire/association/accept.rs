//! The acceptor's side of the negotiation (PS3.8 7.1, PS3.7 annex D).

use std::net::IpAddr;

use dicom_dictionary_std::uids;
use dicom_encoding::transfer_syntax::TransferSyntaxIndex;
use dicom_transfer_syntax_registry::TransferSyntaxRegistry;
use dicom_ul::Pdu;
use dicom_ul::pdu::{
    AssociationAC, AssociationRJ, AssociationRJResult as RejectionResult,
    AssociationRJServiceProviderASCEReason as ProviderReason,
    AssociationRJServiceProviderPresentationReason as PresentationReason,
    AssociationRJServiceUserReason as UserReason, AssociationRJSource as Source, AssociationRQ,
    PresentationContextProposed, PresentationContextResult, PresentationContextResultReason as ContextResult,
    RequestorRoles, UserVariableItem,
};

use crate::dicom::names::ae_title::AeTitle;
use crate::dicom::names::sop_class;
use crate::dicom::wire::caller::CalledTitles;

use super::super::caller::KnownCaller;
use super::connection::{DicomStream, PduConnection};
use super::request::{APPLICATION_CONTEXT, pdu_bytes_max, user_variables};
use super::{Association, AssociationError, ExpectedMessage, PresentationContext};

use std::time::Duration;

/// The terms on which an association is accepted.
#[derive(Clone, Copy, Debug)]
pub struct AcceptanceTerms<'a> {
    pub ae_title: &'a AeTitle,
    pub called: CalledTitles,
    pub callers: &'a [KnownCaller],
    pub contexts_max: usize,
    pub pdu_bytes_max: u32,
    /// The longest wait for each message of the negotiation.
    pub negotiation_max: Duration,
    pub silence_max: Duration,
}

/// Accepts the association that a peer requests, as far as the terms allow it.
pub fn accept(
    stream: DicomStream,
    peer: IpAddr,
    terms: &AcceptanceTerms,
) -> Result<Association, AssociationError> {
    let mut connection = PduConnection::new(stream, terms.silence_max)?;
    connection.wait_at_most(terms.negotiation_max.min(terms.silence_max))?;
    let asked = request(&mut connection)?;
    let (calling_ae, called_ae) = (title(&asked.calling_ae_title), title(&asked.called_ae_title));
    if let Err((reason, source)) = admit(&asked, calling_ae, called_ae, peer, terms) {
        reject(&mut connection, RejectionResult::Permanent, source);
        return Err(AssociationError::Own(reason));
    }
    let results: Vec<_> = asked.presentation_contexts.iter().map(judge).collect();
    let contexts = asked.presentation_contexts.iter().zip(&results);
    let accepted = contexts.filter(|(_, result)| result.reason == ContextResult::Acceptance);
    let contexts = accepted.map(|(proposed, result)| PresentationContext {
        id: proposed.id,
        abstract_syntax: proposed.abstract_syntax.clone(),
        transfer_syntax: result.transfer_syntax.clone(),
    });
    let contexts = contexts.collect();
    let (calling_ae, called_ae) = (calling_ae.to_owned(), called_ae.to_owned());
    let answer = Pdu::AssociationAC(AssociationAC {
        protocol_version: 1,
        calling_ae_title: asked.calling_ae_title.clone(),
        called_ae_title: asked.called_ae_title.clone(),
        application_context_name: APPLICATION_CONTEXT.to_owned(),
        presentation_contexts: results,
        user_variables: [user_variables(terms.pdu_bytes_max), roles(&asked)].concat(),
    });
    connection.send(&answer)?;
    connection.limit(terms.pdu_bytes_max);
    connection.wait_at_most(terms.silence_max)?;
    Ok(Association {
        connection,
        calling_ae,
        called_ae,
        contexts,
        pdu_bytes_sent_max: pdu_bytes_max(&asked.user_variables),
        rest: 0..0,
        expected: ExpectedMessage::Command(Vec::new()),
    })
}

/// Rejects an association for the moment: local limit exceeded (PS3.8 table 9-21). The request is read first:
/// a connection that is closed with unread bytes is reset, and the peer would not see the rejection.
pub fn refuse(stream: DicomStream, silence_max: Duration) -> Result<(), AssociationError> {
    let mut connection = PduConnection::new(stream, silence_max)?;
    request(&mut connection)?;
    let source = Source::ServiceProviderPresentation(PresentationReason::LocalLimitExceeded);
    reject(&mut connection, RejectionResult::Transient, source);
    Ok(())
}

fn request(connection: &mut PduConnection) -> Result<AssociationRQ, AssociationError> {
    match connection.receive_parsed()? {
        Pdu::AssociationRQ(asked) => Ok(asked),
        _ => Err(AssociationError::Peer("did not ask for an association")),
    }
}

/// The peer may have gone already.
fn reject(connection: &mut PduConnection, result: RejectionResult, source: Source) {
    let _ = connection.send(&Pdu::AssociationRJ(AssociationRJ { result, source }));
    connection.close();
}

/// Checks an association request (PS3.8 table 9-21). A rejection gives the reason as text and as the
/// standard's code.
fn admit(
    asked: &AssociationRQ,
    calling_ae: &str,
    called_ae: &str,
    peer: IpAddr,
    terms: &AcceptanceTerms,
) -> Result<(), (String, Source)> {
    let no = |reason: &str, source| Err((reason.to_owned(), source));
    if asked.protocol_version & 1 == 0 {
        let source = Source::ServiceProviderASCE(ProviderReason::ProtocolVersionNotSupported);
        return no("rejected: it speaks another version of the protocol", source);
    }
    if asked.application_context_name.trim_end_matches('\0') != APPLICATION_CONTEXT {
        let source = Source::ServiceUser(UserReason::ApplicationContextNameNotSupported);
        return no("rejected: application context name not supported", source);
    }
    if terms.called == CalledTitles::Ours && called_ae != terms.ae_title.as_str() {
        let source = Source::ServiceUser(UserReason::CalledAETitleNotRecognized);
        return no("rejected: called AE title not recognized", source);
    }
    let knows = |caller: &KnownCaller| caller.is(calling_ae, peer);
    if !terms.callers.is_empty() && !terms.callers.iter().any(knows) {
        let source = Source::ServiceUser(UserReason::CallingAETitleNotRecognized);
        return no("rejected: calling AE title not recognized at this address", source);
    }
    let mut ids: Vec<u8> = asked.presentation_contexts.iter().map(|context| context.id).collect();
    ids.sort_unstable();
    ids.dedup();
    let is_odd = |id: &u8| id % 2 == 1;
    if ids.len() != asked.presentation_contexts.len() || !ids.iter().all(is_odd) {
        let source = Source::ServiceUser(UserReason::NoReasonGiven);
        return no("rejected: its presentation contexts are not numbered as they must be", source);
    }
    if ids.len() > terms.contexts_max {
        let source = Source::ServiceProviderPresentation(PresentationReason::LocalLimitExceeded);
        return no("rejected: it asks for more presentation contexts than allowed", source);
    }
    Ok(())
}

/// The AE title in its field. Some peers end it with a zero byte instead of filling the field with spaces (PS3.8
/// table 9-11); what stands behind that is not meant.
fn title(field: &str) -> &str {
    field.split('\0').next().unwrap_or_default().trim_matches(' ')
}

/// The result for a proposed context: of a served class, the first proposed syntax that can be read is
/// accepted, because the sender prefers it.
fn judge(proposed: &PresentationContextProposed) -> PresentationContextResult {
    let syntaxes = proposed.transfer_syntaxes.iter().map(|syntax| syntax.trim_end_matches(['\0', ' ']));
    let known = |syntax: &&str| TransferSyntaxRegistry.get(syntax).is_some_and(|one| one.uid() == *syntax);
    let (reason, transfer_syntax) = match syntaxes.clone().find(known) {
        _ if !sop_class::is_served(&proposed.abstract_syntax) => {
            (ContextResult::AbstractSyntaxNotSupported, uids::IMPLICIT_VR_LITTLE_ENDIAN)
        }
        Some(syntax) => (ContextResult::Acceptance, syntax),
        None => (ContextResult::TransferSyntaxesNotSupported, uids::IMPLICIT_VR_LITTLE_ENDIAN),
    };
    PresentationContextResult { id: proposed.id, reason, transfer_syntax: transfer_syntax.to_owned() }
}

/// A provider of storage commitment that opens an association to tell the outcome asks to be the
/// provider on it (PS3.7 D.3.3.4, PS3.4 J.3.3); others keep the roles they have by default.
fn roles(asked: &AssociationRQ) -> Vec<UserVariableItem> {
    let selections = asked.user_variables.iter().filter_map(|item| match item {
        UserVariableItem::ScuScpRoleSelectionSubItem(uid, roles) => Some((uid, roles)),
        _ => None,
    });
    let of_commitment = selections.filter(|(uid, _)| uid.as_str() == uids::STORAGE_COMMITMENT_PUSH_MODEL);
    let agreed = of_commitment.map(|(uid, roles)| {
        let agreed = RequestorRoles { scu: roles.scu, scp: roles.scp };
        UserVariableItem::ScuScpRoleSelectionSubItem(uid.clone(), agreed)
    });
    agreed.collect()
}
