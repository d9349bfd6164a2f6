//! Events of admission, for a terminal or a log. No event has an attribute of a request in it.

use std::sync::Arc;

use crate::dataflow::{Dataflow, Response};
use crate::journal::JournalError;
use crate::step::Request;

/// An event in the life of a request before it is in work, or an act of a source or an operator.
#[derive(Debug)]
pub enum AdmissionEvent<'a> {
    /// The same request is in work: its response answers both.
    InWork {
        /// The request.
        request: &'a Request,
    },
    /// The same request was answered: the same response goes out again.
    AnsweredBefore {
        /// The request.
        request: &'a Request,
        /// The response of then.
        response: &'a Response,
    },
    /// More of an answered request has come, and its dataflow ignores that: so many items.
    Ignored {
        /// The name of the request.
        name: &'a str,
        /// The number of items.
        items: usize,
    },
    /// A request could not be recorded and is not accepted. Its source stops here.
    NotAccepted {
        /// The name of the request.
        name: &'a str,
        /// The reason.
        error: &'a JournalError,
    },
    /// A request of an earlier process goes on, after so many finished runs of steps.
    Resumed {
        /// The name of the request.
        name: &'a str,
        /// The number of finished runs.
        runs: usize,
    },
    /// A request of an earlier process has its response, which is delivered now.
    ResponseMade {
        /// The name of the request.
        name: &'a str,
    },
    /// An operator has cancelled a request.
    Cancelled {
        /// The name of the request.
        name: &'a str,
    },
    /// An operator has asked for a retry: the failed steps of the request are run again.
    Retried {
        /// The name of the request.
        name: &'a str,
    },
    /// An operator has asked for the next delivery attempt of a response at once.
    Hurried {
        /// The name of the request.
        name: &'a str,
    },
    /// An operator has asked that a request begin before others that wait.
    Urgent {
        /// The name of the request.
        name: &'a str,
    },
    /// New dataflows and rules are in force: requests from now on go through these dataflows.
    DataflowsReplaced {
        /// The dataflows.
        dataflows: &'a [Arc<Dataflow>],
    },
    /// New dataflows could not be taken over: those of before stay in force.
    DataflowsKept {
        /// The reason.
        error: &'a dyn std::error::Error,
    },
    /// A message of a source about itself, for example the address at which it listens.
    Told {
        /// The name of the source.
        source: &'a str,
        /// The words, to be escaped before they are shown.
        text: &'a str,
    },
}

/// An observer of admission. Called from many threads: it must not block.
pub trait AdmissionObserver: Send + Sync {
    /// Takes notice of an event.
    fn observe_admission(&self, event: &AdmissionEvent);
}

/// An observer that sees nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct UnobservedAdmission;

impl AdmissionObserver for UnobservedAdmission {
    fn observe_admission(&self, _: &AdmissionEvent) {}
}
