//! Encrypted connections: who we are by certificate, and whom we believe.
//!
//! TLS 1.2 and 1.3 with the forward-secret suites of rustls, which is what the BCP 195 profiles of
//! PS3.15 B.9 to B.12 ask for; nothing older is negotiated. All files are PEM. Nobody is believed
//! unless an authority file says so: there is no built-in list.

mod socket;

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use socket::Socket;

/// What proves who we are: a certificate with its chain, and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("could not read {}: {reason}", path.display())]
    File { path: PathBuf, reason: String },
    #[error("the certificate in {} and its key cannot be used: {source}", path.display())]
    Identity { path: PathBuf, source: rustls::Error },
    #[error("{0:?} is not the name of a host")]
    Name(String),
    #[error("the peer was not believed, or did not believe us: {0}")]
    Handshake(io::Error),
}

/// Our side of connections that come in.
#[derive(Clone, Debug)]
pub struct Server(Arc<ServerConfig>);

/// Our side of connections that we open.
#[derive(Clone, Debug)]
pub struct Client(Arc<ClientConfig>);

/// An encrypted connection. A read timeout of its socket bounds the whole handshake, and each record.
#[derive(Debug)]
pub enum Stream {
    Incoming(Box<StreamOwned<ServerConnection, Socket>>),
    Outgoing(Box<StreamOwned<ClientConnection, Socket>>),
}

impl Server {
    /// With `authorities`, a client must show a certificate that one of them has signed.
    ///
    /// # Errors
    /// If a file cannot be read, or key and certificate do not belong together.
    pub fn open(identity: &Identity, authorities: Option<&Path>) -> Result<Server, TlsError> {
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
        Ok(Server(Arc::new(config)))
    }

    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0)
    }

    /// Shakes hands with a client; the stream's own time limits hold.
    ///
    /// # Errors
    /// If the client does not speak TLS, or lacks a certificate that is asked for.
    pub fn accept(&self, stream: TcpStream) -> Result<Stream, TlsError> {
        let connection = ServerConnection::new(self.config()).map_err(|error| failed(&error))?;
        let mut stream = StreamOwned::new(connection, Socket::new(stream));
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).map_err(TlsError::Handshake)?;
        }
        stream.sock.done().map_err(TlsError::Handshake)?;
        Ok(Stream::Incoming(Box::new(stream)))
    }
}

impl Client {
    /// Believes servers whose certificates one of the `authorities` has signed.
    ///
    /// # Errors
    /// As [`Server::open`].
    pub fn open(authorities: &Path, identity: Option<&Identity>) -> Result<Client, TlsError> {
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
        Ok(Client(Arc::new(config)))
    }

    pub fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0)
    }

    /// Shakes hands with the server that the connection leads to; its certificate must be for `host`.
    ///
    /// # Errors
    /// If the server is not believed, or does not believe us.
    pub fn connect(&self, host: &str, stream: TcpStream) -> Result<Stream, TlsError> {
        let connection =
            ClientConnection::new(self.config(), server_name(host)?).map_err(|error| failed(&error))?;
        let mut stream = StreamOwned::new(connection, Socket::new(stream));
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).map_err(TlsError::Handshake)?;
        }
        stream.sock.done().map_err(TlsError::Handshake)?;
        Ok(Stream::Outgoing(Box::new(stream)))
    }
}

/// A host as certificates name it; an IPv6 address may have its brackets.
///
/// # Errors
/// If it is none.
pub fn server_name(host: &str) -> Result<ServerName<'static>, TlsError> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(bare.to_owned()).map_err(|_| TlsError::Name(host.to_owned()))
}

impl Stream {
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Stream::Incoming(stream) => &stream.sock.tcp,
            Stream::Outgoing(stream) => &stream.sock.tcp,
        }
    }

    fn socket(&mut self) -> &mut Socket {
        match self {
            Stream::Incoming(stream) => &mut stream.sock,
            Stream::Outgoing(stream) => &mut stream.sock,
        }
    }

    /// Tells the peer that nothing more comes. Whoever is gone already need not be told.
    pub fn close(&mut self) {
        match self {
            Stream::Incoming(stream) => stream.conn.send_close_notify(),
            Stream::Outgoing(stream) => stream.conn.send_close_notify(),
        }
        let _ = self.flush();
    }
}

impl Read for Stream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = match self {
            Stream::Incoming(stream) => stream.read(bytes),
            Stream::Outgoing(stream) => stream.read(bytes),
        };
        self.socket().done()?;
        read
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Incoming(stream) => stream.write(bytes),
            Stream::Outgoing(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Incoming(stream) => stream.flush(),
            Stream::Outgoing(stream) => stream.flush(),
        }
    }
}

impl Identity {
    fn read(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
        let key = PrivateKeyDer::from_pem_file(&self.key);
        Ok((read_certificates(&self.certificate)?, key.map_err(|error| unread(&self.key, &error))?))
    }

    fn unusable(&self, source: rustls::Error) -> TlsError {
        TlsError::Identity { path: self.certificate.clone(), source }
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

/// What is negotiated: versions and suites by their registered names, the preferred ones first.
pub fn suites() -> Vec<String> {
    let provider = provider();
    let suites = provider.cipher_suites.iter();
    suites.map(|suite| format!("{:?}: {:?}", suite.version().version, suite.suite())).collect()
}

/// Named, not installed: a process-wide provider would be somebody's choice at a distance.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
