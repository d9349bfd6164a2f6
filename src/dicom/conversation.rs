//! One association, from its negotiation to its end: C-ECHO and C-STORE as their provider.
//!
//! Any storage class and any transfer syntax that can be read is taken. Memory is bounded, whatever the
//! peer announces: by the buffer of the connection and by what is read of a file for its header, at
//! most 64 MiB.

use std::net::{SocketAddr, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::association::{Association, Broken, Heard, Stream, Terms, accept};
use super::command::{C_ECHO, C_STORE, Command};
use super::door::{Door, Refusal, Visitor, refusal};
use super::inbox::Part;
use super::part10::Head;
use super::studies::End;
use super::{Event, Settings, Status};

/// Holds the conversation on a connection to its end.
pub(super) fn converse(door: &Door, number: u64, stream: TcpStream, peer: SocketAddr) {
    let mut association = match guarded(|| establish(door.settings, stream, peer)) {
        Ok(association) => association,
        Err(broken) => return (door.tell)(&Event::TurnedAway { peer, reason: broken.to_string() }),
    };
    let visitor = Visitor {
        number,
        calling_ae: printable(&association.calling_ae),
        called_ae: printable(&association.called_ae),
    };
    (door.tell)(&Event::Opened { association: number, peer, calling_ae: visitor.calling_ae.clone() });
    let mut provider = Provider::new(door, visitor);
    let end = guarded(|| provider.serve(&mut association));
    let end = match end {
        Ok(()) => association.release_agreed(),
        Err(broken) => {
            association.abort();
            Err(broken)
        }
    };
    provider.close(end);
}

/// A panic, for example in a library on damaged input, ends this conversation and no other.
fn guarded<T>(work: impl FnOnce() -> Result<T, Broken>) -> Result<T, Broken> {
    let mistake = || Broken::Own("a mistake in flow, please report it".to_owned());
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(mistake()))
}

/// The peer's AE titles as attributes and in messages.
fn printable(title: &str) -> String {
    title.chars().filter(|letter| (' '..='~').contains(letter) && *letter != '\\').collect()
}

fn establish(settings: &Settings, stream: TcpStream, peer: SocketAddr) -> Result<Association, Broken> {
    let terms = Terms {
        ae_title: &settings.ae_title,
        called: settings.called,
        callers: &settings.callers,
        contexts_max: settings.contexts_max,
        pdu_bytes_max: settings.pdu_bytes_max,
        silence_max: settings.idle_time_max,
    };
    accept(secured(settings, stream)?, peer.ip(), &terms)
}

/// The handshake of TLS, where that is asked for, under the time limit of the rest.
pub(super) fn secured(settings: &Settings, stream: TcpStream) -> Result<Stream, Broken> {
    let Some(tls) = &settings.tls else { return Ok(Stream::Plain(stream)) };
    stream.set_read_timeout(Some(settings.idle_time_max))?;
    stream.set_write_timeout(Some(settings.idle_time_max))?;
    let stream = tls.accept(stream).map_err(|error| Broken::Own(error.to_string()))?;
    Ok(Stream::Tls(stream))
}

/// What is provided on one association.
pub(super) struct Provider<'a> {
    door: &'a Door<'a>,
    visitor: Visitor,
    transfer: Option<Transfer>,
    stored: u64,
    /// An instance was refused that may be taken later.
    wanting: bool,
}

/// A data set on its way. One that is refused is received to its end all the same, and then answered.
struct Transfer {
    context: u8,
    request: Command,
    head: Head,
    part: Result<Part, Refusal>,
}

/// An answer that is due on the association.
pub(super) struct Answer {
    pub context: u8,
    pub command: Command,
}

impl<'a> Provider<'a> {
    pub fn new(door: &'a Door<'a>, visitor: Visitor) -> Provider<'a> {
        Provider { door, visitor, transfer: None, stored: 0, wanting: false }
    }

    /// Serves until the peer wants to release the association.
    fn serve(&mut self, association: &mut Association) -> Result<(), Broken> {
        loop {
            let answer = match association.hear()? {
                Heard::Release => return Ok(()),
                Heard::Data { bytes, last } => self.data(bytes, last),
                Heard::Command { context, command } => {
                    let syntax = association.context(context).map(|one| one.transfer_syntax.clone());
                    self.command(context, command, syntax)
                }
            };
            if let Some(Answer { context, command }) = answer {
                association.send(context, &command)?;
            }
        }
    }

    /// What the end of the association means for the studies on it.
    fn close(self, end: Result<(), Broken>) {
        let association = self.visitor.number;
        let (end, reason) = match end {
            Ok(()) => (End::Released, String::new()),
            Err(broken) => (End::Aborted, broken.to_string()),
        };
        // What lacks an instance is not complete, however politely the sender went.
        let left = if self.wanting { End::Aborted } else { end };
        self.door.studies.leave(association, left);
        (self.door.tell)(&Event::Closed { association, end, reason, instances: self.stored });
    }

    pub fn command(&mut self, context: u8, request: Command, syntax: Option<String>) -> Option<Answer> {
        let unknown = || refusal(Status::UNRECOGNISED_OPERATION, "only C-STORE and C-ECHO are served");
        let (head, part) = match (request.field(), request.has_data_set()) {
            (C_ECHO, false) => return Some(self.answer(context, &request, Ok(()))),
            (_, false) => return Some(self.answer(context, &request, Err(unknown()))),
            (C_STORE, true) => {
                let head = Head {
                    sop_class_uid: request.sop_class_uid().to_owned(),
                    sop_instance_uid: request.sop_instance_uid().to_owned(),
                    transfer_syntax_uid: syntax.clone().unwrap_or_default(),
                };
                let agreed = || refusal(Status::CANNOT_UNDERSTAND, "no such presentation context");
                let part = syntax.ok_or_else(agreed).and_then(|_| self.door.begin_data_set(&head));
                (head, part)
            }
            (_, true) => (Head::default(), Err(unknown())),
        };
        self.transfer = Some(Transfer { context, request, head, part });
        None
    }

    pub fn data(&mut self, bytes: &[u8], last: bool) -> Option<Answer> {
        let transfer = self.transfer.as_mut().expect("a data set follows its command");
        self.door.write(&mut transfer.part, bytes);
        if !last {
            return None;
        }
        let Transfer { context, request, head, part } = self.transfer.take()?;
        let stored = part.and_then(|part| self.door.keep(&self.visitor, part, Some(&head)));
        self.stored += u64::from(stored.is_ok());
        Some(self.answer(context, &request, stored.map(drop)))
    }

    fn answer(&mut self, context: u8, request: &Command, outcome: Result<(), Refusal>) -> Answer {
        let command = match outcome {
            Ok(()) => request.answer(Status::SUCCESS, ""),
            Err(Refusal { status, reason }) => {
                let answer = request.answer(status, &reason);
                self.wanting |= status == Status::OUT_OF_RESOURCES;
                (self.door.tell)(&Event::Refused { association: self.visitor.number, status, reason });
                answer
            }
        };
        Answer { context, command }
    }
}
