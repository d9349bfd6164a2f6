//! The user of retrieve: C-MOVE and C-GET, Study Root (PS3.4 annex C).

use std::collections::BTreeSet;

use dicom_dictionary_std::tags;

use crate::admission::StopSignal;
use crate::dicom::ask::exchange::associated;
use crate::dicom::ask::find::{COMPRESSED, GET, MOVE, UNCOMPRESSED, find, only, pending, proposal};
use crate::dicom::ask::query::{DimseQuery, QueryLevel, ReturnKeys};
use crate::dicom::commitment::service::CommitmentService;
use crate::dicom::intake::instance_intake::InstanceIntake;
use crate::dicom::intake::sender::InstanceSender;
use crate::dicom::names::ae_title::AeTitle;
use crate::dicom::names::dimse_node::DimseNode;
use crate::dicom::names::sop_class::USUAL;
use crate::dicom::serve::provider::{ServiceProvider, send};
use crate::dicom::wire::association::{
    Association, AssociationError, AssociationMessage, ContextProposal, ServiceRole,
};
use crate::dicom::wire::command::{CommandSet, PendingResponses};
use crate::dicom::wire::peer_error::{PeerError, PeerErrorCause};

/// Result of retrieving a study.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FetchResult {
    /// How many the archive says it has sent; with a warning counts as sent.
    pub sent: u64,
    /// How many it says it could not send.
    pub failed: u64,
}

/// Lets an archive send a study to the node that it knows as `to` (C-MOVE).
///
/// # Errors
/// As [`find`].
pub fn move_study(
    node: &DimseNode,
    study_instance_uid: &str,
    to: &AeTitle,
) -> Result<FetchResult, PeerError> {
    associated(node, &[proposal(MOVE, ServiceRole::User)], |association| {
        let (context, syntax) = only(association);
        let identifier =
            DimseQuery::study(study_instance_uid, QueryLevel::Study).identifier(ReturnKeys::Nothing, &syntax);
        let asked = CommandSet::move_to(1, MOVE, to.as_str());
        association.send_with(context, &asked, &identifier)?;
        let mut told = FetchResult::default();
        loop {
            match association.hear()? {
                AssociationMessage::Command { command, .. } => {
                    told = fetched(&command, told);
                    if let PendingResponses::Last = pending(&command, &asked)? {
                        return Ok(told);
                    }
                }
                // The list of what failed: the number is in the command already.
                AssociationMessage::Data { .. } => {}
                AssociationMessage::Release => {
                    return Err(AssociationError::Peer("ended the association while it was asked").into());
                }
            }
        }
    })
}

/// Lets an archive send a study on the association on which it is asked for (C-GET), through the instance
/// intake. The sender's session stays open afterwards.
///
/// # Errors
/// As [`find`].
pub(in crate::dicom) fn get_study(
    intake: &InstanceIntake,
    commitments: &CommitmentService,
    sender: InstanceSender,
    node: &DimseNode,
    study_instance_uid: &str,
    stop: &StopSignal,
) -> Result<FetchResult, PeerError> {
    let classes = classes(node, study_instance_uid)?;
    let mut proposals = vec![proposal(GET, ServiceRole::User)];
    proposals.extend(classes.iter().flat_map(|class| provided(class)).take(127));
    let mut provider = ServiceProvider::new(intake, commitments, sender);
    associated(node, &proposals, |association| {
        let of_get = association.contexts.iter().find(|one| one.abstract_syntax == GET);
        let context = of_get.cloned().ok_or(PeerErrorCause::NothingTaken)?;
        let query = DimseQuery::study(study_instance_uid, QueryLevel::Study);
        let identifier = query.identifier(ReturnKeys::Nothing, &context.transfer_syntax);
        let asked = CommandSet::get(1, GET);
        association.send_with(context.id, &asked, &identifier)?;
        serve_until_answered(association, &mut provider, &asked, stop)
    })
}

/// Stores what comes until the question is answered.
fn serve_until_answered(
    association: &mut Association,
    provider: &mut ServiceProvider,
    asked: &CommandSet,
    stop: &StopSignal,
) -> Result<FetchResult, PeerErrorCause> {
    let mut about_failures = false;
    let mut told = FetchResult::default();
    loop {
        if stop.is_requested() {
            return Err(AssociationError::Own("receiving ends".to_owned()).into());
        }
        let answers = match association.hear()? {
            AssociationMessage::Release => {
                return Err(AssociationError::Peer("ended the association while it was asked").into());
            }
            AssociationMessage::Data { .. } if about_failures => Vec::new(),
            AssociationMessage::Data { bytes, last } => provider.data(bytes, last),
            AssociationMessage::Command { command, .. } if command.answers(asked) => {
                told = fetched(&command, told);
                if let PendingResponses::Last = pending(&command, asked)? {
                    // An archive that sends no numbers has sent the instances that arrived.
                    let counted = told != FetchResult::default();
                    return Ok(if counted {
                        told
                    } else {
                        FetchResult { sent: provider.stored(), failed: 0 }
                    });
                }
                about_failures = command.has_data_set();
                Vec::new()
            }
            AssociationMessage::Command { context, command } => {
                about_failures = false;
                let syntax = association.context(context).map(|one| one.transfer_syntax.clone());
                provider.command(context, command, syntax)
            }
        };
        send(association, &answers)?;
    }
}

/// SOP classes of a study, to be proposed for retrieving it; the usual ones if the archive does not tell
/// them.
fn classes(node: &DimseNode, study_instance_uid: &str) -> Result<Vec<String>, PeerError> {
    let mut classes = BTreeSet::new();
    // The whole hierarchy is asked: archives answer at the level of instances only below a series.
    for series in find(node, &DimseQuery::study(study_instance_uid, QueryLevel::Series))?.matches {
        let mut query = DimseQuery::study(study_instance_uid, QueryLevel::Instance);
        query.keys.push((tags::SERIES_INSTANCE_UID, series.text(tags::SERIES_INSTANCE_UID).to_owned()));
        let found = find(node, &query)?.matches;
        classes.extend(found.iter().map(|one| one.text(tags::SOP_CLASS_UID).to_owned()));
    }
    // Many archives do not tell the class of an instance.
    if classes.is_empty() || classes.remove("") {
        classes.extend(USUAL.map(str::to_owned));
    }
    Ok(classes.into_iter().collect())
}

/// A class as it may be stored, and compressed in whatever way it is.
fn provided(class: &str) -> [ContextProposal; 2] {
    let of = |syntaxes: &[&str]| ContextProposal {
        abstract_syntax: class.to_owned(),
        transfer_syntaxes: syntaxes.iter().map(|one| (*one).to_owned()).collect(),
        role: ServiceRole::Provider,
    };
    [of(&UNCOMPRESSED), of(&COMPRESSED)]
}

/// The numbers of an answer, or those of the one before: in the last one they may be missing (PS3.7 9.1.4).
fn fetched(answer: &CommandSet, before: FetchResult) -> FetchResult {
    match answer.suboperations() {
        [None, None, None] => before,
        numbers => {
            let [completed, failed, warned] = numbers.map(|number| u64::from(number.unwrap_or(0)));
            FetchResult { sent: completed + warned, failed }
        }
    }
}
