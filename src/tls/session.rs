//! TLS 1.3 between two processes of flow, for connections that are read and written at the same time.
//!
//! A session does no input or output after its handshake: it turns bytes of the wire into bytes of the program and
//! back. So one thread can wait for the peer while another one sends.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use rustls::client::Resumption;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};

use super::shared_key;
use super::{CertificateNames, TlsError, TlsIdentity, failed, provider, read_authorities, server_name};

/// How a process proves to another who it is, and what it asks of it.
#[derive(Clone, Debug)]
pub struct SessionKeys {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    has_names: bool,
}

/// An encrypted connection after its handshake.
pub struct TlsSession(Connection);

impl SessionKeys {
    /// Trusts whoever has the same key, on both sides. The key has to be as secret as what it protects.
    ///
    /// # Errors
    /// If the key cannot be used.
    pub fn shared(private_key: &[u8; 32]) -> Result<SessionKeys, TlsError> {
        let (server, client) = shared_key::configurations(private_key).map_err(|error| failed(&error))?;
        Ok(SessionKeys::of(server, client, false))
    }

    /// Shows a certificate, and trusts those that one of the `authorities` has signed, on both sides.
    ///
    /// # Errors
    /// A file cannot be read, or the key does not belong to the certificate.
    pub fn certified(identity: &TlsIdentity, authorities: &Path) -> Result<SessionKeys, TlsError> {
        let versions = &[&rustls::version::TLS13];
        let roots = Arc::new(read_authorities(authorities)?);
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), provider()).build();
        let unusable = |error| TlsError::File { path: authorities.to_owned(), reason: format!("{error}") };
        let (chain, key) = identity.read()?;
        let server = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .map_err(|error| failed(&error))?
            .with_client_cert_verifier(verifier.map_err(unusable)?)
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(|source| identity.unusable(source))?;
        let client = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .map_err(|error| failed(&error))?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .map_err(|source| identity.unusable(source))?;
        Ok(SessionKeys::of(server, client, true))
    }

    fn of(mut server: ServerConfig, mut client: ClientConfig, has_names: bool) -> SessionKeys {
        // Every connection proves itself anew.
        server.send_tls13_tickets = 0;
        client.resumption = Resumption::disabled();
        SessionKeys { server: Arc::new(server), client: Arc::new(client), has_names }
    }

    /// Whether the certificates of processes name their hosts.
    pub fn has_names(&self) -> bool {
        self.has_names
    }

    /// Performs the handshake with a process that has connected, all of it before a time.
    ///
    /// # Errors
    /// The peer does not speak TLS, is too slow, or is not trusted.
    pub fn accept(&self, socket: &TcpStream, until: Instant) -> Result<TlsSession, TlsError> {
        let connection = ServerConnection::new(Arc::clone(&self.server)).map_err(|error| failed(&error))?;
        TlsSession::begin(Connection::Server(connection), socket, until)
    }

    /// Performs the handshake with a process that listens, all of it before a time. A certificate has to be valid for
    /// `host`.
    ///
    /// # Errors
    /// As [`SessionKeys::accept`].
    pub fn connect(&self, host: &str, socket: &TcpStream, until: Instant) -> Result<TlsSession, TlsError> {
        let connection = ClientConnection::new(Arc::clone(&self.client), server_name(host)?);
        TlsSession::begin(Connection::Client(connection.map_err(|error| failed(&error))?), socket, until)
    }
}

impl TlsSession {
    fn begin(mut connection: Connection, socket: &TcpStream, until: Instant) -> Result<TlsSession, TlsError> {
        connection.set_buffer_limit(None);
        let mut bounded = BoundedSocket { socket, until };
        while connection.is_handshaking() {
            connection.complete_io(&mut bounded).map_err(TlsError::Handshake)?;
        }
        Ok(TlsSession(connection))
    }

    /// The names in the peer's certificate; `None` where it showed none.
    pub fn peer_names(&self) -> Option<CertificateNames> {
        self.0
            .peer_certificates()?
            .first()
            .map(|certificate| CertificateNames(certificate.clone().into_owned()))
    }

    /// Encrypts bytes of the program, and gives the bytes of the wire.
    ///
    /// # Errors
    /// If the session has ended.
    pub fn seal(&mut self, plain: &[u8]) -> io::Result<Vec<u8>> {
        self.0.writer().write_all(plain)?;
        let mut sealed = Vec::with_capacity(plain.len() + plain.len() / 256 + 64);
        while self.0.wants_write() {
            self.0.write_tls(&mut sealed)?;
        }
        Ok(sealed)
    }

    /// Decrypts bytes of the wire, and adds the bytes of the program to `plain`. Bytes that were changed on their way
    /// end the session.
    ///
    /// # Errors
    /// If the bytes are not what the peer sent, or it has ended the session.
    pub fn open(&mut self, mut sealed: &[u8], plain: &mut Vec<u8>) -> io::Result<()> {
        loop {
            let state = match sealed.is_empty() {
                true => self.0.process_new_packets(),
                false => {
                    self.0.read_tls(&mut sealed)?;
                    self.0.process_new_packets()
                }
            };
            let state = state.map_err(io::Error::other)?;
            let begun = plain.len();
            plain.resize(begun + state.plaintext_bytes_to_read(), 0);
            self.0.reader().read_exact(&mut plain[begun..])?;
            if sealed.is_empty() {
                return match state.peer_has_closed() {
                    true => Err(io::ErrorKind::UnexpectedEof.into()),
                    false => Ok(()),
                };
            }
        }
    }
}

/// A socket whose reads and writes end at a time, however often the peer sends a byte.
struct BoundedSocket<'a> {
    socket: &'a TcpStream,
    until: Instant,
}

impl BoundedSocket<'_> {
    fn left(&self) -> io::Result<std::time::Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

impl Read for BoundedSocket<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(Some(self.left()?))?;
        self.socket.read(bytes)
    }
}

impl Write for BoundedSocket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(Some(self.left()?))?;
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::Duration;

    use super::*;

    fn pair(first: [u8; 32], second: [u8; 32]) -> [Result<TlsSession, TlsError>; 2] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        std::thread::scope(|scope| {
            let accepting = scope.spawn(move || {
                SessionKeys::shared(&first).unwrap().accept(&listener.accept().unwrap().0, until)
            });
            let socket = TcpStream::connect(address).unwrap();
            let connected = SessionKeys::shared(&second).unwrap().connect("127.0.0.1", &socket, until);
            drop(socket);
            [accepting.join().unwrap(), connected]
        })
    }

    #[test]
    fn who_has_the_key_is_understood_and_a_flipped_bit_ends_the_session() {
        let [server, client] = pair([7; 32], [7; 32]).map(Result::unwrap);
        let (mut server, mut client) = (server, client);
        let message: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
        let mut sealed = client.seal(&message).unwrap();
        assert!(!sealed.windows(64).any(|part| part == &message[4096..4160]), "it is encrypted");
        let mut plain = Vec::new();
        let (begin, rest) = sealed.split_at(70_001);
        server.open(begin, &mut plain).unwrap();
        server.open(rest, &mut plain).unwrap();
        assert!(plain == message);
        sealed = client.seal(b"once more").unwrap();
        sealed[12] ^= 4;
        assert!(server.open(&sealed, &mut plain).is_err());
        assert!(plain == message);
    }

    #[test]
    fn another_key_is_refused() {
        let [server, client] = pair([7; 32], [8; 32]);
        assert!(server.is_err() || client.is_err());
        assert!(server.is_err(), "what the client believes to be encrypted is refused here");
    }
}
