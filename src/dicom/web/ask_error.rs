//! Why a DICOMweb service did not do what it was asked for, and what to do about it.

use std::io;
use std::time::Duration;

use crate::dicom::ask::send::SentObject;
use crate::dicom::wire::send_error::UNREADABLE_REMEDY;

use super::WebNode;
use super::multipart::MultipartError;
use super::pace::BodyError;

#[derive(Debug, thiserror::Error)]
#[error("ask {node}: {cause}")]
pub struct WebServiceError {
    pub node: Box<WebNode>,
    #[source]
    pub cause: WebServiceCause,
    /// The objects that had been answered before, if any were to be stored.
    pub sent: Vec<SentObject>,
}

#[derive(Debug, thiserror::Error)]
pub enum WebServiceCause {
    #[error("the host's name is not known: {0}")]
    Unresolved(io::Error),
    #[error("no connection: {0}")]
    Unconnected(io::Error),
    #[error("{0}")]
    Tls(String),
    #[error("nothing moved in time")]
    Silent,
    /// A file of ours.
    #[error("an object could not be read: {0}")]
    Unreadable(String),
    #[error("the connection broke: {0}")]
    Broken(String),
    /// The service is too busy (503, 429), and may have said when to ask again.
    #[error("it wants to be asked again later (status {status})")]
    Later { status: u16, after: Option<Duration> },
    #[error("it refuses, with status {status}{}", colon(.reason))]
    Refused { status: u16, reason: String },
    #[error("its answer cannot be used: {0}")]
    NotUnderstood(String),
    #[error("there are more than {0} answers")]
    TooMany(usize),
    /// The receiver of the answer's body failed, not the service.
    #[error("{0}")]
    NotTaken(String),
}

impl WebServiceCause {
    /// Whether the service is absent or refuses us, so that every other request would fail too.
    pub fn is_absence(&self) -> bool {
        match self {
            WebServiceCause::Unresolved(_)
            | WebServiceCause::Unconnected(_)
            | WebServiceCause::Tls(_)
            | WebServiceCause::Later { .. } => true,
            WebServiceCause::Refused { status, .. } => matches!(status, 401 | 403 | 404),
            WebServiceCause::Silent
            | WebServiceCause::Unreadable(_)
            | WebServiceCause::Broken(_)
            | WebServiceCause::NotUnderstood(_)
            | WebServiceCause::TooMany(_)
            | WebServiceCause::NotTaken(_) => false,
        }
    }
}

impl WebServiceError {
    /// Advice to the operator.
    pub fn remedy(&self) -> String {
        let node = &self.node;
        match &self.cause {
            WebServiceCause::Unresolved(_) => format!("Check the host in {node}."),
            WebServiceCause::Unconnected(_) => {
                format!("Check that a DICOMweb service is running at {node} and can be reached from here.")
            }
            WebServiceCause::Tls(_) => {
                "Check the certificates of both sides, and their authorities.".to_owned()
            }
            WebServiceCause::Silent => {
                format!("Check that the service is well: it was waited for {} s.", node.wait_max.as_secs())
            }
            WebServiceCause::Unreadable(_) => UNREADABLE_REMEDY.to_owned(),
            WebServiceCause::Broken(_) => {
                "Ask again: what has arrived already is recognised by its identifiers.".to_owned()
            }
            WebServiceCause::Later { .. } => "Ask again later.".to_owned(),
            WebServiceCause::Refused { status: 401 | 403, .. } => {
                "Let the service know us: by authorization, certificate or address.".to_owned()
            }
            WebServiceCause::Refused { status: 404, .. } => {
                format!("Check the path in {node}, and what was asked for.")
            }
            WebServiceCause::Refused { .. } | WebServiceCause::NotUnderstood(_) => {
                format!("Check that {node} is a DICOMweb service; its own log may say more.")
            }
            WebServiceCause::TooMany(_) => "Ask for less: a narrower query, or a higher limit.".to_owned(),
            WebServiceCause::NotTaken(_) => "Make room, and ask again.".to_owned(),
        }
    }
}

fn colon(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}

impl From<BodyError> for WebServiceCause {
    fn from(broken: BodyError) -> WebServiceCause {
        match broken {
            BodyError::Slow => WebServiceCause::Silent,
            BodyError::Malformed(MultipartError::CutOff) => {
                WebServiceCause::Broken(MultipartError::CutOff.to_string())
            }
            BodyError::Malformed(malformed) => WebServiceCause::NotUnderstood(malformed.to_string()),
            other => WebServiceCause::Broken(other.to_string()),
        }
    }
}
