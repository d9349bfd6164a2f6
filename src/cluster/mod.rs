//! The connections between the processes of a cluster.
//!
//! Process `i` listens at the `i`-th address and connects to all processes before it. Before any byte
//! reaches the engine, both sides prove that they know the same secret and run the same dataflow with the
//! same number of lanes and workers. Connections from anyone else are refused. When all have met, process 0
//! tells the others what only it knows: the announcement.

mod announcement;
mod handshake;
mod hosts;

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use crate::engine::ProcessMesh;

use handshake::ConnectionKey;

pub use handshake::{ClusterAgreement, ClusterSecret, HandshakeError};
pub use hosts::{HostList, HostsError};

/// The interval between attempts to connect.
const RETRY: Duration = Duration::from_millis(100);

/// The most handshakes at a time; further connections wait.
const HANDSHAKES_MAX: usize = 64;

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
    #[error("could not exchange the earlier versions of dataflows with the process at {address}")]
    Announcement { address: String, source: io::Error },
}

/// One process of a cluster, and whom it is to meet.
pub struct ClusterMember<'a> {
    pub index: usize,
    pub hosts: &'a HostList,
    pub secret: &'a ClusterSecret,
    pub agreement: &'a ClusterAgreement,
    /// The longest wait for the other processes.
    pub patience: Duration,
}

impl ClusterMember<'_> {
    /// Connects to all other processes. Returns the announcement of process 0, which the others learn from it.
    ///
    /// # Errors
    /// A process does not connect in time, or fails the handshake.
    pub fn meet(&self, announcement: &[u8]) -> Result<(ProcessMesh, Vec<u8>), ClusterError> {
        let address = &self.hosts.addresses()[self.index];
        let listen = |source| ClusterError::Listen { address: address.clone(), source };
        let listener = TcpListener::bind(address).map_err(listen)?;
        let meeting = ClusterMeeting { member: self, until: Instant::now() + self.patience };
        let mut connections: Vec<Option<Connection>> = self.hosts.addresses().iter().map(|_| None).collect();
        for (peer, connection) in connections.iter_mut().enumerate().take(self.index) {
            *connection = Some(meeting.connect(peer)?);
        }
        meeting.accept(&listener, &mut connections)?;
        let announced = meeting.announce(announcement, &mut connections)?;
        let sockets =
            connections.into_iter().map(|connection| connection.map(|(socket, _)| socket)).collect();
        Ok((ProcessMesh::new(self.index, sockets), announced))
    }
}

/// A connection after its handshake.
type Connection = (TcpStream, ConnectionKey);

struct ClusterMeeting<'a> {
    member: &'a ClusterMember<'a>,
    until: Instant,
}

impl ClusterMeeting<'_> {
    fn connect(&self, peer: usize) -> Result<Connection, ClusterError> {
        let address = &self.member.hosts.addresses()[peer];
        loop {
            if let Ok(mut socket) = TcpStream::connect(address) {
                let ClusterMember { index, secret, agreement, .. } = *self.member;
                match handshake::introduce(&mut socket, index, peer, secret, agreement) {
                    Ok(key) => return Ok((socket, key)),
                    // The other process may still be busy starting.
                    Err(HandshakeError::Silent(_)) if Instant::now() < self.until => {}
                    Err(source) => {
                        return Err(ClusterError::Handshake { address: address.clone(), source });
                    }
                }
            }
            if Instant::now() > self.until {
                let waited_s = self.member.patience.as_secs();
                return Err(ClusterError::Absent { peer, address: address.clone(), waited_s });
            }
            std::thread::sleep(RETRY);
        }
    }

    /// Accepts connections from the processes after this one in the hosts file. Handshakes run side by side:
    /// a connection from outside the cluster delays none of them.
    fn accept(
        &self,
        listener: &TcpListener,
        connections: &mut [Option<Connection>],
    ) -> Result<(), ClusterError> {
        let listen = |source| ClusterError::Listen {
            address: self.member.hosts.addresses()[self.member.index].clone(),
            source,
        };
        listener.set_nonblocking(true).map_err(listen)?;
        let (tell, told) = channel::<HandshakeEnd>();
        std::thread::scope(|scope| {
            let mut begun: Vec<(SocketAddr, TcpStream)> = Vec::new();
            let mut accept_all = || loop {
                for end in told.try_iter() {
                    begun.retain(|(from, _)| *from != end.from);
                    self.place(end, connections)?;
                }
                if connections.iter().skip(self.member.index + 1).all(Option::is_some) {
                    return Ok(());
                }
                if Instant::now() > self.until {
                    return Err(self.missing(connections));
                }
                if begun.len() >= HANDSHAKES_MAX {
                    std::thread::sleep(RETRY);
                    continue;
                }
                match listener.accept() {
                    Ok((socket, from)) => {
                        begun.extend(socket.try_clone().map(|socket| (from, socket)));
                        let tell = tell.clone();
                        let welcome = move || self.welcome(socket, from, &tell);
                        let thread = std::thread::Builder::new().name("flow:handshake".to_owned());
                        thread.spawn_scoped(scope, welcome).map_err(listen)?;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(RETRY),
                    Err(source) => return Err(listen(source)),
                }
            };
            let met = accept_all();
            // Handshakes from outside the cluster that are still under way end now.
            for (_, socket) in &begun {
                // It may have ended already; there is nothing to do then.
                let _ = socket.shutdown(Shutdown::Both);
            }
            met
        })
    }

    fn missing(&self, connections: &[Option<Connection>]) -> ClusterError {
        let absent = connections.iter().enumerate().skip(self.member.index + 1);
        let missing = absent.filter(|(_, connection)| connection.is_none()).map(|(peer, _)| peer).collect();
        ClusterError::Missing { missing, waited_s: self.member.patience.as_secs() }
    }

    fn welcome(&self, mut socket: TcpStream, from: SocketAddr, tell: &Sender<HandshakeEnd>) {
        let met =
            handshake::welcome(&mut socket, self.member.index, self.member.secret, self.member.agreement);
        // All processes may have met in the meantime.
        let _ = tell.send(HandshakeEnd { socket, from, met });
    }

    fn place(&self, end: HandshakeEnd, connections: &mut [Option<Connection>]) -> Result<(), ClusterError> {
        let HandshakeEnd { socket, from, met } = end;
        match met {
            Ok((peer, key))
                if peer > self.member.index && peer < connections.len() && connections[peer].is_none() =>
            {
                connections[peer] = Some((socket, key));
                Ok(())
            }
            // A process of this cluster with other settings: waiting does not help.
            Err(source @ HandshakeError::Disagreement { .. }) => {
                Err(ClusterError::Handshake { address: from.to_string(), source })
            }
            Ok(_) | Err(_) => {
                tracing::warn!(%from, "refused a connection to the cluster's port");
                Ok(())
            }
        }
    }

    /// Tells the announcement to the other processes, or learns it from process 0.
    fn announce(
        &self,
        announcement: &[u8],
        connections: &mut [Option<Connection>],
    ) -> Result<Vec<u8>, ClusterError> {
        let addresses = self.member.hosts.addresses();
        if self.member.index > 0 {
            let (socket, key) = connections[0].as_mut().expect("all processes have connected");
            return announcement::receive(socket, key, self.until)
                .map_err(|source| ClusterError::Announcement { address: addresses[0].clone(), source });
        }
        for (connection, address) in connections.iter_mut().zip(addresses) {
            let Some((socket, key)) = connection else { continue };
            announcement::send(socket, key, announcement, self.until)
                .map_err(|source| ClusterError::Announcement { address: address.clone(), source })?;
        }
        Ok(announcement.to_vec())
    }
}

/// The end of a handshake with a process that connected.
struct HandshakeEnd {
    socket: TcpStream,
    from: SocketAddr,
    met: Result<(usize, ConnectionKey), HandshakeError>,
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::step::Digest;

    #[test]
    fn strangers_that_send_a_byte_now_and_then_hold_up_nobody() {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("hosts");
        std::fs::write(&file, format!("{}\n{}\n", free(), free())).unwrap();
        let hosts = HostList::read(&file, 2).unwrap();
        let agreement = ClusterAgreement { dataflow: Digest::of(b"a"), lanes: 4, workers: 2, processes: 2 };
        let process = |index: usize| {
            let secret = ClusterSecret::new(b"s");
            let (hosts, secret, agreement) = (&hosts, &secret, &agreement);
            let patience = Duration::from_secs(60);
            let met = ClusterMember { index, hosts, secret, agreement, patience }.meet(if index == 0 {
                b"all"
            } else {
                b""
            });
            met.map(|(_, announced)| assert_eq!(announced, b"all"))
        };
        std::thread::scope(|scope| {
            let first = scope.spawn(|| process(0));
            let mut strangers = Vec::new();
            while strangers.len() < 3 {
                strangers.extend(TcpStream::connect(&hosts.addresses()[0]));
            }
            strangers.iter_mut().for_each(|stranger| stranger.write_all(b"f").unwrap());
            // They were there first, and do not go away.
            process(1).unwrap();
            first.join().unwrap().unwrap();
            drop(strangers);
        });
    }
}
