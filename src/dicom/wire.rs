//! Messages on an association's socket, either side.
//!
//! Two timers of TCP decide the speed of DICOM. A peer that leaves Nagle's algorithm on holds back
//! the tail of a message until what it sent is acknowledged, and Linux delays that by 40 ms: so we
//! ask for an immediate acknowledgement before every read, which makes an unmodified storescu
//! some eighty times faster. What we send ourselves goes out in large writes without delay.

use std::backtrace::Backtrace;
use std::io::{self, BufWriter, Read, Write};
use std::net::TcpStream;

use dicom_ul::Pdu;
use dicom_ul::association::{Error, SyncAssociation};
use dicom_ul::pdu::{ReadError, read_pdu};

use super::command::Command;

/// Larger PDUs gain nothing, whatever the peer takes.
const PDU_BYTES_SENT_MAX: u32 = 256 << 10;

const P_DATA: u8 = 0x04;
const PDV_HEADER_BYTES: u32 = 6;
const COMMAND_FRAGMENT: u8 = 1;
const LAST_FRAGMENT: u8 = 2;

/// Receives a PDU; one longer than announced at negotiation is refused before it is read.
pub(super) fn receive<A: SyncAssociation<TcpStream>>(association: &mut A) -> Result<Pdu, Error> {
    let pdu_bytes_max = association.local_max_pdu_length();
    let (stream, buffer) = association.get_mut();
    loop {
        let pdu = read_pdu(&buffer[..], pdu_bytes_max, true);
        if let Some(pdu) = pdu.map_err(|source| Error::ReceivePdu { source })? {
            let _ = buffer.split_to(HEADER_BYTES + announced(buffer));
            return Ok(pdu);
        }
        // What is missing of this PDU, or as much as an answer takes.
        let missing = (HEADER_BYTES + announced(buffer)).saturating_sub(buffer.len());
        let filled = buffer.len();
        buffer.resize(filled + missing.max(READ_BYTES_MIN), 0);
        acknowledge_at_once(stream);
        let read = stream.read(&mut buffer[filled..]);
        buffer.truncate(filled + read.as_ref().unwrap_or(&0));
        match read {
            Ok(0) => return Err(Error::ConnectionClosed { backtrace: Backtrace::capture() }),
            Ok(_) => {}
            Err(source) if source.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => {
                let source = ReadError::ReadPdu { source, backtrace: Backtrace::capture() };
                return Err(Error::ReceivePdu { source });
            }
        }
    }
}

const HEADER_BYTES: usize = 6;
const READ_BYTES_MIN: usize = 16 << 10;

/// The length of the PDU that begins here; 0 as long as that is not known.
fn announced(bytes: &[u8]) -> usize {
    let length = bytes.get(2..HEADER_BYTES).and_then(|length| length.try_into().ok());
    length.map_or(0, |length| u32::from_be_bytes(length) as usize)
}

/// Linux leaves this mode by itself, so it has to be asked for again and again. Failing to get it
/// costs speed only.
#[cfg(target_os = "linux")]
fn acknowledge_at_once(stream: &TcpStream) {
    use std::os::linux::net::TcpStreamExt;
    let _ = stream.set_quickack(true);
}

#[cfg(not(target_os = "linux"))]
fn acknowledge_at_once(_stream: &TcpStream) {}

/// Sends a command and the data set that belongs to it, in PDUs the peer takes.
pub(super) fn send<A: SyncAssociation<TcpStream>>(
    association: &mut A,
    context: u8,
    command: &Command,
    data_set: Option<&[u8]>,
) -> io::Result<()> {
    let pdu_bytes = association.peer_max_pdu_length().min(PDU_BYTES_SENT_MAX);
    let mut out = BufWriter::with_capacity(64 << 10, association.inner_stream());
    write_fragments(&mut out, pdu_bytes, context, COMMAND_FRAGMENT, &command.encode())?;
    if let Some(data_set) = data_set {
        write_fragments(&mut out, pdu_bytes, context, 0, data_set)?;
    }
    out.flush()
}

/// Writes a command or data set as P-DATA-TF PDUs (PS3.8 9.3.5), one fragment each.
fn write_fragments(
    out: &mut impl Write,
    pdu_bytes: u32,
    context: u8,
    kind: u8,
    mut bytes: &[u8],
) -> io::Result<()> {
    let room = (pdu_bytes.saturating_sub(PDV_HEADER_BYTES) & !1).max(2);
    loop {
        let (fragment, rest) = bytes.split_at(bytes.len().min(room as usize));
        let last = if rest.is_empty() { LAST_FRAGMENT } else { 0 };
        let length = fragment.len() as u32;
        out.write_all(&[P_DATA, 0])?;
        out.write_all(&(length + PDV_HEADER_BYTES).to_be_bytes())?;
        out.write_all(&(length + 2).to_be_bytes())?;
        out.write_all(&[context, kind | last])?;
        out.write_all(fragment)?;
        if rest.is_empty() {
            return Ok(());
        }
        bytes = rest;
    }
}

#[cfg(test)]
mod tests {
    use dicom_ul::pdu::PDataValueType;

    use super::*;

    #[test]
    fn fragments_fit_the_peer_and_join_to_the_message() {
        let message: Vec<u8> = (0..5001).map(|index| index as u8).collect();
        let mut wire = Vec::new();
        write_fragments(&mut wire, 2048, 3, 0, &message).unwrap();
        let (mut joined, mut last) = (Vec::new(), false);
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            assert!(!last);
            let Some(Pdu::PData { data }) = read_pdu(&mut rest, 2048, true).unwrap() else {
                panic!("not a P-DATA PDU")
            };
            assert_eq!((data[0].presentation_context_id, &data[0].value_type), (3, &PDataValueType::Data));
            joined.extend_from_slice(&data[0].data);
            last = data[0].is_last;
        }
        assert!(last);
        assert_eq!(joined, message);
    }
}
