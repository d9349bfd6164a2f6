//! One association, as acceptor or requestor: the negotiated terms, and the messages on it (PS3.8, PS3.7
//! section 6.3).
//!
//! dicom-ul reads and writes the PDUs of the negotiation. Access control, acceptance of contexts and the data
//! itself are handled here, so that memory and time are bounded, and a data set passes from the socket to its
//! destination without being copied.

mod accept;
mod broken;
mod connection;
mod outgoing;
mod request;

use std::io::Write;
use std::ops::Range;
use std::time::Duration;

use dicom_ul::Pdu;
use dicom_ul::pdu::{AbortRQServiceProviderReason, AbortRQSource};

use super::command::{COMMAND_BYTES_MAX, CommandSet};
use connection::{PduConnection, ReceivedPdu};
use outgoing::{COMMAND_FRAGMENT, LAST_FRAGMENT, P_DATA, PDV_HEADER_BYTES};

pub(in crate::dicom) use accept::{AcceptanceTerms, accept, refuse};
pub(in crate::dicom) use broken::AssociationError;
pub use connection::DicomStream;
pub(in crate::dicom) use outgoing::OutgoingMessage;
pub(in crate::dicom) use request::{
    APPLICATION_CONTEXT, ContextProposal, PDU_BYTES_MAX, ServiceRole, request,
};

/// The longest PDU that is sent, whatever the peer accepts: larger ones gain nothing.
pub(in crate::dicom) const PDU_BYTES_SENT_MAX: u32 = 256 << 10;

const RELEASE_REQUEST: u8 = 0x05;
const RELEASE_ANSWER: u8 = 0x06;
const ABORT: u8 = 0x07;

pub(in crate::dicom) struct Association {
    connection: PduConnection,
    pub calling_ae: String,
    pub called_ae: String,
    /// Presentation contexts that were accepted.
    pub contexts: Vec<PresentationContext>,
    /// The longest PDU that the peer accepts.
    pdu_bytes_sent_max: u32,
    /// Unread part of the P-DATA PDU in the buffer.
    rest: Range<usize>,
    expected: ExpectedMessage,
}

/// A presentation context: its abstract syntax, and the transfer syntax.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::dicom) struct PresentationContext {
    pub id: u8,
    pub abstract_syntax: String,
    pub transfer_syntax: String,
}

/// The next message received on an association.
#[derive(Debug)]
pub(in crate::dicom) enum AssociationMessage<'a> {
    /// A whole command set; its data set follows if it says so.
    Command { context: u8, command: CommandSet },
    /// A piece of the data set of the last command.
    Data { bytes: &'a [u8], last: bool },
    /// The peer asks to release the association.
    Release,
}

enum ExpectedMessage {
    Command(Vec<u8>),
    Data { context: u8 },
}

struct MessageFragment {
    context: u8,
    is_command: bool,
    is_last: bool,
    place: Range<usize>,
}

impl Association {
    /// Waits for the next message of the peer.
    pub fn hear(&mut self) -> Result<AssociationMessage<'_>, AssociationError> {
        loop {
            if self.rest.is_empty() {
                let ReceivedPdu { kind, body } = self.connection.receive()?;
                match kind {
                    P_DATA => self.rest = body,
                    RELEASE_REQUEST => return Ok(AssociationMessage::Release),
                    ABORT => return Err(AssociationError::Aborted),
                    _ => return Err(AssociationError::Peer("sent an unexpected PDU")),
                }
                continue;
            }
            let fragment = self.fragment()?;
            if !fragment.is_command {
                let last = self.data(&fragment)?;
                return Ok(AssociationMessage::Data { bytes: self.connection.bytes(fragment.place), last });
            }
            if let Some(command) = self.command(&fragment)? {
                return Ok(AssociationMessage::Command { context: fragment.context, command });
            }
        }
    }

    /// Sends a command without a data set.
    pub fn send(&mut self, context: u8, command: &CommandSet) -> Result<(), AssociationError> {
        self.begin(context, command).finish()
    }

    /// Sends a command and a short data set behind it.
    pub fn send_with(
        &mut self,
        context: u8,
        command: &CommandSet,
        data_set: &[u8],
    ) -> Result<(), AssociationError> {
        let mut outgoing = self.begin(context, command).data_set();
        match outgoing.write_all(data_set) {
            Ok(()) => outgoing.finish(),
            Err(error) => Err(outgoing.why_broken().unwrap_or(AssociationError::Io(error))),
        }
    }

    /// Begins to send a command, in PDUs of the length that the peer accepts; its data set may follow.
    pub fn begin(&mut self, context: u8, command: &CommandSet) -> OutgoingMessage<'_> {
        let pdu_bytes = self.pdu_bytes_sent_max.min(PDU_BYTES_SENT_MAX);
        OutgoingMessage::new(&mut self.connection, pdu_bytes, context, &command.encode())
    }

    /// The context for objects of a class in a syntax, if one was accepted.
    pub fn context_for(&self, abstract_syntax: &str, transfer_syntax: &str) -> Option<u8> {
        let of_class = self.contexts.iter().filter(|one| one.abstract_syntax == abstract_syntax);
        of_class.into_iter().find(|one| one.transfer_syntax == transfer_syntax).map(|one| one.id)
    }

    pub fn context(&self, id: u8) -> Option<&PresentationContext> {
        self.contexts.iter().find(|one| one.id == id)
    }

    /// Whether no message of the peer is partly received.
    pub fn is_between_messages(&self) -> bool {
        let no_command = matches!(&self.expected, ExpectedMessage::Command(begun) if begun.is_empty());
        no_command && self.rest.is_empty() && self.connection.is_between_pdus()
    }

    /// Sets the longest wait for a message of the peer, from now on.
    pub fn wait_at_most(&mut self, silence_max: Duration) -> Result<(), AssociationError> {
        Ok(self.connection.wait_at_most(silence_max)?)
    }

    /// Confirms the release that the peer has requested.
    pub fn release_agreed(mut self) -> Result<(), AssociationError> {
        self.connection.send(&Pdu::ReleaseRP)?;
        self.connection.close();
        Ok(())
    }

    /// Releases the association; every request has been answered.
    pub fn release(mut self) -> Result<(), AssociationError> {
        self.connection.send(&Pdu::ReleaseRQ)?;
        let kind = self.connection.receive()?.kind;
        self.connection.close();
        match kind {
            RELEASE_ANSWER => Ok(()),
            _ => Err(AssociationError::Peer("did not agree to the end")),
        }
    }

    /// Aborts the association. Errors are ignored: the peer may have gone already.
    pub fn abort(mut self) {
        let reason = AbortRQServiceProviderReason::ReasonNotSpecified;
        let _ = self.connection.send(&Pdu::AbortRQ { source: AbortRQSource::ServiceProvider(reason) });
        self.connection.close();
    }

    /// The next fragment of the P-DATA PDU in the buffer (PS3.8 9.3.5).
    fn fragment(&mut self) -> Result<MessageFragment, AssociationError> {
        let cut_off = || AssociationError::NotAPdu;
        let bytes = self.connection.bytes(self.rest.clone());
        let (&[a, b, c, d, context, control], after) = bytes.split_first_chunk::<6>().ok_or_else(cut_off)?;
        let length = (u32::from_be_bytes([a, b, c, d]) as usize).checked_sub(2).ok_or_else(cut_off)?;
        if length > after.len() {
            return Err(cut_off());
        }
        let start = self.rest.start + PDV_HEADER_BYTES as usize;
        self.rest.start = start + length;
        let (is_command, is_last) = (control & COMMAND_FRAGMENT != 0, control & LAST_FRAGMENT != 0);
        Ok(MessageFragment { context, is_command, is_last, place: start..start + length })
    }

    fn command(&mut self, fragment: &MessageFragment) -> Result<Option<CommandSet>, AssociationError> {
        let ExpectedMessage::Command(begun) = &mut self.expected else { return Err(MIXED_UP) };
        begun.extend_from_slice(self.connection.bytes(fragment.place.clone()));
        if begun.len() > COMMAND_BYTES_MAX {
            return Err(AssociationError::CommandTooLong);
        }
        if !fragment.is_last {
            return Ok(None);
        }
        let command = CommandSet::decode(&std::mem::take(begun))?;
        if command.has_data_set() {
            self.expected = ExpectedMessage::Data { context: fragment.context };
        }
        Ok(Some(command))
    }

    /// Consumes a fragment of a data set. Gives whether it is the last one.
    fn data(&mut self, fragment: &MessageFragment) -> Result<bool, AssociationError> {
        match self.expected {
            ExpectedMessage::Data { context } if context == fragment.context => {}
            _ => return Err(MIXED_UP),
        }
        if fragment.is_last {
            self.expected = ExpectedMessage::Command(Vec::new());
        }
        Ok(fragment.is_last)
    }
}

const MIXED_UP: AssociationError = AssociationError::Peer("mixed up command and data set");
