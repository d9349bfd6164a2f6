//! Where answers go out: threads that take one after the other and have it delivered.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use crate::dataflow::{Response, Verdict};
use crate::step::Request;
use crate::store::Store;

use super::entrance::{Entrance, OpenFiles};
use super::event::{Event, Observer, tell};
use super::places::Places;
use super::{Sink, Undelivered};

/// A request with an answer, on the way to the sink.
pub struct Answered {
    pub request: Arc<Request>,
    pub response: Response,
    pub turn: Turn,
}

/// Which of the answers to a request it is.
pub enum Turn {
    /// That of a deadline. What it holds is let go of when it has been delivered.
    Interim { delivered: Sender<()>, files: OpenFiles },
    /// The last one, after an earlier one.
    Final { earlier: Option<Receiver<()>> },
}

pub struct Exit<'a> {
    answers: Mutex<Receiver<Answered>>,
    sink: &'a dyn Sink,
    store: &'a Store,
    observer: &'a dyn Observer,
    places: Arc<Places>,
}

impl<'a> Exit<'a> {
    pub fn new(
        sink: &'a dyn Sink,
        store: &'a Store,
        observer: &'a dyn Observer,
        entrance: &Entrance,
    ) -> (Sender<Answered>, Exit<'a>) {
        let (answers, incoming) = channel();
        (answers, Exit { answers: Mutex::new(incoming), sink, store, observer, places: entrance.places() })
    }

    /// Delivers answers until the last worker is gone.
    pub fn serve(&self) {
        loop {
            let next = self.answers.lock().expect("nothing panics while it holds the lock").recv();
            let Ok(Answered { request, response, turn }) = next else { return };
            match turn {
                Turn::Interim { delivered, files } => {
                    // Delivered or not, the final one follows.
                    let _ = self.deliver(&request, &response);
                    drop((files, delivered));
                }
                Turn::Final { earlier } => {
                    // An earlier one was taken before, by another thread. Nothing is sent: it ends.
                    earlier.into_iter().for_each(|earlier| _ = earlier.recv());
                    if self.deliver(&request, &response).is_ok() {
                        self.close(&request);
                    }
                    self.places.leave();
                }
            }
        }
    }

    /// One response that cannot be delivered must not keep the others from being so.
    fn deliver(&self, request: &Request, response: &Response) -> Result<(), Undelivered> {
        let deliver = || self.sink.deliver(request, response, self.store);
        let delivered = catch_unwind(AssertUnwindSafe(deliver)).unwrap_or_else(|_| {
            tracing::error!(request = %request.id, "delivering the response panicked");
            Err(Undelivered)
        });
        let event = match (delivered, response.verdict) {
            (Err(Undelivered), _) => Event::Undelivered { request, response },
            (Ok(()), Verdict::Unfinished) => Event::Overdue { request, response },
            (Ok(()), Verdict::Complete | Verdict::Failed) => Event::Answered { request, response },
        };
        tell(self.observer, &event);
        delivered
    }

    fn close(&self, request: &Request) {
        if let Err(error) = self.store.close(request.id) {
            tracing::warn!(%error, "files of an answered request stay behind");
        }
    }
}
