//! A caller that may open associations: an AE title, addresses, or both.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use crate::dicom::names::ae_title::{AeTitle, AeTitleError};

/// A known caller. Read from `AETITLE`, `AETITLE@ADDRESS` or `*@ADDRESS`, where the address may be a network:
/// `CT1@10.1.2.0/24`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownCaller {
    /// The calling AE title; `None` for any.
    pub ae_title: Option<AeTitle>,
    /// The network of its address; `None` for any.
    pub network: Option<IpNet>,
}

#[derive(Debug, thiserror::Error)]
pub enum CallerError {
    #[error("{0:?} is neither an address nor a network, for example 10.1.2.3 or 10.1.2.0/24")]
    Network(String),
    #[error(transparent)]
    Title(#[from] AeTitleError),
}

impl KnownCaller {
    /// Whether the caller may connect from this address, whatever its title.
    pub(in crate::dicom) fn may_be_at(&self, address: IpAddr) -> bool {
        self.network.is_none_or(|network| network.contains(&address.to_canonical()))
    }

    pub(in crate::dicom) fn is(&self, title: &str, address: IpAddr) -> bool {
        // On a dual-stack listener, an IPv4 address arrives as an IPv4-mapped IPv6 address.
        let address = address.to_canonical();
        self.ae_title.as_ref().is_none_or(|own| own.as_str() == title)
            && self.network.is_none_or(|network| network.contains(&address))
    }

    /// Whether a peer at this address is the caller, over HTTP. HTTP has no AE titles, so a caller with a
    /// title never matches.
    pub(in crate::dicom) fn is_at(&self, address: IpAddr) -> bool {
        self.ae_title.is_none() && self.is("", address)
    }
}

impl FromStr for KnownCaller {
    type Err = CallerError;

    fn from_str(text: &str) -> Result<KnownCaller, CallerError> {
        let (title, network) = match text.split_once('@') {
            None => (text, None),
            Some((title, network)) => (title, Some(self::network(network)?)),
        };
        let ae_title = if title == "*" { None } else { Some(title.parse()?) };
        Ok(KnownCaller { ae_title, network })
    }
}

fn network(text: &str) -> Result<IpNet, CallerError> {
    let one = text.parse::<IpAddr>().map(IpNet::from);
    let network = one.or_else(|_| text.parse::<IpNet>());
    network.map_err(|_| CallerError::Network(text.to_owned()))
}

impl fmt::Display for KnownCaller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.ae_title {
            None => f.write_str("*")?,
            Some(title) => write!(f, "{title}")?,
        }
        self.network.map_or(Ok(()), |network| write!(f, "@{network}"))
    }
}

/// Called AE titles that are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalledTitles {
    Ours,
    Any,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_is_known_by_title_and_address() {
        let knows = |caller: &str, title: &str, address: &str| {
            caller.parse::<KnownCaller>().unwrap().is(title, address.parse().unwrap())
        };
        assert!(knows("CT1", "CT1", "10.0.0.1"));
        assert!(!knows("CT1", "CT2", "10.0.0.1"));
        assert!(knows("CT1@10.0.0.0/24", "CT1", "10.0.0.77"));
        assert!(knows("CT1@10.0.0.0/24", "CT1", "::ffff:10.0.0.77"));
        assert!(!knows("CT1@10.0.0.0/24", "CT1", "10.0.1.77"));
        assert!(knows("*@::1", "ANY", "::1"));
        assert!(!knows("*@127.0.0.1", "ANY", "127.0.0.2"));
        for wrong in ["CT1@", "CT1@host", "CT1@10.0.0.0/33", "@10.0.0.1", "a\\b"] {
            assert!(wrong.parse::<KnownCaller>().is_err(), "{wrong}");
        }
    }
}
