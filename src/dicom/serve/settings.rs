//! The settings of the receiver.

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
use crate::dicom::names::delivered_objects::DeliveredObjects;
use crate::dicom::names::dimse_node::DimseNode;
use crate::dicom::watch::WatchedFolder;
use crate::dicom::web;
use crate::dicom::wire::caller::{CalledTitles, KnownCaller};
use crate::tls;

/// The settings of the receiver. [`ReceiveSettings::new`] gives the defaults.
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
    /// The folders from which files are taken.
    pub watched: Vec<WatchedFolder>,
    /// The folder of received files, until [`crate::dicom::release`] deletes them.
    pub inbox: PathBuf,
    /// The folders of the inbox whose requests are recorded. Studies in other folders are taken up.
    pub known_folders: BTreeSet<PathBuf>,
    /// The free bytes on the inbox's disk below which instances are refused: 0.
    pub free_bytes_min: u64,
    /// The rules for when a study is complete.
    pub completion: CompletionRules,
    /// A function that asks for the number of instances of a study, by Study Instance UID and the AE titles
    /// of its senders: a further completion signal.
    pub count: Option<Counter>,
    /// The nodes by AE title. The outcome of a commitment is reported to the requestor's node; without a
    /// node, it is reported on the association of the request.
    pub nodes: BTreeMap<String, DimseNode>,
    /// The commitments that we have requested, whose outcomes arrive here.
    pub commitments: Arc<RequestedCommitments>,
    /// Studies to fetch. When all have been fetched, receiving ends.
    pub pull: Option<StudyPull>,
    /// The planner of fetch orders of other processes; without it there are none.
    pub planner: Option<PullPlanner>,
    /// The most associations at a time: 16.
    pub associations_max: usize,
    /// The most presentation contexts of an association: 128, all that the standard allows.
    pub contexts_max: usize,
    /// The longest PDU: 128 KiB. The peer is told, and an association with a longer one is aborted.
    pub pdu_bytes_max: u32,
    /// The largest instance: 4 GiB.
    pub instance_bytes_max: u64,
    /// The longest wait for a peer's association request: 10 s. Until then the peer occupies a slot.
    pub negotiation_time_max: Duration,
    /// The longest silence of a peer in an association: 60 s.
    pub idle_time_max: Duration,
    /// The time after which a silent peer loses its slot if another caller needs it: 10 s.
    pub hold_time_max: Duration,
    /// The most bytes that are received and not handed over yet; beyond them instances are refused: 64 GiB.
    pub waiting_bytes_max: u64,
    pub own_results: OwnResults,
    /// Results made by programs of a step and delivered by flow. They count as flow's own.
    pub delivered: Arc<DeliveredObjects>,
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
            delivered: Arc::default(),
        }
    }

    /// The rules of intake, which apply to instances from every protocol.
    pub(in crate::dicom) fn intake(&self) -> IntakeRules {
        IntakeRules {
            inbox: self.inbox.clone(),
            free_bytes_min: self.free_bytes_min,
            instance_bytes_max: self.instance_bytes_max,
            waiting_bytes_max: self.waiting_bytes_max,
            completion: self.completion.clone(),
            own_results: self.own_results,
            delivered: Arc::clone(&self.delivered),
            counted: if self.count.is_some() { CountSource::BySource } else { CountSource::ByNobody },
        }
    }
}
