//! A message that is being sent: split into PDUs that the peer accepts, in few large writes, however long it
//! is.
//!
//! Memory is one buffer. A data set is written while it is read or made, so its length need not be known
//! before.

use std::io::{self, IoSlice, Write};

use super::broken::AssociationError;
use super::connection::PduConnection;

pub(super) const P_DATA: u8 = 0x04;
pub(super) const PDV_HEADER_BYTES: u32 = 6;
pub(super) const COMMAND_FRAGMENT: u8 = 1;
pub(super) const LAST_FRAGMENT: u8 = 2;

/// Least number of bytes written at once, except at the end.
const WRITTEN_BYTES_MIN: usize = 256 << 10;

const HEAD_BYTES: usize = 12;

/// A command that is being sent, and the data set that is written behind it.
pub struct OutgoingMessage<'a> {
    connection: &'a mut PduConnection,
    context: u8,
    /// The most bytes of a fragment.
    room: usize,
    kind: u8,
    /// Complete PDUs that are not written yet, and the open one behind them.
    pending: Vec<u8>,
    /// The position of the open PDU.
    begun: usize,
    /// The error of the connection, after which nothing more is sent.
    broken: Option<AssociationError>,
}

impl<'a> OutgoingMessage<'a> {
    /// Begins a message with its command.
    pub(super) fn new(
        connection: &'a mut PduConnection,
        pdu_bytes: u32,
        context: u8,
        command: &[u8],
    ) -> OutgoingMessage<'a> {
        let room = (pdu_bytes.saturating_sub(PDV_HEADER_BYTES) & !1).max(2) as usize;
        let mut outgoing = OutgoingMessage {
            connection,
            context,
            room,
            kind: COMMAND_FRAGMENT,
            pending: Vec::new(),
            begun: 0,
            broken: None,
        };
        outgoing.open();
        // A command always fits into the buffer.
        outgoing.take_all(command);
        outgoing.shut(LAST_FRAGMENT);
        outgoing
    }

    /// Goes on with the data set of the message.
    pub fn data_set(mut self) -> OutgoingMessage<'a> {
        self.kind = 0;
        self.open();
        self
    }

    /// The error of the connection, if one has occurred.
    pub fn why_broken(self) -> Option<AssociationError> {
        self.broken
    }

    /// Ends the message and writes the rest of it.
    pub fn finish(mut self) -> Result<(), AssociationError> {
        if self.kind == 0 {
            self.shut(LAST_FRAGMENT);
        }
        self.send()
    }

    fn take_all(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = self.take(bytes);
            bytes = &bytes[taken..];
        }
    }

    /// Takes as many bytes as fit into the open PDU, or into a new one.
    fn take(&mut self, bytes: &[u8]) -> usize {
        if self.pending.len() - self.begun - HEAD_BYTES == self.room {
            self.shut(0);
            self.open();
        }
        let room = self.room - (self.pending.len() - self.begun - HEAD_BYTES);
        let taken = room.min(bytes.len());
        self.pending.extend_from_slice(&bytes[..taken]);
        taken
    }

    fn open(&mut self) {
        self.begun = self.pending.len();
        self.pending.extend([0; HEAD_BYTES]);
    }

    /// Writes the head of the open PDU: P-DATA-TF with one fragment (PS3.8 9.3.5).
    fn shut(&mut self, last: u8) {
        let length = (self.pending.len() - self.begun - HEAD_BYTES) as u32;
        let [a, b, c, d] = (length + PDV_HEADER_BYTES).to_be_bytes();
        let [e, f, g, h] = (length + 2).to_be_bytes();
        let head = [P_DATA, 0, a, b, c, d, e, f, g, h, self.context, self.kind | last];
        self.pending[self.begun..self.begun + HEAD_BYTES].copy_from_slice(&head);
    }

    /// Writes the complete PDUs.
    fn send(&mut self) -> Result<(), AssociationError> {
        self.connection.send_pieces(&mut [IoSlice::new(&self.pending)])?;
        self.pending.clear();
        Ok(())
    }
}

impl Write for OutgoingMessage<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let is_full = self.pending.len() - self.begun - HEAD_BYTES == self.room;
        if is_full && !bytes.is_empty() && self.pending.len() >= WRITTEN_BYTES_MIN {
            self.shut(0);
            if let Err(broken) = self.send() {
                let error = io::Error::other(broken.to_string());
                self.broken = Some(broken);
                return Err(error);
            }
            self.open();
        }
        Ok(self.take(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use dicom_ul::Pdu;
    use dicom_ul::pdu::{PDataValue, PDataValueType, read_pdu};

    use super::super::DicomStream;
    use super::*;

    /// The fragments that arrive of a command and a data set that is written in pieces of so many bytes.
    fn arrived(pdu_bytes: u32, command: &[u8], data_set: Option<&[u8]>, piece: usize) -> Vec<PDataValue> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        let reading = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            peer.read_to_end(&mut bytes).unwrap();
            bytes
        });
        let mut connection = PduConnection::new(DicomStream::Plain(stream), Duration::from_secs(30)).unwrap();
        let mut outgoing = OutgoingMessage::new(&mut connection, pdu_bytes, 3, command);
        if let Some(data_set) = data_set {
            outgoing = outgoing.data_set();
            data_set.chunks(piece).for_each(|piece| outgoing.write_all(piece).unwrap());
        }
        outgoing.finish().unwrap();
        drop(connection);
        let bytes = reading.join().unwrap();
        let (mut rest, mut values) = (bytes.as_slice(), Vec::new());
        while !rest.is_empty() {
            // Longer than agreed would be an error here.
            let Some(Pdu::PData { data }) = read_pdu(rest, pdu_bytes, true).unwrap() else {
                panic!("no data")
            };
            rest = &rest[6 + u32::from_be_bytes(rest[2..6].try_into().unwrap()) as usize..];
            values.extend(data);
        }
        values
    }

    #[test]
    fn fragments_fit_the_peer_and_join_to_the_message() {
        let data_set: Vec<u8> = (0..600_001_u32).map(|index| (index % 251) as u8).collect();
        for (pdu_bytes, piece) in [(2048, 7000), (2048, 2042), (100_000, 4096), (300_000, 600_001)] {
            let values = arrived(pdu_bytes, b"command", Some(&data_set), piece);
            let (command, data) = values.split_first().unwrap();
            assert_eq!((command.value_type.clone(), command.is_last), (PDataValueType::Command, true));
            assert_eq!(command.data, b"command");
            assert!(data.iter().all(|one| one.value_type == PDataValueType::Data));
            assert!(data.iter().all(|one| one.presentation_context_id == 3));
            assert_eq!(data.iter().filter(|one| one.is_last).count(), 1);
            assert!(data.last().unwrap().is_last);
            assert!(data.iter().flat_map(|one| &one.data).eq(&data_set), "{pdu_bytes} in {piece}");
        }
    }

    #[test]
    fn an_empty_data_set_is_one_fragment_and_none_is_no_fragment() {
        assert_eq!(arrived(4096, b"command", Some(&[]), 1).len(), 2);
        assert_eq!(arrived(4096, b"command", None, 1).len(), 1);
        assert_eq!(arrived(4096, &[7; 5000], None, 1).len(), 2, "a long command takes two");
    }
}
