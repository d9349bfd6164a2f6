//! The user of retrieve: C-MOVE and C-GET, Study Root (PS3.4 annex C).

use std::collections::BTreeSet;

use dicom_dictionary_std::tags;

use crate::dicom::ask::find::{
    COMPRESSED, GET, MOVE, UNCOMPRESSED, associated, find, only, pending, proposal,
};
use crate::dicom::ask::query::{Level, Query, Told};
use crate::dicom::commitment::service::CommitmentService;
use crate::dicom::intake::door::Door;
use crate::dicom::intake::stop::Stop;
use crate::dicom::intake::visitor::Visitor;
use crate::dicom::names::ae_title::AeTitle;
use crate::dicom::names::destination::Destination;
use crate::dicom::names::sop_class::USUAL;
use crate::dicom::serve::provider::{Provider, send};
use crate::dicom::wire::association::{Association, Broken, Heard, Proposal, Role};
use crate::dicom::wire::command::{Command, Pending};
use crate::dicom::wire::send_error::{Cause, SendError};

/// What came of asking for a study's instances.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// How many the archive says it has sent; with a warning counts as sent.
    pub sent: u64,
    /// How many it says it could not send.
    pub failed: u64,
}

/// Lets an archive send a study to the node that it knows as `to` (C-MOVE).
///
/// # Errors
/// As [`find`].
pub fn move_study(node: &Destination, study_instance_uid: &str, to: &AeTitle) -> Result<Fetched, SendError> {
    associated(node, &[proposal(MOVE, Role::User)], |association| {
        let (context, syntax) = only(association);
        let identifier = Query::study(study_instance_uid, Level::Study).identifier(Told::Nothing, &syntax);
        let asked = Command::move_to(1, MOVE, to.as_str());
        association.send_with(context, &asked, &identifier)?;
        let mut told = Fetched::default();
        loop {
            match association.hear()? {
                Heard::Command { command, .. } => {
                    told = fetched(&command, told);
                    if let Pending::Last = pending(&command, &asked)? {
                        return Ok(told);
                    }
                }
                // The list of what failed: the number is in the command already.
                Heard::Data { .. } => {}
                Heard::Release => return Err(Broken::Peer("ended the association while it was asked").into()),
            }
        }
    })
}

/// Lets an archive send a study on the association on which it is asked for (C-GET), through our
/// door. The visitor is still there afterwards.
///
/// # Errors
/// As [`find`].
pub(in crate::dicom) fn get_study(
    door: &Door,
    commitments: &CommitmentService,
    visitor: Visitor,
    node: &Destination,
    study_instance_uid: &str,
    stop: &Stop,
) -> Result<Fetched, SendError> {
    let classes = classes(node, study_instance_uid)?;
    let mut proposals = vec![proposal(GET, Role::User)];
    proposals.extend(classes.iter().flat_map(|class| provided(class)).take(127));
    let mut provider = Provider::new(door, commitments, visitor);
    associated(node, &proposals, |association| {
        let of_get = association.contexts.iter().find(|one| one.abstract_syntax == GET);
        let context = of_get.cloned().ok_or(Cause::NothingTaken)?;
        let query = Query::study(study_instance_uid, Level::Study);
        let identifier = query.identifier(Told::Nothing, &context.transfer_syntax);
        let asked = Command::get(1, GET);
        association.send_with(context.id, &asked, &identifier)?;
        serve_until_answered(association, &mut provider, &asked, stop)
    })
}

/// Stores what comes until the question is answered.
fn serve_until_answered(
    association: &mut Association,
    provider: &mut Provider,
    asked: &Command,
    stop: &Stop,
) -> Result<Fetched, Cause> {
    let mut about_failures = false;
    let mut told = Fetched::default();
    loop {
        if stop.is_requested() {
            return Err(Broken::Own("receiving ends".to_owned()).into());
        }
        let answers = match association.hear()? {
            Heard::Release => return Err(Broken::Peer("ended the association while it was asked").into()),
            Heard::Data { .. } if about_failures => Vec::new(),
            Heard::Data { bytes, last } => provider.data(bytes, last),
            Heard::Command { command, .. } if command.answers(asked) => {
                told = fetched(&command, told);
                if let Pending::Last = pending(&command, asked)? {
                    // Who sends no numbers at all has sent what has come.
                    let counted = told != Fetched::default();
                    return Ok(if counted { told } else { Fetched { sent: provider.stored(), failed: 0 } });
                }
                about_failures = command.has_data_set();
                Vec::new()
            }
            Heard::Command { context, command } => {
                about_failures = false;
                let syntax = association.context(context).map(|one| one.transfer_syntax.clone());
                provider.command(context, command, syntax)
            }
        };
        send(association, &answers)?;
    }
}

/// The SOP classes of a study, which must be proposed to get it; as far as it is not told, those that are
/// usual.
fn classes(node: &Destination, study_instance_uid: &str) -> Result<Vec<String>, SendError> {
    let mut classes = BTreeSet::new();
    // The whole hierarchy is asked: archives answer at the level of instances only below a series.
    for series in find(node, &Query::study(study_instance_uid, Level::Series))?.matches {
        let mut query = Query::study(study_instance_uid, Level::Instance);
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
fn provided(class: &str) -> [Proposal; 2] {
    let of = |syntaxes: &[&str]| Proposal {
        abstract_syntax: class.to_owned(),
        transfer_syntaxes: syntaxes.iter().map(|one| (*one).to_owned()).collect(),
        role: Role::Provider,
    };
    [of(&UNCOMPRESSED), of(&COMPRESSED)]
}

/// The numbers of an answer, or those of the one before: in the last one they may be missing (PS3.7 9.1.4).
fn fetched(answer: &Command, before: Fetched) -> Fetched {
    match answer.suboperations() {
        [None, None, None] => before,
        numbers => {
            let [completed, failed, warned] = numbers.map(|number| u64::from(number.unwrap_or(0)));
            Fetched { sent: completed + warned, failed }
        }
    }
}
