//! The services on an association: C-ECHO, C-STORE, and storage commitment.
//!
//! Commands and data sets are passed in as they are received, and responses come out, which the owner of the
//! association sends. So callers, and an archive that sends a study by C-GET, get the same services.

use std::sync::Arc;

use crate::dicom::commitment::service::CommitmentService;
use crate::dicom::commitment::transaction::{
    self, CommitmentOutcome, CommitmentTransaction, DATA_SET_BYTES_MAX, event_report,
};
use crate::dicom::intake::event::{AssociationEnd, ReceiverEvent};
use crate::dicom::intake::instance_intake::{InstanceIntake, InstanceRefusal, refusal};
use crate::dicom::intake::partial_file::PartialFile;
use crate::dicom::intake::sender::InstanceSender;
use crate::dicom::names::status::DimseStatus;
use crate::dicom::wire::association::{Association, AssociationError, AssociationMessage};
use crate::dicom::wire::command::{C_ECHO, C_STORE, CommandSet, N_ACTION, N_EVENT_REPORT};
use crate::dicom_file::part10::FileHead;

use super::slots::SlotActivity;

pub(in crate::dicom) struct ServiceProvider<'a> {
    intake: &'a InstanceIntake<'a>,
    commitments: &'a CommitmentService,
    sender: InstanceSender,
    coming: Option<IncomingDataSet>,
    stored: u64,
    /// Whether an instance was refused that might be accepted later.
    wanting: bool,
    activity: Arc<SlotActivity>,
}

/// A data set that is being received for a request. One that is refused is received to its end before it is
/// answered.
struct IncomingDataSet {
    context: u8,
    syntax: String,
    request: CommandSet,
    sink: DataSetSink,
}

enum DataSetSink {
    Instance {
        head: FileHead,
        part: Box<Result<PartialFile, InstanceRefusal>>,
        /// The bytes received since the studies were last notified that the instance is being received.
        untold: usize,
    },
    Memory(Vec<u8>),
    Nothing(InstanceRefusal),
    /// The data set belongs to no request, so there is no response.
    Unasked,
}

/// The bytes after which the studies are notified that an instance is still being received.
const TELLING_BYTES: usize = 1 << 20;

/// A response to be sent on the association.
pub(in crate::dicom) struct DimseAnswer {
    pub context: u8,
    pub command: CommandSet,
    pub data_set: Option<Vec<u8>>,
}

impl<'a> ServiceProvider<'a> {
    pub fn new(
        intake: &'a InstanceIntake<'a>,
        commitments: &'a CommitmentService,
        sender: InstanceSender,
    ) -> ServiceProvider<'a> {
        let activity = Arc::default();
        ServiceProvider { intake, commitments, sender, coming: None, stored: 0, wanting: false, activity }
    }

    /// Has received data counted as activity of the association's slot.
    pub fn with_activity(self, activity: &Arc<SlotActivity>) -> ServiceProvider<'a> {
        ServiceProvider { activity: Arc::clone(activity), ..self }
    }

    /// Serves until the peer requests the release of the association.
    pub fn serve(&mut self, association: &mut Association) -> Result<(), AssociationError> {
        loop {
            let answers = match association.hear()? {
                AssociationMessage::Release => return Ok(()),
                AssociationMessage::Data { bytes, last } => self.data(bytes, last),
                AssociationMessage::Command { context, command } => {
                    let syntax = association.context(context).map(|one| one.transfer_syntax.clone());
                    self.command(context, command, syntax)
                }
            };
            send(association, &answers)?;
        }
    }

    /// Number of instances stored.
    pub fn stored(&self) -> u64 {
        self.stored
    }

    /// Whether an instance has been stored and no data set is partly received: if such a peer falls silent,
    /// it counts as finished.
    pub fn is_idle(&self) -> bool {
        self.coming.is_none() && self.stored > 0
    }

    /// Ends the sender's session, with the way in which the association ended.
    pub fn close(self, end: Result<(), AssociationError>) {
        let session = self.sender.session;
        let (end, reason) = match end {
            Ok(()) => (AssociationEnd::Released, String::new()),
            Err(broken) => (AssociationEnd::Aborted, broken.to_string()),
        };
        // If an instance is missing, a released association counts as aborted.
        let left = if self.wanting { AssociationEnd::Aborted } else { end };
        self.intake.studies.leave(session.number, left.into());
        (self.intake.tell)(&ReceiverEvent::Closed { session, end, reason, instances: self.stored });
    }

    /// Processes a command; `syntax` is that of its presentation context, if one was accepted.
    pub fn command(&mut self, context: u8, request: CommandSet, syntax: Option<String>) -> Vec<DimseAnswer> {
        if !request.has_data_set() {
            return match request.field() {
                C_ECHO => vec![self.answer(context, &request, Ok(()))],
                C_STORE => {
                    let missing = refusal(DimseStatus::MISTYPED_ARGUMENT, "the data set is missing");
                    vec![self.answer(context, &request, Err(missing))]
                }
                _ if !request.is_question() => Vec::new(),
                _ => vec![self.answer(context, &request, Err(unknown()))],
            };
        }
        let sink = match (request.field(), &syntax) {
            _ if !request.is_question() => DataSetSink::Unasked,
            (_, None) => {
                DataSetSink::Nothing(refusal(DimseStatus::CANNOT_UNDERSTAND, "no such presentation context"))
            }
            (C_STORE, Some(syntax)) => {
                let head = FileHead {
                    sop_class_uid: request.sop_class_uid().to_owned(),
                    sop_instance_uid: request.sop_instance_uid().to_owned(),
                    transfer_syntax_uid: syntax.clone(),
                };
                let part = Box::new(self.intake.begin_data_set(&head));
                self.intake.studies.is_receiving(self.sender.session.number);
                DataSetSink::Instance { head, part, untold: 0 }
            }
            (N_ACTION | N_EVENT_REPORT, Some(_)) if request.sop_class_uid() == transaction::CLASS => {
                DataSetSink::Memory(Vec::new())
            }
            (_, Some(_)) => DataSetSink::Nothing(unknown()),
        };
        self.coming = Some(IncomingDataSet { context, syntax: syntax.unwrap_or_default(), request, sink });
        Vec::new()
    }

    /// Processes a fragment of the data set of the last command.
    pub fn data(&mut self, bytes: &[u8], last: bool) -> Vec<DimseAnswer> {
        let coming = self.coming.as_mut().expect("a data set follows its command");
        match &mut coming.sink {
            DataSetSink::Instance { part, untold, .. } => {
                self.activity.received(bytes.len());
                *untold += bytes.len();
                if *untold >= TELLING_BYTES {
                    *untold = 0;
                    self.intake.studies.is_receiving(self.sender.session.number);
                }
                self.intake.write(part, bytes);
            }
            DataSetSink::Memory(held) if held.len() + bytes.len() > DATA_SET_BYTES_MAX => {
                coming.sink =
                    DataSetSink::Nothing(refusal(DimseStatus::OUT_OF_RESOURCES, "the data set is too long"));
            }
            DataSetSink::Memory(held) => held.extend_from_slice(bytes),
            DataSetSink::Nothing(_) | DataSetSink::Unasked => {}
        }
        match self.coming.take_if(|_| last) {
            Some(coming) => self.finish(coming),
            None => Vec::new(),
        }
    }

    fn finish(
        &mut self,
        IncomingDataSet { context, syntax, request, sink }: IncomingDataSet,
    ) -> Vec<DimseAnswer> {
        let (outcome, more) = match sink {
            DataSetSink::Unasked => return Vec::new(),
            DataSetSink::Nothing(refusal) => (Err(refusal), None),
            DataSetSink::Instance { head, part, .. } => {
                // The time that the disk takes does not count as the peer's silence.
                self.activity.storing();
                let stored = (*part).and_then(|part| self.intake.keep(&self.sender, part, Some(&head)));
                self.intake.studies.received(self.sender.session.number);
                match &stored {
                    Ok(_) => {
                        self.stored += 1;
                        self.activity.stored();
                    }
                    Err(_) => self.activity.waiting(),
                }
                (stored.map(drop), None)
            }
            DataSetSink::Memory(data_set) if request.field() == N_EVENT_REPORT => {
                (self.settle(&data_set, &syntax), None)
            }
            DataSetSink::Memory(data_set) => match self.promise(&data_set, &syntax) {
                Err(refusal) => (Err(refusal), None),
                Ok(report) => (Ok(()), report),
            },
        };
        let answer = self.answer(context, &request, outcome);
        let more = more.map(|(command, data_set)| DimseAnswer { context, command, data_set: Some(data_set) });
        std::iter::once(answer).chain(more).collect()
    }

    /// Notes the outcome of a commitment that we have requested.
    fn settle(&self, data_set: &[u8], syntax: &str) -> Result<(), InstanceRefusal> {
        let told = CommitmentOutcome::decode(data_set, syntax);
        let (uid, outcome) =
            told.ok_or_else(|| refusal(DimseStatus::INVALID_ARGUMENT, "it is no outcome"))?;
        let asked = self.commitments.asked.settle(&uid, &outcome);
        let unasked = || refusal(DimseStatus::PROCESSING_FAILURE, "no such commitment was asked for");
        asked.then_some(()).ok_or_else(unasked)
    }

    /// Accepts a commitment request, or refuses it. The outcome is reported to the sender's node, or at once
    /// on this association if its node is not known.
    fn promise(
        &self,
        data_set: &[u8],
        syntax: &str,
    ) -> Result<Option<(CommandSet, Vec<u8>)>, InstanceRefusal> {
        let asked = CommitmentTransaction::decode(data_set, syntax);
        let asked = asked
            .ok_or_else(|| refusal(DimseStatus::INVALID_ARGUMENT, "it names no transaction and objects"))?;
        let reports = &self.commitments.reports;
        if reports.can_call(&self.sender.calling_ae) {
            if !reports.have_room_for(&asked) {
                return Err(refusal(
                    DimseStatus::RESOURCE_LIMITATION,
                    "too many commitments wait, try again later",
                ));
            }
            reports.accept(&self.sender.calling_ae, asked)?;
            return Ok(None);
        }
        let outcome = reports.outcome(&asked)?;
        Ok(Some(event_report(&asked.uid, &outcome, syntax)))
    }

    fn answer(
        &mut self,
        context: u8,
        request: &CommandSet,
        outcome: Result<(), InstanceRefusal>,
    ) -> DimseAnswer {
        let command = match outcome {
            Ok(()) => request.answer(DimseStatus::SUCCESS, ""),
            Err(InstanceRefusal { status, reason, .. }) => {
                let answer = request.answer(status, &reason);
                self.wanting |= status == DimseStatus::OUT_OF_RESOURCES;
                (self.intake.tell)(&ReceiverEvent::Refused { session: self.sender.session, status, reason });
                answer
            }
        };
        DimseAnswer { context, command, data_set: None }
    }
}

pub(in crate::dicom) fn send(
    association: &mut Association,
    answers: &[DimseAnswer],
) -> Result<(), AssociationError> {
    let mut answers = answers.iter();
    answers.try_for_each(|one| match &one.data_set {
        None => association.send(one.context, &one.command),
        Some(data_set) => association.send_with(one.context, &one.command, data_set),
    })
}

fn unknown() -> InstanceRefusal {
    refusal(DimseStatus::UNRECOGNISED_OPERATION, "that is not served here")
}
