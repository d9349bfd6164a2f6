//! The connections between the processes of a cluster.
//!
//! Process `i` listens at the `i`-th address and connects to all processes before it. Before any byte
//! reaches the engine, both sides prove that they know the same secret and run the same dataflow with the
//! same number of lanes and workers. Connections from anyone else are refused.

mod handshake;
mod hosts;

use std::io;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::engine::ProcessMesh;

pub use handshake::{ClusterAgreement, ClusterSecret, HandshakeError};
pub use hosts::{HostList, HostsError};

/// The interval between attempts to connect.
const RETRY: Duration = Duration::from_millis(100);

#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    #[error("could not listen at {address}")]
    Listen { address: String, source: io::Error },
    #[error("process {peer} at {address} did not answer within {waited_s} s")]
    Absent { peer: usize, address: String, waited_s: u64 },
    #[error("processes {missing:?} did not connect within {waited_s} s")]
    Missing { missing: Vec<usize>, waited_s: u64 },
    #[error("could not complete the handshake with the process at {address}")]
    Handshake { address: String, source: HandshakeError },
}

/// Connects to all other processes.
///
/// # Errors
/// A process does not connect within `patience`, or fails the handshake.
pub fn meet(
    index: usize,
    hosts: &HostList,
    secret: &ClusterSecret,
    agreement: &ClusterAgreement,
    patience: Duration,
) -> Result<ProcessMesh, ClusterError> {
    let address = &hosts.addresses()[index];
    let listen = |source| ClusterError::Listen { address: address.clone(), source };
    let listener = TcpListener::bind(address).map_err(listen)?;
    let setup = ClusterSetup { index, hosts, secret, agreement, patience, until: Instant::now() + patience };
    let mut sockets: Vec<Option<TcpStream>> = hosts.addresses().iter().map(|_| None).collect();
    for (peer, socket) in sockets.iter_mut().enumerate().take(index) {
        *socket = Some(setup.connect(peer)?);
    }
    setup.accept(&listener, &mut sockets)?;
    Ok(ProcessMesh::new(index, sockets))
}

struct ClusterSetup<'a> {
    index: usize,
    hosts: &'a HostList,
    secret: &'a ClusterSecret,
    agreement: &'a ClusterAgreement,
    patience: Duration,
    until: Instant,
}

impl ClusterSetup<'_> {
    fn connect(&self, peer: usize) -> Result<TcpStream, ClusterError> {
        let address = &self.hosts.addresses()[peer];
        loop {
            if let Ok(mut socket) = TcpStream::connect(address) {
                let met = handshake::introduce(&mut socket, self.index, peer, self.secret, self.agreement);
                return met
                    .map(|()| socket)
                    .map_err(|source| ClusterError::Handshake { address: address.clone(), source });
            }
            if Instant::now() > self.until {
                let waited_s = self.patience.as_secs();
                return Err(ClusterError::Absent { peer, address: address.clone(), waited_s });
            }
            std::thread::sleep(RETRY);
        }
    }

    /// Accepts connections from the processes after this one in the hosts file.
    fn accept(&self, listener: &TcpListener, sockets: &mut [Option<TcpStream>]) -> Result<(), ClusterError> {
        let address = || self.hosts.addresses()[self.index].clone();
        listener
            .set_nonblocking(true)
            .map_err(|source| ClusterError::Listen { address: address(), source })?;
        while sockets.iter().skip(self.index + 1).any(Option::is_none) {
            match listener.accept() {
                Ok((socket, from)) => self.welcome(socket, &from.to_string(), sockets)?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(RETRY),
                Err(source) => return Err(ClusterError::Listen { address: address(), source }),
            }
            if Instant::now() > self.until {
                let absent = sockets.iter().enumerate().skip(self.index + 1);
                let missing = absent.filter(|(_, socket)| socket.is_none()).map(|(peer, _)| peer).collect();
                return Err(ClusterError::Missing { missing, waited_s: self.patience.as_secs() });
            }
        }
        Ok(())
    }

    fn welcome(
        &self,
        mut socket: TcpStream,
        from: &str,
        sockets: &mut [Option<TcpStream>],
    ) -> Result<(), ClusterError> {
        match handshake::welcome(&mut socket, self.index, self.secret, self.agreement) {
            Ok(peer) if peer > self.index && peer < sockets.len() && sockets[peer].is_none() => {
                sockets[peer] = Some(socket);
                Ok(())
            }
            // A process of this cluster with other settings: waiting does not help.
            Err(source @ HandshakeError::Disagreement { .. }) => {
                Err(ClusterError::Handshake { address: from.to_owned(), source })
            }
            Ok(_) | Err(_) => {
                tracing::warn!(from, "refused a connection to the cluster's port");
                Ok(())
            }
        }
    }
}
