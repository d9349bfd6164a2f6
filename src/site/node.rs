//! `nodes`: the DICOM nodes that we send to, ask, and take commitments from.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::dicom::Destination;

use super::reader::Reader;

/// A node, by its name in the file.
#[derive(Clone, Debug)]
pub struct Node {
    pub address: Address,
    pub tls: bool,
    /// How long to wait for it to connect, and to answer.
    pub wait_max: Option<Duration>,
}

/// How a node is reached.
#[derive(Clone, Debug)]
pub enum Address {
    Dimse(Box<Destination>),
}

pub(super) fn all(reader: &mut Reader) -> BTreeMap<String, Node> {
    let nodes = reader.named("\"nodes\"", |name, reader| {
        if let Some(single) = reader.single() {
            let destination: Destination = reader.parse(&single)?;
            return Some(Node { address: Address::Dimse(Box::new(destination)), tls: false, wait_max: None });
        }
        reader.known(&format!("the node \"{}\"", name.value), &["address", "tls", "wait"]);
        let destination: Option<Destination> = reader.required("address", |reader| reader.parsed("address"));
        let (tls, wait_max) = (reader.flag("tls").unwrap_or(false), reader.duration("wait"));
        Some(Node { address: Address::Dimse(Box::new(destination?)), tls, wait_max })
    });
    nodes.into_iter().collect()
}
