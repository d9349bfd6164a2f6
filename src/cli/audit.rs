//! The audit record of `flow run`: events of the receiver and the outbox as messages for the hospital's audit
//! repository.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;
use std::{fs, io};

use crate::admission::{DeliveryRecord, FileDelivery};
use crate::audit::{
    self, ArrivalKind, AuditMessage, AuditNode, AuditPatient, AuditSource, AuditStudy, AuditSubject,
    AuditTrail, AuditTransport, EventOutcome, SecurityAlert, TransferInitiator,
};
use crate::dicom::{self, AeTitle, ArrivedInstance, AssociationEnd, SessionKind, deliver};
use crate::outbox;
use crate::site;
use crate::step::Request;
use crate::tls;

use super::exit::{CommandError, CommandErrorKind};
use super::site::SiteSettings;

/// A recorder of audit messages, if the site's file names a repository.
pub struct AuditRecorder {
    trail: Option<AuditTrail>,
    /// Open sessions in which instances are received, by session number.
    sessions: Mutex<BTreeMap<u64, SessionSummary>>,
    /// The folder whose files are taken in.
    watched: Option<std::path::PathBuf>,
}

/// Summary of what one session has received so far.
struct SessionSummary {
    way: SessionKind,
    from: AuditNode,
    asked_by: TransferInitiator,
    /// The number of instances of each SOP class, by patient and study.
    received: BTreeMap<(String, String), BTreeMap<String, usize>>,
    refused: Option<String>,
}

impl AuditRecorder {
    pub fn start(
        site: &SiteSettings,
        state: &Path,
        own_title: &AeTitle,
    ) -> Result<AuditRecorder, CommandError> {
        let settings = site.site.as_ref();
        let wanted = settings.and_then(|settings| settings.audit.as_ref());
        let trail = wanted.map(|wanted| trail(wanted, site.client(), state, own_title)).transpose();
        let trail = trail.map_err(|error| {
            CommandError::new(CommandErrorKind::InputOutput, format!("the audit record: {error}"))
        })?;
        let watched = site.dicom().and_then(|dicom| Some(dicom.watch.as_ref()?.folder.clone()));
        let auditor = AuditRecorder { trail, sessions: Mutex::default(), watched };
        auditor.record(AuditMessage::Started);
        Ok(auditor)
    }

    /// Records an event of the receiver.
    pub fn received(&self, event: &dicom::ReceiverEvent) {
        if self.trail.is_none() {
            return;
        }
        match event {
            dicom::ReceiverEvent::Opened { session, peer, calling_ae } => {
                let address = peer.ip().to_canonical().to_string();
                let from = AuditNode { ae_title: calling_ae.clone(), address };
                self.sessions().insert(
                    session.number,
                    SessionSummary::new(session.way, from, TransferInitiator::Sender),
                );
            }
            dicom::ReceiverEvent::Rejected { peer, reason } => {
                let address = peer.ip().to_canonical().to_string();
                let about = Some(AuditNode { ae_title: String::new(), address });
                let (alert, description) = (SecurityAlert::NodeAuthentication, reason.clone());
                let outcome = EventOutcome::Serious(reason.clone());
                self.record(AuditMessage::Alert { alert, about, description, outcome });
            }
            dicom::ReceiverEvent::Stored { session, instance, .. } => {
                let mut sessions = self.sessions();
                let nobody = AuditNode { ae_title: String::new(), address: String::new() };
                let summary = sessions
                    .entry(session.number)
                    .or_insert_with(|| SessionSummary::new(session.way, nobody, TransferInitiator::Us));
                summary.count(instance);
            }
            dicom::ReceiverEvent::Refused { session, status, reason } => {
                if let Some(summary) = self.sessions().get_mut(&session.number) {
                    summary.refused = Some(format!("{status}: {reason}"));
                }
            }
            dicom::ReceiverEvent::Closed { session, end, reason, .. } => {
                let left = self.sessions().remove(&session.number);
                left.into_iter().for_each(|summary| self.closed(summary, *end, reason));
            }
            // Fetched studies arrive without an association of their own.
            dicom::ReceiverEvent::Fetched { .. } | dicom::ReceiverEvent::NotFetched { .. } => {
                let ours = {
                    // Locked once for both steps: an event of another thread between them would be lost.
                    let mut sessions = self.sessions();
                    let all = std::mem::take(&mut *sessions).into_iter();
                    let (ours, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
                        all.partition(|(_, summary)| summary.asked_by == TransferInitiator::Us);
                    *sessions = others;
                    ours
                };
                ours.into_iter().for_each(|(_, summary)| self.closed(summary, AssociationEnd::Released, ""));
            }
            _ => {}
        }
    }

    /// Records an event of the outbox.
    pub fn delivered(&self, event: &outbox::OutboxEvent) {
        if self.trail.is_none() {
            return;
        }
        match event {
            outbox::OutboxEvent::Forwarded { request, delivery } => self.sent(request, delivery),
            outbox::OutboxEvent::Answered { request, place: Some(place), .. } => {
                self.record(AuditMessage::Exported {
                    folder: place.to_path_buf(),
                    what: subject(request, BTreeMap::new()),
                    outcome: EventOutcome::Success,
                })
            }
            outbox::OutboxEvent::NotWritten { .. }
            | outbox::OutboxEvent::Delayed { .. }
            | outbox::OutboxEvent::Answered { place: None, .. } => {}
        }
    }

    fn closed(&self, summary: SessionSummary, end: AssociationEnd, reason: &str) {
        let SessionSummary { way, from, asked_by, received, refused } = summary;
        let broken = (end == AssociationEnd::Aborted).then(|| reason.to_owned());
        for ((patient_id, study), instances) in received {
            let patient = AuditPatient { id: patient_id, name: String::new() };
            let study = AuditStudy { uid: study, accession_number: String::new(), instances };
            let what = AuditSubject { patient, studies: vec![study] };
            self.record(self.arrival(way, from.clone(), asked_by, what, EventOutcome::Success));
        }
        if let Some(reason) = refused.or(broken) {
            let outcome = EventOutcome::Minor(reason);
            self.record(self.arrival(way, from, asked_by, AuditSubject::default(), outcome));
        }
    }

    fn arrival(
        &self,
        way: SessionKind,
        from: AuditNode,
        asked_by: TransferInitiator,
        what: AuditSubject,
        outcome: EventOutcome,
    ) -> AuditMessage {
        match (way, &self.watched) {
            (SessionKind::Folder, Some(folder)) => {
                AuditMessage::Imported { folder: folder.clone(), what, outcome }
            }
            _ => AuditMessage::Received { from, asked_by, arrival: ArrivalKind::New, what, outcome },
        }
    }

    fn sent(&self, request: &Request, delivery: &DeliveryRecord) {
        let (there, missing): (Vec<_>, Vec<_>) = delivery.files.iter().partition(|file| file.is_there());
        let to = node(&delivery.destination);
        let counted = |files: &[&FileDelivery]| {
            let mut counts: BTreeMap<String, usize> = BTreeMap::new();
            files.iter().for_each(|file| *counts.entry(sop_class_uid(file)).or_default() += 1);
            counts.remove("");
            subject(request, counts)
        };
        if !there.is_empty() {
            let (to, what) = (to.clone(), counted(&there));
            self.record(AuditMessage::Sending { to: to.clone(), what: what.clone() });
            self.record(AuditMessage::Sent { to, what, outcome: EventOutcome::Success });
        }
        if !delivery.complete {
            let reason = delivery.trouble.clone().or_else(|| missing.first().map(|file| file.answer.clone()));
            let outcome = EventOutcome::Serious(reason.unwrap_or_default());
            self.record(AuditMessage::Sent { to, what: counted(&missing), outcome });
        }
    }

    fn record(&self, message: AuditMessage) {
        if let Some(trail) = &self.trail {
            trail.record(message, SystemTime::now());
        }
    }

    fn sessions(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, SessionSummary>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for AuditRecorder {
    fn drop(&mut self) {
        self.record(AuditMessage::Stopped);
    }
}

impl SessionSummary {
    fn new(way: SessionKind, from: AuditNode, asked_by: TransferInitiator) -> SessionSummary {
        SessionSummary { way, from, asked_by, received: BTreeMap::new(), refused: None }
    }

    fn count(&mut self, instance: &ArrivedInstance) {
        let key = (instance.patient_id.clone(), instance.study_instance_uid.clone());
        let classes = self.received.entry(key).or_default();
        *classes.entry(instance.sop_class_uid.clone()).or_default() += 1;
    }
}

/// The SOP class of a file; empty if the file could not be read.
fn sop_class_uid(file: &FileDelivery) -> String {
    file.details.get(deliver::SOP_CLASS_UID).cloned().unwrap_or_default()
}

/// The patient and the study that a request concerns, with its instances.
fn subject(request: &Request, instances: BTreeMap<String, usize>) -> AuditSubject {
    let text = |name: &str| request.attribute(name).to_owned();
    let patient = AuditPatient { id: text("patient_id"), name: text("patient_name") };
    let (uid, accession_number) = (text("study_instance_uid"), text("accession_number"));
    AuditSubject { patient, studies: vec![AuditStudy { uid, accession_number, instances }] }
}

/// A destination as a node of an audit message, from `AETITLE@host:port` or a URL.
fn node(destination: &str) -> AuditNode {
    let (ae_title, address) = match destination.split_once("://") {
        Some((_, rest)) => ("", rest),
        None => destination.split_once('@').unwrap_or(("", destination)),
    };
    let authority = address.split('/').next().unwrap_or_default();
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    AuditNode { ae_title: ae_title.to_owned(), address: host.to_owned() }
}

fn trail(
    wanted: &site::AuditSettings,
    client: Option<&tls::TlsClient>,
    state: &Path,
    own_title: &AeTitle,
) -> io::Result<AuditTrail> {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
    let source = AuditSource {
        id: own_title.to_string(),
        site: String::new(),
        host: if host.is_empty() { "localhost".to_owned() } else { host },
        process_id: std::process::id(),
        ae_titles: vec![own_title.to_string()],
    };
    fs::create_dir_all(state.join("audit"))?;
    let mut settings = audit::TrailSettings::new(state.join("audit/spool"));
    settings.spool_bytes_max = wanted.spool_bytes_max.unwrap_or(settings.spool_bytes_max);
    AuditTrail::start(source, transport(wanted, client)?, &settings)
}

fn transport(wanted: &site::AuditSettings, client: Option<&tls::TlsClient>) -> io::Result<AuditTransport> {
    let address = wanted.address.clone();
    match wanted.transport {
        site::AuditProtocol::Udp => Ok(audit::udp(address)),
        site::AuditProtocol::Tcp => Ok(audit::tcp(address)),
        site::AuditProtocol::Tls => {
            let missing = || {
                io::Error::other(
                    "the repository's certificate cannot be verified, no certificate authority is named: add tls: {authorities: FILE}",
                )
            };
            let client = client.ok_or_else(missing)?.clone();
            let host = address.rsplit_once(':').map_or("", |(host, _)| host).to_owned();
            Ok(AuditTransport::Stream(Box::new(move || {
                let tcp = audit::dial(&address)?;
                let stream = client.connect(&host, tcp.try_clone()?).map_err(io::Error::other)?;
                Ok(audit::awake(stream, tcp))
            })))
        }
    }
}
