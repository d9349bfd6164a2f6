//! TLS connections: our certificate, and the authorities that we trust.
//!
//! TLS 1.2 and 1.3 with the forward-secret cipher suites of rustls, as the BCP 195 profiles of PS3.15 B.9
//! to B.12 require; older versions are refused. All files are PEM. Only certificates that an authority
//! file vouches for are trusted: there is no built-in list of authorities.

mod session;
mod shared_key;
mod socket;

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use socket::TlsSocket;

pub use session::{SessionKeys, TlsSession};

/// The identity of this installation: a certificate with its chain, and its private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsIdentity {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// The hosts that a certificate names.
#[derive(Clone, Debug)]
pub struct CertificateNames(CertificateDer<'static>);

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("could not read {}: {reason}", path.display())]
    File { path: PathBuf, reason: String },
    #[error("the certificate in {} and its key cannot be used: {source}", path.display())]
    Identity { path: PathBuf, source: rustls::Error },
    #[error("{0:?} is not the name of a host")]
    Name(String),
    #[error("TLS handshake failed: {0}")]
    Handshake(io::Error),
}

impl TlsError {
    /// Whether an error of a connection is one of TLS, as a peer that refuses our certificate, and not of the network.
    pub fn is_cause_of(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>())
    }
}

/// The TLS configuration for incoming connections.
#[derive(Clone, Debug)]
pub struct TlsServer(Arc<ServerConfig>);

/// The TLS configuration for outgoing connections.
#[derive(Clone, Debug)]
pub struct TlsClient(Arc<ClientConfig>);

/// A TLS connection. The read timeout of its socket bounds the whole handshake, and each record.
#[derive(Debug)]
pub enum TlsStream {
    Incoming(Box<StreamOwned<ServerConnection, TlsSocket>>),
    Outgoing(Box<StreamOwned<ClientConnection, TlsSocket>>),
}

impl TlsServer {
    /// Reads our identity and, with `authorities`, requires a client certificate that one of them has signed.
    ///
    /// # Errors
    /// A file cannot be read, or the key does not belong to the certificate.
    pub fn open(identity: &TlsIdentity, authorities: Option<&Path>) -> Result<TlsServer, TlsError> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("the provider knows TLS 1.2 and 1.3");
        let builder = match authorities {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let roots = Arc::new(read_authorities(path)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build();
                let unusable = |error| TlsError::File { path: path.to_owned(), reason: format!("{error}") };
                builder.with_client_cert_verifier(verifier.map_err(unusable)?)
            }
        };
        let (chain, key) = identity.read()?;
        let config = builder.with_single_cert(chain, key).map_err(|source| identity.unusable(source))?;
        Ok(TlsServer(Arc::new(config)))
    }

    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0)
    }

    /// Performs the handshake with a client, within the read and write timeouts of the socket.
    ///
    /// # Errors
    /// The client does not speak TLS, or lacks a required certificate.
    pub fn accept(&self, stream: TcpStream) -> Result<TlsStream, TlsError> {
        let connection = ServerConnection::new(self.config()).map_err(|error| failed(&error))?;
        let mut stream = StreamOwned::new(connection, TlsSocket::new(stream));
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).map_err(TlsError::Handshake)?;
        }
        stream.sock.done().map_err(TlsError::Handshake)?;
        Ok(TlsStream::Incoming(Box::new(stream)))
    }
}

impl TlsClient {
    /// Trusts servers whose certificates one of the `authorities` has signed.
    ///
    /// # Errors
    /// As for [`TlsServer::open`].
    pub fn open(authorities: &Path, identity: Option<&TlsIdentity>) -> Result<TlsClient, TlsError> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("the provider knows TLS 1.2 and 1.3")
            .with_root_certificates(read_authorities(authorities)?);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let (chain, key) = identity.read()?;
                let built = builder.with_client_auth_cert(chain, key);
                built.map_err(|source| identity.unusable(source))?
            }
        };
        Ok(TlsClient(Arc::new(config)))
    }

    pub fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0)
    }

    /// Performs the handshake with a server; its certificate must be valid for `host`.
    ///
    /// # Errors
    /// One side does not trust the certificate of the other, or the server does not speak TLS.
    pub fn connect(&self, host: &str, stream: TcpStream) -> Result<TlsStream, TlsError> {
        let connection =
            ClientConnection::new(self.config(), server_name(host)?).map_err(|error| failed(&error))?;
        let mut stream = StreamOwned::new(connection, TlsSocket::new(stream));
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).map_err(TlsError::Handshake)?;
        }
        stream.sock.done().map_err(TlsError::Handshake)?;
        Ok(TlsStream::Outgoing(Box::new(stream)))
    }
}

/// A host as a subject name in a certificate; an IPv6 address may have brackets.
///
/// # Errors
/// The text is neither a host name nor an IP address.
pub fn server_name(host: &str) -> Result<ServerName<'static>, TlsError> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(bare.to_owned()).map_err(|_| TlsError::Name(host.to_owned()))
}

impl TlsStream {
    pub fn tcp(&self) -> &TcpStream {
        match self {
            TlsStream::Incoming(stream) => &stream.sock.tcp,
            TlsStream::Outgoing(stream) => &stream.sock.tcp,
        }
    }

    fn socket(&mut self) -> &mut TlsSocket {
        match self {
            TlsStream::Incoming(stream) => &mut stream.sock,
            TlsStream::Outgoing(stream) => &mut stream.sock,
        }
    }

    /// Sends `close_notify`. Errors are ignored: a peer that has gone needs no notice.
    pub fn close(&mut self) {
        match self {
            TlsStream::Incoming(stream) => stream.conn.send_close_notify(),
            TlsStream::Outgoing(stream) => stream.conn.send_close_notify(),
        }
        let _ = self.flush();
    }
}

impl Read for TlsStream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = match self {
            TlsStream::Incoming(stream) => stream.read(bytes),
            TlsStream::Outgoing(stream) => stream.read(bytes),
        };
        self.socket().done()?;
        read
    }
}

impl Write for TlsStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            TlsStream::Incoming(stream) => stream.write(bytes),
            TlsStream::Outgoing(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            TlsStream::Incoming(stream) => stream.flush(),
            TlsStream::Outgoing(stream) => stream.flush(),
        }
    }
}

impl TlsIdentity {
    /// The names in the certificate.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn names(&self) -> Result<CertificateNames, TlsError> {
        Ok(CertificateNames(read_certificates(&self.certificate)?.swap_remove(0)))
    }

    fn read(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
        let key = PrivateKeyDer::from_pem_file(&self.key);
        Ok((read_certificates(&self.certificate)?, key.map_err(|error| unread(&self.key, &error))?))
    }

    fn unusable(&self, source: rustls::Error) -> TlsError {
        TlsError::Identity { path: self.certificate.clone(), source }
    }
}

impl CertificateNames {
    /// Whether the certificate is valid for a host, as clients judge it.
    pub fn have(&self, host: &str) -> bool {
        let Ok(name) = ServerName::try_from(host) else { return false };
        let certificate = ParsedCertificate::try_from(&self.0);
        certificate.is_ok_and(|certificate| verify_server_name(&certificate, &name).is_ok())
    }
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).and_then(|certificates| certificates.collect());
    let certificates = certificates.map_err(|error| unread(path, &error))?;
    let none =
        || TlsError::File { path: path.to_owned(), reason: "there is no certificate in it".to_owned() };
    if certificates.is_empty() { Err(none()) } else { Ok(certificates) }
}

fn read_authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(path)? {
        let added = roots.add(certificate);
        added.map_err(|error| TlsError::File { path: path.to_owned(), reason: error.to_string() })?;
    }
    Ok(roots)
}

fn unread(path: &Path, error: &rustls::pki_types::pem::Error) -> TlsError {
    TlsError::File { path: path.to_owned(), reason: error.to_string() }
}

fn failed(error: &rustls::Error) -> TlsError {
    TlsError::Handshake(io::Error::other(error.to_string()))
}

/// The protocol versions and cipher suites that are offered, by registered names, preferred ones first.
pub fn suites() -> Vec<String> {
    let provider = provider();
    let suites = provider.cipher_suites.iter();
    suites.map(|suite| format!("{:?}: {:?}", suite.version().version, suite.suite())).collect()
}

/// Passed explicitly, not installed: a process-wide provider would be set by some distant code.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
