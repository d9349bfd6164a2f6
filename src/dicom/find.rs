//! The user of query and retrieve: C-FIND, C-MOVE and C-GET, Study Root (PS3.4 annex C).

use std::collections::BTreeSet;
use std::sync::Arc;

use dicom_dictionary_std::{tags, uids};

use super::association::{Association, Broken, Heard, Proposal, Role, request};
use super::command::{Command, Pending};
use super::door::{Door, Visitor};
use super::provider::{Provider, send};
use super::query::{Level, Match, Query, Told};
use super::receive::{Counter, Stop};
use super::sop_class::USUAL;
use super::{AeTitle, Cause, Destination, SendError, Stage, Status};

/// More answers than these are cut off: nobody reads them, and an archive may have millions.
pub(super) const MATCHES_MAX: usize = 10_000;

/// No answer to a query is longer.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// What an archive answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub matches: Vec<Match>,
    /// There are more than are asked for in one go.
    pub cut_off: bool,
}

/// What came of asking for a study's instances.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// How many the archive says it has sent; with a warning counts as sent.
    pub sent: u64,
    /// How many it says it could not send.
    pub failed: u64,
}

/// Asks an archive (C-FIND).
///
/// # Errors
/// If it is not there, does not answer queries, or answers with a failure.
pub fn find(node: &Destination, query: &Query) -> Result<Found, SendError> {
    associated(node, &[proposal(FIND, Role::User)], |association| {
        let (context, syntax) = only(association);
        let identifier = query.identifier(Told::Usual, &syntax);
        let asked = Command::find(1, FIND);
        association.send_with(context, &asked, &identifier)?;
        answers(association, &asked, context, |answer| Match::read(answer, &syntax, query))
    })
}

/// Asks an archive how many instances of a study it has. `None` if it does not say.
pub fn counter(node: Destination) -> Counter {
    Arc::new(move |study, _| {
        let found = find(&node, &Query::study(study, Level::Study));
        if let Err(error) = &found {
            tracing::warn!("how many instances a study has could not be asked: {error}");
        }
        found.ok()?.matches.first()?.count(tags::NUMBER_OF_STUDY_RELATED_INSTANCES)
    })
}

pub(super) const FIND: &str = uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_FIND;
pub(super) const MOVE: &str = uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_MOVE;
pub(super) const GET: &str = uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_GET;

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
pub(super) fn get_study(
    door: &Door,
    visitor: Visitor,
    node: &Destination,
    study_instance_uid: &str,
    stop: &Stop,
) -> Result<Fetched, SendError> {
    let classes = classes(node, study_instance_uid)?;
    let mut proposals = vec![proposal(GET, Role::User)];
    proposals.extend(classes.iter().flat_map(|class| provided(class)).take(127));
    let mut provider = Provider::new(door, visitor);
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

pub(super) const UNCOMPRESSED: [&str; 2] = [uids::EXPLICIT_VR_LITTLE_ENDIAN, uids::IMPLICIT_VR_LITTLE_ENDIAN];

pub(super) const COMPRESSED: [&str; 9] = [
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

fn proposal(abstract_syntax: &str, role: Role) -> Proposal {
    let transfer_syntaxes = UNCOMPRESSED.map(str::to_owned).into();
    Proposal { abstract_syntax: abstract_syntax.to_owned(), transfer_syntaxes, role }
}

fn only(association: &Association) -> (u8, String) {
    let context = &association.contexts[0];
    (context.id, context.transfer_syntax.clone())
}

/// Takes answers until the last one, and asks to stop where there are too many.
fn answers(
    association: &mut Association,
    asked: &Command,
    context: u8,
    read: impl Fn(&[u8]) -> Match,
) -> Result<Found, Cause> {
    let mut found = Found::default();
    let mut answer = Vec::new();
    loop {
        match association.hear()? {
            Heard::Release => return Err(Broken::Peer("ended the association while it was asked").into()),
            Heard::Data { bytes, last } => {
                if answer.len() + bytes.len() > ANSWER_BYTES_MAX {
                    return Err(Broken::Peer("sent too long an answer").into());
                }
                answer.extend_from_slice(bytes);
                if last && found.matches.len() < MATCHES_MAX {
                    found.matches.push(read(&answer));
                }
                if last {
                    answer.clear();
                }
            }
            Heard::Command { command, .. } => match pending(&command, asked) {
                Ok(Pending::Last) => return Ok(found),
                // What ended because we asked for it has not failed.
                Err(_) if found.cut_off => return Ok(found),
                Err(cause) => return Err(cause),
                Ok(Pending::More) => {}
            },
        }
        if found.matches.len() == MATCHES_MAX && !found.cut_off {
            found.cut_off = true;
            association.send(context, &asked.cancel())?;
        }
    }
}

fn pending(answer: &Command, asked: &Command) -> Result<Pending, Cause> {
    let status = answer.status_for(asked);
    let status =
        status.ok_or_else(|| Cause::Broken("the destination answered another question".to_owned()))?;
    let comment = answer.comment();
    status.pending().ok_or_else(|| match comment {
        "" => Cause::Answered(status, String::new()),
        comment => Cause::Answered(status, format!(": {comment}")),
    })
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

/// Opens an association for some work, and ends it well if the work does.
pub(super) fn associated<T>(
    node: &Destination,
    proposals: &[Proposal],
    work: impl FnOnce(&mut Association) -> Result<T, Cause>,
) -> Result<T, SendError> {
    let failed = |cause, stage| SendError { destination: Box::new(node.clone()), cause, stage };
    let mut association = request(node, proposals).map_err(|cause| failed(cause, Stage::Opening))?;
    match work(&mut association) {
        Ok(done) => {
            if let Err(error) = association.release() {
                tracing::debug!("the association was not released in good order: {error}");
            }
            Ok(done)
        }
        Err(cause) => {
            association.abort();
            Err(failed(cause, Stage::Open))
        }
    }
}

impl Status {
    /// Whether an answer is one of several; `None` if it is a failure.
    fn pending(self) -> Option<Pending> {
        match self.0 {
            0xFF00 | 0xFF01 => Some(Pending::More),
            // What a move could not send is counted in the answer.
            0x0000 | 0xB000 => Some(Pending::Last),
            _ => None,
        }
    }
}
