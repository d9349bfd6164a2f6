//! A DICOM node: an AE title at an address.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::tls;

use super::ae_title::{AeTitle, AeTitleError};

/// A DICOM node to call, with the AE title that we use there. Read from `AETITLE@host:port`.
#[derive(Clone, Debug)]
pub struct DimseNode {
    pub ae_title: AeTitle,
    /// `host:port`.
    pub address: String,
    /// Calling AE title, `FLOW` unless set.
    pub calling_ae: AeTitle,
    /// The longest wait for the connection, and for each response.
    pub wait_max: Duration,
    /// TLS settings: with them, the connection is encrypted, and the node's certificate must be trusted.
    pub tls: Option<tls::TlsClient>,
}

#[derive(Debug, thiserror::Error)]
pub enum DimseNodeError {
    #[error("{0:?} is not of the form AETITLE@host:port, for example ORTHANC@127.0.0.1:4242")]
    Form(String),
    #[error(transparent)]
    Title(#[from] AeTitleError),
}

impl DimseNode {
    #[must_use]
    pub fn calling(mut self, calling_ae: AeTitle) -> DimseNode {
        self.calling_ae = calling_ae;
        self
    }

    pub(in crate::dicom) fn host(&self) -> &str {
        self.address.rsplit_once(':').map_or("", |(host, _)| host)
    }
}

impl FromStr for DimseNode {
    type Err = DimseNodeError;

    fn from_str(text: &str) -> Result<DimseNode, DimseNodeError> {
        let form = || DimseNodeError::Form(text.to_owned());
        let (title, address) = text.split_once('@').ok_or_else(form)?;
        let (host, port) = address.rsplit_once(':').ok_or_else(form)?;
        let port: u16 = port.parse().map_err(|_| form())?;
        let bare_ipv6 = host.contains(':') && !host.starts_with('[');
        if host.is_empty() || host.contains(char::is_whitespace) || bare_ipv6 || port == 0 {
            return Err(form());
        }
        Ok(DimseNode {
            ae_title: title.parse()?,
            address: address.to_owned(),
            calling_ae: "FLOW".parse().expect("FLOW is an AE title"),
            wait_max: Duration::from_secs(30),
            tls: None,
        })
    }
}

impl fmt::Display for DimseNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.ae_title, self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_from_text() {
        for good in ["PACS@10.0.0.7:104", "ORTHANC@localhost:4242", "A B@[::1]:104"] {
            assert_eq!(good.parse::<DimseNode>().unwrap().to_string(), good);
        }
        for bad in ["", "PACS", "PACS@host", "@host:104", "PACS@:104", "PACS@host:0", "PACS@host:70000"] {
            assert!(bad.parse::<DimseNode>().is_err(), "{bad}");
        }
        assert!("PACS@::1:104".parse::<DimseNode>().is_err(), "an IPv6 address needs brackets");
    }
}
