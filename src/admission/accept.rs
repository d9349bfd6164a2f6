//! A request at the moment in which it is accepted: recorded, or found to be known.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use crate::dataflow::{Dataflow, RequestPriority, Response, ResponseVerdict, RevisionPolicy};
use crate::engine::{RequestDeadline, RequestSubmission};
use crate::journal::{
    JournalEntry, JournalError, Receipt, RequestArrival, RequestHistory, RequestRow, RequestStanding,
};
use crate::step::{Digest, Request};

use super::left_requests::DeferralReason;
use super::{Admission, AdmissionEvent, Intake, StopSignal};

/// The verdict on a request at its acceptance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// A new request, or one with more items than the earlier request with its subject: it is run.
    New,
    /// The same request as one in work: the answer to that is the answer to this one, too.
    InWork,
    /// The same request as an answered one: the response goes out again, made anew where the program or
    /// the dataflow has changed.
    Answered,
    /// A request with more items than an answered one with its subject, where the dataflow ignores late
    /// items: they are noted, and not run.
    Ignored,
}

impl Admission<'_> {
    /// Records a request and submits it to the engine. When this returns the request is on the disk, and gets
    /// exactly one response, also after a crash. The call blocks while too many requests are under way.
    ///
    /// # Errors
    /// If it cannot be recorded. It is not accepted then, and its source may bring it again.
    pub fn accept(&self, request: Request) -> Result<Accepted, JournalError> {
        let has_subject = !request.subject.is_empty();
        let alone = has_subject.then(|| self.journal.hold_subject(&request.subject));
        // Old requests are not removed meanwhile: this one may build on one of them, and is not recorded yet.
        let held = self.journal.hold();
        let earlier = self.earlier(&request)?;
        let brought = claims(&request);
        let request = match &earlier {
            Some(history) => self.revised(history, request),
            None => request,
        };
        if let Some(history) = earlier.as_ref().filter(|history| self.ignores(history, &request)) {
            self.ignore(history, &request)?;
            self.release(&request, brought);
            return Ok(Accepted::Ignored);
        }
        let dataflow = self.dataflows.of(&request);
        let lookup_texts = self.sources.lookup_texts(&request);
        let receipt = self.journal.accept(RequestArrival {
            request: Arc::new(request),
            dataflow: dataflow.name().to_owned(),
            version: dataflow.digest(),
            program: self.program,
            lookup_texts,
        })?;
        let used = claims(receipt.request());
        self.release(receipt.request(), brought.difference(&used).cloned().collect());
        drop((held, alone));
        self.hand_on(receipt, &dataflow, earlier.as_ref())
    }

    /// Accepts requests one after the other, up to the first that cannot be recorded. That one and those
    /// behind it are not accepted, and may be brought again.
    pub fn accept_all(&self, requests: impl IntoIterator<Item = Request>) -> Intake {
        for request in requests {
            let name = request.name.clone();
            if let Err(error) = self.accept(request) {
                self.tell(&AdmissionEvent::NotAccepted { name: &name, error: &error });
                return Intake::Partial;
            }
        }
        Intake::Whole
    }

    /// Whether sources are to end, and when.
    pub fn stop(&self) -> &StopSignal {
        self.stop
    }

    /// Reports a message of a source, for a person to read.
    pub fn say(&self, source: &str, text: &str) {
        self.tell(&AdmissionEvent::Told { source, text });
    }

    pub(super) fn tell(&self, event: &AdmissionEvent) {
        self.observer.observe_admission(event);
    }

    fn hand_on(
        &self,
        receipt: Receipt,
        dataflow: &Arc<Dataflow>,
        earlier: Option<&RequestHistory>,
    ) -> Result<Accepted, JournalError> {
        match (receipt.standing(), receipt.number()) {
            (RequestStanding::New, number) => {
                let priority = self.dataflows.priority(receipt.request(), dataflow);
                match number.and_then(|number| Some((number, self.defers(dataflow, priority)?))) {
                    Some((number, reason)) => self.defer(number, reason)?,
                    None => self.queue.resume(submission(receipt, dataflow, priority), earlier),
                }
                Ok(Accepted::New)
            }
            (_, None) => {
                let priority = self.dataflows.priority(receipt.request(), dataflow);
                self.queue.resume(submission(receipt, dataflow, priority), earlier);
                Ok(Accepted::New)
            }
            (RequestStanding::InWork, _) => {
                self.tell(&AdmissionEvent::InWork { request: receipt.request() });
                Ok(Accepted::InWork)
            }
            (RequestStanding::Answered, Some(number)) => {
                self.once_more(receipt, dataflow, number)?;
                Ok(Accepted::Answered)
            }
        }
    }

    fn defer(&self, number: i64, reason: DeferralReason) -> Result<(), JournalError> {
        if let Some(history) = self.journal.history(number)? {
            self.left.defer(history.row, reason);
        }
        Ok(())
    }

    /// Whether the request has late items for an answered one, and the dataflow ignores those.
    fn ignores(&self, earlier: &RequestHistory, request: &Request) -> bool {
        let is_more = request.id != earlier.row.id;
        is_more && !earlier.row.is_open() && self.dataflows.of(request).revisions() == RevisionPolicy::Ignore
    }

    fn ignore(&self, earlier: &RequestHistory, request: &Request) -> Result<(), JournalError> {
        let known = earlier.request().map(|(known, _)| known.items.clone()).unwrap_or_default();
        let known: BTreeSet<Digest> = known.iter().map(|item| item.digest).collect();
        let new = request.items.iter().filter(|item| !known.contains(&item.digest));
        let items: Vec<String> = new.map(|item| item.name.clone()).collect();
        self.tell(&AdmissionEvent::Ignored { name: &earlier.row.name, items: items.len() });
        self.journal.append(&self.journal.receipt(earlier)?, JournalEntry::Late { items })
    }

    /// A request that was answered before: the same response goes out again, and changes nothing
    /// where it is. Where the program or the dataflow is another by now, it is run again.
    fn once_more(&self, receipt: Receipt, dataflow: &Arc<Dataflow>, number: i64) -> Result<(), JournalError> {
        let Some(history) = self.journal.history(number)? else { return Ok(()) };
        // An undelivered response of an earlier process is taken up here, so that resuming does not do it
        // again.
        self.left.take(number);
        let reusable = Some(&history).filter(|history| history.is_of_one_program());
        let held = self.journal.store().held(history.row.id);
        match reusable.and_then(|history| self.made(history, dataflow)) {
            Some(response) => {
                self.tell(&AdmissionEvent::AnsweredBefore {
                    request: receipt.request(),
                    response: &response,
                });
                self.queue.deliver(receipt, response);
            }
            None => {
                drop(held);
                let receipt = self.journal.receipt(&history)?;
                let priority = self.dataflows.priority(receipt.request(), dataflow);
                self.queue.resume(again(receipt, dataflow, &history, priority), reusable);
            }
        }
        Ok(())
    }

    /// The recorded response, if it can be delivered as it is: it was made under this dataflow, no retry was
    /// asked for, and all of its files are there. Small files are in the journal; the caller holds them in
    /// memory, so that they need not be written.
    pub(super) fn made(&self, history: &RequestHistory, dataflow: &Dataflow) -> Option<Response> {
        let response = history.response()?;
        if response.verdict == ResponseVerdict::Failed && history.is_retried() {
            return None;
        }
        let unanswered = history.delivery_began();
        let is_ours = unanswered || response.version == dataflow.digest();
        let store = self.journal.store();
        let is_whole = || {
            if let Err(error) = history.restore_small_files(store) {
                tracing::warn!(%error, request = history.row.name, "files of its response are made again");
            }
            // Where a file is missing on the disk, the request is run again, which gives the same response.
            store.is_whole(response.request, &response.files)
        };
        (is_ours && is_whole()).then(|| response.clone())
    }

    /// The last request with the same subject, through whichever dataflow it went.
    fn earlier(&self, request: &Request) -> Result<Option<RequestHistory>, JournalError> {
        if request.subject.is_empty() {
            return Ok(None);
        }
        let mut last = None;
        for name in self.dataflow_names() {
            let row = self.journal.latest(&name, &request.subject)?;
            last = last.max(row.map(|row| row.number));
        }
        match last {
            Some(number) => self.journal.history(number),
            None => Ok(None),
        }
    }

    /// The names of all dataflows, also of those that new requests do not go through any more.
    pub(super) fn dataflow_names(&self) -> BTreeSet<String> {
        self.dataflows.all().map(|dataflow| dataflow.name().to_owned()).collect()
    }

    /// The request merged by its source with the earlier one about the same subject.
    fn revised(&self, history: &RequestHistory, request: Request) -> Request {
        let Ok((earlier, _)) = history.request() else { return request };
        let mut revised = self.sources.merge(earlier, request);
        if revised.has_items_of(earlier) {
            // It is the earlier request, and supersedes what that superseded.
            revised.supersedes = earlier.supersedes;
            (revised.id, revised.name) = (earlier.id, earlier.name.clone());
        } else {
            revised.supersedes = Some(earlier.id);
        }
        revised
    }

    /// Asks the source of a remembered request to release these claims.
    pub(super) fn release_row(&self, row: &RequestRow, claims: &[String]) -> io::Result<()> {
        let history = self.journal.history(row.number).map_err(io::Error::other)?;
        let name = history.as_ref().and_then(|history| history.request().ok());
        let name = name.map(|(request, _)| request.attribute("source").to_owned()).unwrap_or_default();
        match self.sources.named(&name) {
            Some(source) => source.release(claims),
            None => Err(io::Error::other(format!("the source {name:?} is not known to this program"))),
        }
    }

    /// Asks the source to release the claims of a request that is not run: its items were received before.
    fn release(&self, request: &Request, claims: BTreeSet<String>) {
        let claims: Vec<String> = claims.into_iter().collect();
        let Some(source) = self.sources.of(request).filter(|_| !claims.is_empty()) else { return };
        if let Err(error) = source.release(&claims) {
            tracing::warn!(%error, "received files that are not needed could not be removed");
        }
    }
}

/// The claims that its source releases when no request needs them any more.
fn claims(request: &Request) -> BTreeSet<String> {
    request.claims.iter().cloned().collect()
}

/// The submission of a new request to the engine.
fn submission(receipt: Receipt, dataflow: &Arc<Dataflow>, priority: RequestPriority) -> RequestSubmission {
    RequestSubmission { priority, ..RequestSubmission::from(receipt).under(dataflow.digest()) }
}

/// The submission of a request of an earlier process, with the time left until its deadline.
pub(super) fn again(
    receipt: Receipt,
    dataflow: &Arc<Dataflow>,
    history: &RequestHistory,
    priority: RequestPriority,
) -> RequestSubmission {
    let interim = history.interim().map(Response::digest);
    let rejected = history.response().filter(|_| history.rejected() > 0).map(Response::digest);
    let deadline = match (interim, dataflow.deadline()) {
        (Some(_), _) => RequestDeadline::Passed,
        (None, Some(deadline)) => RequestDeadline::Within(deadline.saturating_sub(history.waited())),
        (None, None) => RequestDeadline::OfDataflow,
    };
    RequestSubmission {
        deadline,
        supersedes: interim.or(rejected),
        ..submission(receipt, dataflow, priority)
    }
}
