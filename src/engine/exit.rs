//! Where answers go out: threads that take one after the other and have it delivered.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use crate::store::Store;

use super::Sink;
use super::entrance::Entrance;
use super::event::{Event, Observer};
use super::places::Places;
use super::worker::Answered;

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
            // One response that cannot be delivered must not keep the others from being so.
            let deliver = || self.sink.deliver(&request, &response, self.store);
            if catch_unwind(AssertUnwindSafe(deliver)).is_err() {
                tracing::error!(request = %request.id, "delivering the response panicked");
            }
            if let Err(error) = self.store.close(request.id) {
                tracing::warn!(%error, "files of an answered request stay behind");
            }
            self.observer.observe(&Event::Answered { request: &request, response: &response });
            self.places.leave();
        }
    }
}
