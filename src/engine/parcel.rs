//! A response on its way out.

use std::sync::Arc;

use crate::dataflow::{Response, Verdict};
use crate::journal::{Entry, Journal, JournalError, Receipt};
use crate::step::Request;
use crate::store::Store;

use super::Undelivered;
use super::event::{Event, Observer, tell};
use super::patience::patiently;

/// A response that is to be delivered. Whoever has it says in the end what became of it, from any
/// thread and as late as need be; one that is dropped without a word is undelivered.
pub struct Parcel {
    receipt: Receipt,
    response: Arc<Response>,
    recorder: ResponseRecorder,
    kind: Kind,
    settled: bool,
}

/// Which of the answers to a request it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// That of a deadline: delivered or not, the last one follows.
    Interim,
    Last,
}

/// Where it is recorded what became of responses.
#[derive(Clone)]
pub(super) struct ResponseRecorder {
    pub journal: Arc<Journal>,
    pub observer: Arc<dyn Observer>,
}

impl Parcel {
    pub(super) fn new(
        receipt: Receipt,
        response: Response,
        kind: Kind,
        recorder: ResponseRecorder,
    ) -> Parcel {
        Parcel { receipt, response: Arc::new(response), recorder, kind, settled: false }
    }

    pub fn receipt(&self) -> &Receipt {
        &self.receipt
    }

    pub fn request(&self) -> &Arc<Request> {
        self.receipt.request()
    }

    pub fn response(&self) -> &Arc<Response> {
        &self.response
    }

    /// Where the files of the response are.
    pub fn store(&self) -> &Arc<Store> {
        self.recorder.store()
    }

    /// Has it recorded what became of the response. With `Err` the request stays unanswered: a later
    /// process takes it up where it stands.
    pub fn settle(mut self, delivered: Result<(), Undelivered>) {
        self.close(delivered);
    }

    /// Lets go of a response whose place a later one to the same request has taken: what becomes of
    /// that one counts.
    pub fn superseded(mut self) {
        self.settled = true;
    }

    fn close(&mut self, delivered: Result<(), Undelivered>) {
        if std::mem::replace(&mut self.settled, true) {
            return;
        }
        let (request, response) = (&**self.receipt.request(), &*self.response);
        let event = match (delivered, self.kind, response.verdict) {
            (Err(Undelivered), Kind::Interim, _) => return,
            (Err(Undelivered), Kind::Last, _) => Event::Undelivered { request, response },
            (Ok(()), _, Verdict::Unfinished) => Event::Overdue { request, response },
            (Ok(()), _, Verdict::Complete | Verdict::Failed) => Event::Answered { request, response },
        };
        tell(&*self.recorder.observer, &event);
        if self.kind == Kind::Last {
            self.recorder.close(&self.receipt, delivered);
        }
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        self.close(Err(Undelivered));
    }
}

impl ResponseRecorder {
    pub fn store(&self) -> &Arc<Store> {
        self.journal.store()
    }

    /// The values go first: once it is recorded that the request is answered, the same one may begin anew.
    fn close(&self, receipt: &Receipt, delivered: Result<(), Undelivered>) {
        if delivered.is_ok()
            && let Err(error) = self.store().end_work(receipt.request().id)
        {
            tracing::warn!(%error, "values of an answered request stay behind");
        }
        let entry = if delivered.is_ok() { Entry::Answered } else { Entry::Undelivered };
        // What cannot be recorded has been told, and is delivered once more after the next start.
        let _ = self.record(receipt, &entry);
    }

    pub fn record(&self, receipt: &Receipt, entry: &Entry) -> Result<(), Undelivered> {
        let request = receipt.request();
        let is_full = |error: &JournalError| matches!(error, JournalError::Full);
        patiently(request, is_full, || self.journal.append(receipt, entry.clone())).map_err(|error| {
            let (error, request): (&dyn std::error::Error, _) = (&error, &request.name);
            tracing::error!(
                error,
                request,
                "the answer could not be recorded; the next start goes on with it"
            );
            Undelivered
        })
    }
}
