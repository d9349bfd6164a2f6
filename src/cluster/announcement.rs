//! One message from process 0 to another, when all have met: its length, its bytes, and a proof of the
//! connection's key, so that nobody in between can have written it.

use std::io::{self, Write};
use std::net::TcpStream;
use std::time::Instant;

use super::handshake::{ConnectionKey, read_until};

/// The most bytes of an announcement.
const BYTES_MAX: u32 = 64 << 20;

/// Sends a message before a time.
///
/// # Errors
/// The peer does not take it, or it is too long.
pub fn send(socket: &mut TcpStream, key: &ConnectionKey, message: &[u8], until: Instant) -> io::Result<()> {
    let length = u32::try_from(message.len()).ok().filter(|length| *length <= BYTES_MAX);
    let length = length.ok_or_else(|| io::Error::other("the message is too long"))?;
    socket.set_write_timeout(until.checked_duration_since(Instant::now()))?;
    socket.write_all(&[&length.to_be_bytes(), message, key.proof_of(message).as_bytes()].concat())?;
    socket.set_write_timeout(None)
}

/// Receives a message before a time.
///
/// # Errors
/// The peer does not send it, or the proof is not that of the connection's key.
pub fn receive(socket: &mut TcpStream, key: &ConnectionKey, until: Instant) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    read_until(socket, &mut length, until)?;
    let length = u32::from_be_bytes(length);
    if length > BYTES_MAX {
        return Err(io::Error::other("the message is too long"));
    }
    let mut message = vec![0; length as usize];
    read_until(socket, &mut message, until)?;
    let mut proof = [0; 32];
    read_until(socket, &mut proof, until)?;
    socket.set_read_timeout(None)?;
    // The comparison of BLAKE3 hashes takes constant time.
    if key.proof_of(&message) != blake3::Hash::from_bytes(proof) {
        return Err(io::Error::other("the message was changed on its way"));
    }
    Ok(message)
}
