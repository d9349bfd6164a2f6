//! The known addresses: a caller at one of them is recognised before it has sent anything.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Mutex, MutexGuard};

use ipnet::IpNet;

use crate::dicom::names::dimse_node::DimseNode;
use crate::dicom::wire::caller::KnownCaller;

use super::slots::CallerStanding;

/// The addresses of the site's nodes, and of callers that the site's file lists with an address.
pub(in crate::dicom) struct KnownAddresses {
    networks: Vec<IpNet>,
    nodes: Mutex<BTreeSet<IpAddr>>,
    expected: bool,
}

impl KnownAddresses {
    pub fn new(callers: &[KnownCaller], nodes: &BTreeMap<String, DimseNode>) -> KnownAddresses {
        let networks: Vec<IpNet> = callers.iter().filter_map(|caller| caller.network).collect();
        let expected = !networks.is_empty() || !nodes.is_empty();
        KnownAddresses { networks, nodes: Mutex::default(), expected }
    }

    /// The number of slots that are reserved for them.
    pub fn places(&self, most: usize) -> usize {
        if self.expected { most / 4 } else { 0 }
    }

    /// Resolves the addresses of the nodes. One that cannot be resolved is unknown.
    pub fn look_up(&self, nodes: &BTreeMap<String, DimseNode>) {
        for node in nodes.values() {
            let found = node.address.to_socket_addrs().into_iter().flatten();
            let found: Vec<IpAddr> = found.map(|address| address.ip().to_canonical()).collect();
            self.lock().extend(found);
        }
    }

    pub fn standing(&self, address: IpAddr) -> CallerStanding {
        let address = address.to_canonical();
        let is_known = self.networks.iter().any(|network| network.contains(&address));
        match is_known || self.lock().contains(&address) {
            true => CallerStanding::Known,
            false => CallerStanding::Unknown,
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<IpAddr>> {
        self.nodes.lock().expect("nothing panics while it holds the addresses")
    }
}
