//! How a process joins: TLS first, so that both know that the other belongs to the cluster, then what each runs.

use std::collections::BTreeSet;
use std::io;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::dataflow::ProcessLabel;
use crate::engine::{RemoteRequestKey, RemoteStepKey};
use crate::step::Digest;
use crate::tls::{CertificateNames, SessionKeys, TlsError};

use super::link::ProcessLink;

/// The version of the frames.
const PROTOCOL: u32 = 5;

/// The longest time that a whole handshake takes. A peer that sends a byte now and then gains nothing.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(5);

/// The settings that all processes of a cluster must have in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterAgreement {
    /// The digest of the dataflows.
    pub dataflow: Digest,
    pub lanes: usize,
    pub processes: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    #[error("the peer does not have the secret of the cluster, or no certificate that is trusted: {0}")]
    Tls(#[from] TlsError),
    #[error("the peer did not answer the handshake in time")]
    Silent(#[source] io::Error),
    #[error("{0}")]
    Disagreement(String),
    #[error("the certificate of the peer does not name the host {0}")]
    Name(String),
    #[error("{0}")]
    Refused(String),
}

/// A peer may say only after its side of the handshake that it does not trust our certificate.
impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> HandshakeError {
        match TlsError::is_cause_of(&error) {
            true => HandshakeError::Tls(TlsError::Handshake(error)),
            false => HandshakeError::Silent(error),
        }
    }
}

/// The announcement of a process about itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HelloMessage {
    protocol: u32,
    /// The version of flow.
    flow: String,
    pub process: usize,
    /// A number of the running process, which another one with the same index does not have.
    pub instance: u64,
    pub workers: usize,
    /// The bytes of memory that its work may take.
    pub memory: u64,
    agreement: ClusterAgreement,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub labels: BTreeSet<ProcessLabel>,
    /// Whether it is not among the hosts, and runs steps only: it need not know the dataflows.
    #[serde(default, skip_serializing_if = "is_false")]
    pub joins: bool,
    /// The requests that it has worked on since before.
    pub held: Vec<RemoteRequestKey>,
    /// The steps that it has worked on since before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held_steps: Vec<RemoteStepKey>,
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_false(flag: &bool) -> bool {
    !*flag
}

/// The answer of process 0.
#[derive(Serialize, Deserialize)]
pub enum WelcomeMessage {
    Joined {
        generation: u64,
        /// The number of the last note of the process that is on the disk, as far as process 0 knows.
        noted: u64,
    },
    /// The settings differ: waiting does not help.
    Disagrees(String),
    /// The process may try again.
    Refused(String),
}

impl HelloMessage {
    pub fn new(process: usize, instance: u64, workers: usize, agreement: &ClusterAgreement) -> HelloMessage {
        HelloMessage {
            protocol: PROTOCOL,
            flow: concat!(env!("CARGO_PKG_VERSION"), env!("FLOW_COMMIT")).to_owned(),
            process,
            instance,
            workers,
            memory: u64::MAX,
            agreement: agreement.clone(),
            labels: BTreeSet::new(),
            joins: false,
            held: Vec::new(),
            held_steps: Vec::new(),
        }
    }

    #[must_use]
    pub fn with_memory(self, memory: u64) -> HelloMessage {
        HelloMessage { memory, ..self }
    }

    #[must_use]
    pub fn with_labels(self, labels: BTreeSet<ProcessLabel>) -> HelloMessage {
        HelloMessage { labels, ..self }
    }

    #[must_use]
    pub fn joining(self, joins: bool) -> HelloMessage {
        HelloMessage { joins, ..self }
    }

    /// The differences of a process from these settings, in words.
    pub(super) fn difference(&self, ours: &HelloMessage) -> Option<String> {
        if (self.protocol, &self.flow) != (ours.protocol, &ours.flow) {
            let HelloMessage { flow: theirs, .. } = self;
            return Some(format!(
                "process {} is flow {theirs}, process {} is flow {}: start the same flow everywhere",
                self.process, ours.process, ours.flow
            ));
        }
        (!self.joins && self.agreement != ours.agreement).then(|| {
            format!(
                "process {} runs {}, process {} runs {}: start both with the same dataflow, -n and --lanes",
                self.process,
                describe(&self.agreement),
                ours.process,
                describe(&ours.agreement)
            )
        })
    }
}

fn describe(agreement: &ClusterAgreement) -> String {
    let ClusterAgreement { dataflow, lanes, processes } = agreement;
    format!("dataflow {} with -n {processes} and {lanes} lanes", dataflow.short())
}

/// The handshake of process 0 with one that has connected, up to its hello.
///
/// # Errors
/// The peer is not of this cluster, or has other settings; it is told so.
pub fn welcome(
    socket: TcpStream,
    keys: &SessionKeys,
    ours: &HelloMessage,
) -> Result<(ProcessLink, HelloMessage, Option<CertificateNames>), HandshakeError> {
    let until = Instant::now() + HANDSHAKE_MAX;
    let session = keys.accept(&socket, until)?;
    let names = session.peer_names();
    let mut link = ProcessLink::new(socket, session)?;
    let theirs: HelloMessage = link.receive_until(until)?;
    if let Some(difference) = theirs.difference(ours) {
        link.send(&WelcomeMessage::Disagrees(difference.clone()))?;
        // The cluster does not need one that joins.
        return Err(match theirs.joins {
            true => HandshakeError::Refused(difference),
            false => HandshakeError::Disagreement(difference),
        });
    }
    Ok((link, theirs, names))
}

/// The handshake of another process with process 0, which listens at `host`. Returns the generation, and the number of
/// the last note that process 0 has, too.
///
/// # Errors
/// The peer is not process 0 of this cluster, or has other settings.
pub fn introduce(
    socket: TcpStream,
    host: &str,
    keys: &SessionKeys,
    ours: &HelloMessage,
) -> Result<(ProcessLink, u64, u64), HandshakeError> {
    let until = Instant::now() + HANDSHAKE_MAX;
    let session = keys.connect(host, &socket, until)?;
    let mut link = ProcessLink::new(socket, session)?;
    link.send(ours)?;
    match link.receive_until(until)? {
        WelcomeMessage::Joined { generation, noted } => Ok((link, generation, noted)),
        WelcomeMessage::Disagrees(difference) => Err(HandshakeError::Disagreement(difference)),
        WelcomeMessage::Refused(reason) => Err(HandshakeError::Refused(reason)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(lanes: usize) -> HelloMessage {
        let agreement = ClusterAgreement { dataflow: Digest::of(b"a"), lanes, processes: 2 };
        HelloMessage::new(1, 7, 2, &agreement)
    }

    #[test]
    fn another_version_and_other_settings_are_named() {
        let ours = HelloMessage { process: 0, ..hello(4) };
        assert_eq!(hello(4).difference(&ours), None);
        assert!(hello(5).difference(&ours).unwrap().contains("5 lanes"));
        let older = HelloMessage { flow: "0.0.9".to_owned(), ..hello(4) };
        assert!(older.difference(&ours).unwrap().contains("process 1 is flow 0.0.9"));
        let other = HelloMessage { protocol: PROTOCOL + 1, ..hello(4) };
        assert!(other.difference(&ours).is_some());
    }
}
