//! The audit record of `flow run`: what the receiver and the outbox tell, as messages for the hospital's
//! repository.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;
use std::{fs, io};

use crate::admission::{Delivery, FileDelivery};
use crate::audit::{
    self, Alert, Arrival, AskedBy, Message, Node, Outcome, Patient, Source, Study, Subject, Trail, Transport,
};
use crate::dicom::{self, AeTitle, Arrived, End, Way, deliver};
use crate::outbox;
use crate::site;
use crate::step::Request;
use crate::tls;

use super::exit::{Failure, Kind};
use super::site::Settings;

/// Writes the record, if the site wants one.
pub struct Auditor {
    trail: Option<Trail>,
    /// Those who are bringing instances, by the number of their visit.
    visits: Mutex<BTreeMap<u64, Visiting>>,
    /// The folder whose files are taken in.
    watched: Option<std::path::PathBuf>,
}

/// What one visit has brought so far.
struct Visiting {
    way: Way,
    from: Node,
    asked_by: AskedBy,
    /// By patient and study: how many instances of each SOP class.
    received: BTreeMap<(String, String), BTreeMap<String, usize>>,
    refused: Option<String>,
}

impl Auditor {
    pub fn start(site: &Settings, state: &Path, own_title: &AeTitle) -> Result<Auditor, Failure> {
        let settings = site.site.as_ref();
        let wanted = settings.and_then(|settings| settings.audit.as_ref());
        let trail = wanted.map(|wanted| trail(wanted, site.client(), state, own_title)).transpose();
        let trail =
            trail.map_err(|error| Failure::new(Kind::InputOutput, format!("the audit record: {error}")))?;
        let watched = site.dicom().and_then(|dicom| dicom.watch.clone());
        let auditor = Auditor { trail, visits: Mutex::default(), watched };
        auditor.record(Message::Started);
        Ok(auditor)
    }

    /// What the receiver tells.
    pub fn received(&self, event: &dicom::Event) {
        if self.trail.is_none() {
            return;
        }
        match event {
            dicom::Event::Opened { visit, peer, calling_ae } => {
                let address = peer.ip().to_canonical().to_string();
                let from = Node { ae_title: calling_ae.clone(), address };
                self.visits().insert(visit.number, Visiting::new(visit.way, from, AskedBy::Sender));
            }
            dicom::Event::TurnedAway { peer, reason } => {
                let address = peer.ip().to_canonical().to_string();
                let about = Some(Node { ae_title: String::new(), address });
                let (alert, description) = (Alert::NodeAuthentication, reason.clone());
                let outcome = Outcome::Serious(reason.clone());
                self.record(Message::Alert { alert, about, description, outcome });
            }
            dicom::Event::Stored { visit, instance, .. } => {
                let mut visits = self.visits();
                let nobody = Node { ae_title: String::new(), address: String::new() };
                let visiting = visits
                    .entry(visit.number)
                    .or_insert_with(|| Visiting::new(visit.way, nobody, AskedBy::Us));
                visiting.count(instance);
            }
            dicom::Event::Refused { visit, status, reason } => {
                if let Some(visiting) = self.visits().get_mut(&visit.number) {
                    visiting.refused = Some(format!("{status}: {reason}"));
                }
            }
            dicom::Event::Closed { visit, end, reason, .. } => {
                let left = self.visits().remove(&visit.number);
                left.into_iter().for_each(|visiting| self.closed(visiting, *end, reason));
            }
            // What we have asked for comes without an association of its own.
            dicom::Event::Fetched { .. } | dicom::Event::NotFetched { .. } => {
                let ours = {
                    // One guard for both: what others bring meanwhile must not be lost between them.
                    let mut visits = self.visits();
                    let all = std::mem::take(&mut *visits).into_iter();
                    let (ours, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
                        all.partition(|(_, visiting)| visiting.asked_by == AskedBy::Us);
                    *visits = others;
                    ours
                };
                ours.into_iter().for_each(|(_, visiting)| self.closed(visiting, End::Released, ""));
            }
            _ => {}
        }
    }

    /// What the outbox tells.
    pub fn delivered(&self, event: &outbox::Event) {
        if self.trail.is_none() {
            return;
        }
        match event {
            outbox::Event::Forwarded { request, delivery } => self.sent(request, delivery),
            outbox::Event::Answered { request, place: Some(place), .. } => self.record(Message::Exported {
                folder: place.to_path_buf(),
                what: subject(request, BTreeMap::new()),
                outcome: Outcome::Success,
            }),
            outbox::Event::NotWritten { .. }
            | outbox::Event::Delayed { .. }
            | outbox::Event::Answered { place: None, .. } => {}
        }
    }

    fn closed(&self, visiting: Visiting, end: End, reason: &str) {
        let Visiting { way, from, asked_by, received, refused } = visiting;
        let broken = (end == End::Aborted).then(|| reason.to_owned());
        for ((patient_id, study), instances) in received {
            let patient = Patient { id: patient_id, name: String::new() };
            let study = Study { uid: study, accession_number: String::new(), instances };
            let what = Subject { patient, studies: vec![study] };
            self.record(self.arrival(way, from.clone(), asked_by, what, Outcome::Success));
        }
        if let Some(reason) = refused.or(broken) {
            let outcome = Outcome::Minor(reason);
            self.record(self.arrival(way, from, asked_by, Subject::default(), outcome));
        }
    }

    fn arrival(&self, way: Way, from: Node, asked_by: AskedBy, what: Subject, outcome: Outcome) -> Message {
        match (way, &self.watched) {
            (Way::Folder, Some(folder)) => Message::Imported { folder: folder.clone(), what, outcome },
            _ => Message::Received { from, asked_by, arrival: Arrival::New, what, outcome },
        }
    }

    fn sent(&self, request: &Request, delivery: &Delivery) {
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
            self.record(Message::Sending { to: to.clone(), what: what.clone() });
            self.record(Message::Sent { to, what, outcome: Outcome::Success });
        }
        if !delivery.complete {
            let reason = delivery.trouble.clone().or_else(|| missing.first().map(|file| file.answer.clone()));
            let outcome = Outcome::Serious(reason.unwrap_or_default());
            self.record(Message::Sent { to, what: counted(&missing), outcome });
        }
    }

    fn record(&self, message: Message) {
        if let Some(trail) = &self.trail {
            trail.record(message, SystemTime::now());
        }
    }

    fn visits(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Visiting>> {
        self.visits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Auditor {
    fn drop(&mut self) {
        self.record(Message::Stopped);
    }
}

impl Visiting {
    fn new(way: Way, from: Node, asked_by: AskedBy) -> Visiting {
        Visiting { way, from, asked_by, received: BTreeMap::new(), refused: None }
    }

    fn count(&mut self, instance: &Arrived) {
        let key = (instance.patient_id.clone(), instance.study_instance_uid.clone());
        let classes = self.received.entry(key).or_default();
        *classes.entry(instance.sop_class_uid.clone()).or_default() += 1;
    }
}

/// Empty where the file could not be read.
fn sop_class_uid(file: &FileDelivery) -> String {
    file.details.get(deliver::SOP_CLASS_UID).cloned().unwrap_or_default()
}

/// Whose results a request's are.
fn subject(request: &Request, instances: BTreeMap<String, usize>) -> Subject {
    let text = |name: &str| request.attribute(name).to_owned();
    let patient = Patient { id: text("patient_id"), name: text("patient_name") };
    let (uid, accession_number) = (text("study_instance_uid"), text("accession_number"));
    Subject { patient, studies: vec![Study { uid, accession_number, instances }] }
}

/// A destination as it is called: `AETITLE@host:port`, or a URL.
fn node(destination: &str) -> Node {
    let (ae_title, address) = match destination.split_once("://") {
        Some((_, rest)) => ("", rest),
        None => destination.split_once('@').unwrap_or(("", destination)),
    };
    let authority = address.split('/').next().unwrap_or_default();
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    Node { ae_title: ae_title.to_owned(), address: host.to_owned() }
}

fn trail(
    wanted: &site::Audit,
    client: Option<&tls::Client>,
    state: &Path,
    own_title: &AeTitle,
) -> io::Result<Trail> {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
    let source = Source {
        id: own_title.to_string(),
        site: String::new(),
        host: if host.is_empty() { "localhost".to_owned() } else { host },
        process_id: std::process::id(),
        ae_titles: vec![own_title.to_string()],
    };
    fs::create_dir_all(state.join("audit"))?;
    let mut settings = audit::Settings::new(state.join("audit/spool"));
    settings.spool_bytes_max = wanted.spool_bytes_max.unwrap_or(settings.spool_bytes_max);
    Trail::start(source, transport(wanted, client)?, &settings)
}

fn transport(wanted: &site::Audit, client: Option<&tls::Client>) -> io::Result<Transport> {
    let address = wanted.address.clone();
    match wanted.transport {
        site::Transport::Udp => Ok(audit::udp(address)),
        site::Transport::Tcp => Ok(audit::tcp(address)),
        site::Transport::Tls => {
            let missing = || {
                io::Error::other(
                    "nobody says by whose certificate the repository is believed: add tls: {authorities: FILE}",
                )
            };
            let client = client.ok_or_else(missing)?.clone();
            let host = address.rsplit_once(':').map_or("", |(host, _)| host).to_owned();
            Ok(Transport::Stream(Box::new(move || {
                let tcp = audit::dial(&address)?;
                let stream = client.connect(&host, tcp.try_clone()?).map_err(io::Error::other)?;
                Ok(audit::awake(stream, tcp))
            })))
        }
    }
}
