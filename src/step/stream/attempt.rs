//! Attempts at calls, and their faults.

use std::time::Duration;

use crate::step::{Digest, Fault};

/// One attempt at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallAttempt {
    /// The idempotency key: the same for each attempt at the same question, also after a restart.
    pub key: Digest,
    /// The time after which the attempt is given up.
    pub timeout: Duration,
}

impl CallAttempt {
    /// The time-out of a step whose dataflow file gives none.
    pub const TIMEOUT: Duration = Duration::from_secs(30);
}

/// The fault of a whole attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallFault {
    /// The fault, which is that of each item if there is no other attempt.
    pub fault: Fault,
    /// The shortest wait before another attempt, if the service says it.
    pub retry_after: Option<Duration>,
}

impl CallFault {
    /// The longest wait that a service may ask for.
    pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(60 * 60);

    /// The fault of a service that is busy, with the wait that it asks for. There is no other attempt after one that asks
    /// for too long a wait, and the fault says so.
    pub fn busy(fault: Fault, retry_after: Option<Duration>) -> CallFault {
        let too_long = retry_after.filter(|wait| *wait > CallFault::RETRY_AFTER_MAX);
        let fault = match too_long {
            None => fault,
            Some(wait) => {
                let (asked, most) = (wait.as_secs(), CallFault::RETRY_AFTER_MAX.as_secs());
                let reason =
                    format!("{}; it asks for a wait of {asked} s, and {most} s is the longest", fault.reason);
                Fault { reason, ..fault }
            }
        };
        CallFault { fault, retry_after }
    }
}

impl From<Fault> for CallFault {
    fn from(fault: Fault) -> CallFault {
        CallFault { fault, retry_after: None }
    }
}
