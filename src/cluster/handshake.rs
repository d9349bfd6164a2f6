//! The handshake of two processes of a cluster.
//!
//! Each process sends a nonce, its number and its settings, and answers with a BLAKE3 hash of the other's
//! nonce and both numbers, keyed with the shared secret. Both then have a key for this connection alone.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::step::Digest;

const MAGIC: &[u8; 8] = b"flow/1\r\n";

/// The longest time that a whole handshake takes. A peer that sends a byte now and then gains nothing.
const HANDSHAKE_MAX: Duration = Duration::from_secs(5);

/// The secret that all processes of a cluster share.
#[derive(Clone)]
pub struct ClusterSecret([u8; 32]);

impl ClusterSecret {
    pub fn new(text: &[u8]) -> ClusterSecret {
        ClusterSecret(blake3::derive_key("flow cluster secret, first version", text))
    }

    /// Reads the secret from a file, without leading and trailing white space.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(path: &Path) -> io::Result<ClusterSecret> {
        Ok(ClusterSecret::new(std::fs::read(path)?.trim_ascii()))
    }
}

/// The key of one connection, which both of its processes know after their handshake.
pub struct ConnectionKey([u8; 32]);

impl ConnectionKey {
    /// The proof that a message was written by a process with this key.
    pub fn proof_of(&self, message: &[u8]) -> blake3::Hash {
        blake3::keyed_hash(&self.0, message)
    }
}

/// The settings that all processes of a cluster must have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterAgreement {
    pub dataflow: Digest,
    pub lanes: usize,
    pub workers: usize,
    pub processes: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    #[error("the peer did not answer the handshake in time")]
    Silent(#[from] io::Error),
    #[error("the peer is not a flow process of this version")]
    Stranger,
    #[error("the peer does not have the secret of the cluster")]
    Secret,
    #[error(
        "the peer runs {theirs}, this process {ours}: start both with the same dataflow, -w, -n and --lanes"
    )]
    Disagreement { ours: String, theirs: String },
    #[error("the peer is process {theirs} instead of {expected}: check the hosts file and -p")]
    Number { theirs: usize, expected: usize },
}

/// The handshake of the connecting side.
pub fn introduce(
    socket: &mut TcpStream,
    me: usize,
    peer: usize,
    secret: &ClusterSecret,
    agreement: &ClusterAgreement,
) -> Result<ConnectionKey, HandshakeError> {
    match exchange(socket, me, secret, agreement)? {
        (theirs, key) if theirs == peer => Ok(key),
        (theirs, _) => Err(HandshakeError::Number { theirs, expected: peer }),
    }
}

/// The handshake of the accepting side; returns the number of the peer as well.
pub fn welcome(
    socket: &mut TcpStream,
    me: usize,
    secret: &ClusterSecret,
    agreement: &ClusterAgreement,
) -> Result<(usize, ConnectionKey), HandshakeError> {
    socket.set_nonblocking(false)?;
    exchange(socket, me, secret, agreement)
}

fn exchange(
    socket: &mut TcpStream,
    me: usize,
    secret: &ClusterSecret,
    agreement: &ClusterAgreement,
) -> Result<(usize, ConnectionKey), HandshakeError> {
    let until = Instant::now() + HANDSHAKE_MAX;
    socket.set_nodelay(true)?;
    socket.set_write_timeout(Some(HANDSHAKE_MAX))?;
    let mine = HelloMessage { nonce: nonce()?, number: me as u64, agreement: agreement.clone() };
    socket.write_all(&mine.bytes())?;
    let mut bytes = [0; HELLO];
    read_until(socket, &mut bytes, until)?;
    let theirs = HelloMessage::parse(&bytes).ok_or(HandshakeError::Stranger)?;
    socket.write_all(proof(secret, &theirs, &mine).as_bytes())?;
    let mut answer = [0; 32];
    read_until(socket, &mut answer, until)?;
    // The comparison of BLAKE3 hashes takes constant time.
    if proof(secret, &mine, &theirs) != blake3::Hash::from_bytes(answer) {
        return Err(HandshakeError::Secret);
    }
    if theirs.agreement != *agreement {
        let (ours, theirs) = (describe(agreement), describe(&theirs.agreement));
        return Err(HandshakeError::Disagreement { ours, theirs });
    }
    socket.set_read_timeout(None)?;
    socket.set_write_timeout(None)?;
    Ok((theirs.number as usize, connection_key(secret, &mine, &theirs)))
}

/// Fills a buffer, all of it before a time.
pub(super) fn read_until(socket: &mut TcpStream, mut buffer: &mut [u8], until: Instant) -> io::Result<()> {
    while !buffer.is_empty() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        socket.set_read_timeout(Some(left))?;
        match socket.read(buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => buffer = &mut buffer[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

const HELLO: usize = 8 + 32 + 8 + 32 + 3 * 8;

struct HelloMessage {
    nonce: [u8; 32],
    number: u64,
    agreement: ClusterAgreement,
}

impl HelloMessage {
    fn bytes(&self) -> Vec<u8> {
        let ClusterAgreement { dataflow, lanes, workers, processes } = &self.agreement;
        let numbers = [*lanes, *workers, *processes].map(|number| (number as u64).to_be_bytes());
        let number = self.number.to_be_bytes();
        [MAGIC.as_slice(), &self.nonce, &number, dataflow.as_bytes(), numbers.as_flattened()].concat()
    }

    fn parse(bytes: &[u8; HELLO]) -> Option<HelloMessage> {
        let (magic, rest) = bytes.split_at(8);
        let (nonce, rest) = rest.split_first_chunk::<32>()?;
        let (number, rest) = rest.split_first_chunk::<8>()?;
        let (dataflow, rest) = rest.split_first_chunk::<32>()?;
        let mut numbers = rest.as_chunks::<8>().0.iter().map(|bytes| u64::from_be_bytes(*bytes) as usize);
        let agreement = ClusterAgreement {
            dataflow: Digest::from(*dataflow),
            lanes: numbers.next()?,
            workers: numbers.next()?,
            processes: numbers.next()?,
        };
        (magic == MAGIC).then_some(HelloMessage {
            nonce: *nonce,
            number: u64::from_be_bytes(*number),
            agreement,
        })
    }
}

/// The proof of `speaker` for the process that sent `challenge`.
fn proof(secret: &ClusterSecret, challenge: &HelloMessage, speaker: &HelloMessage) -> blake3::Hash {
    blake3::keyed_hash(&secret.0, &[challenge.bytes(), speaker.bytes()].concat())
}

/// A key of both nonces, the same on both sides. A proof is of a longer text, so that none is a key.
fn connection_key(secret: &ClusterSecret, mine: &HelloMessage, theirs: &HelloMessage) -> ConnectionKey {
    let (low, high) = if mine.number < theirs.number { (mine, theirs) } else { (theirs, mine) };
    let nonces = [low.nonce, high.nonce].concat();
    ConnectionKey(*blake3::keyed_hash(&secret.0, &nonces).as_bytes())
}

fn describe(agreement: &ClusterAgreement) -> String {
    let ClusterAgreement { dataflow, lanes, workers, processes } = agreement;
    format!("dataflow {} with -w {workers}, -n {processes} and {lanes} lanes", dataflow.short())
}

fn nonce() -> io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn agreement() -> ClusterAgreement {
        ClusterAgreement { dataflow: Digest::of(b"a"), lanes: 4, workers: 2, processes: 2 }
    }

    fn meet(
        first: (&str, ClusterAgreement),
        second: (&str, ClusterAgreement),
    ) -> (Result<(usize, ConnectionKey), HandshakeError>, Result<ConnectionKey, HandshakeError>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let second = (ClusterSecret::new(second.0.as_bytes()), second.1);
        let connecting = std::thread::spawn(move || {
            introduce(&mut TcpStream::connect(address).unwrap(), 1, 0, &second.0, &second.1)
        });
        let welcomed =
            welcome(&mut listener.accept().unwrap().0, 0, &ClusterSecret::new(first.0.as_bytes()), &first.1);
        (welcomed, connecting.join().unwrap())
    }

    #[test]
    fn two_that_agree_meet() {
        let (welcomed, introduced) = meet(("s", agreement()), ("s", agreement()));
        let (number, key) = welcomed.unwrap();
        assert_eq!(number, 1);
        assert_eq!(introduced.unwrap().proof_of(b"a"), key.proof_of(b"a"));
    }

    #[test]
    fn one_without_the_secret_is_refused_by_both() {
        let (welcomed, introduced) = meet(("s", agreement()), ("t", agreement()));
        assert!(matches!(welcomed, Err(HandshakeError::Secret)));
        assert!(matches!(introduced, Err(HandshakeError::Secret | HandshakeError::Silent(_))));
    }

    #[test]
    fn another_number_of_lanes_is_named() {
        let other = ClusterAgreement { lanes: 5, ..agreement() };
        let (welcomed, _) = meet(("s", agreement()), ("s", other));
        assert!(welcomed.err().unwrap().to_string().contains("5 lanes"));
    }

    #[test]
    fn garbage_is_a_stranger() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let client =
            std::thread::spawn(move || TcpStream::connect(address).unwrap().write_all(&[7; 500]).unwrap());
        let welcomed = welcome(&mut listener.accept().unwrap().0, 0, &ClusterSecret::new(b"s"), &agreement());
        assert!(matches!(welcomed, Err(HandshakeError::Stranger)));
        client.join().unwrap();
    }
}
