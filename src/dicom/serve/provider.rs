//! What is provided on an association: C-ECHO, C-STORE, and storage commitment.
//!
//! Commands and data sets go in as they are heard, answers come out: who holds the association sends
//! them. So the same is provided to who calls us, and to an archive that we have asked for a study.

use crate::dicom::commitment::service::CommitmentService;
use crate::dicom::commitment::transaction::{self, Committed, DATA_SET_BYTES_MAX, Transaction, event_report};
use crate::dicom::intake::door::{Door, Refusal, refusal};
use crate::dicom::intake::event::{End, Event};
use crate::dicom::intake::inbox::Part;
use crate::dicom::intake::visitor::Visitor;
use crate::dicom::names::status::Status;
use crate::dicom::wire::association::{Association, Broken, Heard};
use crate::dicom::wire::command::{C_ECHO, C_STORE, Command, N_ACTION, N_EVENT_REPORT};
use crate::dicom_file::part10::Head;

pub(in crate::dicom) struct Provider<'a> {
    door: &'a Door<'a>,
    commitments: &'a CommitmentService,
    visitor: Visitor,
    coming: Option<Coming>,
    stored: u64,
    /// An instance was refused that may be taken later.
    wanting: bool,
}

/// A data set on its way, of a request in a context. One that is refused is received to its end all the
/// same, and then answered.
struct Coming {
    context: u8,
    syntax: String,
    request: Command,
    sink: Sink,
}

enum Sink {
    Instance {
        head: Head,
        part: Box<Result<Part, Refusal>>,
    },
    Memory(Vec<u8>),
    Nothing(Refusal),
    /// It belongs to no question, so it has no answer.
    Unasked,
}

/// What is due on the association.
pub(in crate::dicom) struct Answer {
    pub context: u8,
    pub command: Command,
    pub data_set: Option<Vec<u8>>,
}

impl<'a> Provider<'a> {
    pub fn new(door: &'a Door<'a>, commitments: &'a CommitmentService, visitor: Visitor) -> Provider<'a> {
        Provider { door, commitments, visitor, coming: None, stored: 0, wanting: false }
    }

    /// Serves until the peer wants to release the association.
    pub fn serve(&mut self, association: &mut Association) -> Result<(), Broken> {
        loop {
            let answers = match association.hear()? {
                Heard::Release => return Ok(()),
                Heard::Data { bytes, last } => self.data(bytes, last),
                Heard::Command { context, command } => {
                    let syntax = association.context(context).map(|one| one.transfer_syntax.clone());
                    self.command(context, command, syntax)
                }
            };
            send(association, &answers)?;
        }
    }

    /// How many instances have been let in.
    pub fn stored(&self) -> u64 {
        self.stored
    }

    /// Whether nothing has been left half done: a peer that says no more has said all.
    pub fn is_idle(&self) -> bool {
        self.coming.is_none() && self.stored > 0
    }

    /// What the end of the association means for the studies on it.
    pub fn close(self, end: Result<(), Broken>) {
        let visit = self.visitor.visit;
        let (end, reason) = match end {
            Ok(()) => (End::Released, String::new()),
            Err(broken) => (End::Aborted, broken.to_string()),
        };
        // What lacks an instance is not complete, however politely the sender went.
        let left = if self.wanting { End::Aborted } else { end };
        self.door.studies.leave(visit.number, left.into());
        (self.door.tell)(&Event::Closed { visit, end, reason, instances: self.stored });
    }

    /// A command has come; `syntax` is that of its presentation context, if that was agreed on.
    pub fn command(&mut self, context: u8, request: Command, syntax: Option<String>) -> Vec<Answer> {
        if !request.has_data_set() {
            return match request.field() {
                C_ECHO => vec![self.answer(context, &request, Ok(()))],
                C_STORE => {
                    let missing = refusal(Status::MISTYPED_ARGUMENT, "the data set is missing");
                    vec![self.answer(context, &request, Err(missing))]
                }
                _ if !request.is_question() => Vec::new(),
                _ => vec![self.answer(context, &request, Err(unknown()))],
            };
        }
        let sink = match (request.field(), &syntax) {
            _ if !request.is_question() => Sink::Unasked,
            (_, None) => Sink::Nothing(refusal(Status::CANNOT_UNDERSTAND, "no such presentation context")),
            (C_STORE, Some(syntax)) => {
                let head = Head {
                    sop_class_uid: request.sop_class_uid().to_owned(),
                    sop_instance_uid: request.sop_instance_uid().to_owned(),
                    transfer_syntax_uid: syntax.clone(),
                };
                let part = Box::new(self.door.begin_data_set(&head));
                Sink::Instance { head, part }
            }
            (N_ACTION | N_EVENT_REPORT, Some(_)) if request.sop_class_uid() == transaction::CLASS => {
                Sink::Memory(Vec::new())
            }
            (_, Some(_)) => Sink::Nothing(unknown()),
        };
        self.coming = Some(Coming { context, syntax: syntax.unwrap_or_default(), request, sink });
        Vec::new()
    }

    /// A piece of the data set of the last command has come.
    pub fn data(&mut self, bytes: &[u8], last: bool) -> Vec<Answer> {
        let coming = self.coming.as_mut().expect("a data set follows its command");
        match &mut coming.sink {
            Sink::Instance { part, .. } => self.door.write(part, bytes),
            Sink::Memory(held) if held.len() + bytes.len() > DATA_SET_BYTES_MAX => {
                coming.sink = Sink::Nothing(refusal(Status::OUT_OF_RESOURCES, "the data set is too long"));
            }
            Sink::Memory(held) => held.extend_from_slice(bytes),
            Sink::Nothing(_) | Sink::Unasked => {}
        }
        match self.coming.take_if(|_| last) {
            Some(coming) => self.finish(coming),
            None => Vec::new(),
        }
    }

    fn finish(&mut self, Coming { context, syntax, request, sink }: Coming) -> Vec<Answer> {
        let (outcome, more) = match sink {
            Sink::Unasked => return Vec::new(),
            Sink::Nothing(refusal) => (Err(refusal), None),
            Sink::Instance { head, part } => {
                let stored = (*part).and_then(|part| self.door.keep(&self.visitor, part, Some(&head)));
                self.stored += u64::from(stored.is_ok());
                (stored.map(drop), None)
            }
            Sink::Memory(data_set) if request.field() == N_EVENT_REPORT => {
                (self.settle(&data_set, &syntax), None)
            }
            Sink::Memory(data_set) => match self.promise(&data_set, &syntax) {
                Err(refusal) => (Err(refusal), None),
                Ok(report) => (Ok(()), report),
            },
        };
        let answer = self.answer(context, &request, outcome);
        let more = more.map(|(command, data_set)| Answer { context, command, data_set: Some(data_set) });
        std::iter::once(answer).chain(more).collect()
    }

    /// The outcome of a commitment that we have asked for.
    fn settle(&self, data_set: &[u8], syntax: &str) -> Result<(), Refusal> {
        let told = Committed::decode(data_set, syntax);
        let (uid, outcome) = told.ok_or_else(|| refusal(Status::INVALID_ARGUMENT, "it is no outcome"))?;
        let asked = self.commitments.asked.settle(&uid, &outcome);
        let unasked = || refusal(Status::PROCESSING_FAILURE, "no such commitment was asked for");
        asked.then_some(()).ok_or_else(unasked)
    }

    /// Agrees to commit to objects, or not: the outcome is told to the sender's node, or at once on this
    /// association if no address of it is known.
    fn promise(&self, data_set: &[u8], syntax: &str) -> Result<Option<(Command, Vec<u8>)>, Refusal> {
        let asked = Transaction::decode(data_set, syntax);
        let asked =
            asked.ok_or_else(|| refusal(Status::INVALID_ARGUMENT, "it names no transaction and objects"))?;
        let reports = &self.commitments.reports;
        if reports.can_call(&self.visitor.calling_ae) {
            if !reports.have_room_for(&asked) {
                return Err(refusal(
                    Status::RESOURCE_LIMITATION,
                    "too many commitments wait, try again later",
                ));
            }
            reports.accept(&self.visitor.calling_ae, asked)?;
            return Ok(None);
        }
        let outcome = reports.outcome(&asked)?;
        Ok(Some(event_report(&asked.uid, &outcome, syntax)))
    }

    fn answer(&mut self, context: u8, request: &Command, outcome: Result<(), Refusal>) -> Answer {
        let command = match outcome {
            Ok(()) => request.answer(Status::SUCCESS, ""),
            Err(Refusal { status, reason }) => {
                let answer = request.answer(status, &reason);
                self.wanting |= status == Status::OUT_OF_RESOURCES;
                (self.door.tell)(&Event::Refused { visit: self.visitor.visit, status, reason });
                answer
            }
        };
        Answer { context, command, data_set: None }
    }
}

pub(in crate::dicom) fn send(association: &mut Association, answers: &[Answer]) -> Result<(), Broken> {
    let mut answers = answers.iter();
    answers.try_for_each(|one| match &one.data_set {
        None => association.send(one.context, &one.command),
        Some(data_set) => association.send_with(one.context, &one.command, data_set),
    })
}

fn unknown() -> Refusal {
    refusal(Status::UNRECOGNISED_OPERATION, "that is not served here")
}
