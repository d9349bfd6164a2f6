//! The threads that deliver responses: each takes a response, has it recorded, and calls the sink.

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::dataflow::Response;
use crate::journal::{JournalEntry, Receipt, small_files};
use crate::store::StoreError;

use super::answer_queue::{AnswerQueue, AnswerSender, AnswerTurn, AnsweredRequest};
use super::disk_wait::retry_while_full;
use super::memory::RequestMemories;
use super::pending_delivery::{PendingDelivery, ResponseKind, ResponseRecorder, UndeliveredResponse};
use super::response_sink::ResponseSink;
use super::running_dataflows::RunningDataflows;

pub struct DeliveryQueue<'a> {
    pub answers: Arc<AnswerQueue>,
    pub sink: &'a dyn ResponseSink,
    pub recorder: ResponseRecorder,
    pub memories: Arc<RequestMemories>,
    pub dataflows: Arc<RunningDataflows>,
}

impl DeliveryQueue<'_> {
    /// Delivers responses until the queue is empty and closed.
    pub fn serve(&self) {
        while let Some(AnsweredRequest { dataflow, receipt, priority, response, turn }) = self.answers.take()
        {
            let shared = self.dataflows.at(dataflow);
            let memory = shared.work.memory_key(receipt.request());
            let number = receipt.number();
            match turn {
                AnswerTurn::Interim { handed_over } => {
                    self.interim(receipt, response);
                    drop(handed_over);
                    continue;
                }
                AnswerTurn::Final { earlier, again } => {
                    // Another thread took the interim response first; this waits until the sink has it. The
                    // channel is closed then, and carries nothing.
                    earlier.into_iter().for_each(|earlier| _ = earlier.recv());
                    if self.recorder.journal.keeps() {
                        match self.secure(&receipt, &response) {
                            Ok(content) if self.recorder.sink_keeps => {
                                let entry = JournalEntry::Responded { response: response.clone() };
                                self.recorder.journal.append_eventually(&receipt, &entry, content);
                                self.hand_over(receipt, response, ResponseKind::Last);
                            }
                            Ok(content) => {
                                let turn = AnswerTurn::Recorded;
                                let recorded =
                                    AnsweredRequest { dataflow, receipt, priority, response, turn };
                                self.record(recorded, content, again);
                                continue;
                            }
                            Err(UndeliveredResponse) => self.give_up(&response),
                        }
                    } else {
                        self.hand_over(receipt, response, ResponseKind::Last);
                    }
                }
                AnswerTurn::Unrecorded { content } => {
                    let entry = JournalEntry::Responded { response: response.clone() };
                    match self.recorder.record(&receipt, &entry, &content) {
                        Ok(()) => self.hand_over(receipt, response, ResponseKind::Last),
                        Err(UndeliveredResponse) => self.give_up(&response),
                    }
                }
                AnswerTurn::Recorded => self.hand_over(receipt, response, ResponseKind::Last),
            }
            self.memories.close(memory);
            number.into_iter().for_each(|number| self.memories.leave(number));
            shared.slots.leave(priority);
        }
    }

    fn interim(&self, receipt: Receipt, response: Response) {
        let journal = &self.recorder.journal;
        let secured = journal.keeps().then(|| journal.store().secure(response.request, &response.files));
        if let Some(Err(error)) = secured {
            let (error, request): (&dyn Error, _) = (&error, &receipt.request().name);
            return tracing::warn!(
                error,
                request,
                "the interim response could not be written to the disk, and is not sent"
            );
        }
        if self.recorder.record(&receipt, &JournalEntry::Interim { response: response.clone() }, &[]).is_ok()
        {
            self.hand_over(receipt, response, ResponseKind::Interim);
        }
    }

    /// Lets go of a response that is not delivered by this process.
    fn give_up(&self, response: &Response) {
        self.recorder.store().end_holding(response.request);
    }

    /// Calls the sink. A panic in it is caught: the other responses are still delivered.
    fn hand_over(&self, receipt: Receipt, response: Response, kind: ResponseKind) {
        let request = receipt.request().id;
        let pending_delivery = PendingDelivery::new(receipt, response, kind, self.recorder.clone());
        if catch_unwind(AssertUnwindSafe(|| self.sink.deliver(pending_delivery))).is_err() {
            tracing::error!(%request, "delivering the response panicked");
        }
    }

    /// Has a final response recorded; it comes back to the queue then. Once recorded, it is the response to
    /// the request, whatever happens.
    fn record(&self, recorded: AnsweredRequest, content: Vec<u8>, again: AnswerSender) {
        let receipt = recorded.receipt.clone();
        let entry = JournalEntry::Responded { response: recorded.response.clone() };
        let kept = content.clone();
        self.recorder.journal.append_then(&receipt, &entry, content, move |result| {
            let turn = match result {
                Ok(()) => AnswerTurn::Recorded,
                Err(_) => AnswerTurn::Unrecorded { content: kept },
            };
            // The queue is closed only when no worker and no delivery is left, so this is always received.
            again.send([AnsweredRequest { turn, ..recorded }]);
        });
    }

    /// Secures the files of a response: small ones become the content of its journal record, which is
    /// returned; the others are synced to disk.
    fn secure(&self, receipt: &Receipt, response: &Response) -> Result<Vec<u8>, UndeliveredResponse> {
        let secure = || small_files::secure(self.recorder.store(), response.request, &response.files);
        retry_while_full(receipt.request(), StoreError::may_pass, secure).map_err(|error| {
            let (error, request): (&dyn Error, _) = (&error, &receipt.request().name);
            tracing::error!(
                error,
                request,
                "the response could not be written to the disk; it is made again after the next start"
            );
            UndeliveredResponse
        })
    }
}
