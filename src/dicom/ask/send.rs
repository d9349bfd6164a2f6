//! The storage user: sends DICOM files to a node, and looks at every answer.
//!
//! For each SOP class every transfer syntax that could be sent is proposed in a context of its own, so
//! that the choice is ours: an object goes as it is where the destination takes it so, and is
//! converted otherwise. What fits in no way is not sent, and told.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, BufRead, BufReader, Write};

use dicom_dictionary_std::uids;

use crate::dicom::file::object::Object;
use crate::dicom::file::transcode::{self, Decode, Transcoding, Untranscodable};
use crate::dicom::names::destination::Destination;
use crate::dicom::names::status::{Status, Verdict};
use crate::dicom::names::uid_name;
use crate::dicom::wire::association::{Association, Heard, Outgoing, Proposal, Role, request};
use crate::dicom::wire::command::Command;
use crate::dicom::wire::send_error::{Cause, SendError, Stage};
use crate::dicom_file::encoding::is_native;

/// What became of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub name: String,
    pub sop_class_uid: String,
    pub sop_instance_uid: String,
    pub outcome: Outcome,
}

impl Sent {
    pub(in crate::dicom) fn of(object: &Object, outcome: Outcome) -> Sent {
        Sent {
            name: object.name().to_owned(),
            sop_class_uid: object.sop_class_uid().to_owned(),
            sop_instance_uid: object.sop_instance_uid().to_owned(),
            outcome,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Stored,
    /// Stored, but not quite as sent, or there already.
    Warned {
        status: Status,
        comment: String,
    },
    Refused {
        status: Status,
        comment: String,
    },
    /// It broke off while this was on its way. That may be this one's doing.
    Unanswered,
    /// Not sent: the destination takes no objects of this class in this transfer syntax, or in one that it
    /// could be converted to.
    NotTaken {
        sop_class_uid: String,
        transfer_syntax_uid: String,
    },
    /// Not sent: it would have to be converted, and cannot be.
    NotConverted {
        transfer_syntax_uid: String,
        reason: String,
    },
}

impl Outcome {
    pub fn is_stored(&self) -> bool {
        matches!(self, Outcome::Stored | Outcome::Warned { .. })
    }

    pub(in crate::dicom) fn of(status: Status, comment: &str) -> Outcome {
        let comment = comment.to_owned();
        match status.verdict() {
            Verdict::Success => Outcome::Stored,
            Verdict::Warning => Outcome::Warned { status, comment },
            Verdict::Failure if status.is_there_already() => Outcome::Warned { status, comment },
            Verdict::Failure => Outcome::Refused { status, comment },
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Stored => f.write_str("stored"),
            Outcome::Warned { status, comment } => write!(f, "{status} {comment}"),
            Outcome::Refused { status, comment } => write!(f, "refused: {status} {comment}"),
            Outcome::Unanswered => f.write_str("it broke off while this was on its way"),
            Outcome::NotTaken { sop_class_uid, transfer_syntax_uid } => {
                let (class, syntax) = (uid_name::of(sop_class_uid), uid_name::of(transfer_syntax_uid));
                write!(f, "the destination takes no {class} in {syntax}")
            }
            Outcome::NotConverted { transfer_syntax_uid, reason } => {
                let syntax = uid_name::of(transfer_syntax_uid);
                write!(f, "the destination does not take {syntax}, and it cannot be converted: {reason}")
            }
        }
    }
}

/// Sends the objects in order and tells for each what the destination answered.
///
/// # Errors
/// As [`send_each`].
pub fn send(destination: &Destination, objects: &[Object]) -> Result<Vec<Sent>, SendError> {
    let mut sent = Vec::with_capacity(objects.len());
    send_each(destination, objects, None, &mut |one| sent.push(one))?;
    Ok(sent)
}

/// Sends the objects in order, and tells what the destination answered for each as soon as it has. With
/// `decode`, compressed ones can be converted for a destination that takes no others.
///
/// # Errors
/// If the destination cannot be reached, rejects the association or breaks it off. A refused object
/// is no error: it is told in its [`Outcome`].
pub fn send_each(
    destination: &Destination,
    objects: &[Object],
    decode: Option<Decode>,
    tell: &mut dyn FnMut(Sent),
) -> Result<(), SendError> {
    let mut stage = Stage::Opening;
    let mut send = |batch| send_batch(destination, batch, decode, tell, &mut stage);
    let sent = batches(objects, decode).try_for_each(&mut send);
    sent.map_err(|cause| SendError { destination: Box::new(destination.clone()), cause, stage })
}

/// Asks whether the destination is there and talks to us (C-ECHO).
///
/// # Errors
/// If it is not, or does not.
pub fn echo(destination: &Destination) -> Result<(), SendError> {
    let verification = proposal((uids::VERIFICATION, uids::IMPLICIT_VR_LITTLE_ENDIAN));
    let mut stage = Stage::Opening;
    let outcome = request(destination, &[verification]).and_then(|mut association| {
        stage = Stage::Open;
        let context = association.contexts[0].id;
        let answer = ask(&mut association, context, &Command::echo(1), None)?;
        release(association);
        match answer.0.verdict() {
            Verdict::Success | Verdict::Warning => Ok(()),
            Verdict::Failure => Err(Cause::Broken(format!("C-ECHO was answered: {}", answer.0))),
        }
    });
    outcome.map_err(|cause| SendError { destination: Box::new(destination.clone()), cause, stage })
}

/// An association has at most 128 presentation contexts (PS3.8 9.3.2.2: odd numbers in a byte).
const CONTEXTS_MAX: usize = 128;

/// So much of a file is read at once.
const PIECE_BYTES: usize = 256 << 10;

/// A class and a transfer syntax.
type Kind<'a> = (&'a str, &'a str);

/// The kinds an object can be sent as, its own first.
fn kinds(object: &Object, decode: Option<Decode>) -> impl Iterator<Item = Kind<'_>> {
    let (class, own) = (object.sop_class_uid(), object.transfer_syntax_uid());
    let is_convertible = is_native(own) || decode.is_some();
    let others = transcode::TARGETS.into_iter().filter(move |other| is_convertible && *other != own);
    std::iter::once(own).chain(others).map(move |syntax| (class, syntax))
}

/// Splits objects so that each part fits one association; nearly always it is one part.
fn batches(objects: &[Object], decode: Option<Decode>) -> impl Iterator<Item = &[Object]> {
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
    destination: &Destination,
    batch: &[Object],
    decode: Option<Decode>,
    tell: &mut dyn FnMut(Sent),
    stage: &mut Stage,
) -> Result<(), Cause> {
    *stage = Stage::Opening;
    let all: BTreeSet<Kind> = batch.iter().flat_map(|object| kinds(object, decode)).collect();
    let proposals: Vec<Proposal> = all.into_iter().map(proposal).collect();
    let mut association = match request(destination, &proposals) {
        Err(Cause::NothingTaken) => {
            batch.iter().for_each(|object| tell(Sent::of(object, not_taken(object))));
            return Ok(());
        }
        association => association?,
    };
    *stage = Stage::Open;
    for (index, object) in batch.iter().enumerate() {
        // Message ids go round; only one is in use at a time.
        let message_id = (index % 0xFFFF) as u16 + 1;
        match store(&mut association, object, decode, message_id) {
            Ok(outcome) => tell(Sent::of(object, outcome)),
            Err(cause) => {
                tell(Sent::of(object, Outcome::Unanswered));
                return Err(cause);
            }
        }
    }
    release(association);
    Ok(())
}

fn not_taken(object: &Object) -> Outcome {
    let (class, syntax) = (object.sop_class_uid(), object.transfer_syntax_uid());
    Outcome::NotTaken { sop_class_uid: class.to_owned(), transfer_syntax_uid: syntax.to_owned() }
}

fn proposal((sop_class_uid, transfer_syntax_uid): Kind) -> Proposal {
    Proposal {
        abstract_syntax: sop_class_uid.to_owned(),
        transfer_syntaxes: vec![transfer_syntax_uid.to_owned()],
        role: Role::User,
    }
}

fn store(
    association: &mut Association,
    object: &Object,
    decode: Option<Decode>,
    message_id: u16,
) -> Result<Outcome, Cause> {
    let (own, request) = (object.transfer_syntax_uid(), command(object, message_id));
    let agreed = kinds(object, decode)
        .find_map(|(class, syntax)| Some((association.context_for(class, syntax)?, syntax)));
    let answer = match agreed {
        None => return Ok(not_taken(object)),
        Some((context, syntax)) if syntax == own => {
            ask(association, context, &request, Some(&mut |to| as_it_is(object, to)))
        }
        Some((context, syntax)) => match Transcoding::prepare(object, decode) {
            Ok(converted) => {
                let write = &mut |to: &mut Outgoing| converted.write(syntax, to).map_err(io_error);
                ask(association, context, &request, Some(write))
            }
            // What the system says is nothing about the object, which damaged compression is.
            Err(Untranscodable::Io(error)) if error.raw_os_error().is_some() => {
                return Err(Cause::Unreadable(error.to_string()));
            }
            Err(error) => {
                let (transfer_syntax_uid, reason) = (own.to_owned(), error.to_string());
                return Ok(Outcome::NotConverted { transfer_syntax_uid, reason });
            }
        },
    };
    answer.map(|(status, comment)| Outcome::of(status, &comment))
}

fn command(object: &Object, message_id: u16) -> Command {
    Command::store(message_id, object.sop_class_uid(), object.sop_instance_uid())
}

fn as_it_is(object: &Object, to: &mut Outgoing) -> io::Result<()> {
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

fn io_error(error: Untranscodable) -> io::Error {
    match error {
        Untranscodable::Io(error) => error,
        other => io::Error::other(other.to_string()),
    }
}

/// Writes a data set.
type Body<'a> = &'a mut dyn FnMut(&mut Outgoing) -> io::Result<()>;

/// Sends a request and waits for its answer: status and comment.
fn ask(
    association: &mut Association,
    context: u8,
    request: &Command,
    body: Option<Body>,
) -> Result<(Status, String), Cause> {
    let mut outgoing = association.begin(context, request);
    if let Some(write) = body {
        outgoing = outgoing.data_set();
        if let Err(error) = write(&mut outgoing) {
            // Half a message has been sent: nothing else can follow.
            let unread = || Cause::Unreadable(error.to_string());
            return Err(outgoing.why_broken().map_or_else(unread, Cause::from));
        }
    }
    outgoing.finish()?;
    let Heard::Command { command: answer, .. } = association.hear()? else {
        return Err(Cause::Broken("the destination sent something other than an answer".to_owned()));
    };
    let status = answer.status_for(request);
    let status =
        status.ok_or_else(|| Cause::Broken("the destination answered another question".to_owned()))?;
    Ok((status, answer.comment().to_owned()))
}

/// Every object has its answer already, so what may fail here changes nothing.
fn release(association: Association) {
    if let Err(error) = association.release() {
        tracing::debug!("the association was not released in good order: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dicom_file::part10::Head;

    fn object(sop_class_uid: &str, transfer_syntax_uid: &str) -> Object {
        let head = Head {
            sop_class_uid: sop_class_uid.to_owned(),
            sop_instance_uid: "1.2.3".to_owned(),
            transfer_syntax_uid: transfer_syntax_uid.to_owned(),
        };
        Object::read("object", head.encode().into()).unwrap()
    }

    #[test]
    fn no_association_needs_more_contexts_than_there_are() {
        let class = |index: usize| format!("1.2.{}", index % 200);
        let native = |index| object(&class(index), uids::EXPLICIT_VR_LITTLE_ENDIAN);
        let objects: Vec<Object> = (0..400).map(native).collect();
        let sizes: Vec<usize> = batches(&objects, None).map(<[Object]>::len).collect();
        assert_eq!(sizes.iter().sum::<usize>(), 400);
        assert_eq!(sizes[0], 64, "each is proposed with explicit and implicit VR");
        let compressed = |index| object(&class(index), uids::RLE_LOSSLESS);
        let objects: Vec<Object> = (0..400).map(compressed).collect();
        assert_eq!(batches(&objects, None).next().map(<[Object]>::len), Some(128));
        let alike: Vec<Object> = (0..400).map(|_| compressed(0)).collect();
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
        assert!(matches!(error.cause, Cause::Unconnected(_)), "{error}");
        assert!(error.remedy().contains(&address.to_string()));
    }
}
