//! Storage commitment messages to other nodes, on associations that flow opens.

use std::time::{Duration, Instant};

use dicom_dictionary_std::uids;

use crate::dicom::ask::exchange::associated;
use crate::dicom::names::dimse_node::DimseNode;
use crate::dicom::names::status::{DimseStatus, StatusClass};
use crate::dicom::wire::association::{
    Association, AssociationError, AssociationMessage, ContextProposal, ServiceRole,
};
use crate::dicom::wire::command::CommandSet;
use crate::dicom::wire::peer_error::{ExchangeStage, PeerError, PeerErrorCause};

use super::commitments::RequestedCommitments;
use super::transaction::{
    CLASS, CommitmentOutcome, CommitmentTransaction, DATA_SET_BYTES_MAX, ObjectReference, PROCESSING_FAILURE,
    event_report,
};

/// The way in which the outcome of a commitment arrives.
#[derive(Clone, Copy, Debug)]
pub enum OutcomeChannel<'a> {
    /// On the association of the request.
    Here,
    /// On an association that the destination opens to our listener.
    Listener(&'a RequestedCommitments),
}

/// Requests commitment to objects from a node, and waits for the outcome. `attempt` makes the transaction
/// UIDs of repeated requests for the same objects differ. With a listener, objects that were requested before
/// are only waited for.
///
/// # Errors
/// If the node cannot be reached, refuses, or has not reported in time.
pub fn commit(
    node: &DimseNode,
    references: &[ObjectReference],
    attempt: u64,
    answer: OutcomeChannel,
    time: Duration,
) -> Result<CommitmentOutcome, PeerError> {
    let start = Instant::now();
    let OutcomeChannel::Listener(commitments) = answer else {
        return request(
            node,
            &CommitmentTransaction::new(node, references, attempt),
            |association, transaction| report(association, transaction, start + time),
        );
    };
    let name = node.to_string();
    let unasked = commitments.unasked(&name, references, start);
    if !unasked.is_empty() {
        let transaction = CommitmentTransaction::new(node, &unasked, attempt);
        // Noted before the request is sent: the outcome may arrive before the response.
        commitments.expect(&name, &transaction.uid, &unasked, start);
        let asked = request(node, &transaction, |_, _| Ok(()));
        asked.inspect_err(|_| commitments.forget(&transaction.uid))?;
    }
    let (cause, stage) = (PeerErrorCause::Uncommitted, ExchangeStage::Open);
    let open = || PeerError { peer: node.clone().into(), cause, stage };
    commitments.wait(&name, references, time.saturating_sub(start.elapsed())).ok_or_else(open)
}

/// Sends the request on an association, on which `then` continues.
fn request<T>(
    node: &DimseNode,
    transaction: &CommitmentTransaction,
    then: impl FnOnce(&mut Association, &CommitmentTransaction) -> Result<T, PeerErrorCause>,
) -> Result<T, PeerError> {
    let proposal = ContextProposal {
        abstract_syntax: CLASS.to_owned(),
        transfer_syntaxes: vec![uids::IMPLICIT_VR_LITTLE_ENDIAN.to_owned()],
        role: ServiceRole::User,
    };
    associated(node, &[proposal], |association| {
        ask(association, transaction)?;
        then(association, transaction)
    })
}

fn ask(association: &mut Association, transaction: &CommitmentTransaction) -> Result<(), PeerErrorCause> {
    let context = association.contexts[0].clone();
    let asked = CommandSet::action(1, CLASS, uids::STORAGE_COMMITMENT_PUSH_MODEL_INSTANCE, 1);
    let data_set = transaction.encode(&context.transfer_syntax);
    association.send_with(context.id, &asked, &data_set)?;
    loop {
        match association.hear()? {
            AssociationMessage::Command { command, .. } if command.answers(&asked) => {
                let status = command.status_for(&asked).unwrap_or(DimseStatus(PROCESSING_FAILURE));
                return match status.verdict() {
                    StatusClass::Failure => Err(PeerErrorCause::Answered(status, String::new())),
                    StatusClass::Success | StatusClass::Warning => Ok(()),
                };
            }
            AssociationMessage::Data { .. } => {}
            AssociationMessage::Command { .. } | AssociationMessage::Release => {
                return Err(AssociationError::Peer("did not answer the request for a commitment").into());
            }
        }
    }
}

/// Waits for the outcome on the same association.
fn report(
    association: &mut Association,
    transaction: &CommitmentTransaction,
    end: Instant,
) -> Result<CommitmentOutcome, PeerErrorCause> {
    association.wait_at_most(end.saturating_duration_since(Instant::now()))?;
    let (mut event, mut data_set) = (None, Vec::new());
    loop {
        let last = match association.hear()? {
            AssociationMessage::Release => {
                return Err(AssociationError::Peer("ended the association before the outcome").into());
            }
            AssociationMessage::Command { context, command } => {
                event = Some((context, command));
                data_set.clear();
                false
            }
            AssociationMessage::Data { bytes, last } => {
                if data_set.len() + bytes.len() > DATA_SET_BYTES_MAX {
                    return Err(AssociationError::Peer("sent too long an answer").into());
                }
                data_set.extend_from_slice(bytes);
                last
            }
        };
        let Some((context, command)) = event.take_if(|_| last) else { continue };
        let syntax = association.context(context).map(|one| one.transfer_syntax.clone()).unwrap_or_default();
        let outcome =
            CommitmentOutcome::decode(&data_set, &syntax).filter(|(uid, _)| *uid == transaction.uid);
        let status = if outcome.is_some() { DimseStatus::SUCCESS } else { DimseStatus(PROCESSING_FAILURE) };
        association.send(context, &command.answer(status, ""))?;
        if let Some((_, outcome)) = outcome {
            return Ok(outcome);
        }
    }
}

/// Reports an outcome to the node that requested the commitment, on an association of its own.
pub(in crate::dicom) fn tell(
    node: &DimseNode,
    transaction: &str,
    outcome: &CommitmentOutcome,
) -> Result<(), PeerError> {
    let proposal = ContextProposal {
        abstract_syntax: CLASS.to_owned(),
        transfer_syntaxes: vec![uids::IMPLICIT_VR_LITTLE_ENDIAN.to_owned()],
        role: ServiceRole::Provider,
    };
    associated(node, &[proposal], |association| {
        let context = association.contexts[0].clone();
        let (told, data_set) = event_report(transaction, outcome, &context.transfer_syntax);
        association.send_with(context.id, &told, &data_set)?;
        match association.hear()? {
            AssociationMessage::Command { command, .. } if command.answers(&told) => Ok(()),
            _ => Err(AssociationError::Peer("did not answer the report of a commitment").into()),
        }
    })
}
