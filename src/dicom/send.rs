//! The storage user: sends DICOM files to a node, and looks at every answer.
//!
//! What is negotiated is what is sent: one presentation context for each pair of SOP class and
//! transfer syntax. Nothing is converted; an object that the destination does not take is told.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use dicom_dictionary_std::uids;

use super::association::{Association, Heard, Proposal, Role, request};
use super::command::Command;
use super::part10::Head;
use super::{Cause, Destination, SendError, Status, Verdict};

/// A DICOM file that can be sent.
#[derive(Clone, Debug)]
pub struct Object {
    pub(super) name: String,
    pub(super) head: Head,
    /// The file.
    pub(super) bytes: Arc<[u8]>,
    data_set: Range<usize>,
}

#[derive(Debug, thiserror::Error)]
#[error("{0} is not a DICOM file with SOP class, SOP instance and transfer syntax in its head")]
pub struct NotSendable(String);

impl Object {
    /// # Errors
    /// If the bytes are not a DICOM file (PS3.10).
    pub fn read(name: impl Into<String>, bytes: Arc<[u8]>) -> Result<Object, NotSendable> {
        let name = name.into();
        let complete = |head: &Head| {
            [&head.sop_class_uid, &head.sop_instance_uid, &head.transfer_syntax_uid]
                .into_iter()
                .all(|uid| !uid.is_empty())
        };
        match Head::decode(&bytes) {
            Some((head, data_set)) if complete(&head) => Ok(Object { name, head, bytes, data_set }),
            _ => Err(NotSendable(name)),
        }
    }

    fn context(&self) -> (&str, &str) {
        (&self.head.sop_class_uid, &self.head.transfer_syntax_uid)
    }
}

/// What became of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub name: String,
    pub sop_instance_uid: String,
    pub outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Stored,
    /// Stored, but not quite as sent.
    Warned {
        status: Status,
        comment: String,
    },
    Refused {
        status: Status,
        comment: String,
    },
    /// Not sent: the destination takes no objects of this class in this transfer syntax.
    NotTaken {
        sop_class_uid: String,
        transfer_syntax_uid: String,
    },
}

impl Outcome {
    pub fn is_stored(&self) -> bool {
        matches!(self, Outcome::Stored | Outcome::Warned { .. })
    }

    fn of(status: Status, comment: &str) -> Outcome {
        let comment = comment.to_owned();
        match status.verdict() {
            Verdict::Success => Outcome::Stored,
            Verdict::Warning => Outcome::Warned { status, comment },
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
            Outcome::NotTaken { sop_class_uid, transfer_syntax_uid } => {
                write!(f, "the destination takes no {sop_class_uid} in transfer syntax {transfer_syntax_uid}")
            }
        }
    }
}

/// Sends the objects in order and tells for each what the destination answered.
///
/// # Errors
/// If the destination cannot be reached, rejects the association or breaks it off. A refused object
/// is no error: it is told in its [`Outcome`].
pub fn send(destination: &Destination, objects: &[Object]) -> Result<Vec<Sent>, SendError> {
    let mut sent = Vec::with_capacity(objects.len());
    for batch in batches(objects) {
        if let Err(cause) = send_batch(destination, batch, &mut sent) {
            return Err(SendError { destination: Box::new(destination.clone()), cause, sent });
        }
    }
    Ok(sent)
}

/// Asks whether the destination is there and talks to us (C-ECHO).
///
/// # Errors
/// If it is not, or does not.
pub fn echo(destination: &Destination) -> Result<(), SendError> {
    let verification = proposal((uids::VERIFICATION, uids::IMPLICIT_VR_LITTLE_ENDIAN));
    let outcome = request(destination, &[verification]).and_then(|mut association| {
        let context = association.contexts[0].id;
        let answer = ask(&mut association, context, &Command::echo(1), None)?;
        release(association);
        match answer.0.verdict() {
            Verdict::Success | Verdict::Warning => Ok(()),
            Verdict::Failure => Err(Cause::Broken(format!("C-ECHO was answered: {}", answer.0))),
        }
    });
    outcome.map_err(|cause| SendError { destination: Box::new(destination.clone()), cause, sent: Vec::new() })
}

/// An association has at most 128 presentation contexts (PS3.8 9.3.2.2: odd numbers in a byte).
const CONTEXTS_MAX: usize = 128;

/// Splits objects so that each part fits one association; nearly always it is one part.
fn batches(objects: &[Object]) -> Vec<&[Object]> {
    let mut batches = Vec::new();
    let mut rest = objects;
    while !rest.is_empty() {
        let mut contexts = Vec::new();
        let fits = rest.iter().take_while(|object| {
            if !contexts.contains(&object.context()) {
                contexts.push(object.context());
            }
            contexts.len() <= CONTEXTS_MAX
        });
        let (batch, others) = rest.split_at(fits.count());
        batches.push(batch);
        rest = others;
    }
    batches
}

fn send_batch(destination: &Destination, batch: &[Object], sent: &mut Vec<Sent>) -> Result<(), Cause> {
    let mut contexts: Vec<(&str, &str)> = batch.iter().map(Object::context).collect();
    contexts.sort_unstable();
    contexts.dedup();
    let proposals: Vec<Proposal> = contexts.into_iter().map(proposal).collect();
    let mut association = request(destination, &proposals)?;
    for (index, object) in batch.iter().enumerate() {
        // Message ids go round; only one is in use at a time.
        let message_id = (index % 0xFFFF) as u16 + 1;
        let outcome = store(&mut association, object, message_id)?;
        let sop_instance_uid = object.head.sop_instance_uid.clone();
        sent.push(Sent { name: object.name.clone(), sop_instance_uid, outcome });
    }
    release(association);
    Ok(())
}

fn proposal((sop_class_uid, transfer_syntax_uid): (&str, &str)) -> Proposal {
    Proposal {
        abstract_syntax: sop_class_uid.to_owned(),
        transfer_syntaxes: vec![transfer_syntax_uid.to_owned()],
        role: Role::User,
    }
}

fn store(association: &mut Association, object: &Object, message_id: u16) -> Result<Outcome, Cause> {
    let (class, syntax) = object.context();
    let Some(context) = association.context_for(class, syntax) else {
        let (sop_class_uid, transfer_syntax_uid) = (class.to_owned(), syntax.to_owned());
        return Ok(Outcome::NotTaken { sop_class_uid, transfer_syntax_uid });
    };
    let request = Command::store(message_id, class, &object.head.sop_instance_uid);
    let data_set = &object.bytes[object.data_set.clone()];
    let (status, comment) = ask(association, context, &request, Some(data_set))?;
    Ok(Outcome::of(status, &comment))
}

/// Sends a request and waits for its answer: status and comment.
fn ask(
    association: &mut Association,
    context: u8,
    request: &Command,
    data_set: Option<&[u8]>,
) -> Result<(Status, String), Cause> {
    association.send(context, request, data_set)?;
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

    fn object(sop_class_uid: &str) -> Object {
        let head = Head {
            sop_class_uid: sop_class_uid.to_owned(),
            sop_instance_uid: "1.2.3".to_owned(),
            transfer_syntax_uid: "1.2.840.10008.1.2.1".to_owned(),
        };
        Object::read("object", head.encode().into()).unwrap()
    }

    #[test]
    fn no_association_needs_more_contexts_than_there_are() {
        let objects: Vec<Object> = (0..400).map(|index| object(&format!("1.2.{}", index % 200))).collect();
        let batches = batches(&objects);
        assert_eq!(batches.iter().map(|batch| batch.len()).sum::<usize>(), 400);
        assert_eq!(batches[0].len(), 128);
        let alike: Vec<Object> = (0..400).map(|_| object("1.2")).collect();
        assert_eq!(super::batches(&alike).len(), 1);
    }

    #[test]
    fn only_dicom_files_are_sent() {
        assert!(Object::read("text", b"hello".as_slice().into()).is_err());
        let lacking = Head { sop_class_uid: "1.2".to_owned(), ..Head::default() };
        assert!(Object::read("lacking", lacking.encode().into()).is_err());
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
