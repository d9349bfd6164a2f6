//! What is said about commitments to another node, on associations of our own.

use std::time::{Duration, Instant};

use dicom_dictionary_std::uids;

use crate::dicom::ask::find::associated;
use crate::dicom::names::destination::Destination;
use crate::dicom::names::status::{Status, Verdict};
use crate::dicom::wire::association::{Association, Broken, Heard, Proposal, Role};
use crate::dicom::wire::command::Command;
use crate::dicom::wire::send_error::{Cause, SendError, Stage};

use super::commitments::Commitments;
use super::transaction::{
    CLASS, Committed, DATA_SET_BYTES_MAX, PROCESSING_FAILURE, Reference, Transaction, event_report,
};

/// Where the outcome of a commitment is awaited.
#[derive(Clone, Copy, Debug)]
pub enum Await<'a> {
    /// On the association on which it is asked for.
    Here,
    /// By our listener, which the destination knows.
    Listener(&'a Commitments),
}

/// Asks a node to commit to objects, and waits for the outcome. `attempt` tells apart requests for the same
/// objects. With a listener, what has been asked for already is only waited for.
///
/// # Errors
/// If the node is not there, does not do it, or has not said in time.
pub fn commit(
    node: &Destination,
    references: &[Reference],
    attempt: u64,
    answer: Await,
    time: Duration,
) -> Result<Committed, SendError> {
    let start = Instant::now();
    let Await::Listener(commitments) = answer else {
        return request(node, &Transaction::new(node, references, attempt), |association, transaction| {
            report(association, transaction, start + time)
        });
    };
    let name = node.to_string();
    let unasked = commitments.unasked(&name, references, start);
    if !unasked.is_empty() {
        let transaction = Transaction::new(node, &unasked, attempt);
        // The outcome may come before the answer.
        commitments.expect(&name, &transaction.uid, &unasked, start);
        let asked = request(node, &transaction, |_, _| Ok(()));
        asked.inspect_err(|_| commitments.forget(&transaction.uid))?;
    }
    let open =
        || SendError { destination: Box::new(node.clone()), cause: Cause::Uncommitted, stage: Stage::Open };
    commitments.wait(&name, references, time.saturating_sub(start.elapsed())).ok_or_else(open)
}

/// Asks on an association, on which there is more to do then.
fn request<T>(
    node: &Destination,
    transaction: &Transaction,
    then: impl FnOnce(&mut Association, &Transaction) -> Result<T, Cause>,
) -> Result<T, SendError> {
    let proposal = Proposal {
        abstract_syntax: CLASS.to_owned(),
        transfer_syntaxes: vec![uids::IMPLICIT_VR_LITTLE_ENDIAN.to_owned()],
        role: Role::User,
    };
    associated(node, &[proposal], |association| {
        ask(association, transaction)?;
        then(association, transaction)
    })
}

fn ask(association: &mut Association, transaction: &Transaction) -> Result<(), Cause> {
    let context = association.contexts[0].clone();
    let asked = Command::action(1, CLASS, uids::STORAGE_COMMITMENT_PUSH_MODEL_INSTANCE, 1);
    let data_set = transaction.encode(&context.transfer_syntax);
    association.send_with(context.id, &asked, &data_set)?;
    loop {
        match association.hear()? {
            Heard::Command { command, .. } if command.answers(&asked) => {
                let status = command.status_for(&asked).unwrap_or(Status(PROCESSING_FAILURE));
                return match status.verdict() {
                    Verdict::Failure => Err(Cause::Answered(status, String::new())),
                    Verdict::Success | Verdict::Warning => Ok(()),
                };
            }
            Heard::Data { .. } => {}
            Heard::Command { .. } | Heard::Release => {
                return Err(Broken::Peer("did not answer the request for a commitment").into());
            }
        }
    }
}

/// Waits for the outcome on the same association.
fn report(
    association: &mut Association,
    transaction: &Transaction,
    end: Instant,
) -> Result<Committed, Cause> {
    association.wait_at_most(end.saturating_duration_since(Instant::now()))?;
    let (mut event, mut data_set) = (None, Vec::new());
    loop {
        let last = match association.hear()? {
            Heard::Release => return Err(Broken::Peer("ended the association before the outcome").into()),
            Heard::Command { context, command } => {
                event = Some((context, command));
                data_set.clear();
                false
            }
            Heard::Data { bytes, last } => {
                if data_set.len() + bytes.len() > DATA_SET_BYTES_MAX {
                    return Err(Broken::Peer("sent too long an answer").into());
                }
                data_set.extend_from_slice(bytes);
                last
            }
        };
        let Some((context, command)) = event.take_if(|_| last) else { continue };
        let syntax = association.context(context).map(|one| one.transfer_syntax.clone()).unwrap_or_default();
        let outcome = Committed::decode(&data_set, &syntax).filter(|(uid, _)| *uid == transaction.uid);
        let status = if outcome.is_some() { Status::SUCCESS } else { Status(PROCESSING_FAILURE) };
        association.send(context, &command.answer(status, ""))?;
        if let Some((_, outcome)) = outcome {
            return Ok(outcome);
        }
    }
}

/// Reports an outcome to the node that asked us, on an association of its own.
pub(in crate::dicom) fn tell(
    node: &Destination,
    transaction: &str,
    outcome: &Committed,
) -> Result<(), SendError> {
    let proposal = Proposal {
        abstract_syntax: CLASS.to_owned(),
        transfer_syntaxes: vec![uids::IMPLICIT_VR_LITTLE_ENDIAN.to_owned()],
        role: Role::Provider,
    };
    associated(node, &[proposal], |association| {
        let context = association.contexts[0].clone();
        let (told, data_set) = event_report(transaction, outcome, &context.transfer_syntax);
        association.send_with(context.id, &told, &data_set)?;
        match association.hear()? {
            Heard::Command { command, .. } if command.answers(&told) => Ok(()),
            _ => Err(Broken::Peer("did not answer the report of a commitment").into()),
        }
    })
}
