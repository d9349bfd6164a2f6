//! Audit messages as plain values. The caller supplies the time of the event.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// An event of PS3.15 A.5.3. An action that succeeds in part and fails in part takes two messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditMessage {
    /// Application Activity: flow has started.
    Started,
    /// Application Activity: flow is stopping.
    Stopped,
    /// Begin Transferring DICOM Instances.
    Sending { to: AuditNode, what: AuditSubject },
    /// DICOM Instances Transferred, by us.
    Sent { to: AuditNode, what: AuditSubject, outcome: EventOutcome },
    /// DICOM Instances Transferred, to us.
    Received {
        from: AuditNode,
        asked_by: TransferInitiator,
        arrival: ArrivalKind,
        what: AuditSubject,
        outcome: EventOutcome,
    },
    /// DICOM Instances Accessed: the instances were read as input of a calculation.
    Read { what: AuditSubject, outcome: EventOutcome },
    /// Query, by us.
    Queried { at: AuditNode, query: AuditQuery, outcome: EventOutcome },
    /// Data Import from a folder.
    Imported { folder: PathBuf, what: AuditSubject, outcome: EventOutcome },
    /// Data Export to a folder.
    Exported { folder: PathBuf, what: AuditSubject, outcome: EventOutcome },
    /// Security Alert. The description is a sentence for a person.
    Alert { alert: SecurityAlert, about: Option<AuditNode>, description: String, outcome: EventOutcome },
}

/// The audit source: the same in all messages of one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditSource {
    /// The name of this installation in the repository (AuditSourceID).
    pub id: String,
    /// The hospital or department (AuditEnterpriseSiteID); may be empty.
    pub site: String,
    /// The name or IP address of this host, the same in all messages.
    pub host: String,
    pub process_id: u32,
    pub ae_titles: Vec<String>,
}

/// Another application entity. Its AE title is a claim: no certificate proves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditNode {
    /// Empty if the peer gave none.
    pub ae_title: String,
    /// A host's name or an IP address, without a port.
    pub address: String,
}

/// Instances of one patient.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditSubject {
    pub patient: AuditPatient,
    pub studies: Vec<AuditStudy>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditPatient {
    pub id: String,
    /// In DICOM notation: `Doe^Jane`.
    pub name: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditStudy {
    pub uid: String,
    /// Empty if the study has none.
    pub accession_number: String,
    /// The number of instances by SOP Class UID.
    pub instances: BTreeMap<String, usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditQuery {
    /// C-FIND, with the identifier as it was sent.
    Dimse { sop_class_uid: String, transfer_syntax_uid: String, identifier: Vec<u8> },
    /// QIDO-RS.
    Web { uri: String },
}

/// The side that started a transfer of instances to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferInitiator {
    Sender,
    /// C-GET, C-MOVE and WADO-RS.
    Us,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArrivalKind {
    New,
    /// All instances were received before.
    Again,
}

/// The outcome of the event. Failures carry a reason, as a fragment of a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventOutcome {
    Success,
    /// The action will be tried again.
    Minor(String),
    /// The action was given up.
    Serious(String),
    /// The service as a whole is affected.
    Major(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecurityAlert {
    /// An unknown AE title, address or certificate.
    NodeAuthentication,
    /// A request for something that the caller has no permission for.
    RestrictedFunction,
    /// Audit messages were lost.
    RecordingStopped,
}
