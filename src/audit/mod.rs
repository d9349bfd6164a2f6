//! The audit trail: which node sent which patient's data where, for the hospital's audit repository.
//!
//! A [`AuditMessage`] is one event of DICOM PS3.15 A.5.3 and becomes the XML of A.5.1; the [`AuditTrail`] sends
//! it as a syslog message (PS3.15 A.6 and A.7) from a thread of its own. Audit messages name patients,
//! and so does the spool that stores them while the receiver is unreachable; ordinary logs never do.

mod code;
mod message;
mod object;
mod record;
mod spool;
mod syslog;
mod timestamp;
mod trail;
mod transport;
mod xml;

pub use message::{
    ArrivalKind, AuditMessage, AuditNode, AuditPatient, AuditQuery, AuditSource, AuditStudy, AuditSubject,
    EventOutcome, SecurityAlert, TransferInitiator,
};
pub use record::record;
pub use timestamp::timestamp;
pub use trail::{AuditTrail, TrailSettings};
pub use transport::{AuditTransport, ConnectFunction, awake, dial, tcp, udp};
