//! The peers that receive the objects of responses, and how they are reached.

use std::collections::BTreeMap;
use std::fmt;

use crate::admission::{DeliveryErrorKind, DeliveryTrouble};
use crate::dicom::{self, DicomObject, DimseNode, ExchangeStage, PeerAddress, PeerError, SentObject, web};
use crate::step::Request;

/// The peer that the DICOM files of a response go to.
#[derive(Clone, Debug)]
pub enum ObjectTarget {
    /// A node by C-STORE, or a DICOMweb service by STOW-RS.
    Peer(PeerAddress),
    /// The sender of the request: the node with its calling AE title.
    Sender(BTreeMap<String, DimseNode>),
    /// The sender of the request if it is one of these nodes: responses to others do not go there.
    SenderAmong(BTreeMap<String, DimseNode>),
}

impl ObjectTarget {
    /// Whether the response to a request goes to this target. Studies without a calling AE title have no
    /// sender.
    pub(super) fn concerns(&self, request: &Request) -> bool {
        match self {
            ObjectTarget::Peer(_) => true,
            ObjectTarget::Sender(_) => !request.attribute("calling_ae").is_empty(),
            ObjectTarget::SenderAmong(nodes) => sender(nodes, request).is_ok(),
        }
    }

    /// Whether the responses to both requests go to the same node.
    pub(super) fn is_same_node(&self, one: &Request, other: &Request) -> bool {
        let (ObjectTarget::Sender(nodes) | ObjectTarget::SenderAmong(nodes)) = self else { return true };
        let address = |request| sender(nodes, request).ok().map(|node| &node.address);
        address(one).is_some_and(|known| address(other) == Some(known))
    }

    /// Sends the objects in order, and tells each one's answer as it comes.
    ///
    /// # Errors
    /// If not all were answered.
    pub(super) fn send(
        &self,
        request: &Request,
        objects: &[DicomObject],
        answered: &mut dyn FnMut(SentObject),
    ) -> Result<(), DeliveryTrouble> {
        let sent = match self {
            ObjectTarget::Peer(PeerAddress::Web(node)) => web::store(node, objects, answered),
            ObjectTarget::Peer(PeerAddress::Dimse(node)) => store(node, objects, answered),
            ObjectTarget::Sender(nodes) | ObjectTarget::SenderAmong(nodes) => {
                store(sender(nodes, request)?, objects, answered)
            }
        };
        sent.map_err(|error| DeliveryTrouble {
            text: error.advice(),
            kind: match error.stage {
                ExchangeStage::Opening => DeliveryErrorKind::Absent,
                ExchangeStage::Open => DeliveryErrorKind::Passing,
            },
        })
    }
}

fn store(
    node: &DimseNode,
    objects: &[DicomObject],
    answered: &mut dyn FnMut(SentObject),
) -> Result<(), PeerError> {
    dicom::send_each(node, objects, Some(dicom::plain_pixels), answered)
}

/// The node of the request's sender. A study that came in parts may have several senders: the first one with
/// a known node gets the results.
fn sender<'a>(
    nodes: &'a BTreeMap<String, DimseNode>,
    request: &Request,
) -> Result<&'a DimseNode, DeliveryTrouble> {
    let titles = request.attribute("calling_ae");
    let known = titles.split('\\').find_map(|title| nodes.get(title));
    known.ok_or_else(|| {
        let remedy = "Give its host and port with --back-to or among the nodes of --site, and start again.";
        let trouble = match titles {
            "" => "the request does not name its sender".to_owned(),
            _ => format!("it is not known where the sender {titles} receives"),
        };
        let text = format!("{trouble}. {remedy}");
        DeliveryTrouble { text, kind: DeliveryErrorKind::Lasting }
    })
}

/// The name under which the journal records what a destination has.
impl fmt::Display for ObjectTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ObjectTarget::Peer(peer) => peer.fmt(f),
            ObjectTarget::Sender(_) | ObjectTarget::SenderAmong(_) => f.write_str("the sender"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(calling_ae: &str) -> Request {
        let attributes = [("calling_ae".to_owned(), crate::step::AttributeValues::split(calling_ae))];
        Request::new("study", attributes.into_iter().collect(), Vec::new())
    }

    #[test]
    fn the_sender_is_found_by_its_title_or_told_to_be_unknown() {
        let node: DimseNode = "CT1@10.0.0.7:104".parse().unwrap();
        let nodes = BTreeMap::from([("CT1".to_owned(), node)]);
        assert_eq!(sender(&nodes, &request("CT1")).unwrap().to_string(), "CT1@10.0.0.7:104");
        assert_eq!(sender(&nodes, &request("ARCHIVE\\CT1")).unwrap().to_string(), "CT1@10.0.0.7:104");
        for (unknown, named) in [("CT2", "the sender CT2 receives"), ("", "does not name its sender")] {
            let trouble = sender(&nodes, &request(unknown)).unwrap_err();
            assert_eq!(trouble.kind, DeliveryErrorKind::Lasting);
            assert!(trouble.text.contains(named), "{}", trouble.text);
        }
    }

    #[test]
    fn senders_are_the_same_node_only_if_they_are_at_the_same_address() {
        let node = |title: &str, address: &str| {
            (title.to_owned(), format!("{title}@{address}").parse::<DimseNode>().unwrap())
        };
        let nodes = [node("CT1", "10.0.0.7:104"), node("CT2", "10.0.0.8:104"), node("CT3", "10.0.0.7:104")];
        let target = ObjectTarget::Sender(nodes.into());
        let is_same = |one: &str, other: &str| target.is_same_node(&request(one), &request(other));
        assert!(is_same("CT1", "CT1") && is_same("CT1", "ARCHIVE\\CT3"));
        assert!(!is_same("CT1", "CT2") && !is_same("CT1", "CT9") && !is_same("CT9", "CT9"));
    }
}
