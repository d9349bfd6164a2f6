//! What there is to tell: plain values, without a clock.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// An event of PS3.15 A.5.3. Where a part of something succeeds and a part fails, that is two messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Application Activity: flow has begun its work.
    Started,
    /// Application Activity: flow ends.
    Stopped,
    /// Begin Transferring DICOM Instances.
    Sending { to: Node, what: Subject },
    /// DICOM Instances Transferred, by us.
    Sent { to: Node, what: Subject, outcome: Outcome },
    /// DICOM Instances Transferred, to us.
    Received { from: Node, asked_by: AskedBy, arrival: Arrival, what: Subject, outcome: Outcome },
    /// DICOM Instances Accessed: they were read to compute something.
    Read { what: Subject, outcome: Outcome },
    /// Query, by us.
    Queried { at: Node, query: Query, outcome: Outcome },
    /// Data Import from a folder.
    Imported { folder: PathBuf, what: Subject, outcome: Outcome },
    /// Data Export to a folder.
    Exported { folder: PathBuf, what: Subject, outcome: Outcome },
    /// Security Alert. The description is a sentence for a person.
    Alert { alert: Alert, about: Option<Node>, description: String, outcome: Outcome },
}

/// Where messages come from: the same for all of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What the repository knows this installation by (AuditSourceID).
    pub id: String,
    /// The hospital or department (AuditEnterpriseSiteID); empty if there is no need for it.
    pub site: String,
    /// The name or IP address of this host, the same in all messages.
    pub host: String,
    pub process_id: u32,
    pub ae_titles: Vec<String>,
}

/// Another application entity, or who pretends to be one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Empty where it has not said one.
    pub ae_title: String,
    /// A host's name or an IP address, without a port.
    pub address: String,
}

/// Instances of one patient.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    pub patient: Patient,
    pub studies: Vec<Study>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patient {
    pub id: String,
    /// As DICOM writes names: `Doe^Jane`.
    pub name: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Study {
    pub uid: String,
    /// Empty where there is none.
    pub accession_number: String,
    /// How many instances there are of each SOP class.
    pub instances: BTreeMap<String, usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// C-FIND: the identifier as it was sent.
    Dimse { sop_class_uid: String, transfer_syntax_uid: String, identifier: Vec<u8> },
    /// QIDO-RS.
    Web { uri: String },
}

/// On whose initiative instances came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskedBy {
    Sender,
    /// C-GET, C-MOVE and WADO-RS.
    Us,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    New,
    /// All of it was here already.
    Again,
}

/// How it ended; what is not a success has a reason, as a fragment of a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Success,
    /// To be tried again.
    Minor(String),
    /// Given up.
    Serious(String),
    /// The service as a whole is affected.
    Major(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alert {
    /// An unknown AE title, address or certificate.
    NodeAuthentication,
    /// Somebody asked for what he may not.
    RestrictedFunction,
    /// Messages of this very record were lost.
    RecordingStopped,
}
