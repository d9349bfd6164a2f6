//! Where requests come in, and wait while too many are under way.

use std::num::NonZero;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::{Duration, Instant};

use crate::dataflow::Response;
use crate::step::{Digest, Request};
use crate::store::Store;

use super::places::Places;

pub struct Entrance {
    bell: Bell,
    places: Arc<Places>,
    store: Arc<Store>,
}

/// A request, and what is known of it from before.
pub struct Submission {
    pub request: Request,
    pub deadline: Deadline,
    /// The digest of an earlier response to it, which the next one supersedes.
    pub supersedes: Option<Digest>,
}

/// When there has to be a response. A dataflow without a deadline has none, whatever stands here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// As the dataflow says, from now on.
    OfDataflow,
    /// For a request that was accepted before.
    Within(Duration),
    /// For one whose deadline has passed and was answered for.
    Passed,
}

impl From<Request> for Submission {
    fn from(request: Request) -> Submission {
        Submission { request, deadline: Deadline::OfDataflow, supersedes: None }
    }
}

/// Cancels requests, from any thread and as long as there is one to cancel.
#[derive(Clone)]
pub struct Canceller(Bell);

impl Canceller {
    /// Gives up what is under way for a request, and begins nothing more of it. It gets its error
    /// response, which the failure part still makes; one whose work is all done gets its results.
    /// Nothing happens to a request that is not here.
    pub fn cancel(&self, request: Digest) {
        self.0.ring(Notice::Cancel(request));
    }
}

/// What the one who leads requests into lanes is told.
pub(super) enum Notice {
    Submitted {
        submission: Submission,
        since: Instant,
    },
    Cancel(Digest),
    /// The deadline of the request of this number has passed.
    Overdue(u64),
    /// The error response because of it.
    Apology {
        number: u64,
        response: Response,
        files: OpenFiles,
    },
    /// No more requests come.
    Closed,
}

/// Tells the first worker something, and wakes it.
#[derive(Clone)]
pub(super) struct Bell {
    notices: Sender<Notice>,
    worker: Arc<OnceLock<Thread>>,
}

impl Bell {
    pub fn ring(&self, notice: Notice) {
        // Workers that are gone have nothing more to do.
        let _ = self.notices.send(notice);
        self.worker.get().iter().for_each(|worker| worker.unpark());
    }
}

/// Keeps a request's files in the store.
pub(super) struct OpenFiles {
    store: Arc<Store>,
    request: Digest,
}

impl OpenFiles {
    pub fn of(request: Digest, store: &Arc<Store>) -> OpenFiles {
        store.open(request);
        OpenFiles { store: Arc::clone(store), request }
    }
}

impl Drop for OpenFiles {
    fn drop(&mut self) {
        if let Err(error) = self.store.close(self.request) {
            tracing::warn!(%error, "files of an answered request stay behind");
        }
    }
}

impl Entrance {
    /// An entrance and its other end. Beside the requests in lanes as many may wait or be delivered.
    pub(super) fn new(lanes: NonZero<usize>, store: Arc<Store>) -> (Entrance, Receiver<Notice>) {
        let (notices, heard) = channel();
        let places = Arc::new(Places::new(lanes.get().saturating_mul(2)));
        (Entrance { bell: Bell { notices, worker: Arc::default() }, places, store }, heard)
    }

    /// Hands a request over. It waits while too many are under way; the request's deadline does not.
    pub fn submit(&self, submission: impl Into<Submission>) {
        let submission = submission.into();
        self.store.open(submission.request.id);
        self.bell.ring(Notice::Submitted { submission, since: Instant::now() });
        self.places.enter();
    }

    pub fn canceller(&self) -> Canceller {
        Canceller(self.bell.clone())
    }

    pub(super) fn bell(&self) -> Bell {
        self.bell.clone()
    }

    pub(super) fn worker(&self) -> Arc<OnceLock<Thread>> {
        Arc::clone(&self.bell.worker)
    }

    pub(super) fn places(&self) -> Arc<Places> {
        Arc::clone(&self.places)
    }
}

/// Says that no more requests come.
impl Drop for Entrance {
    fn drop(&mut self) {
        self.bell.ring(Notice::Closed);
    }
}
