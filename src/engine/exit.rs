//! Where answers go out: threads that take one after the other, have it recorded, and delivered.

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex};

use crate::dataflow::{Response, Verdict};
use crate::journal::{Entry, Journal, JournalError, Receipt};

use crate::store::StoreError;

use super::event::{Event, tell};
use super::job::Work;
use super::patience::patiently;
use super::places::Places;
use super::{Sink, Undelivered};

/// A request with an answer, on the way to the sink.
pub struct Answered {
    pub receipt: Receipt,
    pub response: Response,
    pub turn: Turn,
}

/// Which of the answers to a request it is.
pub enum Turn {
    /// That of a deadline; what it holds is let go of when it has been delivered.
    Interim { delivered: Sender<()> },
    /// The last one, after an earlier one.
    Final { earlier: Option<Receiver<()>> },
    /// A last one that is in the journal already.
    Recorded,
}

pub struct Exit<'a> {
    pub answers: Mutex<Receiver<Answered>>,
    pub sink: &'a dyn Sink,
    pub journal: &'a Journal,
    pub work: &'a Work,
    pub places: Arc<Places>,
}

impl Exit<'_> {
    /// Delivers answers until the last worker is gone.
    pub fn serve(&self) {
        loop {
            let next = self.answers.lock().expect("nothing panics while it holds the lock").recv();
            let Ok(Answered { receipt, response, turn }) = next else { return };
            match turn {
                Turn::Interim { delivered } => {
                    // Delivered or not, the final one follows.
                    let _ = self.interim(&receipt, &response);
                    drop(delivered);
                    continue;
                }
                Turn::Final { earlier } => {
                    // An earlier one was taken before, by another thread. Nothing is sent: it ends.
                    earlier.into_iter().for_each(|earlier| _ = earlier.recv());
                    let _ = self.secure(&receipt, &response).and_then(|()| self.last(&receipt, &response));
                }
                Turn::Recorded => _ = self.last(&receipt, &response),
            }
            self.work.memories.close(receipt.request().id);
            receipt.number().into_iter().for_each(|number| self.work.memories.leave(number));
            self.places.leave();
        }
    }

    fn interim(&self, receipt: &Receipt, response: &Response) -> Result<(), Undelivered> {
        let secured = self.journal.keeps().then(|| self.work.store.secure(response.request, &response.files));
        if let Some(Err(error)) = secured {
            let (error, request): (&dyn Error, _) = (&error, &receipt.request().name);
            tracing::warn!(error, request, "the response of its deadline is not safe, and not sent");
            return Err(Undelivered);
        }
        self.record(receipt, &Entry::Interim { response: response.clone() })?;
        self.deliver(receipt, response)
    }

    fn last(&self, receipt: &Receipt, response: &Response) -> Result<(), Undelivered> {
        let delivered = self.deliver(receipt, response);
        let entry = if delivered.is_ok() { Entry::Answered } else { Entry::Undelivered };
        self.record(receipt, &entry)?;
        delivered?;
        if let Err(error) = self.work.store.end_work(receipt.request().id) {
            tracing::warn!(%error, "values of an answered request stay behind");
        }
        Ok(())
    }

    /// One response that cannot be delivered must not keep the others from being so.
    fn deliver(&self, receipt: &Receipt, response: &Response) -> Result<(), Undelivered> {
        let request = receipt.request();
        let deliver = || self.sink.deliver(receipt, response, &self.work.store);
        let delivered = catch_unwind(AssertUnwindSafe(deliver)).unwrap_or_else(|_| {
            tracing::error!(request = %request.id, "delivering the response panicked");
            Err(Undelivered)
        });
        let event = match (delivered, response.verdict) {
            (Err(Undelivered), _) => Event::Undelivered { request, response },
            (Ok(()), Verdict::Unfinished) => Event::Overdue { request, response },
            (Ok(()), Verdict::Complete | Verdict::Failed) => Event::Answered { request, response },
        };
        tell(&*self.work.observer, &event);
        delivered
    }

    /// From here on the answer is this one, whatever happens.
    fn secure(&self, receipt: &Receipt, response: &Response) -> Result<(), Undelivered> {
        if !self.journal.keeps() {
            return Ok(());
        }
        let secure = || self.work.store.secure(response.request, &response.files);
        if let Err(error) = patiently(receipt.request(), StoreError::may_pass, secure) {
            let (error, request): (&dyn Error, _) = (&error, &receipt.request().name);
            tracing::error!(error, request, "the response is not safe; it is made again at the next start");
            return Err(Undelivered);
        }
        self.record(receipt, &Entry::Responded { response: response.clone() })
    }

    fn record(&self, receipt: &Receipt, entry: &Entry) -> Result<(), Undelivered> {
        let request = receipt.request();
        let is_full = |error: &JournalError| matches!(error, JournalError::Full);
        patiently(request, is_full, || self.journal.append(receipt, entry.clone())).map_err(|error| {
            let (error, request): (&dyn Error, _) = (&error, &request.name);
            tracing::error!(
                error,
                request,
                "the answer could not be recorded; the next start goes on with it"
            );
            Undelivered
        })
    }
}
