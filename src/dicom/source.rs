//! Studies as requests: studies in files, and received studies.

use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::admission::{Admission, BuiltInSource, Intake, Source, StopSignal};
use crate::step::{AttributeDeclaration, BuiltInAttributes, Request};

use super::folder::{self, FolderContents, InputError, SkippedPath};
use super::intake::instance::are_same_contents;
use super::intake::rejections::RejectionLog;
use super::{DeliveredObjects, ReceiveSettings, ReceiverEvent, SOURCE, merge, release, serve};

/// Attributes of a study, for `when`.
pub const ATTRIBUTES: &[AttributeDeclaration] = &[
    AttributeDeclaration::text("study_instance_uid", "Study Instance UID (0020,000D)."),
    AttributeDeclaration::text("study_id", "Study ID (0020,0010)."),
    AttributeDeclaration::date("study_date", "Study Date (0008,0020)."),
    AttributeDeclaration::text("study_time", "Study Time (0008,0030), as DICOM writes it."),
    AttributeDeclaration::text("study_description", "Study Description (0008,1030)."),
    AttributeDeclaration::text("accession_number", "Accession Number (0008,0050)."),
    AttributeDeclaration::text("referring_physician_name", "Referring Physician's Name (0008,0090)."),
    AttributeDeclaration::text("patient_name", "Patient's Name (0010,0010)."),
    AttributeDeclaration::text("patient_id", "Patient ID (0010,0020)."),
    AttributeDeclaration::date("patient_birth_date", "Patient's Birth Date (0010,0030)."),
    AttributeDeclaration::text("patient_sex", "Patient's Sex (0010,0040): M, F or O."),
    AttributeDeclaration::text("patient_age", "Patient's Age (0010,1010), as 056Y."),
    AttributeDeclaration::text("modality", "Modality (0008,0060): all that occur."),
    AttributeDeclaration::text("series_description", "Series Description (0008,103E): all that occur."),
    AttributeDeclaration::text("source", "How it came in: `dicom` if it was received, `folder` from files."),
    AttributeDeclaration::text("calling_ae", "AE titles of those that sent it."),
    AttributeDeclaration::text("called_ae", "AE titles by which they called us."),
    AttributeDeclaration::text(
        "association",
        "`released`, `aborted` if a sender broke off, `open` if its association stayed open.",
    ),
    AttributeDeclaration::text("complete_by", "What said that it was complete."),
    AttributeDeclaration::text(
        "mixed_series",
        "Series Instance UIDs of series of which a part was received again with other pixels, rescale values or \
         geometry, and the rest was not, or perhaps not.",
    ),
    AttributeDeclaration::text("remarks", "What is remarkable about how it came in."),
];

inventory::submit! { BuiltInAttributes(ATTRIBUTES) }
inventory::submit! { BuiltInSource(|| Arc::new(StudyFiles::default())) }
inventory::submit! { BuiltInSource(|| Arc::new(StudyReceiver::idle())) }

/// Studies in files and folders, as they are now: a folder with fewer files than before is a study with
/// fewer instances.
#[derive(Debug, Default)]
pub struct StudyFiles {
    pub studies: Vec<Request>,
    /// Files that are of no study, or could not be read.
    pub skipped: Vec<SkippedPath>,
}

impl StudyFiles {
    /// Finds the studies in files and folders.
    ///
    /// # Errors
    /// If one of `paths` itself is not there or may not be looked at.
    pub fn find(paths: &[PathBuf]) -> Result<StudyFiles, InputError> {
        StudyFiles::find_without(paths, &DeliveredObjects::default())
    }

    /// The same without the objects that were given away as results: they are skipped, as those that flow
    /// itself has made.
    ///
    /// # Errors
    /// As [`StudyFiles::find`].
    pub fn find_without(paths: &[PathBuf], results: &DeliveredObjects) -> Result<StudyFiles, InputError> {
        let FolderContents { studies, skipped } = folder::find_without(paths, results)?;
        Ok(StudyFiles { studies, skipped })
    }
}

impl Source for StudyFiles {
    fn name(&self) -> &'static str {
        folder::SOURCE
    }

    /// A file that could not be read, or is damaged, may be part of a study.
    fn feed(&self, admission: &Admission) -> Intake {
        let unread = self.skipped.iter().any(SkippedPath::may_be_missed);
        let found = if unread { Intake::Partial } else { Intake::Whole };
        admission.accept_all(self.studies.iter().cloned()).and(found)
    }

    fn attributes(&self) -> &'static [AttributeDeclaration] {
        ATTRIBUTES
    }

    fn lookup_texts(&self, request: &Request) -> Vec<String> {
        names(request)
    }

    /// The files count as they are now; the same instances in another compression are the earlier request.
    fn merge(&self, earlier: &Request, later: Request) -> Request {
        if are_same_contents(earlier, &later) { earlier.clone() } else { later }
    }
}

/// Studies that are received over DIMSE and HTTP, from watched folders, or fetched from an archive.
pub struct StudyReceiver {
    /// The folder of received studies, where that is known.
    inbox: Option<PathBuf>,
    receiving: Option<Receiving>,
}

struct Receiving {
    listener: Option<TcpListener>,
    settings: ReceiveSettings,
    on_event: Box<dyn Fn(&ReceiverEvent) + Send + Sync>,
}

/// The time after which a received study that could not be recorded is tried again.
const RETRY: Duration = Duration::from_secs(1);

impl StudyReceiver {
    /// A receiver that receives nothing, and only knows about studies that were received before.
    pub fn idle() -> StudyReceiver {
        StudyReceiver { inbox: None, receiving: None }
    }

    /// The same where earlier studies lie in this inbox: it releases them.
    pub fn of_inbox(inbox: PathBuf) -> StudyReceiver {
        StudyReceiver { inbox: Some(inbox), receiving: None }
    }

    /// A receiver for associations at `listener`, if there is one, and for what `settings` name beside it.
    /// `on_event` is called from many threads for all that happens.
    pub fn new(
        listener: Option<TcpListener>,
        settings: ReceiveSettings,
        on_event: impl Fn(&ReceiverEvent) + Send + Sync + 'static,
    ) -> StudyReceiver {
        let inbox = Some(settings.inbox.clone());
        let receiving = Receiving { listener, settings, on_event: Box::new(on_event) };
        StudyReceiver { inbox, receiving: Some(receiving) }
    }
}

impl Source for StudyReceiver {
    fn name(&self) -> &'static str {
        SOURCE
    }

    fn feed(&self, admission: &Admission) -> Intake {
        self.receiving.as_ref().map_or(Intake::Whole, |receiving| receiving.feed(admission))
    }

    fn attributes(&self) -> &'static [AttributeDeclaration] {
        ATTRIBUTES
    }

    fn lookup_texts(&self, request: &Request) -> Vec<String> {
        names(request)
    }

    /// A study is added to: instances do not vanish by not being sent again.
    fn merge(&self, earlier: &Request, later: Request) -> Request {
        merge(earlier, later)
    }

    /// Each claim is the folder of a study in the inbox. Nothing else is deleted.
    fn release(&self, claims: &[String]) -> io::Result<()> {
        match &self.inbox {
            Some(inbox) => release(inbox, claims),
            None => Err(io::Error::other("the inbox of received studies is not known")),
        }
    }
}

/// Texts by which people know a study, beside its UID.
fn names(request: &Request) -> Vec<String> {
    ["patient_id", "accession_number"].map(|name| request.attribute(name).to_owned()).into()
}

impl Receiving {
    fn feed(&self, admission: &Admission) -> Intake {
        self.announce(admission);
        let stop = Arc::new(StopSignal::default());
        let stopped = Arc::clone(&stop);
        admission.stop().when_requested(move || stopped.request());
        let missing = AtomicUsize::new(0);
        let on_study = |request| hand_over(admission, &stop, &request);
        let rejections = RejectionLog::default();
        let on_event = |event: &ReceiverEvent| {
            (self.on_event)(event);
            rejections.sum().iter().for_each(|sum| admission.say(SOURCE, sum));
            if let ReceiverEvent::Rejected { peer, .. } = event
                && !rejections.is_told(peer.ip())
            {
                return;
            }
            if let ReceiverEvent::NotFetched { .. } = event {
                missing.fetch_add(1, Ordering::Relaxed);
            }
            if event.is_warning() || is_answer_to_order(event) {
                return admission.say(SOURCE, &event.to_string());
            }
            super::log(event);
        };
        let listener = self.listener.as_ref();
        let served = serve(listener, &self.settings, &stop, on_study, on_event);
        if let Err(error) = &served {
            admission.say(SOURCE, &format!("receiving ended: {error}"));
        }
        rejections.last_sum().iter().for_each(|sum| admission.say(SOURCE, sum));
        if served.is_ok() && missing.into_inner() == 0 { Intake::Whole } else { Intake::Partial }
    }

    fn announce(&self, admission: &Admission) {
        let say = |text: &str| admission.say(SOURCE, &format!("{text}; Ctrl-C ends"));
        if let Some(web) = &self.settings.web {
            let address = web.listener.local_addr().map(|address| address.to_string()).unwrap_or_default();
            let scheme = if web.tls.is_some() { "https" } else { "http" };
            say(&format!("listening at {scheme}://{address}{}", web.base_path));
        }
        for watched in &self.settings.watched {
            say(&format!("watching {}", watched.folder.display()));
        }
        if let Some(listener) = &self.listener {
            let address = listener.local_addr().map(|address| address.to_string()).unwrap_or_default();
            let encrypted = if self.settings.tls.is_some() { ", encrypted" } else { "" };
            let title = &self.settings.ae_title;
            say(&format!("listening at {address} as {title}{encrypted}"));
        }
    }
}

/// Whether an event tells of studies that somebody has asked for.
fn is_answer_to_order(event: &ReceiverEvent) -> bool {
    matches!(event, ReceiverEvent::Fetched { .. } | ReceiverEvent::PullOrdered { .. })
}

/// A study that is received stays in the inbox until it can be recorded, also beyond the end.
fn hand_over(admission: &Admission, stop: &StopSignal, request: &Request) {
    let mut told = false;
    while let Err(error) = admission.accept(request.clone()) {
        if !std::mem::replace(&mut told, true) {
            admission.say(SOURCE, &format!("{} waits in the inbox: {error}", request.name));
        }
        if stop.wait(RETRY) {
            return;
        }
    }
}
