//! Several processes as one: whole requests of the first process, run by the others, and steps that say `on`.
//!
//! Process 0 has the journal. It listens at the first address of the hosts file, and the others connect to it. Over
//! each connection, which is TLS 1.3, it gives whole requests away and gets their finished runs and responses back. So
//! a lost process costs the requests that it ran, and nothing else: these begin elsewhere, without the runs that had
//! ended. Nothing has to be built anew, and process 0 can do all of the work alone.
//!
//! ```text
//!   process 0                                       process 1
//!   lane ── run (ticket, request, finished runs) ──▶ its engine
//!   journal ◀── note (run) ─────────────────────────  │ each run that ends
//!           ── noted ──────────────────────────────▶  │
//!   lane ◀── answer (ticket, response) ─────────────  ▼
//! ```
//!
//! A step that says `on: LABEL` runs in a process with that label. Requests with such steps stay in process 0, which
//! gives the steps away; their inputs and outputs are in the store that all processes see.
//!
//! ```text
//!   run of a step ── step (ticket, inputs by digest) ▶ a thread for steps
//!   journal ◀── step ended (ticket, record) ────────  ▼
//! ```
//!
//! | event | what follows |
//! |---|---|
//! | a process ends, hangs, or cannot be reached | its connection ends, at once or after 2.5 s of silence; a second later its requests begin elsewhere |
//! | it connects again before | it gets its requests again under new tickets, and goes on with them |
//! | it connects again later | it is told to stop what runs elsewhere |
//! | process 0 is lost | the others go on with what they run, and keep runs and responses; they connect again as soon as it is there |
//! | a bit is changed on the wire | the connection ends, as above |
//! | connections carry less than what waits for process 0 | each brings it further: pieces of it are acknowledged |
//! | an answer is late | its ticket is that of an earlier generation, and it is dropped |
//!
//! | file | what |
//! |---|---|
//! | `hosts`, `secret` | the files of a cluster |
//! | `handshake`, `frames`, `link` | a connection: its beginning, its messages, its bytes |
//! | `coordinator`, `look`, `member_entry`, `orders` | process 0, what it knows of the others, and what it gives them |
//! | `member`, `member_engine`, `member_steps`, `note_queue` | the others |
//! | `told_requests` | the requests that a process knows for their steps |
//! | `chunks` | values for processes that joined without a common store |
//! | `refusals` | refused connections, told without repetition |
//! | `standing` | how all stand, for other commands |

mod chunks;
mod coordinator;
mod frames;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod handshake;
mod hosts;
mod link;
mod look;
mod member;
mod member_engine;
mod member_entry;
mod member_steps;
mod note_queue;
mod orders;
mod refusals;
mod secret;
mod standing;
mod told_requests;

use std::collections::BTreeSet;
use std::io;

use crate::dataflow::ProcessLabel;
use crate::tls::SessionKeys;

pub use coordinator::ClusterCoordinator;
pub use frames::AnnouncedVersion;
pub use handshake::{ClusterAgreement, HandshakeError};
pub use hosts::{HostList, HostsError};
pub use member::ClusterMember;
pub use secret::{ClusterSecret, ClusterSecretError};
pub use standing::{
    ClusterStanding, MissingPlace, ProcessStanding, cluster_standing, forget_standing, unix_ms,
};

#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    #[error("could not listen at {address}")]
    Listen { address: String, source: io::Error },
    #[error("process {peer} at {address} did not answer within {waited_s} s")]
    Absent { peer: usize, address: String, waited_s: u64 },
    #[error("could not complete the handshake with the process at {address}")]
    Handshake { address: String, source: HandshakeError },
}

/// One process of a cluster, and how it meets the others.
#[derive(Clone)]
pub struct ClusterSetup {
    /// The index of this process.
    pub index: usize,
    /// A number that another process with this index does not have, for example a random one.
    pub instance: u64,
    pub hosts: HostList,
    pub keys: SessionKeys,
    /// Worker threads of this process.
    pub workers: usize,
    /// The bytes of memory that requests may take in this process.
    pub memory: u64,
    /// The labels of this process: steps that name one of them with `on` run here.
    pub labels: BTreeSet<ProcessLabel>,
    /// Whether this process is not among the hosts and has a store of its own: it runs steps only.
    pub joins: bool,
}

#[cfg(test)]
mod tests;
