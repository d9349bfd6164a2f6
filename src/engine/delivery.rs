//! Where answers go out: threads that take one after the other, have it recorded, and hand it to the
//! sink.

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex};

use crate::dataflow::Response;
use crate::journal::{Entry, Receipt};
use crate::step::Digest;
use crate::store::StoreError;

use super::memory::{Memories, MemoryKey};
use super::parcel::{Kind, Parcel, ResponseRecorder};
use super::patience::patiently;
use super::slots::RequestSlots;
use super::{Sink, Undelivered};

/// A request with an answer, on the way to the sink.
pub struct Answered {
    /// The place of its dataflow in the set.
    pub dataflow: usize,
    pub receipt: Receipt,
    pub response: Response,
    pub turn: Turn,
}

/// Which of the answers to a request it is.
pub enum Turn {
    /// That of a deadline; what it holds is let go of when the sink has it.
    Interim { handed_over: Sender<()> },
    /// The last one, after an earlier one.
    Final { earlier: Option<Receiver<()>> },
    /// A last one that is in the journal already.
    Recorded,
}

pub struct DeliveryQueue<'a> {
    pub answers: Mutex<Receiver<Answered>>,
    pub sink: &'a dyn Sink,
    pub recorder: ResponseRecorder,
    pub memories: Arc<Memories>,
    pub versions: Vec<Digest>,
    pub slots: Arc<[RequestSlots]>,
}

impl DeliveryQueue<'_> {
    /// Hands answers over until the last worker is gone.
    pub fn serve(&self) {
        loop {
            let next = self.answers.lock().expect("nothing panics while it holds the lock").recv();
            let Ok(Answered { dataflow, receipt, response, turn }) = next else { return };
            let memory = MemoryKey { request: receipt.request().id, version: self.versions[dataflow] };
            let number = receipt.number();
            match turn {
                Turn::Interim { handed_over } => {
                    self.interim(receipt, response);
                    drop(handed_over);
                    continue;
                }
                Turn::Final { earlier } => {
                    // An earlier one was taken before, by another thread. Nothing is sent: it ends.
                    earlier.into_iter().for_each(|earlier| _ = earlier.recv());
                    if self.secure(&receipt, &response).is_ok() {
                        self.hand_over(receipt, response, Kind::Last);
                    }
                }
                Turn::Recorded => self.hand_over(receipt, response, Kind::Last),
            }
            self.memories.close(memory);
            number.into_iter().for_each(|number| self.memories.leave(number));
            self.slots[dataflow].leave();
        }
    }

    fn interim(&self, receipt: Receipt, response: Response) {
        let journal = &self.recorder.journal;
        let secured = journal.keeps().then(|| journal.store().secure(response.request, &response.files));
        if let Some(Err(error)) = secured {
            let (error, request): (&dyn Error, _) = (&error, &receipt.request().name);
            return tracing::warn!(error, request, "the response of its deadline is not safe, and not sent");
        }
        if self.recorder.record(&receipt, &Entry::Interim { response: response.clone() }).is_ok() {
            self.hand_over(receipt, response, Kind::Interim);
        }
    }

    /// One response that cannot be delivered must not keep the others from being so.
    fn hand_over(&self, receipt: Receipt, response: Response, kind: Kind) {
        let request = receipt.request().id;
        let parcel = Parcel::new(receipt, response, kind, self.recorder.clone());
        if catch_unwind(AssertUnwindSafe(|| self.sink.deliver(parcel))).is_err() {
            tracing::error!(%request, "delivering the response panicked");
        }
    }

    /// From here on the answer is this one, whatever happens.
    fn secure(&self, receipt: &Receipt, response: &Response) -> Result<(), Undelivered> {
        let journal = &self.recorder.journal;
        if !journal.keeps() {
            return Ok(());
        }
        let secure = || journal.store().secure(response.request, &response.files);
        if let Err(error) = patiently(receipt.request(), StoreError::may_pass, secure) {
            let (error, request): (&dyn Error, _) = (&error, &receipt.request().name);
            tracing::error!(error, request, "the response is not safe; it is made again at the next start");
            return Err(Undelivered);
        }
        self.recorder.record(receipt, &Entry::Responded { response: response.clone() })
    }
}
