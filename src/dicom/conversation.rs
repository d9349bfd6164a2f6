//! One association, from its negotiation to its end: C-ECHO and C-STORE as their provider.
//!
//! Any storage class and any transfer syntax that can be read is taken. A data set goes to disk as
//! it comes, and success is answered when the file is where it stays. Memory is bounded, whatever the
//! peer announces: by the PDU size and by what is read of a file for its header, at most 64 MiB.

use std::fs::File;
use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};

use dicom_ul::Pdu;
use dicom_ul::association::server::AccessControl;
use dicom_ul::association::{Association, Error, ServerAssociation, ServerAssociationOptions};
use dicom_ul::pdu::{
    AssociationRJServiceUserReason, PDataValue, PDataValueType, PresentationContextResultReason, ReadError,
    UserIdentity,
};

use crate::imaging::{Header, Study, Unreadable, read_instance};
use crate::step::Item;
use crate::store::free_bytes;

use super::command::{C_ECHO, C_STORE, COMMAND_BYTES_MAX, Command};
use super::inbox::{Inbox, Kept, Part};
use super::instance::{HEADER_BYTES_MAX, Instance};
use super::part10::Head;
use super::studies::{End, Sender, Studies};
use super::{Called, Event, Settings, Status, wire};

/// What all associations share.
pub(super) struct Host<'a> {
    pub settings: &'a Settings,
    pub inbox: Inbox,
    pub studies: Studies,
    pub tell: &'a (dyn Fn(&Event) + Sync),
}

/// Holds the conversation on a connection to its end.
pub(super) fn converse(host: &Host, number: u64, stream: TcpStream, peer: SocketAddr) {
    let association = match guarded(|| establish(host.settings, stream).map_err(Broken::from)) {
        Ok(association) => association,
        Err(Broken(reason)) => return (host.tell)(&Event::TurnedAway { peer, reason }),
    };
    let sender = Sender {
        association: number,
        calling_ae: printable(association.peer_ae_title()),
        called_ae: printable(association.called_ae_title()),
    };
    (host.tell)(&Event::Opened { association: number, peer, calling_ae: sender.calling_ae.clone() });
    let incoming = Incoming::default();
    let (begun, stored, wanting) = (0, 0, false);
    let mut conversation = Conversation { host, association, sender, incoming, begun, stored, wanting };
    let end = guarded(|| conversation.run());
    conversation.close(end);
}

/// A panic, for example in a library on damaged input, ends this conversation and no other.
fn guarded<T>(work: impl FnOnce() -> Result<T, Broken>) -> Result<T, Broken> {
    let mistake = || Broken("a mistake in flow, please report it".to_owned());
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(mistake()))
}

/// The peer's AE titles as attributes and in messages.
fn printable(title: &str) -> String {
    title.chars().filter(|letter| (' '..='~').contains(letter) && *letter != '\\').collect()
}

fn establish(settings: &Settings, stream: TcpStream) -> Result<ServerAssociation<TcpStream>, Error> {
    // Without it an answer would wait for the acknowledgement of the one before; it costs speed only.
    let _ = stream.set_nodelay(true);
    ServerAssociationOptions::new()
        .ae_access_control(Admission(settings.called))
        .ae_title(settings.ae_title.as_str())
        .promiscuous(true)
        .max_pdu_length(settings.pdu_bytes_max)
        .strict(true)
        .read_timeout(settings.idle_time_max)
        .write_timeout(settings.idle_time_max)
        .establish(stream)
}

struct Admission(Called);

impl AccessControl for Admission {
    fn check_access(
        &self,
        own_title: &str,
        _calling: &str,
        called: &str,
        _user: Option<&UserIdentity>,
    ) -> Result<(), AssociationRJServiceUserReason> {
        match self.0 {
            Called::Ours if own_title != called => {
                Err(AssociationRJServiceUserReason::CalledAETitleNotRecognized)
            }
            Called::Ours | Called::Any => Ok(()),
        }
    }
}

struct Conversation<'a> {
    host: &'a Host<'a>,
    association: ServerAssociation<TcpStream>,
    sender: Sender,
    incoming: Incoming,
    /// Instances whose transfer began, and those in the inbox.
    begun: u64,
    stored: u64,
    /// An instance was refused that may be taken later.
    wanting: bool,
}

/// What the next fragment belongs to.
enum Incoming {
    Command(Vec<u8>),
    DataSet(Box<Transfer>),
}

impl Default for Incoming {
    fn default() -> Incoming {
        Incoming::Command(Vec::new())
    }
}

/// A data set on its way. One that is refused is received to its end all the same, and then answered.
struct Transfer {
    context: u8,
    request: Command,
    sink: Result<Part, Refusal>,
}

/// Why an instance is answered with a failure.
struct Refusal {
    status: Status,
    reason: String,
}

fn refusal(status: Status, reason: impl Into<String>) -> Refusal {
    Refusal { status, reason: reason.into() }
}

impl From<io::Error> for Refusal {
    /// The inbox is full, or out of reach: the sender may try again later.
    fn from(error: io::Error) -> Refusal {
        refusal(Status::OUT_OF_RESOURCES, format!("the inbox cannot be written: {error}"))
    }
}

/// Why a conversation cannot go on.
struct Broken(String);

impl From<Error> for Broken {
    fn from(error: Error) -> Broken {
        Broken(reason(&error))
    }
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Broken {
        Broken(format!("the answer could not be sent: {error}"))
    }
}

impl Conversation<'_> {
    /// Receives until the peer releases the association.
    fn run(&mut self) -> Result<(), Broken> {
        loop {
            match wire::receive(&mut self.association)? {
                Pdu::PData { data } => {
                    data.into_iter().try_for_each(|fragment| self.fragment(fragment))?;
                }
                Pdu::ReleaseRQ => return Ok(self.association.send(&Pdu::ReleaseRP)?),
                Pdu::AbortRQ { .. } => return Err(Broken("the peer aborted it".to_owned())),
                _ => return Err(Broken("the peer sent a PDU that has no place here".to_owned())),
            }
        }
    }

    fn close(self, end: Result<(), Broken>) {
        let association = self.sender.association;
        let (end, reason) = match end {
            Ok(()) => (End::Released, String::new()),
            Err(Broken(reason)) => {
                // The peer may be gone: then there is nobody to tell.
                let _ = self.association.abort();
                (End::Aborted, reason)
            }
        };
        // What lacks an instance is not complete, however politely the sender went.
        let left = if self.wanting { End::Aborted } else { end };
        self.host.studies.leave(association, left);
        (self.host.tell)(&Event::Closed { association, end, reason, instances: self.stored });
    }

    fn fragment(&mut self, fragment: PDataValue) -> Result<(), Broken> {
        let context = fragment.presentation_context_id;
        match (std::mem::take(&mut self.incoming), fragment.value_type) {
            (Incoming::Command(mut bytes), PDataValueType::Command) => {
                bytes.extend(fragment.data);
                if bytes.len() > COMMAND_BYTES_MAX {
                    return Err(Broken("the peer's command set is too long".to_owned()));
                }
                if fragment.is_last {
                    return self.command(context, &bytes);
                }
                self.incoming = Incoming::Command(bytes);
            }
            (Incoming::DataSet(mut transfer), PDataValueType::Data) if transfer.context == context => {
                transfer.write(&fragment.data, self.host.settings.instance_bytes_max);
                if fragment.is_last {
                    return self.finish(*transfer);
                }
                self.incoming = Incoming::DataSet(transfer);
            }
            _ => return Err(Broken("the peer mixed up command and data set".to_owned())),
        }
        Ok(())
    }

    fn command(&mut self, context: u8, bytes: &[u8]) -> Result<(), Broken> {
        let request = Command::decode(bytes).map_err(|error| Broken(error.to_string()))?;
        let unknown = || refusal(Status::UNRECOGNISED_OPERATION, "only C-STORE and C-ECHO are served");
        let sink = match (request.field(), request.has_data_set()) {
            (C_STORE, true) => self.begin(context, &request),
            (C_ECHO, false) => return self.answer(context, &request, Ok(Success::Echo)),
            (_, false) => return self.answer(context, &request, Err(unknown())),
            (_, true) => Err(unknown()),
        };
        self.incoming = Incoming::DataSet(Box::new(Transfer { context, request, sink }));
        Ok(())
    }

    fn begin(&mut self, context: u8, request: &Command) -> Result<Part, Refusal> {
        let contexts = self.association.presentation_contexts().iter();
        let accepted = PresentationContextResultReason::Acceptance;
        let agreed = contexts.into_iter().find(|one| one.id == context && one.reason == accepted);
        let agreed =
            agreed.ok_or_else(|| refusal(Status::CANNOT_UNDERSTAND, "no such presentation context"))?;
        if !is_uid(request.sop_class_uid()) || !is_uid(request.sop_instance_uid()) {
            return Err(refusal(Status::INVALID_INSTANCE, "a SOP UID is not a UID"));
        }
        if !self.host.studies.have_room() {
            return Err(refusal(Status::OUT_OF_RESOURCES, "too much is waiting, try again later"));
        }
        if free_bytes(&self.host.settings.inbox) < self.host.settings.free_bytes_min {
            return Err(refusal(Status::OUT_OF_RESOURCES, "the disk is nearly full, try again later"));
        }
        let head = Head {
            sop_class_uid: request.sop_class_uid().to_owned(),
            sop_instance_uid: request.sop_instance_uid().to_owned(),
            transfer_syntax_uid: agreed.transfer_syntax.trim_end_matches(['\0', ' ']).to_owned(),
        };
        self.begun += 1;
        let mut part = self.host.inbox.begin(self.sender.association, self.begun)?;
        part.write(&head.encode())?;
        Ok(part)
    }

    fn finish(&mut self, transfer: Transfer) -> Result<(), Broken> {
        let Transfer { context, request, sink } = transfer;
        let kept = sink.and_then(|part| self.keep(&request, part));
        self.answer(context, &request, kept.map(Success::Stored))
    }

    /// Puts a received file into its study.
    fn keep(&mut self, request: &Command, part: Part) -> Result<Kept, Refusal> {
        let digest = part.digest();
        let name = format!("{}-{}.dcm", request.sop_instance_uid(), digest.short());
        let (header, study) = read(&name, &part)?;
        check(request, &header, &study)?;
        let (host, size) = (self.host, part.size());
        let folder =
            host.studies.folder(&study.study_instance_uid, &self.sender, || host.inbox.new_folder())?;
        let kept = part.keep(&folder, &name)?;
        let (path, decoded) = (kept.path().to_owned(), header.decoded_bytes().max(size));
        let item = Item { name, path, digest, size, decoded, received: true };
        host.studies.add(Instance::new(item, header, study));
        self.stored += 1;
        (host.tell)(&Event::Stored { association: self.sender.association, bytes: size });
        Ok(kept)
    }

    fn answer(
        &mut self,
        context: u8,
        request: &Command,
        outcome: Result<Success, Refusal>,
    ) -> Result<(), Broken> {
        let answer = match outcome {
            Ok(Success::Echo | Success::Stored(_)) => request.answer(Status::SUCCESS, ""),
            Err(Refusal { status, reason }) => {
                let answer = request.answer(status, &reason);
                let association = self.sender.association;
                self.wanting |= status == Status::OUT_OF_RESOURCES;
                (self.host.tell)(&Event::Refused { association, status, reason });
                answer
            }
        };
        Ok(wire::send(&mut self.association, context, &answer, None)?)
    }
}

/// What may be answered with success.
enum Success {
    Echo,
    /// An instance that is on the disk.
    Stored(#[expect(dead_code, reason = "having it is the point")] Kept),
}

impl Transfer {
    fn write(&mut self, bytes: &[u8], bytes_max: u64) {
        let Ok(part) = &mut self.sink else { return };
        if part.size() + bytes.len() as u64 > bytes_max {
            self.sink = Err(refusal(Status::OUT_OF_RESOURCES, "the instance is too large"));
        } else if let Err(error) = part.write(bytes) {
            self.sink = Err(error.into());
        }
    }
}

/// Reads header and study from the beginning of the file that is at hand, or from more if need be.
fn read(name: &str, part: &Part) -> Result<(Header, Study), Refusal> {
    let read = match read_instance(name, part.path(), part.beginning()) {
        Err(Unreadable::Damaged { .. }) if !part.is_short() => {
            let mut bytes = Vec::new();
            File::open(part.path())?.take(HEADER_BYTES_MAX).read_to_end(&mut bytes)?;
            read_instance(name, part.path(), &bytes)
        }
        read => read,
    };
    read.map_err(|_| refusal(Status::CANNOT_UNDERSTAND, "the data set is damaged or cut off"))
}

/// A file whose head says other than its data set would be found by nobody.
fn check(request: &Command, header: &Header, study: &Study) -> Result<(), Refusal> {
    if study.study_instance_uid.is_empty() {
        return Err(refusal(Status::CANNOT_UNDERSTAND, "the data set has no Study Instance UID"));
    }
    let same = header.sop_class_uid == request.sop_class_uid()
        && header.sop_instance_uid == request.sop_instance_uid();
    let mismatch = || refusal(Status::DATA_SET_MISMATCH, "SOP UIDs of command and data set differ");
    same.then_some(()).ok_or_else(mismatch)
}

/// Digits and dots, at most 64 (PS3.5 9.1): safe as part of a file name.
fn is_uid(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_digit() || byte == b'.';
    (1..=64).contains(&text.len()) && text.bytes().all(allowed) && !text.starts_with('.')
}

/// What went wrong, in words of ours: the library's messages may quote what the peer sent.
fn reason(error: &Error) -> String {
    let text = match error {
        Error::ReceivePdu { source: ReadError::ReadPdu { source, .. }, .. } => return waiting(source),
        Error::ReceivePdu { source: ReadError::PduTooLarge { pdu_length, .. }, .. } => {
            return format!("the peer announced a PDU of {pdu_length} bytes, more than agreed");
        }
        Error::ReceivePdu { .. } => "the peer sent what is no DICOM PDU",
        Error::Rejected { association_rj, .. } => return format!("rejected: {}", association_rj.source),
        Error::ConnectionClosed { .. } => "the connection was closed",
        Error::SendPdu { .. } | Error::WireSend { .. } => "the peer no longer takes answers",
        Error::UnexpectedPdu { .. } | Error::UnknownPdu { .. } => "the peer did not ask for an association",
        Error::Aborted { .. } => "the peer aborted it",
        _ => "the negotiation failed",
    };
    text.to_owned()
}

fn waiting(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "the peer was silent for too long".to_owned(),
        _ => format!("the connection broke: {error}"),
    }
}
