//! The address of a peer: a node by DIMSE, or a DICOMweb service.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::dimse_node::{DimseNode, DimseNodeError};
use super::web_node::{WebNode, WebNodeError};

/// The address of a peer. Read from `AETITLE@host:port` or a URL.
#[derive(Clone, Debug)]
pub enum PeerAddress {
    /// A node, by DIMSE.
    Dimse(Box<DimseNode>),
    /// A DICOMweb service, by HTTP.
    Web(Box<WebNode>),
}

#[derive(Debug, thiserror::Error)]
pub enum PeerAddressError {
    #[error(transparent)]
    Dimse(#[from] DimseNodeError),
    #[error(transparent)]
    Web(#[from] WebNodeError),
}

impl PeerAddress {
    /// The AE title of the peer; over HTTP there is none.
    pub fn ae_title(&self) -> Option<&str> {
        match self {
            PeerAddress::Dimse(node) => Some(node.ae_title.as_str()),
            PeerAddress::Web(_) => None,
        }
    }

    /// The name under which flow calls: its AE title, over HTTP the value of `User-Agent`.
    pub(in crate::dicom) fn own_name(&self) -> &str {
        match self {
            PeerAddress::Dimse(node) => node.calling_ae.as_str(),
            PeerAddress::Web(_) => "flow",
        }
    }

    /// The longest wait for the connection, and while no data arrive.
    pub(in crate::dicom) fn wait_max(&self) -> Duration {
        match self {
            PeerAddress::Dimse(node) => node.wait_max,
            PeerAddress::Web(node) => node.wait_max,
        }
    }
}

impl From<DimseNode> for PeerAddress {
    fn from(node: DimseNode) -> PeerAddress {
        PeerAddress::Dimse(Box::new(node))
    }
}

impl From<WebNode> for PeerAddress {
    fn from(node: WebNode) -> PeerAddress {
        PeerAddress::Web(Box::new(node))
    }
}

impl FromStr for PeerAddress {
    type Err = PeerAddressError;

    fn from_str(text: &str) -> Result<PeerAddress, PeerAddressError> {
        Ok(match text.contains("://") {
            true => PeerAddress::from(text.parse::<WebNode>()?),
            false => PeerAddress::from(text.parse::<DimseNode>()?),
        })
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PeerAddress::Dimse(node) => node.fmt(f),
            PeerAddress::Web(node) => node.fmt(f),
        }
    }
}
