//! Where answers go out: threads that take one after the other and have it delivered.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use crate::dataflow::Response;
use crate::step::Request;
use crate::store::Store;

use super::entrance::Entrance;
use super::event::{Event, Observer, tell};
use super::places::Places;
use super::worker::Answered;
use super::{Sink, Undelivered};

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
            let Ok(Answered { request, response }) = next else { return };
            self.deliver(&request, &response);
            self.places.leave();
        }
    }

    /// One response that cannot be delivered must not keep the others from being so.
    fn deliver(&self, request: &Request, response: &Response) {
        let deliver = || self.sink.deliver(request, response, self.store);
        let delivered = catch_unwind(AssertUnwindSafe(deliver)).unwrap_or_else(|_| {
            tracing::error!(request = %request.id, "delivering the response panicked");
            Err(Undelivered)
        });
        if delivered.is_err() {
            return tell(self.observer, &Event::Undelivered { request, response });
        }
        if let Err(error) = self.store.close(request.id) {
            tracing::warn!(%error, "files of an answered request stay behind");
        }
        tell(self.observer, &Event::Answered { request, response });
    }
}
