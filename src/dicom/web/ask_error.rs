//! Why a DICOMweb service did not do what it was asked for, and what to do about it.

use std::io;
use std::time::Duration;

use crate::dicom::ask::send::Sent;
use crate::dicom::wire::send_error::UNREADABLE_REMEDY;

use super::Node;
use super::multipart::Malformed;
use super::pace::Broken;

#[derive(Debug, thiserror::Error)]
#[error("ask {node}: {cause}")]
pub struct AskError {
    pub node: Box<Node>,
    #[source]
    pub cause: Cause,
    /// The objects that had been answered before, if any were to be stored.
    pub sent: Vec<Sent>,
}

#[derive(Debug, thiserror::Error)]
pub enum Cause {
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
    /// It is too busy (503, 429), and may have said for how long.
    #[error("it wants to be asked again later (status {status})")]
    Later { status: u16, after: Option<Duration> },
    #[error("it refuses, with status {status}{}", colon(.reason))]
    Refused { status: u16, reason: String },
    #[error("its answer cannot be used: {0}")]
    NotUnderstood(String),
    #[error("there are more than {0} answers")]
    TooMany(usize),
    /// Who was to take what it sent could not.
    #[error("{0}")]
    NotTaken(String),
}

impl Cause {
    /// Nobody is there, or not for us: so it is for every other question.
    pub fn is_absence(&self) -> bool {
        match self {
            Cause::Unresolved(_) | Cause::Unconnected(_) | Cause::Tls(_) | Cause::Later { .. } => true,
            Cause::Refused { status, .. } => matches!(status, 401 | 403 | 404),
            Cause::Silent
            | Cause::Unreadable(_)
            | Cause::Broken(_)
            | Cause::NotUnderstood(_)
            | Cause::TooMany(_)
            | Cause::NotTaken(_) => false,
        }
    }
}

impl AskError {
    /// What the reader can do.
    pub fn remedy(&self) -> String {
        let node = &self.node;
        match &self.cause {
            Cause::Unresolved(_) => format!("Check the host in {node}."),
            Cause::Unconnected(_) => {
                format!("Check that a DICOMweb service is running at {node} and can be reached from here.")
            }
            Cause::Tls(_) => "Check the certificates of both sides, and their authorities.".to_owned(),
            Cause::Silent => {
                format!("Check that the service is well: it was waited for {} s.", node.wait_max.as_secs())
            }
            Cause::Unreadable(_) => UNREADABLE_REMEDY.to_owned(),
            Cause::Broken(_) => {
                "Ask again: what has arrived already is recognised by its identifiers.".to_owned()
            }
            Cause::Later { .. } => "Ask again later.".to_owned(),
            Cause::Refused { status: 401 | 403, .. } => {
                "Let the service know us: by authorization, certificate or address.".to_owned()
            }
            Cause::Refused { status: 404, .. } => {
                format!("Check the path in {node}, and what was asked for.")
            }
            Cause::Refused { .. } | Cause::NotUnderstood(_) => {
                format!("Check that {node} is a DICOMweb service; its own log may say more.")
            }
            Cause::TooMany(_) => "Ask for less: a narrower query, or a higher limit.".to_owned(),
            Cause::NotTaken(_) => "Make room, and ask again.".to_owned(),
        }
    }
}

fn colon(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}

impl From<Broken> for Cause {
    fn from(broken: Broken) -> Cause {
        match broken {
            Broken::Slow => Cause::Silent,
            Broken::Malformed(Malformed::CutOff) => Cause::Broken(Malformed::CutOff.to_string()),
            Broken::Malformed(malformed) => Cause::NotUnderstood(malformed.to_string()),
            other => Cause::Broken(other.to_string()),
        }
    }
}
