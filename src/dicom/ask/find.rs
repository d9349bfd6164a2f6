//! The user of query and retrieve: C-FIND, C-MOVE and C-GET, Study Root (PS3.4 annex C).

use std::sync::Arc;

use dicom_dictionary_std::{tags, uids};

use crate::dicom::intake::completion::Counter;
use crate::dicom::names::destination::Destination;
use crate::dicom::names::status::Status;
use crate::dicom::wire::association::{Association, Broken, Heard, Proposal, Role, request};
use crate::dicom::wire::command::{Command, Pending};
use crate::dicom::wire::send_error::{Cause, SendError, Stage};

use super::query::{Level, Match, Query, Told};

/// More answers than these are cut off: nobody reads them, and an archive may have millions.
pub(in crate::dicom) const MATCHES_MAX: usize = 10_000;

/// No answer to a query is longer.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// What an archive answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub matches: Vec<Match>,
    /// There are more than are asked for in one go.
    pub cut_off: bool,
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

pub(in crate::dicom) fn proposal(abstract_syntax: &str, role: Role) -> Proposal {
    let transfer_syntaxes = UNCOMPRESSED.map(str::to_owned).into();
    Proposal { abstract_syntax: abstract_syntax.to_owned(), transfer_syntaxes, role }
}

pub(in crate::dicom) fn only(association: &Association) -> (u8, String) {
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

pub(in crate::dicom) fn pending(answer: &Command, asked: &Command) -> Result<Pending, Cause> {
    let status = answer.status_for(asked);
    let status =
        status.ok_or_else(|| Cause::Broken("the destination answered another question".to_owned()))?;
    let comment = answer.comment();
    status.pending().ok_or_else(|| match comment {
        "" => Cause::Answered(status, String::new()),
        comment => Cause::Answered(status, format!(": {comment}")),
    })
}

/// Opens an association for some work, and ends it well if the work does.
pub(in crate::dicom) fn associated<T>(
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
