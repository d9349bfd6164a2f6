//! One message from process 0 to another, when all have met: its length, its bytes, and a proof of the
//! connection's key, so that nobody in between can have written it.

use std::io::{self, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::handshake::{ConnectionKey, read_until};

/// The most bytes of an announcement.
const BYTES_MAX: u32 = 64 << 20;

/// The least time to send one.
const TIME_MIN: Duration = Duration::from_secs(1);

/// Sends a message before a time.
///
/// # Errors
/// The peer does not take it, or it is too long.
pub fn send(socket: &mut TcpStream, key: &ConnectionKey, message: &[u8], until: Instant) -> io::Result<()> {
    let length = u32::try_from(message.len()).ok().filter(|length| *length <= BYTES_MAX);
    let length = length.ok_or_else(|| io::Error::other("the message is too long"))?;
    socket.set_write_timeout(Some(time_left(until, Instant::now())))?;
    socket.write_all(&[&length.to_be_bytes(), message, key.proof_of(message).as_bytes()].concat())?;
    socket.set_write_timeout(None)
}

/// The time-out of a write that is to end by a time. Zero is no time-out that a socket takes, and none would wait for
/// ever, so that a late write has a moment.
fn time_left(until: Instant, now: Instant) -> Duration {
    until.saturating_duration_since(now).max(TIME_MIN)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_has_a_time_out_also_when_its_time_has_passed() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        assert_eq!(time_left(now + 5 * second, now), 5 * second);
        assert_eq!(time_left(now, now), second);
        assert_eq!(time_left(now, now + second), second);
    }
}
