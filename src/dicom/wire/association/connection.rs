//! PDUs on a connection, plain or encrypted (PS3.8 section 9).
//!
//! Two timers of TCP decide the speed of DICOM. A peer that leaves Nagle's algorithm on holds back the tail
//! of a message until what it sent is acknowledged, and Linux delays that by 40 ms: so we ask for an
//! immediate acknowledgement before every read, which makes an unmodified storescu some eighty times faster.
//! Our own messages go out in large writes without delay.
//!
//! Memory is one buffer, whatever the peer announces. A PDU that has begun must arrive as a whole within the
//! time that a peer may be silent: a peer that sends a byte a second is disconnected.

use std::io::{self, IoSlice, Read, Write};
use std::net::TcpStream;
use std::ops::Range;
use std::time::{Duration, Instant};

use dicom_ul::pdu::write_pdu;
use dicom_ul::{Pdu, pdu::read_pdu};

use crate::tls;

use super::broken::AssociationError;

/// The longest PDU of the negotiation: 128 contexts with many syntaxes each.
const NEGOTIATION_BYTES_MAX: u32 = 256 << 10;

const HEADER_BYTES: usize = 6;

/// A connection of which no byte has been read yet.
#[derive(Debug)]
pub enum DicomStream {
    Plain(TcpStream),
    Tls(tls::TlsStream),
    /// All bytes that the peer has sent, for tests.
    #[cfg(any(test, fuzzing))]
    Recorded(io::Cursor<Vec<u8>>),
}

#[derive(Debug)]
pub(super) struct PduConnection {
    stream: DicomStream,
    buffer: Vec<u8>,
    /// Part of the buffer that has been received and not yet consumed.
    filled: Range<usize>,
    /// The longest PDU that is accepted, without its header.
    pdu_bytes_max: u32,
    silence_max: Duration,
}

/// A PDU in the buffer, until the next one is asked for.
pub(super) struct ReceivedPdu {
    pub kind: u8,
    pub body: Range<usize>,
}

impl PduConnection {
    pub fn new(stream: DicomStream, silence_max: Duration) -> io::Result<PduConnection> {
        if let Some(tcp) = stream.tcp() {
            tcp.set_nodelay(true)?;
            tcp.set_read_timeout(Some(silence_max))?;
            tcp.set_write_timeout(Some(silence_max))?;
        }
        let buffer = vec![0; HEADER_BYTES + NEGOTIATION_BYTES_MAX as usize];
        Ok(PduConnection { stream, buffer, filled: 0..0, pdu_bytes_max: NEGOTIATION_BYTES_MAX, silence_max })
    }

    /// Sets the longest PDU that is accepted from now on; at most that of the negotiation.
    pub fn limit(&mut self, pdu_bytes_max: u32) {
        self.pdu_bytes_max = pdu_bytes_max.min(NEGOTIATION_BYTES_MAX);
    }

    pub fn wait_at_most(&mut self, silence_max: Duration) -> io::Result<()> {
        // A timeout of zero would mean to wait for ever.
        self.silence_max = silence_max.max(Duration::from_millis(1));
        self.stream.tcp().map_or(Ok(()), |tcp| tcp.set_read_timeout(Some(self.silence_max)))
    }

    /// Waits for the next PDU; its length is checked before it is read.
    pub fn receive(&mut self) -> Result<ReceivedPdu, AssociationError> {
        let mut begun = None;
        loop {
            if let Some(received) = self.take()? {
                return Ok(received);
            }
            let now = Instant::now();
            if !self.filled.is_empty() && now - *begun.get_or_insert(now) > self.silence_max {
                return Err(AssociationError::Silent);
            }
            self.fill()?;
        }
    }

    /// Waits for a PDU of the negotiation, or of the end.
    pub fn receive_parsed(&mut self) -> Result<Pdu, AssociationError> {
        let ReceivedPdu { body, .. } = self.receive()?;
        let whole = &self.buffer[body.start - HEADER_BYTES..body.end];
        let pdu = read_pdu(whole, NEGOTIATION_BYTES_MAX, true);
        pdu.ok().flatten().ok_or(AssociationError::NotAPdu)
    }

    /// Whether all received bytes have been consumed.
    pub fn is_between_pdus(&self) -> bool {
        self.filled.is_empty()
    }

    pub fn bytes(&self, place: Range<usize>) -> &[u8] {
        &self.buffer[place]
    }

    pub fn send(&mut self, pdu: &Pdu) -> Result<(), AssociationError> {
        let mut bytes = Vec::new();
        write_pdu(&mut bytes, pdu)
            .map_err(|error| AssociationError::Io(io::Error::other(error.to_string())))?;
        self.send_pieces(&mut [IoSlice::new(&bytes)])
    }

    pub fn send_pieces(&mut self, mut pieces: &mut [IoSlice]) -> Result<(), AssociationError> {
        while !pieces.is_empty() {
            match self.stream.write_vectored(pieces) {
                Ok(0) => return Err(AssociationError::Closed),
                Ok(written) => IoSlice::advance_slices(&mut pieces, written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(self.stream.flush()?)
    }

    /// Ends the connection in good order.
    pub fn close(&mut self) {
        if let DicomStream::Tls(stream) = &mut self.stream {
            stream.close();
        }
    }

    fn take(&mut self) -> Result<Option<ReceivedPdu>, AssociationError> {
        let filled = &self.buffer[self.filled.clone()];
        let Some((&[kind, _, a, b, c, d], _)) = filled.split_first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([a, b, c, d]);
        if length > self.pdu_bytes_max {
            return Err(AssociationError::TooLong(length));
        }
        let start = self.filled.start + HEADER_BYTES;
        let body = start..start + length as usize;
        if body.end > self.filled.end {
            return Ok(None);
        }
        self.filled.start = body.end;
        Ok(Some(ReceivedPdu { kind, body }))
    }

    fn fill(&mut self) -> Result<(), AssociationError> {
        // The rest is the beginning of one PDU, which is moved to the buffer's start.
        self.buffer.copy_within(self.filled.clone(), 0);
        self.filled = 0..self.filled.len();
        self.stream.tcp().map(acknowledge_at_once);
        match self.stream.read(&mut self.buffer[self.filled.end..]) {
            Ok(0) => Err(AssociationError::Closed),
            Ok(read) => {
                self.filled.end += read;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Linux leaves this mode by itself, so it is set before each read. A failure costs speed only.
#[cfg(target_os = "linux")]
fn acknowledge_at_once(stream: &TcpStream) {
    use std::os::linux::net::TcpStreamExt;
    let _ = stream.set_quickack(true);
}

#[cfg(not(target_os = "linux"))]
fn acknowledge_at_once(_stream: &TcpStream) {}

impl DicomStream {
    /// The TCP socket, for timers and timeouts; `None` if there is no network below.
    fn tcp(&self) -> Option<&TcpStream> {
        match self {
            DicomStream::Plain(stream) => Some(stream),
            DicomStream::Tls(stream) => Some(stream.tcp()),
            #[cfg(any(test, fuzzing))]
            DicomStream::Recorded(_) => None,
        }
    }
}

impl Read for DicomStream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            DicomStream::Plain(stream) => stream.read(bytes),
            DicomStream::Tls(stream) => stream.read(bytes),
            #[cfg(any(test, fuzzing))]
            DicomStream::Recorded(said) => said.read(bytes),
        }
    }
}

impl Write for DicomStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            DicomStream::Plain(stream) => stream.write(bytes),
            DicomStream::Tls(stream) => stream.write(bytes),
            #[cfg(any(test, fuzzing))]
            DicomStream::Recorded(_) => Ok(bytes.len()),
        }
    }

    fn write_vectored(&mut self, pieces: &[IoSlice]) -> io::Result<usize> {
        match self {
            DicomStream::Plain(stream) => stream.write_vectored(pieces),
            DicomStream::Tls(stream) => stream.write_vectored(pieces),
            #[cfg(any(test, fuzzing))]
            DicomStream::Recorded(_) => Ok(pieces.iter().map(|piece| piece.len()).sum()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            DicomStream::Plain(stream) => stream.flush(),
            DicomStream::Tls(stream) => stream.flush(),
            #[cfg(any(test, fuzzing))]
            DicomStream::Recorded(_) => Ok(()),
        }
    }
}
