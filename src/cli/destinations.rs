//! The destinations of `flow run`: where results go, how patiently, and how it is found out that they are safe.

use std::sync::Arc;

use crate::dicom::deliver::{self, ObjectDestination, ObjectTarget, ObjectVerifier};
use crate::dicom::site::{SENDER, VerifyMethod};
use crate::dicom::{AeTitle, PeerAddress, RequestedCommitments};
use crate::outbox::{DeliveryPolicy, DestinationService};

use super::exit::CommandError;
use super::site::SiteSettings;

pub struct DestinationSetup<'a> {
    pub site: &'a SiteSettings,
    pub own_title: AeTitle,
    /// Of those of which the site's file does not say more.
    pub policy: DeliveryPolicy,
    /// With a listener: where outcomes of commitments are awaited.
    pub commitments: Option<&'a Arc<RequestedCommitments>>,
}

impl DestinationSetup<'_> {
    /// All destinations that the site's file and the command line name.
    pub fn all(&self, to: &[String], back_to: &[String]) -> Result<Vec<DestinationService>, CommandError> {
        let of_site = self.site.site.iter().flat_map(|site| &site.to);
        let (senders, named): (Vec<_>, Vec<_>) = of_site.partition(|to| *to == SENDER);
        let mut all = Vec::new();
        for name in named.into_iter().chain(to) {
            let ready = self.site.site.as_ref().and_then(|site| site.destination(name));
            all.push(match ready {
                Some(destination) => DestinationService { destination, policy: self.policy.clone() },
                None => self.forward(name)?,
            });
        }
        let mut nodes =
            if senders.is_empty() { Default::default() } else { self.site.by_title(&self.own_title)? };
        for name in back_to {
            let node = self.site.node(name, &self.own_title)?;
            nodes.insert(node.ae_title.to_string(), node);
        }
        if !nodes.is_empty() || !senders.is_empty() {
            let (target, policy) = (ObjectTarget::Sender(nodes), self.policy.clone());
            let destination = Arc::new(ObjectDestination { target, verifier: None });
            all.push(DestinationService { destination, policy });
        }
        Ok(all)
    }

    fn forward(&self, name: &str) -> Result<DestinationService, CommandError> {
        let known = self.site.known(name);
        let utc_offset_min = self.site.site.as_ref().map_or(0, |site| site.utc_offset_min);
        let policy =
            known.map_or_else(|| self.policy.clone(), |node| node.policy(&self.policy, utc_offset_min));
        let how = known.map_or(VerifyMethod::Query, |node| node.verify);
        let peer = self.site.peer(name, &self.own_title)?;
        let verifier = self.verifier(how, &peer);
        let target = ObjectTarget::Peer(peer);
        Ok(DestinationService { destination: Arc::new(ObjectDestination { target, verifier }), policy })
    }

    fn verifier(&self, how: VerifyMethod, peer: &PeerAddress) -> Option<ObjectVerifier> {
        match (how, peer) {
            (VerifyMethod::Nothing, _) => None,
            (VerifyMethod::Commitment, PeerAddress::Dimse(node)) => {
                Some(deliver::by_commitment(node, self.commitments.cloned()))
            }
            // There is no commitment over HTTP that services have.
            (VerifyMethod::Commitment | VerifyMethod::Query, _) => Some(deliver::by_query(peer)),
        }
    }
}
