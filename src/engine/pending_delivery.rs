//! A response on its way to the sink, and the record of how its delivery ends.

use std::sync::Arc;

use crate::dataflow::{Response, ResponseVerdict};
use crate::journal::{Journal, JournalEntry, JournalError, Receipt};
use crate::step::Request;
use crate::store::Store;

use super::disk_wait::retry_while_full;
use super::event::{EngineEvent, EventObserver, tell};

/// A response that could not be delivered for now. The sink has logged the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UndeliveredResponse;

/// A response that is to be delivered. Its holder settles it when the delivery has ended, from any
/// thread and at any time; one that is dropped unsettled counts as undelivered.
pub struct PendingDelivery {
    receipt: Receipt,
    response: Arc<Response>,
    recorder: ResponseRecorder,
    kind: ResponseKind,
    settled: bool,
}

/// The kind of a response: interim or last.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ResponseKind {
    /// The interim response of a passed deadline: delivered or not, the last one follows.
    Interim,
    Last,
}

/// Recorder of how deliveries of responses end, in the journal and for the observer.
#[derive(Clone)]
pub(super) struct ResponseRecorder {
    pub journal: Arc<Journal>,
    pub observer: Arc<dyn EventObserver>,
    /// Whether the sink has a record of its own: those of the journal need not be written at once.
    pub sink_keeps: bool,
}

impl PendingDelivery {
    pub(super) fn new(
        receipt: Receipt,
        response: Response,
        kind: ResponseKind,
        recorder: ResponseRecorder,
    ) -> PendingDelivery {
        PendingDelivery { receipt, response: Arc::new(response), recorder, kind, settled: false }
    }

    /// The receipt under which the request was accepted.
    pub fn receipt(&self) -> &Receipt {
        &self.receipt
    }

    /// The request that is answered.
    pub fn request(&self) -> &Arc<Request> {
        self.receipt.request()
    }

    /// The response to deliver.
    pub fn response(&self) -> &Arc<Response> {
        &self.response
    }

    /// The store with the files of the response, by digest.
    pub fn store(&self) -> &Arc<Store> {
        self.recorder.store()
    }

    /// Records whether the response was delivered. With `Err` the request stays unanswered: after the next
    /// start the response is delivered again.
    pub fn settle(mut self, delivered: Result<(), UndeliveredResponse>) {
        self.close(delivered);
    }

    /// Ends the delivery of an interim response that the final one replaces. Nothing is recorded: only the
    /// delivery of the final one counts.
    pub fn superseded(mut self) {
        self.settled = true;
    }

    fn close(&mut self, delivered: Result<(), UndeliveredResponse>) {
        if std::mem::replace(&mut self.settled, true) {
            return;
        }
        let (request, response) = (&**self.receipt.request(), &*self.response);
        let event = match (delivered, self.kind, response.verdict) {
            (Err(UndeliveredResponse), ResponseKind::Interim, _) => return,
            (Err(UndeliveredResponse), ResponseKind::Last, _) => {
                EngineEvent::Undelivered { request, response }
            }
            (Ok(()), _, ResponseVerdict::Unfinished) => EngineEvent::Overdue { request, response },
            (
                Ok(()),
                _,
                ResponseVerdict::Complete
                | ResponseVerdict::CompleteWithReservations
                | ResponseVerdict::Failed,
            ) => EngineEvent::Answered { request, response },
        };
        tell(&*self.recorder.observer, &event);
        if self.kind == ResponseKind::Last {
            self.recorder.close(&self.receipt, delivered);
        }
    }
}

impl Drop for PendingDelivery {
    fn drop(&mut self) {
        self.close(Err(UndeliveredResponse));
        if self.kind == ResponseKind::Last {
            self.store().end_holding(self.request().id);
        }
    }
}

impl ResponseRecorder {
    pub fn store(&self) -> &Arc<Store> {
        self.journal.store()
    }

    /// The values are removed before the record: after it the same request may be accepted anew and make
    /// values of its own.
    fn close(&self, receipt: &Receipt, delivered: Result<(), UndeliveredResponse>) {
        // A request that is in no journal has no values in the store.
        if delivered.is_ok()
            && receipt.number().is_some()
            && let Err(error) = self.store().end_work(receipt.request().id)
        {
            tracing::warn!(%error, "stored values of an answered request could not be removed");
        }
        let entry = if delivered.is_ok() { JournalEntry::Answered } else { JournalEntry::Undelivered };
        // If the process ends before the record is written, the response is delivered once more.
        match self.sink_keeps {
            true => self.journal.append_eventually(receipt, &entry, Vec::new()),
            false => self.journal.append_surely(receipt, entry),
        }
    }

    pub fn record(
        &self,
        receipt: &Receipt,
        entry: &JournalEntry,
        content: &[u8],
    ) -> Result<(), UndeliveredResponse> {
        let request = receipt.request();
        let is_full = |error: &JournalError| matches!(error, JournalError::Full);
        let append = || self.journal.append_with(receipt, entry, content.to_vec());
        retry_while_full(request, is_full, append).map_err(|error| {
            let (error, request): (&dyn std::error::Error, _) = (&error, &request.name);
            tracing::error!(
                error,
                request,
                "the response could not be recorded; it is delivered after the next start"
            );
            UndeliveredResponse
        })
    }
}
