//! The bytes of a body as they arrive, from a peer that has to keep a minimum rate.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::dicom::intake::panics::MISTAKE;
use crate::dicom::wire::peer_error::PeerErrorCause;

use super::multipart::MultipartError;

/// A body being read. A minimum of bytes, or the end, must arrive within the time that a peer may be silent:
/// a peer that sends a byte a second is disconnected. Time in which no bytes are asked for does not count.
pub struct TimedBody {
    body: Incoming,
    silence_max: Duration,
    waited: Duration,
    received: usize,
    is_asked_for: bool,
    is_given_up: bool,
    rejected: Option<Rc<RejectedSenders>>,
}

/// The senders that were sent away because all slots were taken. While there are any, the senders with a slot
/// must be faster.
#[derive(Default)]
pub struct RejectedSenders {
    last: Cell<Option<Instant>>,
    come: Notify,
}

/// The time within which a sender that was sent away is expected back.
const EXPECTED: Duration = Duration::from_secs(30);

/// The time for `BYTES_MIN` while other senders are expected.
const HURRY: Duration = Duration::from_secs(10);

impl RejectedSenders {
    /// Notes that a sender was sent away.
    pub fn add(&self) {
        self.last.set(Some(Instant::now()));
        self.come.notify_waiters();
    }

    fn is_there(&self) -> bool {
        self.last.get().is_some_and(|last| last.elapsed() < EXPECTED)
    }
}

const BYTES_MIN: usize = 64 << 10;

/// The reason why a body did not arrive completely, or is not read to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    #[error("the peer was silent, or too slow, for too long")]
    Slow,
    #[error("its slot was given to another sender: less than 64 KiB arrived in the time for that")]
    Evicted,
    #[error("the body broke off: {0}")]
    CutOff(String),
    #[error("the body is malformed: {0}")]
    Malformed(#[from] MultipartError),
    #[error("it has more than {0} parts")]
    TooManyParts(usize),
    #[error("flow is being stopped")]
    Stopping,
    #[error("{MISTAKE}")]
    Own,
}

impl From<BodyError> for PeerErrorCause {
    fn from(broken: BodyError) -> PeerErrorCause {
        match broken {
            BodyError::Slow => PeerErrorCause::Silent,
            BodyError::Malformed(malformed) if malformed != MultipartError::CutOff => {
                PeerErrorCause::NotUnderstood(malformed.to_string())
            }
            other => PeerErrorCause::Broken(format!("the connection broke: {other}")),
        }
    }
}

impl TimedBody {
    pub fn new(body: Incoming, silence_max: Duration) -> TimedBody {
        TimedBody {
            body,
            silence_max,
            waited: Duration::ZERO,
            received: 0,
            is_asked_for: false,
            is_given_up: false,
            rejected: None,
        }
    }

    /// A body whose sender has a slot that others may need.
    pub fn in_place(self, rejected: &Rc<RejectedSenders>) -> TimedBody {
        TimedBody { rejected: Some(Rc::clone(rejected)), ..self }
    }

    /// The next bytes; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<Bytes, BodyError>> {
        self.is_asked_for = true;
        loop {
            let begun = Instant::now();
            let left = self.time_max().saturating_sub(self.waited);
            let rejected = self.rejected.clone();
            let come = async {
                match &rejected {
                    Some(rejected) => rejected.come.notified().await,
                    None => std::future::pending().await,
                }
            };
            let frame = tokio::select! {
                frame = timeout(left, self.body.frame()) => Some(frame),
                () = come => None,
            };
            self.waited += begun.elapsed();
            // Another sender was sent away, so the remaining time is computed anew.
            let Some(frame) = frame else { continue };
            match frame {
                Err(_) => return Some(Err(BodyError::Slow)),
                Ok(None) => return None,
                Ok(Some(Err(error))) => return Some(Err(BodyError::CutOff(error.to_string()))),
                Ok(Some(Ok(frame))) => {
                    // Trailers are not needed.
                    let Ok(bytes) = frame.into_data() else { continue };
                    self.count(bytes.len());
                    return Some(Ok(bytes));
                }
            }
        }
    }

    /// Whether the peer has been asked for the body, if it waits for that (`Expect: 100-continue`).
    pub fn is_asked_for(&self) -> bool {
        self.is_asked_for
    }

    /// Notes that the body will not be read further.
    pub fn give_up(&mut self) {
        self.is_given_up = true;
    }

    pub fn is_given_up(&self) -> bool {
        self.is_given_up
    }

    fn time_max(&self) -> Duration {
        match self.rejected.as_ref().is_some_and(|rejected| rejected.is_there()) {
            true => self.silence_max.min(HURRY),
            false => self.silence_max,
        }
    }

    fn count(&mut self, bytes: usize) {
        self.received += bytes;
        if self.received >= BYTES_MIN {
            self.received = 0;
            self.waited = Duration::ZERO;
        }
    }
}
