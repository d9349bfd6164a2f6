//! Where answers go out: threads that take one after the other, have it recorded, and delivered.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::dataflow::Response;
use crate::journal::{Entry, Journal, JournalError, Receipt};

use super::event::{Event, tell};
use super::job::Work;
use super::places::Places;
use super::{Sink, Undelivered};

/// A request with its answer, on the way to the sink.
pub struct Answered {
    pub receipt: Receipt,
    pub response: Response,
    /// It is in the journal already.
    pub recorded: bool,
}

pub struct Exit<'a> {
    pub answers: Mutex<Receiver<Answered>>,
    pub sink: &'a dyn Sink,
    pub journal: &'a Journal,
    pub work: &'a Work,
    pub places: Arc<Places>,
}

/// A full disk may have room again: waits before a record is tried once more.
const WAITS: [Duration; 4] =
    [Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(15)];

impl Exit<'_> {
    /// Delivers answers until the last worker is gone.
    pub fn serve(&self) {
        loop {
            let next = self.answers.lock().expect("nothing panics while it holds the lock").recv();
            let Ok(answered) = next else { return };
            self.answer(&answered);
            self.work.memories.close(answered.receipt.request().id);
            self.places.leave();
        }
    }

    /// One response that cannot be delivered must not keep the others from being so.
    fn answer(&self, answered: &Answered) {
        let Answered { receipt, response, .. } = answered;
        let request = receipt.request();
        let ended = catch_unwind(AssertUnwindSafe(|| self.deliver(answered))).unwrap_or_else(|_| {
            tracing::error!(request = %request.id, "delivering the response panicked");
            Err(Undelivered)
        });
        let observer = &*self.work.observer;
        if ended.is_err() {
            return tell(observer, &Event::Undelivered { request, response });
        }
        let store = &self.work.store;
        // Without a journal nobody will ask for the response again.
        let removed =
            if self.journal.keeps() { store.end_work(request.id) } else { store.remove(request.id) };
        if let Err(error) = removed {
            tracing::warn!(%error, "files of an answered request stay behind");
        }
        tell(observer, &Event::Answered { request, response });
    }

    fn deliver(&self, answered: &Answered) -> Result<(), Undelivered> {
        let Answered { receipt, response, recorded } = answered;
        if !recorded {
            self.secure(receipt, response)?;
        }
        let delivered = self.sink.deliver(receipt, response, &self.work.store);
        let entry = if delivered.is_ok() { Entry::Answered } else { Entry::Undelivered };
        self.record(receipt, &entry)?;
        delivered
    }

    /// From here on the answer is this one, whatever happens.
    fn secure(&self, receipt: &Receipt, response: &Response) -> Result<(), Undelivered> {
        if !self.journal.keeps() {
            return Ok(());
        }
        if let Err(error) = self.work.store.secure(response.request, &response.files) {
            tracing::error!(%error, request = %receipt.request().id, "the response is not safe; it is made again at the next start");
            return Err(Undelivered);
        }
        self.record(receipt, &Entry::Responded { response: response.clone() })
    }

    fn record(&self, receipt: &Receipt, entry: &Entry) -> Result<(), Undelivered> {
        let mut waits = WAITS.iter();
        loop {
            match (self.journal.append(receipt, entry.clone()), waits.next()) {
                (Ok(()), _) => return Ok(()),
                (Err(JournalError::Full), Some(wait)) => std::thread::sleep(*wait),
                (Err(error), _) => {
                    tracing::error!(%error, request = %receipt.request().id, "the answer could not be recorded; the next start goes on with it");
                    return Err(Undelivered);
                }
            }
        }
    }
}
