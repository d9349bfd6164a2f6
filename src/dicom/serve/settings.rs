//! How to receive.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::dicom::commitment::commitments::RequestedCommitments;
use crate::dicom::fetch::order::PullPlanner;
use crate::dicom::fetch::pull::StudyPull;
use crate::dicom::intake::completion::{CompletionRules, Counter};
use crate::dicom::intake::instance_intake::{IntakeRules, OwnResults};
use crate::dicom::intake::studies::CountSource;
use crate::dicom::names::ae_title::AeTitle;
use crate::dicom::names::dimse_node::DimseNode;
use crate::dicom::watch::WatchedFolder;
use crate::dicom::web;
use crate::dicom::wire::caller::{CalledTitles, KnownCaller};
use crate::tls;

/// How to receive. [`ReceiveSettings::new`] gives the rest their defaults.
#[derive(Clone)]
pub struct ReceiveSettings {
    pub ae_title: AeTitle,
    pub called: CalledTitles,
    /// Callers that are accepted; if the list is empty, every caller is.
    pub callers: Vec<KnownCaller>,
    /// TLS settings; with them, only encrypted connections are accepted.
    pub tls: Option<tls::TlsServer>,
    /// Web settings; with them, instances are received over HTTP too.
    pub web: Option<web::WebSettings>,
    /// Folders from which files are taken in.
    pub watched: Vec<WatchedFolder>,
    /// Where files lie until [`crate::dicom::release`] deletes them.
    pub inbox: PathBuf,
    /// Folders of the inbox whose requests are recorded; what lies in others is taken up.
    pub known_folders: BTreeSet<PathBuf>,
    /// With less free on the disk of the inbox instances are refused: 0.
    pub free_bytes_min: u64,
    /// When a study is complete.
    pub completion: CompletionRules,
    /// Says how many instances of a study its source has, by Study Instance UID and the AE titles of
    /// those who sent it: another signal that it is complete.
    pub count: Option<Counter>,
    /// Nodes by AE title: who asks us for a commitment is told its outcome there, or, if it is not
    /// among them, on the association on which it asks.
    pub nodes: BTreeMap<String, DimseNode>,
    /// Where outcomes of commitments that we have asked for are awaited.
    pub commitments: Arc<RequestedCommitments>,
    /// Studies to ask for. When all have been, receiving ends.
    pub pull: Option<StudyPull>,
    /// Plans what other processes order to be fetched; without it no such orders are looked for.
    pub planner: Option<PullPlanner>,
    /// 16.
    pub associations_max: usize,
    /// 128, which is all there can be.
    pub contexts_max: usize,
    /// 128 KiB; the peer is told, and cut off if it sends more.
    pub pdu_bytes_max: u32,
    /// 4 GiB.
    pub instance_bytes_max: u64,
    /// How long a peer may take to say what it wants, which it knows before it calls: 10 s. Until then it
    /// takes the place of another.
    pub negotiation_time_max: Duration,
    /// How long a peer may be silent in the middle of an association: 60 s.
    pub idle_time_max: Duration,
    /// How long a peer may hold a place without sending while others want it: 10 s.
    pub hold_time_max: Duration,
    /// Bytes received and not handed over yet; beyond them instances are refused: 64 GiB.
    pub waiting_bytes_max: u64,
    pub own_results: OwnResults,
}

impl ReceiveSettings {
    pub fn new(ae_title: AeTitle, inbox: PathBuf) -> ReceiveSettings {
        ReceiveSettings {
            ae_title,
            called: CalledTitles::Ours,
            callers: Vec::new(),
            tls: None,
            web: None,
            watched: Vec::new(),
            inbox,
            known_folders: BTreeSet::new(),
            free_bytes_min: 0,
            completion: CompletionRules::default(),
            count: None,
            nodes: BTreeMap::new(),
            commitments: Arc::default(),
            pull: None,
            planner: None,
            associations_max: 16,
            contexts_max: 128,
            pdu_bytes_max: 128 << 10,
            instance_bytes_max: 4 << 30,
            negotiation_time_max: Duration::from_secs(10),
            idle_time_max: Duration::from_secs(60),
            hold_time_max: Duration::from_secs(10),
            waiting_bytes_max: 64 << 30,
            own_results: OwnResults::default(),
        }
    }

    /// Intake rules, which hold for instances from every protocol.
    pub(in crate::dicom) fn intake(&self) -> IntakeRules {
        IntakeRules {
            inbox: self.inbox.clone(),
            free_bytes_min: self.free_bytes_min,
            instance_bytes_max: self.instance_bytes_max,
            waiting_bytes_max: self.waiting_bytes_max,
            completion: self.completion.clone(),
            own_results: self.own_results,
            counted: if self.count.is_some() { CountSource::BySource } else { CountSource::ByNobody },
        }
    }
}
