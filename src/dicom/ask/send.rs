//! The storage user: sends DICOM files to a node and evaluates each response.
//!
//! Each transfer syntax in which an object of a SOP class could be sent is proposed in a presentation context
//! of its own. So flow can choose among the accepted ones: it sends an object unchanged if possible, and
//! converts it otherwise. Objects that fit no accepted context are not sent, and are reported.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, BufRead, BufReader, Write};

use dicom_dictionary_std::uids;

use crate::dicom::file::object::DicomObject;
use crate::dicom::file::transcode::{self, Decode, TranscodableObject, TranscodeError};
use crate::dicom::names::dimse_node::DimseNode;
use crate::dicom::names::status::{DimseStatus, StatusClass};
use crate::dicom::names::uid_name;
use crate::dicom::wire::association::{
    Association, AssociationMessage, ContextProposal, OutgoingMessage, ServiceRole,
};
use crate::dicom::wire::command::CommandSet;
use crate::dicom::wire::peer_error::{PeerError, PeerErrorCause};
use crate::dicom_file::encoding::is_native;

use super::exchange::{associated, status_for};

/// A sent object and its outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentObject {
    pub name: String,
    pub sop_class_uid: String,
    pub sop_instance_uid: String,
    pub outcome: SendOutcome,
}

impl SentObject {
    pub(in crate::dicom) fn of(object: &DicomObject, outcome: SendOutcome) -> SentObject {
        SentObject {
            name: object.name().to_owned(),
            sop_class_uid: object.sop_class_uid().to_owned(),
            sop_instance_uid: object.sop_instance_uid().to_owned(),
            outcome,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendOutcome {
    Stored,
    /// Stored, but not quite as sent, or there already.
    Warned {
        status: DimseStatus,
        comment: String,
    },
    Refused {
        status: DimseStatus,
        comment: String,
    },
    /// The association failed while this object was being sent. The object may be the cause.
    Unanswered,
    /// Not sent: the destination takes no objects of this class in this transfer syntax, or in one that it
    /// could be converted to.
    NotTaken {
        sop_class_uid: String,
        transfer_syntax_uid: String,
    },
    /// Not sent: the object would have to be converted, and cannot be.
    NotConverted {
        transfer_syntax_uid: String,
        reason: String,
    },
}

impl SendOutcome {
    pub fn is_stored(&self) -> bool {
        matches!(self, SendOutcome::Stored | SendOutcome::Warned { .. })
    }

    pub(in crate::dicom) fn of(status: DimseStatus, comment: &str) -> SendOutcome {
        let comment = comment.to_owned();
        match status.verdict() {
            StatusClass::Success => SendOutcome::Stored,
            StatusClass::Warning => SendOutcome::Warned { status, comment },
            StatusClass::Failure if status.is_there_already() => SendOutcome::Warned { status, comment },
            StatusClass::Failure => SendOutcome::Refused { status, comment },
        }
    }
}

impl fmt::Display for SendOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendOutcome::Stored => f.write_str("stored"),
            SendOutcome::Warned { status, comment } => write!(f, "{status} {comment}"),
            SendOutcome::Refused { status, comment } => write!(f, "refused: {status} {comment}"),
            SendOutcome::Unanswered => f.write_str("the connection broke while this was being sent"),
            SendOutcome::NotTaken { sop_class_uid, transfer_syntax_uid } => {
                let (class, syntax) = (uid_name::of(sop_class_uid), uid_name::of(transfer_syntax_uid));
                write!(f, "the destination takes no {class} in {syntax}")
            }
            SendOutcome::NotConverted { transfer_syntax_uid, reason } => {
                let syntax = uid_name::of(transfer_syntax_uid);
                write!(f, "the destination does not take {syntax}, and it cannot be converted: {reason}")
            }
        }
    }
}

/// Sends the objects in order. Gives the outcome of each.
///
/// # Errors
/// As [`send_each`].
pub fn send(destination: &DimseNode, objects: &[DicomObject]) -> Result<Vec<SentObject>, PeerError> {
    let mut sent = Vec::with_capacity(objects.len());
    send_each(destination, objects, None, &mut |one| sent.push(one))?;
    Ok(sent)
}

/// Sends the objects in order, and reports each outcome as soon as the response is there. With `decode`,
/// compressed objects can be converted for a destination that does not accept them.
///
/// # Errors
/// If the destination cannot be reached, rejects the association or aborts it. A refused object is no error:
/// its [`SendOutcome`] says so.
pub fn send_each(
    destination: &DimseNode,
    objects: &[DicomObject],
    decode: Option<Decode>,
    tell: &mut dyn FnMut(SentObject),
) -> Result<(), PeerError> {
    batches(objects, decode).try_for_each(|batch| send_batch(destination, batch, decode, tell))
}

/// Verifies that the destination can be reached and accepts our associations (C-ECHO).
///
/// # Errors
/// If it cannot, or does not.
pub fn echo(destination: &DimseNode) -> Result<(), PeerError> {
    let verification = proposal((uids::VERIFICATION, uids::IMPLICIT_VR_LITTLE_ENDIAN));
    associated(destination, &[verification], |association| {
        let context = association.contexts[0].id;
        let (status, _) = ask(association, context, &CommandSet::echo(1), None)?;
        match status.verdict() {
            StatusClass::Success | StatusClass::Warning => Ok(()),
            StatusClass::Failure => Err(PeerErrorCause::Broken(format!("C-ECHO was answered: {status}"))),
        }
    })
}

/// An association has at most 128 presentation contexts (PS3.8 9.3.2.2: odd numbers in a byte).
const CONTEXTS_MAX: usize = 128;

/// The bytes of a file that are read at once.
const PIECE_BYTES: usize = 256 << 10;

/// A class and a transfer syntax.
type ObjectKind<'a> = (&'a str, &'a str);

/// The kinds an object can be sent as, its own first.
fn kinds(object: &DicomObject, decode: Option<Decode>) -> impl Iterator<Item = ObjectKind<'_>> {
    let (class, own) = (object.sop_class_uid(), object.transfer_syntax_uid());
    let is_convertible = is_native(own) || decode.is_some();
    let others = transcode::TARGETS.into_iter().filter(move |other| is_convertible && *other != own);
    std::iter::once(own).chain(others).map(move |syntax| (class, syntax))
}

/// Splits objects so that each part fits one association; nearly always it is one part.
fn batches(objects: &[DicomObject], decode: Option<Decode>) -> impl Iterator<Item = &[DicomObject]> {
    let mut rest = objects;
    std::iter::from_fn(move || {
        let mut all = BTreeSet::new();
        let fits = rest.iter().take_while(|object| {
            all.extend(kinds(object, decode));
            all.len() <= CONTEXTS_MAX
        });
        let (batch, others) = rest.split_at(fits.count());
        rest = others;
        (!batch.is_empty()).then_some(batch)
    })
}

fn send_batch(
    destination: &DimseNode,
    batch: &[DicomObject],
    decode: Option<Decode>,
    tell: &mut dyn FnMut(SentObject),
) -> Result<(), PeerError> {
    let all: BTreeSet<ObjectKind> = batch.iter().flat_map(|object| kinds(object, decode)).collect();
    let proposals: Vec<ContextProposal> = all.into_iter().map(proposal).collect();
    let sent = associated(destination, &proposals, |association| {
        // Message ids are reused; only one is in use at a time.
        let message_ids = (1..=u16::MAX).cycle();
        batch.iter().zip(message_ids).try_for_each(|(object, message_id)| {
            let stored = store(association, object, decode, message_id);
            let outcome = stored.as_ref().map_or(SendOutcome::Unanswered, SendOutcome::clone);
            tell(SentObject::of(object, outcome));
            stored.map(drop)
        })
    });
    match sent {
        Err(PeerError { cause: PeerErrorCause::NothingTaken, .. }) => {
            batch.iter().for_each(|object| tell(SentObject::of(object, not_taken(object))));
            Ok(())
        }
        sent => sent,
    }
}

fn not_taken(object: &DicomObject) -> SendOutcome {
    let (class, syntax) = (object.sop_class_uid(), object.transfer_syntax_uid());
    SendOutcome::NotTaken { sop_class_uid: class.to_owned(), transfer_syntax_uid: syntax.to_owned() }
}

fn proposal((sop_class_uid, transfer_syntax_uid): ObjectKind) -> ContextProposal {
    ContextProposal {
        abstract_syntax: sop_class_uid.to_owned(),
        transfer_syntaxes: vec![transfer_syntax_uid.to_owned()],
        role: ServiceRole::User,
    }
}

fn store(
    association: &mut Association,
    object: &DicomObject,
    decode: Option<Decode>,
    message_id: u16,
) -> Result<SendOutcome, PeerErrorCause> {
    let (own, request) = (object.transfer_syntax_uid(), command(object, message_id));
    let agreed = kinds(object, decode)
        .find_map(|(class, syntax)| Some((association.context_for(class, syntax)?, syntax)));
    let answer = match agreed {
        None => return Ok(not_taken(object)),
        Some((context, syntax)) if syntax == own => {
            ask(association, context, &request, Some(&mut |to| as_it_is(object, to)))
        }
        Some((context, syntax)) => match TranscodableObject::prepare(object, decode) {
            Ok(converted) => {
                let write = &mut |to: &mut OutgoingMessage| converted.write(syntax, to).map_err(io_error);
                ask(association, context, &request, Some(write))
            }
            // An error of the operating system says nothing about the object; other errors mean damaged
            // compressed data.
            Err(TranscodeError::Io(error)) if error.raw_os_error().is_some() => {
                return Err(PeerErrorCause::Unreadable(error.to_string()));
            }
            Err(error) => {
                let (transfer_syntax_uid, reason) = (own.to_owned(), error.to_string());
                return Ok(SendOutcome::NotConverted { transfer_syntax_uid, reason });
            }
        },
    };
    answer.map(|(status, comment)| SendOutcome::of(status, &comment))
}

fn command(object: &DicomObject, message_id: u16) -> CommandSet {
    CommandSet::store(message_id, object.sop_class_uid(), object.sop_instance_uid())
}

fn as_it_is(object: &DicomObject, to: &mut OutgoingMessage) -> io::Result<()> {
    let mut data_set = BufReader::with_capacity(PIECE_BYTES, object.data_set()?);
    loop {
        let piece = data_set.fill_buf()?;
        if piece.is_empty() {
            return Ok(());
        }
        to.write_all(piece)?;
        let length = piece.len();
        data_set.consume(length);
    }
}

fn io_error(error: TranscodeError) -> io::Error {
    match error {
        TranscodeError::Io(error) => error,
        other => io::Error::other(other.to_string()),
    }
}

/// Writes a data set.
type DataSetBody<'a> = &'a mut dyn FnMut(&mut OutgoingMessage) -> io::Result<()>;

/// Sends a request and waits for its answer: status and comment.
fn ask(
    association: &mut Association,
    context: u8,
    request: &CommandSet,
    body: Option<DataSetBody>,
) -> Result<(DimseStatus, String), PeerErrorCause> {
    let mut outgoing = association.begin(context, request);
    if let Some(write) = body {
        outgoing = outgoing.data_set();
        if let Err(error) = write(&mut outgoing) {
            // Half a message has been sent, so nothing else can be sent on this association.
            let unread = || PeerErrorCause::Unreadable(error.to_string());
            return Err(outgoing.why_broken().map_or_else(unread, PeerErrorCause::from));
        }
    }
    outgoing.finish()?;
    let AssociationMessage::Command { command: answer, .. } = association.hear()? else {
        return Err(PeerErrorCause::Broken("the destination sent something other than an answer".to_owned()));
    };
    Ok((status_for(&answer, request)?, answer.comment().into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dicom_file::part10::FileHead;

    fn object(sop_class_uid: &str, transfer_syntax_uid: &str) -> DicomObject {
        let head = FileHead {
            sop_class_uid: sop_class_uid.to_owned(),
            sop_instance_uid: "1.2.3".to_owned(),
            transfer_syntax_uid: transfer_syntax_uid.to_owned(),
        };
        DicomObject::read("object", head.encode().into()).unwrap()
    }

    #[test]
    fn no_association_needs_more_contexts_than_there_are() {
        let class = |index: usize| format!("1.2.{}", index % 200);
        let native = |index| object(&class(index), uids::EXPLICIT_VR_LITTLE_ENDIAN);
        let objects: Vec<DicomObject> = (0..400).map(native).collect();
        let sizes: Vec<usize> = batches(&objects, None).map(<[DicomObject]>::len).collect();
        assert_eq!(sizes.iter().sum::<usize>(), 400);
        assert_eq!(sizes[0], 64, "each is proposed with explicit and implicit VR");
        let compressed = |index| object(&class(index), uids::RLE_LOSSLESS);
        let objects: Vec<DicomObject> = (0..400).map(compressed).collect();
        assert_eq!(batches(&objects, None).next().map(<[DicomObject]>::len), Some(128));
        let alike: Vec<DicomObject> = (0..400).map(|_| compressed(0)).collect();
        assert_eq!(batches(&alike, None).count(), 1);
    }

    #[test]
    fn an_object_goes_as_it_is_or_converted_to_the_better_one() {
        let syntaxes = |own: &str, decode| -> Vec<String> {
            kinds(&object("1.2", own), decode).map(|(_, syntax)| syntax.to_owned()).collect()
        };
        let [explicit, implicit] = transcode::TARGETS;
        assert_eq!(syntaxes(implicit, None), [implicit, explicit]);
        assert_eq!(syntaxes("1.2.840.10008.1.2.2", None).len(), 3);
        assert_eq!(syntaxes(uids::JPEG_BASELINE8_BIT, None), [uids::JPEG_BASELINE8_BIT]);
        let decode: Decode = |_| Err("not here".to_owned());
        assert_eq!(syntaxes(uids::JPEG_BASELINE8_BIT, Some(decode))[1..], [explicit, implicit]);
    }

    #[test]
    fn nobody_there_is_told_with_a_remedy() {
        // A port that was free a moment ago.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let error = echo(&format!("PACS@{address}").parse().unwrap()).unwrap_err();
        assert!(matches!(error.cause, PeerErrorCause::Unconnected(_)), "{error}");
        assert!(error.remedy().contains(&address.to_string()));
    }
}
